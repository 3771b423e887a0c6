//! What a workspace uses: how much was checked day by day, and what is configured now.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sonde_core::{Kind, Monitor, MonitorId, Region, Scope, Timestamp};
use sonde_results::TimeRange;
use sonde_store::ResourceKind;

use crate::access::{Access, Permit};
use crate::{Result, channels, maintenance, monitors, reports};

const DAY: Duration = Duration::from_hours(24);
/// More of one kind are not counted.
const COUNTED: u32 = 10_000;

/// What is counted beside monitors, and how many of them a workspace may have.
const RESOURCES: [(ResourceKind, Option<u32>); 6] = [
    (ResourceKind::Channel, Some(channels::MOST)),
    (ResourceKind::Report, Some(reports::MOST)),
    (ResourceKind::Maintenance, Some(maintenance::MOST)),
    (ResourceKind::Member, None),
    (ResourceKind::Invitation, None),
    (ResourceKind::ApiKey, None),
];

#[derive(Debug, Clone, PartialEq)]
pub struct UsageReport {
    pub range: TimeRange,
    /// Every day of the range, in UTC and oldest first; the last one is today.
    pub days: Vec<DayUsage>,
    /// Of every kind that there are monitors of.
    pub configured: BTreeMap<Kind, KindUsage>,
    pub resources: Vec<ResourceUsage>,
}

/// Scheduled checks of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayUsage {
    pub start: Timestamp,
    pub executed: u64,
    pub missed: u64,
    /// Executed ones, by what their monitors are now; without a kind those of monitors that are no more.
    pub by_kind: BTreeMap<Option<Kind>, u64>,
    /// Executed ones.
    pub by_region: BTreeMap<Region, u64>,
}

/// Monitors of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindUsage {
    pub monitors: u64,
    /// Of these.
    pub paused: u64,
    /// As they are configured, in all regions together; heartbeats are told, not checked.
    pub checks_per_day: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceUsage {
    pub kind: ResourceKind,
    pub count: u64,
    /// No more than so many, where there is a limit.
    pub most: Option<u32>,
}

impl UsageReport {
    pub fn monitors(&self) -> u64 {
        self.configured.values().map(|it| it.monitors).sum()
    }

    pub fn checks_per_day(&self) -> u64 {
        self.configured.values().map(|it| it.checks_per_day).sum()
    }
}

impl Access {
    /// Of the last `days` with today, at least one.
    pub async fn usage(&self, days: u32) -> Result<UsageReport> {
        let permit = self.whole(Scope::ResultsRead)?;
        let now = self.last(DAY).to;
        let range = TimeRange {
            from: now.floor(DAY) - DAY * days.saturating_sub(1),
            to: now,
        };
        let found = permit.store().monitors(permit.workspace()).await?;
        monitors::log_unreadable(&found.unreadable);
        let all: Vec<Monitor> = found.monitors.into_iter().map(|it| it.value).collect();
        Ok(UsageReport {
            range,
            days: checked(permit, &all, range, days).await?,
            configured: configured(&all),
            resources: counted(permit).await?,
        })
    }
}

async fn checked(
    permit: Permit<'_>,
    monitors: &[Monitor],
    range: TimeRange,
    days: u32,
) -> Result<Vec<DayUsage>> {
    let usage = permit.results().usage(permit.workspace(), range, DAY);
    let usage = usage.await?;
    let kinds: HashMap<&MonitorId, Kind> =
        monitors.iter().map(|it| (&it.id, it.spec.kind())).collect();
    let mut by_day: BTreeMap<Timestamp, DayUsage> = BTreeMap::new();
    for day in 0..days.max(1) {
        let start = range.from + DAY * day;
        let empty = DayUsage {
            start,
            executed: 0,
            missed: 0,
            by_kind: BTreeMap::new(),
            by_region: BTreeMap::new(),
        };
        by_day.insert(start, empty);
    }
    for bucket in usage.by_monitor {
        let Some(day) = by_day.get_mut(&bucket.start) else {
            continue;
        };
        day.executed += bucket.executed;
        day.missed += bucket.missed;
        if bucket.executed > 0 {
            let kind = kinds.get(&bucket.of).copied();
            *day.by_kind.entry(kind).or_default() += bucket.executed;
        }
    }
    for bucket in usage.by_region.into_iter().filter(|it| it.executed > 0) {
        if let Some(day) = by_day.get_mut(&bucket.start) {
            day.by_region.insert(bucket.of, bucket.executed);
        }
    }
    Ok(by_day.into_values().collect())
}

fn configured(monitors: &[Monitor]) -> BTreeMap<Kind, KindUsage> {
    let mut kinds: BTreeMap<Kind, (KindUsage, f64)> = BTreeMap::new();
    for monitor in monitors {
        let (usage, checks) = kinds.entry(monitor.spec.kind()).or_default();
        usage.monitors += 1;
        if monitor.paused {
            usage.paused += 1;
        } else if monitor.spec.heartbeat().is_none() {
            *checks += per_day(monitor);
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and far below 2^53"
    )]
    let whole = |(kind, (usage, checks)): (Kind, (KindUsage, f64))| {
        let checks_per_day = checks.round() as u64;
        let usage = KindUsage {
            checks_per_day,
            ..usage
        };
        (kind, usage)
    };
    kinds.into_iter().map(whole).collect()
}

#[expect(clippy::cast_precision_loss, reason = "regions are few")]
fn per_day(monitor: &Monitor) -> f64 {
    let of_region = DAY.as_secs_f64() / monitor.interval.as_secs_f64();
    of_region * monitor.regions.len() as f64
}

async fn counted(permit: Permit<'_>) -> Result<Vec<ResourceUsage>> {
    let mut counted = Vec::new();
    for (kind, most) in RESOURCES {
        let all = permit
            .store()
            .resources(permit.workspace(), kind, "", COUNTED);
        let count = u64::try_from(all.await?.len()).unwrap_or(u64::MAX);
        counted.push(ResourceUsage { kind, count, most });
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_counted_by_kind_and_what_rests_checks_nothing() {
        let mut often = Monitor::sample();
        often.interval = Duration::from_secs(7);
        often.regions = vec![Region::local(), Region::push()];
        let mut paused = often.clone();
        paused.paused = true;
        let mut rare = often.clone();
        rare.interval = DAY * 3;
        let kind = often.spec.kind();
        let found = configured(&[often, paused, rare]);
        let expected = KindUsage {
            monitors: 3,
            paused: 1,
            // 2 × 86,400 / 7 and two thirds
            checks_per_day: 24_686,
        };
        assert_eq!(found, BTreeMap::from([(kind, expected)]));
        assert_eq!(configured(&[]), BTreeMap::new());
    }
}
