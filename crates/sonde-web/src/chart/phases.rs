//! One check's time, phase by phase.

use std::fmt::Write as _;

use sonde_core::{CheckResult, Phase};

use super::{Key, short};
use crate::format;

pub(crate) const fn class(phase: Phase) -> &'static str {
    match phase {
        Phase::Dns => "phase-dns",
        Phase::Connect => "phase-connect",
        Phase::Tls => "phase-tls",
        Phase::Send => "phase-send",
        Phase::Wait => "phase-wait",
        Phase::Receive => "phase-receive",
    }
}

pub(crate) fn legend() -> Vec<Key> {
    let keys = Phase::ALL.map(|phase| Key::new(class(phase), phase.as_str()));
    keys.into()
}

/// All phases in a row, as long as the check took of `longest`.
pub(crate) fn bar(result: &CheckResult, longest: u64) -> String {
    let parts: Vec<(&str, u64)> = result
        .phases_us
        .iter()
        .map(|(phase, micros)| (class(phase), micros))
        .collect();
    let measured: u64 = parts.iter().map(|(_, micros)| micros).sum();
    // What no phase accounts for: kinds that have none, and what lies between them.
    let rest = result.total_us.unwrap_or(0).saturating_sub(measured);
    let parts = parts.into_iter().chain([("phase-rest", rest)]);
    let (mut x, mut rects) = (0.0, String::new());
    for (class, micros) in parts.filter(|(_, micros)| *micros > 0) {
        let width = share(micros, longest);
        // Writing to a String cannot fail.
        let _ = write!(
            rects,
            r#"<rect class="{class}" x="{}" width="{}" height="10"/>"#,
            short(x),
            short(width)
        );
        x += width;
    }
    let told = result.phases_us.iter();
    let told =
        told.map(|(phase, micros)| format!("{} {}", phase.as_str(), format::latency(micros)));
    let told: Vec<String> = told.collect();
    let told = if told.is_empty() {
        "no phases".to_owned()
    } else {
        told.join(", ")
    };
    format!(
        r#"<svg class="phases" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{told}"><title>{told}</title>{rects}</svg>"#
    )
}

/// A row of a waterfall: when a phase began and how long it took.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) svg: String,
    pub(crate) took: String,
}

/// Phases one after the other.
pub(crate) fn waterfall(result: &CheckResult) -> Vec<Step> {
    let measured: u64 = result.phases_us.iter().map(|(_, micros)| micros).sum();
    let whole = result.total_us.unwrap_or(0).max(measured);
    let mut begins = 0;
    let steps = result.phases_us.iter().map(|(phase, micros)| {
        let (x, width) = (share(begins, whole), share(micros, whole).max(2.0));
        begins += micros;
        Step {
            name: phase.as_str(),
            svg: format!(
                r#"<svg class="phases" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true"><rect class="{}" x="{}" width="{}" height="10"/></svg>"#,
                class(phase),
                short(x.min(998.0)),
                short(width)
            ),
            took: format::latency(micros),
        }
    });
    steps.collect()
}

#[expect(clippy::cast_precision_loss, reason = "a width on a screen")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64 * 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sonde_core::Outcome;

    use super::*;

    #[test]
    fn phases_stand_one_after_the_other_and_the_rest_behind_them() {
        let mut result = CheckResult::sample_executed(Outcome::Ok, Duration::ZERO);
        result.total_us = Some(100_000);
        result.phases_us = sonde_core::Phases {
            dns: Some(20_000),
            wait: Some(50_000),
            ..sonde_core::Phases::default()
        };
        let svg = bar(&result, 200_000);
        assert!(
            svg.contains(r#"class="phase-dns" x="0" width="100""#),
            "{svg}"
        );
        assert!(
            svg.contains(r#"class="phase-wait" x="100" width="250""#),
            "{svg}"
        );
        assert!(
            svg.contains(r#"class="phase-rest" x="350" width="150""#),
            "{svg}"
        );
        let steps = waterfall(&result);
        assert_eq!(steps.len(), 2);
        assert!(
            steps[1].svg.contains(r#"x="200" width="500""#),
            "{}",
            steps[1].svg
        );
    }
}
