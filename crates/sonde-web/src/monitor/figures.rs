//! The numbers of a range, each with its change against the range of the same length before.

use sonde_results::Summary;
use sonde_service::Comparison;

use crate::asked::Asked;
use crate::format::{self, Change, NOTHING};

/// One number of the page.
pub(super) struct Number {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) change: Option<Change>,
    /// What it was, for who looks closer.
    pub(super) before: String,
}

impl Number {
    pub(super) fn is_better(&self) -> bool {
        self.change.as_ref().is_some_and(|it| it.is_better)
    }

    pub(super) fn change_text(&self) -> &str {
        self.change.as_ref().map_or("", |it| &it.text)
    }
}

/// How much may still fail of what an objective leaves.
pub(super) struct Budget {
    pub(super) slo: f64,
    /// Of the budget, in percent; below nothing where more failed than may.
    pub(super) left: String,
    pub(super) note: String,
    pub(super) class: &'static str,
}

pub(super) fn quantiles(summary: &Summary) -> [(&'static str, Option<u64>); 5] {
    [
        ("50", summary.p50_us),
        ("75", summary.p75_us),
        ("90", summary.p90_us),
        ("95", summary.p95_us),
        ("99", summary.p99_us),
    ]
}

pub(super) fn quantile(summary: &Summary, name: &str) -> Option<u64> {
    let mut known = quantiles(summary).into_iter();
    known.find(|(known, _)| *known == name)?.1
}

fn checks(summary: &Summary) -> u64 {
    summary.ok + summary.degraded + summary.failed + summary.missed
}

pub(super) fn numbers(comparison: &Comparison) -> Vec<Number> {
    let (now, before) = (&comparison.summary, &comparison.previous);
    let compared = checks(before) > 0;
    let count = |name, of: fn(&Summary) -> u64| Number {
        name,
        value: format::count(of(now)),
        change: None,
        before: format::count(of(before)),
    };
    let fewer = |name, of: fn(&Summary) -> u64| Number {
        change: compared
            .then(|| Change::of_less(Some(of(now)), Some(of(before))))
            .flatten(),
        ..count(name, of)
    };
    let mut numbers = vec![
        Number {
            name: "Uptime",
            value: format::percent(now.uptime),
            change: Change::of_share(now.uptime, before.uptime),
            before: format::percent(before.uptime),
        },
        count("Checks", checks),
        fewer("Degraded", |it| it.degraded),
        fewer("Failing", |it| it.failed),
        fewer("Missed", |it| it.missed),
    ];
    let names = ["p50", "p75", "p90", "p95", "p99"];
    let pairs = quantiles(now).into_iter().zip(quantiles(before));
    numbers.extend(
        names
            .into_iter()
            .zip(pairs)
            .map(|(name, (now, before))| Number {
                name,
                value: format::latency_or_nothing(now.1),
                change: Change::of_less(now.1, before.1),
                before: format::latency_or_nothing(before.1),
            }),
    );
    numbers
}

impl Budget {
    const USUAL: f64 = 99.9;

    pub(super) fn slo(asked: &Asked) -> f64 {
        let slo = asked.get("slo").and_then(|text| text.parse::<f64>().ok());
        slo.filter(|slo| (0.0..100.0).contains(slo))
            .unwrap_or(Self::USUAL)
    }

    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    pub(super) fn new(asked: &Asked, summary: &Summary) -> Self {
        let slo = Self::slo(asked);
        let executed = summary.ok + summary.degraded + summary.failed;
        // From the uptime, so that failures in maintenance use nothing up.
        let failed = summary.uptime.map(|uptime| (1.0 - uptime) * 100.0);
        let Some(failed) = failed else {
            return Self {
                slo,
                left: NOTHING.to_owned(),
                note: "nothing was checked".to_owned(),
                class: "none",
            };
        };
        let left = (1.0 - failed / (100.0 - slo)) * 100.0;
        let allowed = executed as f64 * (100.0 - slo) / 100.0;
        Self {
            slo,
            left: if left > 0.0 {
                format!("{:.1} % left", (left * 10.0).floor() / 10.0)
            } else {
                "used up".to_owned()
            },
            note: format!("{allowed:.1} of {} may fail", format::count(executed)),
            class: match left {
                left if left <= 0.0 => "failed",
                left if left < 25.0 => "degraded",
                _ => "ok",
            },
        }
    }
}
