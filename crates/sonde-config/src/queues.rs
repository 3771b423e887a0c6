//! `queues.toml`: the one place where frequencies, retries and queue settings live.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use sonde_core::{Frequency, FrequencyClass, QueueSettings, RetryPolicy, parse_duration};
use toml::Spanned;

use crate::problem::{Problem, Problems, place};

/// The file at the top of the repository, which the binary carries with it.
pub const DEFAULT_QUEUES: &str = include_str!("../../../queues.toml");

/// Each is a quorum queue or two, which cost the broker memory and threads whether they are used or not.
const MOST_PARTITIONS: u16 = 64;

/// Routing keys `now.<region>` and `private.<location>` are taken.
const RESERVED: [&str; 2] = ["now", "private"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    defaults: RawDefaults,
    results: RawResults,
    #[serde(default)]
    frequency: Vec<Spanned<RawFrequency>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefaults {
    retries: Spanned<u32>,
    retry_backoff: RawBackoff,
    delivery_limit: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBackoff {
    initial: Spanned<String>,
    factor: Spanned<f64>,
    max: Spanned<String>,
    jitter: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResults {
    partitions: Spanned<u16>,
    alerting: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFrequency {
    name: Spanned<String>,
    period: Spanned<String>,
    prefetch: Spanned<u16>,
}

/// Reads a `queues.toml`; `name` is the file's, for messages.
pub fn parse_queues(name: &str, text: &str) -> Result<QueueSettings, Problems> {
    let mut check = Check {
        name,
        text,
        problems: Vec::new(),
    };
    let settings = match toml::from_str::<Raw>(text) {
        Ok(raw) => settings(&raw, &mut check),
        Err(error) => {
            check.note(
                error.span().unwrap_or(0..0),
                "",
                error.message().replace('\n', " "),
            );
            None
        }
    };
    match settings {
        Some(settings) if check.problems.is_empty() => Ok(settings),
        _ => Err(Problems::new(check.problems)),
    }
}

/// `None` only beside a problem.
fn settings(raw: &Raw, check: &mut Check<'_>) -> Option<QueueSettings> {
    let Raw {
        defaults,
        results,
        frequency,
    } = raw;
    check.range("defaults.retries", &defaults.retries, 0, 20);
    check.range("defaults.delivery_limit", &defaults.delivery_limit, 1, 100);
    check.range(
        "results.partitions",
        &results.partitions,
        1,
        MOST_PARTITIONS,
    );
    let retry = retry(*defaults.retries.get_ref(), &defaults.retry_backoff, check);
    if frequency.is_empty() {
        check.note(0..0, "frequency", "at least one [[frequency]] is needed");
    }
    let classes: Vec<_> = frequency
        .iter()
        .enumerate()
        .map(|(n, raw)| class(n, raw.get_ref(), check))
        .collect();
    let mut frequencies = classes.into_iter().collect::<Option<Vec<_>>>()?;
    let (mut names, mut periods) = (BTreeSet::new(), BTreeSet::new());
    for (n, (class, raw)) in frequencies.iter().zip(frequency).enumerate() {
        if !names.insert(&class.name) {
            check.note(
                raw.get_ref().name.span(),
                &format!("frequency[{n}].name"),
                "the name of an earlier frequency",
            );
        }
        if !periods.insert(class.period) {
            check.note(
                raw.get_ref().period.span(),
                &format!("frequency[{n}].period"),
                "the period of an earlier frequency",
            );
        }
    }
    frequencies.sort_by_key(|class| class.period);
    Some(QueueSettings {
        retry: retry?,
        delivery_limit: *defaults.delivery_limit.get_ref(),
        frequencies,
        partitions: *results.partitions.get_ref(),
        alerting: results.alerting,
    })
}

fn retry(retries: u32, raw: &RawBackoff, check: &mut Check<'_>) -> Option<RetryPolicy> {
    let path = |key: &str| format!("defaults.retry_backoff.{key}");
    let initial = check.duration(&path("initial"), &raw.initial);
    let max = check.duration(&path("max"), &raw.max);
    check.range(&path("factor"), &raw.factor, 1.0, 100.0);
    check.range(&path("jitter"), &raw.jitter, 0.0, 1.0);
    let (initial, max) = (initial?, max?);
    if max < initial {
        check.note(raw.max.span(), &path("max"), "must not be below initial");
    }
    Some(RetryPolicy {
        retries,
        initial,
        factor: *raw.factor.get_ref(),
        max,
        jitter: *raw.jitter.get_ref(),
    })
}

fn class(n: usize, raw: &RawFrequency, check: &mut Check<'_>) -> Option<FrequencyClass> {
    let path = |key: &str| format!("frequency[{n}].{key}");
    let text = raw.name.get_ref();
    if RESERVED.contains(&text.as_str()) {
        check.note(
            raw.name.span(),
            &path("name"),
            format!("`{text}` is the name of a queue already"),
        );
    }
    let name = Frequency::new(text);
    let name = name.map_err(|error| check.note(raw.name.span(), &path("name"), error.to_string()));
    let period = check.duration(&path("period"), &raw.period);
    if period.is_some_and(|period| period < Duration::from_secs(1)) {
        check.note(raw.period.span(), &path("period"), "must be 1s or more");
    }
    check.range(&path("prefetch"), &raw.prefetch, 1, u16::MAX);
    Some(FrequencyClass {
        name: name.ok()?,
        period: period?,
        prefetch: *raw.prefetch.get_ref(),
    })
}

/// Collects problems with their places.
struct Check<'a> {
    name: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn note(&mut self, span: Range<usize>, path: &str, message: impl Into<String>) {
        let (line, column) = place(self.text, span.start);
        self.problems.push(Problem {
            file: self.name.to_owned(),
            line,
            column,
            path: path.to_owned(),
            message: message.into(),
            suggestion: None,
        });
    }

    fn range<T: PartialOrd + Display + Copy>(
        &mut self,
        path: &str,
        value: &Spanned<T>,
        low: T,
        high: T,
    ) {
        if !(low..=high).contains(value.get_ref()) {
            let message = format!(
                "must be at least {low} and at most {high}, got {}",
                value.get_ref()
            );
            self.note(value.span(), path, message);
        }
    }

    fn duration(&mut self, path: &str, text: &Spanned<String>) -> Option<Duration> {
        let parsed = parse_duration(text.get_ref());
        parsed
            .map_err(|error| self.note(text.span(), path, error.to_string()))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_file_is_accepted() {
        let settings = parse_queues("queues.toml", DEFAULT_QUEUES).unwrap();
        let names: Vec<_> = settings
            .frequencies
            .iter()
            .map(|class| class.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "5s", "10s", "30s", "1m", "5m", "10m", "30m", "1h", "6h", "1d"
            ]
        );
        assert_eq!(settings.retry.retries, 3);
        assert_eq!((settings.partitions, settings.alerting), (4, true));
        for class in &settings.frequencies {
            assert_eq!(parse_duration(class.name.as_str()), Ok(class.period));
        }
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        let text = r#"
[defaults]
retries = 99
retry_backoff = { initial = "5s", factor = 0.5, max = "1s", jitter = 2.0 }
delivery_limit = 0

[results]
partitions = 65
alerting = true

[[frequency]]
name = "now"
period = "soon"
prefetch = 0

[[frequency]]
name = "1 m"
period = "1m"
prefetch = 1
"#;
        let error = parse_queues("queues.toml", text).unwrap_err();
        insta::assert_snapshot!(error, @r#"
        queues.toml:3:11: defaults.retries: must be at least 0 and at most 20, got 99
        queues.toml:4:44: defaults.retry_backoff.factor: must be at least 1 and at most 100, got 0.5
        queues.toml:4:55: defaults.retry_backoff.max: must not be below initial
        queues.toml:4:70: defaults.retry_backoff.jitter: must be at least 0 and at most 1, got 2
        queues.toml:5:18: defaults.delivery_limit: must be at least 1 and at most 100, got 0
        queues.toml:8:14: results.partitions: must be at least 1 and at most 64, got 65
        queues.toml:12:8: frequency[0].name: `now` is the name of a queue already
        queues.toml:13:10: frequency[0].period: `soon` is not a duration such as 500ms, 30s, 1m 30s or 1h
        queues.toml:14:12: frequency[0].prefetch: must be at least 1 and at most 65535, got 0
        queues.toml:17:8: frequency[1].name: `1 m` is not a valid frequency: use 1 to 63 of a-z, 0-9, `-` and `_`, beginning and ending with a letter or digit
        "#);
    }

    #[test]
    fn names_and_periods_are_unique_and_keys_are_known() {
        let doubled = DEFAULT_QUEUES.replace(
            "name = \"10s\"\nperiod = \"10s\"",
            "name = \"5s\"\nperiod = \"5s\"",
        );
        let error = parse_queues("queues.toml", &doubled).unwrap_err();
        assert_eq!(error.iter().count(), 2, "{error}");
        let error = parse_queues("q", &DEFAULT_QUEUES.replace("prefetch", "prefetsh")).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `prefetsh`"),
            "{error}"
        );
        assert!(parse_queues("q", "").is_err());
    }
}
