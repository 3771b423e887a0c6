//! Checkup's `checkup.json`, with Checkup's meaning.
//!
//! Field names, units (nanoseconds) and defaults are those of Checkup's `check/*` packages. One thing differs on
//! purpose: attempts after the first are made only when one fails, and one that succeeds is enough.

mod kinds;

use std::collections::BTreeSet;
use std::time::Duration;

use sonde_core::{
    AlertRule, Assertion, Comparator, MIN_INTERVAL, Monitor, MonitorId, RetryPolicy, Source, Spec,
    Unit, Value, WorkspaceId, format_duration,
};

use crate::decode::Item;
use crate::fields::Fields;
use crate::import::channels::{self, ChannelDraft};
use crate::names::unique_id;
use crate::shared::{DEFAULT_INTERVAL, DEFAULT_TIMEOUT};

/// Blocks that say what becomes of results.
const NOT_TAKEN_OVER: [&str; 3] = ["storage", "concurrent_checks", "timestamp"];

/// What says of a notifier what it is.
const NOTIFIER_KEYS: [&str; 2] = ["type", "name"];

/// All that could be read, with whom to tell where that is said; anything wrong is noted in the context.
pub(crate) fn decode(root: &Item<'_>) -> (Vec<Monitor>, Option<Vec<ChannelDraft>>) {
    let decoded = root.fields("checkup.json", |fields| {
        for key in NOT_TAKEN_OVER {
            if let Some(item) = fields.take(key) {
                item.warning("not taken over from Checkup");
            }
        }
        let options = &root.context.inputs.options;
        let every = fields.take("every").and_then(|item| every(&item));
        let interval = every.or(options.check_interval).unwrap_or(DEFAULT_INTERVAL);
        // One of them was once all that there could be.
        let one = fields.take("notifier");
        let several = fields.take("notifiers");
        let mut ids = BTreeSet::new();
        let checkers = fields.required("checkers");
        let monitors =
            checkers.and_then(|item| item.list_of(|item| checker(&item, interval, &mut ids)));
        let notifiers = (one.is_some() || several.is_some()).then(|| notifiers(one, several));
        (monitors.unwrap_or_default(), notifiers)
    });
    decoded.unwrap_or_default()
}

fn notifiers(one: Option<Item<'_>>, several: Option<Item<'_>>) -> Vec<ChannelDraft> {
    let mut ids = BTreeSet::new();
    let several = several.and_then(|item| item.list()).unwrap_or_default();
    let notifiers = one.into_iter().chain(several);
    notifiers
        .filter_map(|item| {
            let entries = item.entries()?;
            let kind = NOTIFIER_KEYS.iter().find_map(|key| {
                let (_, item) = entries.iter().find(|(name, _)| name == key)?;
                item.text()
            });
            let kind = kind.unwrap_or_default();
            let Some(provider) = channels::find(&channels::CHECKUP, kind) else {
                item.warning(format!(
                    "a notifier of type `{kind}` has no equivalent here"
                ));
                return None;
            };
            let config = provider.read(&item, Some(&NOTIFIER_KEYS))?;
            ChannelDraft::new(&item, kind, config, &mut ids)
        })
        .collect()
}

/// The interval, where it is one that checks can have.
fn every(item: &Item<'_>) -> Option<Duration> {
    let every = if item.is_number() {
        nanoseconds(item)?
    } else {
        item.duration()?
    };
    if every < MIN_INTERVAL {
        item.warning(format!(
            "not taken over from Checkup: shorter than {}",
            format_duration(MIN_INTERVAL)
        ));
        return None;
    }
    Some(every)
}

/// What a checker's own part of the decoder finds.
struct Checker {
    /// What stands for the name where there is none.
    target: String,
    spec: Spec,
    timeout: Duration,
    expect: Vec<Assertion>,
    degraded: Vec<Assertion>,
}

fn checker(item: &Item<'_>, interval: Duration, ids: &mut BTreeSet<MonitorId>) -> Option<Monitor> {
    let kind = kinds::of(item)?;
    item.fields(kind.section(), |fields| {
        fields.take("type");
        let name = fields.take(kind.name_key()).and_then(|item| item.text());
        let threshold = fields
            .take("threshold_rtt")
            .and_then(|item| nanoseconds(&item));
        let retry = retry(fields, kind.has_spacing());
        let mut checker = kind.decode(fields)?;
        if let Some(threshold) = threshold.filter(|threshold| !threshold.is_zero()) {
            checker.degraded.push(slower_than(threshold));
        }
        let name = name
            .filter(|name| !name.trim().is_empty())
            .unwrap_or(&checker.target);
        Some(Monitor {
            workspace: WorkspaceId::local(),
            id: unique_id(name, "checker", ids)?,
            name: name.to_owned(),
            spec: checker.spec,
            interval,
            timeout: checker.timeout.min(interval),
            retry,
            regions: item.context.default_regions(item.at, &item.path),
            expect: checker.expect,
            degraded: checker.degraded,
            alert: AlertRule::default(),
            depends_on: Vec::new(),
            tags: Vec::new(),
            paused: false,
        })
    })
    .flatten()
}

fn retry(fields: &mut Fields<'_>, has_spacing: bool) -> RetryPolicy {
    let attempts: Option<u32> = fields
        .take("attempts")
        .and_then(|item| item.integer(0, 100));
    let spacing = has_spacing
        .then(|| fields.take("attempt_spacing"))
        .flatten();
    let spacing = spacing
        .and_then(|item| nanoseconds(&item))
        .unwrap_or_default();
    let retries = attempts.unwrap_or(1).saturating_sub(1);
    RetryPolicy {
        retries,
        initial: spacing,
        factor: 1.0,
        max: spacing,
        jitter: 0.0,
    }
}

/// `time.Duration` as Go writes it to JSON.
fn nanoseconds(item: &Item<'_>) -> Option<Duration> {
    let number: i64 = item.integer(0, i64::MAX)?;
    Some(Duration::from_nanos(number.unsigned_abs()))
}

fn timeout(fields: &mut Fields<'_>, standard: Duration) -> Duration {
    let timeout = fields.take("timeout").and_then(|item| nanoseconds(&item));
    timeout
        .filter(|timeout| !timeout.is_zero())
        .unwrap_or(standard)
}

fn slower_than(threshold: Duration) -> Assertion {
    let milliseconds = threshold.as_secs_f64() * 1e3;
    number(
        Source::Latency,
        Comparator::Greater,
        milliseconds,
        Unit::Milliseconds,
    )
}

pub(crate) fn number(source: Source, comparator: Comparator, number: f64, unit: Unit) -> Assertion {
    Assertion {
        source,
        comparator,
        value: Value::Number(number, unit),
    }
}

/// `must_contain` and `must_not_contain`.
fn content(fields: &mut Fields<'_>, source: &Source) -> Vec<Assertion> {
    let keys = [
        ("must_contain", Comparator::Contains),
        ("must_not_contain", Comparator::NotContains),
    ];
    let assertion = |(key, comparator)| {
        let text = fields.take(key)?.text()?;
        let value = Value::Text(text.to_owned());
        (!text.is_empty()).then(|| Assertion {
            source: source.clone(),
            comparator,
            value,
        })
    };
    keys.into_iter().filter_map(assertion).collect()
}
