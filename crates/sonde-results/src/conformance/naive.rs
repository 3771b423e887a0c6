//! What rows say, by the rules that hold everywhere, added up one by one without any store.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sonde_core::{
    CheckKey, CheckResult, MonitorId, Outcome, Phase, Phases, Region, Timestamp, Trigger,
    WorkspaceId, merge,
};

use crate::{
    CertificateSample, ChartQuery, HeatCell, LATENCY_BANDS, PhaseBucket, ReasonCount, Summary,
    TimeRange, Usage, UsageBucket,
};

/// Rows as they have to be after all that was stored.
#[derive(Default)]
pub struct Rows(BTreeMap<CheckKey, CheckResult>);

impl Rows {
    pub fn add(&mut self, results: &[CheckResult]) {
        for result in results {
            let key = result.key();
            let merged = match self.0.remove(&key) {
                Some(stored) => merge(stored, result.clone()),
                None => result.clone(),
            };
            self.0.insert(key, merged);
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &CheckResult> {
        self.0.values()
    }

    fn scheduled(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> impl Iterator<Item = &CheckResult> {
        let matches = move |one: &&CheckResult| {
            one.trigger == Trigger::Schedule
                && one.workspace == *workspace
                && (range.from..range.to).contains(&one.slot)
        };
        self.0.values().filter(matches)
    }

    fn charted<'a>(&'a self, query: &'a ChartQuery) -> impl Iterator<Item = &'a CheckResult> {
        let rows = self.scheduled(&query.workspace, query.range);
        rows.filter(|one| {
            let region = query.region.as_ref();
            one.monitor == query.monitor && region.is_none_or(|region| *region == one.region)
        })
    }

    pub fn overview(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> HashMap<MonitorId, Summary> {
        let mut rows: HashMap<MonitorId, Vec<&CheckResult>> = HashMap::new();
        for one in self.scheduled(workspace, range) {
            rows.entry(one.monitor.clone()).or_default().push(one);
        }
        let rows = rows.into_iter();
        rows.map(|(monitor, rows)| (monitor, summary(&rows)))
            .collect()
    }

    pub fn phases(&self, query: &ChartQuery) -> Vec<PhaseBucket> {
        let mut buckets: BTreeMap<_, Vec<Phases>> = BTreeMap::new();
        for one in self.charted(query).filter(|one| is_measured(one)) {
            let region = query.by_region.then(|| one.region.clone());
            let place = (start(one.slot, query), region);
            buckets.entry(place).or_default().push(one.phases_us);
        }
        let buckets = buckets.into_iter().map(|((start, region), phases)| {
            let mean = |phase| {
                let values: Vec<u64> = phases.iter().filter_map(|it| it.get(phase)).collect();
                values.iter().sum::<u64>().checked_div(count(&values))
            };
            let mean_us = Phases {
                dns: mean(Phase::Dns),
                connect: mean(Phase::Connect),
                tls: mean(Phase::Tls),
                send: mean(Phase::Send),
                wait: mean(Phase::Wait),
                receive: mean(Phase::Receive),
            };
            PhaseBucket {
                start,
                region,
                mean_us,
            }
        });
        buckets
            .filter(|bucket| bucket.mean_us != Phases::default())
            .collect()
    }

    pub fn heat(&self, query: &ChartQuery) -> Vec<HeatCell> {
        let mut cells: BTreeMap<(Timestamp, u8), u64> = BTreeMap::new();
        for one in self.charted(query).filter(|one| is_measured(one)) {
            let latency = one.total_us.unwrap_or_default();
            let reached = LATENCY_BANDS.iter().filter(|bound| **bound <= latency);
            let band = u8::try_from(reached.count()).unwrap();
            *cells.entry((start(one.slot, query), band)).or_default() += 1;
        }
        let cells = cells.into_iter();
        cells
            .map(|((start, band), count)| HeatCell { start, band, count })
            .collect()
    }

    pub fn certificates(&self, query: &ChartQuery) -> Vec<CertificateSample> {
        let mut newest: BTreeMap<(Timestamp, Region), CertificateSample> = BTreeMap::new();
        for one in self.charted(query) {
            let leaf = one.tls.iter().flat_map(|tls| &tls.certificates).next();
            let Some(leaf) = leaf else { continue };
            let sample = CertificateSample {
                start: start(one.slot, query),
                region: one.region.clone(),
                slot: one.slot,
                leaf: leaf.clone(),
            };
            let place = (sample.start, sample.region.clone());
            let known = newest.entry(place).or_insert_with(|| sample.clone());
            if known.slot < sample.slot {
                *known = sample;
            }
        }
        newest.into_values().collect()
    }

    pub fn usage(&self, workspace: &WorkspaceId, range: TimeRange, step: Duration) -> Usage {
        let rows = || self.scheduled(workspace, range);
        Usage {
            by_monitor: used(rows().map(|one| (one, one.monitor.clone())), step),
            by_region: used(rows().map(|one| (one, one.region.clone())), step),
        }
    }

    pub fn reasons(&self, query: &ChartQuery) -> Vec<ReasonCount> {
        let mut counts: Vec<ReasonCount> = Vec::new();
        for one in self.charted(query).filter(|one| one.outcome != Outcome::Ok) {
            let same = |it: &&mut ReasonCount| {
                (it.reason, it.outcome, &it.region) == (one.reason, one.outcome, &one.region)
            };
            match counts.iter_mut().find(same) {
                Some(found) => {
                    found.count += 1;
                    found.last = found.last.max(one.slot);
                }
                None => counts.push(ReasonCount {
                    reason: one.reason,
                    outcome: one.outcome,
                    region: one.region.clone(),
                    count: 1,
                    last: one.slot,
                }),
            }
        }
        counts.sort_by_key(in_order);
        counts
    }
}

fn used<'a, T: Ord + Clone>(
    rows: impl Iterator<Item = (&'a CheckResult, T)>,
    step: Duration,
) -> Vec<UsageBucket<T>> {
    let mut counts: BTreeMap<(Timestamp, T), (u64, u64)> = BTreeMap::new();
    for (one, of) in rows {
        let (executed, missed) = counts.entry((one.slot.floor(step), of)).or_default();
        *if one.outcome.is_executed() {
            executed
        } else {
            missed
        } += 1;
    }
    let counts = counts.into_iter();
    counts
        .map(|((start, of), (executed, missed))| UsageBucket {
            start,
            of,
            executed,
            missed,
        })
        .collect()
}

type Order = (
    std::cmp::Reverse<(u64, Timestamp)>,
    Region,
    &'static str,
    &'static str,
);

fn in_order(it: &ReasonCount) -> Order {
    let reason = it.reason.map_or("", sonde_core::Reason::as_str);
    let newest = std::cmp::Reverse((it.count, it.last));
    (newest, it.region.clone(), it.outcome.as_str(), reason)
}

fn start(slot: Timestamp, query: &ChartQuery) -> Timestamp {
    slot.floor(query.step)
}

fn is_measured(one: &CheckResult) -> bool {
    one.outcome.is_up() && !one.in_maintenance && one.total_us.is_some()
}

fn count<T>(values: &[T]) -> u64 {
    u64::try_from(values.len()).unwrap()
}

fn summary(rows: &[&CheckResult]) -> Summary {
    let of = |outcome| {
        let these = rows.iter().filter(|it| it.outcome == outcome);
        u64::try_from(these.count()).unwrap()
    };
    let judged = |is_up: bool| {
        let judged = rows
            .iter()
            .filter(|it| it.outcome.is_executed() && !it.in_maintenance);
        judged.filter(|it| it.outcome.is_up() == is_up).count()
    };
    let (up, down) = (judged(true), judged(false));
    let mut latencies: Vec<u64> = rows
        .iter()
        .filter(|it| is_measured(it))
        .filter_map(|it| it.total_us)
        .collect();
    latencies.sort_unstable();
    let quantile = |percent: usize| {
        let rank = (latencies.len() * percent).div_ceil(100);
        latencies.get(rank.checked_sub(1)?).copied()
    };
    let float = |count| f64::from(u32::try_from(count).unwrap());
    Summary {
        ok: of(Outcome::Ok),
        degraded: of(Outcome::Degraded),
        failed: of(Outcome::Failed),
        missed: of(Outcome::Missed),
        uptime: (up + down > 0).then(|| float(up) / float(up + down)),
        p50_us: quantile(50),
        p75_us: quantile(75),
        p90_us: quantile(90),
        p95_us: quantile(95),
        p99_us: quantile(99),
    }
}
