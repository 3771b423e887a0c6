//! `alerts` and each provider's `default-alert`: the thresholds, and whom to tell of which endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sonde_core::{AlertRule, MonitorId};

use super::super::channels::{self, ChannelDraft, GATUS};
use super::super::lenient::{self, NO_EQUIVALENT};
use crate::decode::Item;

/// What a provider has beside its settings.
const BESIDE: [&str; 1] = ["default-alert"];

/// What an alert says.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    fail_after: Option<u32>,
    recover_after: Option<u32>,
    reminder: Option<Duration>,
}

/// Those of each provider's `default-alert`, by the provider's name.
pub(super) type Defaults<'a> = BTreeMap<&'a str, Settings>;

/// The provider that an alert of an endpoint names, and how often it reminds.
pub(super) type Alert = (String, Option<Duration>);

/// By provider, the monitors that it is told of, and its shortest reminder.
#[derive(Default)]
pub(super) struct Told(BTreeMap<String, (Vec<MonitorId>, Option<Duration>)>);

impl Told {
    pub(super) fn note(&mut self, monitor: &MonitorId, alerts: Vec<Alert>) {
        for (provider, reminder) in alerts {
            let (monitors, shortest) = self.0.entry(provider).or_default();
            if !monitors.contains(monitor) {
                monitors.push(monitor.clone());
            }
            *shortest = [*shortest, reminder].into_iter().flatten().min();
        }
    }
}

pub(super) fn defaults<'a>(alerting: &Item<'a>) -> Defaults<'a> {
    let providers = alerting.entries().unwrap_or_default().into_iter();
    let defaults = |(provider, item): (&'a str, Item<'a>)| {
        let entries = item.is_map().then(|| item.entries())??;
        let (_, alert) = entries
            .into_iter()
            .find(|(key, _)| *key == "default-alert")?;
        Some((provider, settings(&alert.entries()?)))
    };
    providers.filter_map(defaults).collect()
}

/// A channel for each provider that an endpoint names.
pub(super) fn channels(alerting: &Item<'_>, told: &Told) -> Vec<ChannelDraft> {
    let mut ids = BTreeSet::new();
    let providers = alerting.entries().unwrap_or_default().into_iter();
    let drafts = providers.filter_map(|(name, item)| {
        let Some(provider) = channels::find(&GATUS, name) else {
            item.warning(NO_EQUIVALENT);
            return None;
        };
        let Some((monitors, reminder)) = told.0.get(name) else {
            item.warning("left out: no endpoint has an alert of this type");
            return None;
        };
        let mut config = provider.read(&item, Some(&BESIDE))?;
        config.monitors.clone_from(monitors);
        config.repeat = *reminder;
        ChannelDraft::new(&item, name, config, &mut ids)
    });
    drafts.collect()
}

fn settings(alert: &[(&str, Item<'_>)]) -> Settings {
    let find = |name: &str| alert.iter().find(|(key, _)| *key == name);
    let threshold = |name: &str| find(name).and_then(|(_, item)| item.integer(1, 1000));
    let reminder = find("minimum-reminder-interval");
    Settings {
        fail_after: threshold("failure-threshold"),
        recover_after: threshold("success-threshold"),
        reminder: reminder
            .and_then(|(_, item)| lenient::duration(item))
            .filter(|reminder| !reminder.is_zero()),
    }
}

/// Sonde counts failures once per monitor, so of several alerts the most impatient one counts.
pub(super) fn rule(item: &Item<'_>, defaults: &Defaults<'_>) -> (AlertRule, Vec<Alert>) {
    let (mut rules, mut alerts) = (Vec::new(), Vec::new());
    for alert in item.list().unwrap_or_default() {
        let entries = alert.entries().unwrap_or_default();
        let value = |name: &str| {
            let entry = entries.iter().find(|(key, _)| *key == name);
            entry.map(|(_, item)| item.clone())
        };
        if lenient::flag(value("enabled")) == Some(false) {
            continue;
        }
        if let Some(item) = value("provider-override") {
            item.warning(NO_EQUIVALENT);
        }
        let own = settings(&entries);
        let name = lenient::text(value("type"));
        let provider = name.and_then(|name| defaults.get(name));
        if let Some(name) = name {
            let reminder = own.reminder.or(provider.and_then(|it| it.reminder));
            alerts.push((name.to_owned(), reminder));
        }
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
    (first.unwrap_or_default(), alerts)
}
