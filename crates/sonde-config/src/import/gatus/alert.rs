//! `alerts` and each provider's `default-alert`: of both, the thresholds.

use std::collections::BTreeMap;

use sonde_core::AlertRule;

use super::super::lenient;
use crate::decode::Item;

/// `failure-threshold` and `success-threshold`.
#[derive(Clone, Copy)]
pub(super) struct Thresholds {
    fail_after: Option<u32>,
    recover_after: Option<u32>,
}

/// Those of each provider's `default-alert`, by the provider's name.
pub(super) type Defaults<'a> = BTreeMap<&'a str, Thresholds>;

pub(super) fn defaults<'a>(alerting: &Item<'a>) -> Defaults<'a> {
    alerting
        .warning("only the thresholds of each `default-alert` are taken over, not whom to tell");
    let providers = alerting.entries().unwrap_or_default().into_iter();
    let thresholds = |(provider, item): (&'a str, Item<'a>)| {
        let settings = item.is_map().then(|| item.entries())??;
        let (_, alert) = settings
            .into_iter()
            .find(|(key, _)| *key == "default-alert")?;
        Some((provider, thresholds(&alert.entries()?)))
    };
    providers.filter_map(thresholds).collect()
}

fn thresholds(alert: &[(&str, Item<'_>)]) -> Thresholds {
    let threshold = |name: &str| {
        let item = alert.iter().find(|(key, _)| *key == name);
        item.and_then(|(_, item)| item.integer(1, 1000))
    };
    Thresholds {
        fail_after: threshold("failure-threshold"),
        recover_after: threshold("success-threshold"),
    }
}

/// Sonde counts failures once per monitor, so of several alerts the most impatient one counts.
pub(super) fn rule(item: &Item<'_>, defaults: &Defaults<'_>) -> AlertRule {
    item.warning("only the thresholds are taken over, not whom to tell");
    let mut rules = Vec::new();
    for alert in item.list().unwrap_or_default() {
        let entries = alert.entries().unwrap_or_default();
        let value = |name: &str| {
            let entry = entries.iter().find(|(key, _)| *key == name);
            entry.map(|(_, item)| item.clone())
        };
        if lenient::flag(value("enabled")) == Some(false) {
            continue;
        }
        let own = thresholds(&entries);
        let provider = lenient::text(value("type")).and_then(|name| defaults.get(name));
        rules.push(AlertRule {
            fail_after: own
                .fail_after
                .or(provider.and_then(|provider| provider.fail_after))
                .unwrap_or(3),
            recover_after: own
                .recover_after
                .or(provider.and_then(|provider| provider.recover_after))
                .unwrap_or(2),
            ..AlertRule::default()
        });
    }
    let first = rules.into_iter().min_by_key(|rule| rule.fail_after);
    first.unwrap_or_default()
}
