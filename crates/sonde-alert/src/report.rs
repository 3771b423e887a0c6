//! Reports: looks which are due, adds up their periods, and hands them to the courier.
//!
//! It asks the results store, which alerting itself does without: so it is a loop of its own that may fail by itself. What a
//! report is called is made of the report and its time, so that of any number of reporters each period is told once.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Clock, Monitor, MonitorId, Report, ReportPeriod, Timestamp, WorkspaceId};
use sonde_notify::{Figures, MonitorFigures, PeriodReport, ReportEvent, ReportNotice};
use sonde_results::{Results, ResultsError, Summary, TimeRange};
use sonde_store::{
    AlertChange, AlertStore, ConfigStore, Incident, IncidentQuery, KeptReport, NewNotice,
    StoreError,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

/// The names of reports.
const NAMESPACE: Uuid = Uuid::from_u128(0x8d1e_70b2_46c3_4f0a_9e57_21c8_5b3f_d604);
const LOOK: Duration = Duration::from_secs(20);
/// Checks that were under way at the end of a period are in the store by then.
const SETTLE: Duration = Duration::from_secs(30);
/// After that a report tells nobody anything new; less than notices are remembered.
const LATEST: Duration = Duration::from_hours(7 * 24);
/// In one report.
const MOST_SHOWN: usize = 20;
/// Of a workspace in a period: more are not worth counting.
const MOST_INCIDENTS: u32 = 10_000;

/// Any number of them may run.
pub struct Reporter {
    pub configuration: Arc<dyn ConfigStore>,
    pub store: Arc<dyn AlertStore>,
    pub results: Arc<dyn Results>,
    pub clock: Arc<dyn Clock>,
    /// Where people see more.
    pub public_url: Option<Url>,
    /// Rung when there is something to tell.
    pub told: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum ReporterError {
    #[error("cannot read or write what is told")]
    Store(#[from] StoreError),
    #[error("cannot add up results")]
    Results(#[from] ResultsError),
    #[error("it is unreadable")]
    Unreadable(#[from] serde_json::Error),
}

impl Reporter {
    /// Until `stop`; what is not written down by then is added up again.
    pub async fn run(self, stop: CancellationToken) {
        let mut done = HashSet::new();
        let looks = async {
            loop {
                if let Err(error) = self.look(&mut done).await {
                    let error = sonde_core::chain(&error);
                    tracing::warn!(error, "cannot look which reports are due");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = looks => {}
        }
    }

    /// `done` are those that were written down, of those that were due last.
    async fn look(&self, done: &mut HashSet<Uuid>) -> Result<(), StoreError> {
        let mut last = HashSet::new();
        for kept in self.store.reports().await? {
            match self.tell(&kept, done).await {
                Ok(told) => last.extend(told),
                Err(error) => {
                    let error = sonde_core::chain(&error);
                    tracing::warn!(
                        error,
                        workspace.id = %kept.workspace,
                        report.id = kept.id,
                        "cannot report: trying again"
                    );
                }
            }
        }
        *done = last;
        Ok(())
    }

    /// Its name, when there was one to tell.
    async fn tell(
        &self,
        kept: &KeptReport,
        done: &HashSet<Uuid>,
    ) -> Result<Option<Uuid>, ReporterError> {
        let report: Report = serde_json::from_str(&kept.body)?;
        let now = self.clock.now();
        let Some(period) = report.last_due(now).filter(|it| is_to_tell(it, kept, now)) else {
            return Ok(None);
        };
        let id = named(kept, period.due);
        if done.contains(&id) {
            return Ok(Some(id));
        }
        let monitors = self.configuration.monitors(&kept.workspace).await?;
        let mut monitors = monitors.into_values();
        monitors.retain(|monitor| report.includes(&monitor.id, &monitor.tags));
        let notice = ReportNotice {
            id,
            workspace: kept.workspace.clone(),
            event: ReportEvent::Report,
            at: period.due,
            report: self.add_up(kept, &report, &period, &monitors).await?,
            link: self.public_url.clone(),
        };
        let told = NewNotice {
            id,
            workspace: kept.workspace.clone(),
            incident: id,
            channel: report.body().channel.clone(),
            body: serde_json::to_string(&notice)?,
            due: now,
            follows: false,
        };
        let change = AlertChange {
            notices: vec![told],
            ..AlertChange::default()
        };
        self.store.decide(change).await?;
        self.told.notify_one();
        Ok(Some(id))
    }

    async fn add_up(
        &self,
        kept: &KeptReport,
        report: &Report,
        period: &ReportPeriod,
        monitors: &[Monitor],
    ) -> Result<PeriodReport, ReporterError> {
        let ranges = [(period.from, period.to), (period.before, period.from)];
        let [now, before] = ranges.map(|(from, to)| TimeRange { from, to });
        let incidents = [
            self.incidents(&kept.workspace, now).await?,
            self.incidents(&kept.workspace, before).await?,
        ];
        let mut all = Vec::with_capacity(monitors.len());
        for monitor in monitors {
            let figures = async |range, incidents: &HashMap<_, _>| {
                let summary = self.results.summary(&kept.workspace, &monitor.id, range);
                let incidents = incidents.get(&monitor.id).copied().unwrap_or_default();
                Ok::<_, ReporterError>(figures(&summary.await?, incidents))
            };
            all.push(MonitorFigures {
                monitor: monitor.id.clone(),
                name: monitor.name.clone(),
                now: figures(now, &incidents[0]).await?,
                before: figures(before, &incidents[1]).await?,
            });
        }
        Ok(summed_up(kept, report, period, all))
    }

    /// How many there were, and for how many seconds, by monitor.
    async fn incidents(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> Result<HashMap<MonitorId, (u64, u64)>, StoreError> {
        let query = IncidentQuery {
            during: Some((range.from, range.to)),
            limit: MOST_INCIDENTS,
            ..IncidentQuery::default()
        };
        let mut by_monitor = HashMap::<_, (u64, u64)>::new();
        for incident in self.store.incidents(workspace, &query).await? {
            let lasted = overlap(&incident, range).as_secs();
            let (count, seconds) = by_monitor.entry(incident.monitor).or_default();
            *count += 1;
            *seconds += lasted;
        }
        Ok(by_monitor)
    }
}

/// One that was made, or changed, after it would have been due begins with the next one.
fn is_to_tell(period: &ReportPeriod, kept: &KeptReport, now: Timestamp) -> bool {
    kept.updated_at < period.due && period.due + SETTLE <= now && now.since(period.due) < LATEST
}

fn named(kept: &KeptReport, due: Timestamp) -> Uuid {
    let name = format!("{}/{}/{}", kept.workspace, kept.id, due.as_micros());
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

fn overlap(incident: &Incident, range: TimeRange) -> Duration {
    let end = incident.resolved_at.unwrap_or(range.to).min(range.to);
    end.since(incident.opened_at.max(range.from))
}

fn figures(summary: &Summary, (incidents, incident_seconds): (u64, u64)) -> Figures {
    Figures {
        checks: summary.ok + summary.degraded + summary.failed,
        failed: summary.failed,
        missed: summary.missed,
        uptime: summary.uptime,
        p95_us: summary.p95_us,
        incidents,
        incident_seconds,
    }
}

fn summed_up(
    kept: &KeptReport,
    report: &Report,
    period: &ReportPeriod,
    mut monitors: Vec<MonitorFigures>,
) -> PeriodReport {
    let of = |one: fn(&MonitorFigures) -> &Figures| total(&monitors.iter().map(one));
    let (now, before) = (of(|it| &it.now), of(|it| &it.before));
    monitors.sort_by(worst_first);
    let others = monitors.len().saturating_sub(MOST_SHOWN);
    monitors.truncate(MOST_SHOWN);
    let (first, last) = period.days;
    let days = if first == last {
        first.to_string()
    } else {
        format!("{first} to {last}")
    };
    PeriodReport {
        name: kept.id.clone(),
        from: period.from,
        to: period.to,
        days,
        zone: report.body().zone.clone(),
        now,
        before,
        monitors,
        others,
    }
}

/// Every monitor weighs the same, however often it is checked.
fn total<'a>(all: &(impl Iterator<Item = &'a Figures> + Clone)) -> Figures {
    let count = |count: fn(&Figures) -> u64| all.clone().map(count).sum();
    let uptimes: Vec<f64> = all.clone().filter_map(|it| it.uptime).collect();
    let known = u32::try_from(uptimes.len()).unwrap_or(u32::MAX);
    let mean = uptimes.iter().sum::<f64>() / f64::from(known);
    Figures {
        checks: count(|it| it.checks),
        failed: count(|it| it.failed),
        missed: count(|it| it.missed),
        uptime: (known > 0).then_some(mean),
        p95_us: all.clone().filter_map(|it| it.p95_us).max(),
        incidents: count(|it| it.incidents),
        incident_seconds: count(|it| it.incident_seconds),
    }
}

fn worst_first(one: &MonitorFigures, other: &MonitorFigures) -> Ordering {
    // Of which nothing is known is not the worst, and not the best either.
    let uptime = |of: &MonitorFigures| of.now.uptime.unwrap_or(1.0);
    let (down, slow) = (
        |of: &MonitorFigures| of.now.incident_seconds,
        |of: &MonitorFigures| of.now.p95_us,
    );
    uptime(one)
        .total_cmp(&uptime(other))
        .then_with(|| down(other).cmp(&down(one)))
        .then_with(|| slow(other).cmp(&slow(one)))
        .then_with(|| one.monitor.cmp(&other.monitor))
}

#[cfg(test)]
mod tests {
    use sonde_core::{ManualClock, SystemClock};
    use sonde_queue::SealingKeys;
    use sonde_results::libsql::LibsqlResults;
    use sonde_store::libsql::LibsqlStore;
    use sonde_store::{Change, ConfigStore as _, Put, ResourceKind};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn kept(updated_at: &str) -> KeptReport {
        let body = r#"{"channel":"ops","every":"week","at":"mon 09:00","zone":"UTC"}"#;
        KeptReport {
            workspace: WorkspaceId::local(),
            id: "weekly".to_owned(),
            body: body.to_owned(),
            updated_at: at(updated_at),
        }
    }

    fn one(monitor: &str, uptime: Option<f64>, seconds: u64, p95_us: u64) -> MonitorFigures {
        let now = Figures {
            checks: 100,
            uptime,
            p95_us: Some(p95_us),
            incidents: u64::from(seconds > 0),
            incident_seconds: seconds,
            ..Figures::default()
        };
        MonitorFigures {
            monitor: MonitorId::new(monitor).unwrap(),
            name: monitor.to_owned(),
            now,
            before: Figures::default(),
        }
    }

    #[test]
    fn a_report_is_told_from_its_time_on_for_a_week_and_not_of_before_it_was_made() {
        #[track_caller]
        fn check(updated: &str, now: &str, expected: bool) {
            let (kept, now) = (kept(updated), at(now));
            let report: Report = serde_json::from_str(&kept.body).unwrap();
            let period = report.last_due(now).unwrap();
            assert_eq!(is_to_tell(&period, &kept, now), expected);
        }
        let long_ago = "2026-01-01T00:00:00Z";
        check(long_ago, "2026-11-23T09:00:29Z", false);
        check(long_ago, "2026-11-23T09:00:30Z", true);
        check(long_ago, "2026-11-29T09:00:30Z", true);
        check("2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z", false);
        check("2026-11-23T10:00:00Z", "2026-11-30T11:00:00Z", true);
    }

    #[test]
    fn the_same_report_of_the_same_time_has_one_name() {
        let due = at("2026-11-23T09:00:00Z");
        let name = named(&kept("2026-01-01T00:00:00Z"), due);
        assert_eq!(name, named(&kept("2026-02-01T00:00:00Z"), due));
        let next = due + Duration::from_hours(7 * 24);
        assert_ne!(name, named(&kept("2026-01-01T00:00:00Z"), next));
    }

    #[tokio::test]
    async fn of_two_reporters_and_after_a_restart_each_period_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let store = LibsqlStore::open(&path("store"), SealingKeys::none()).await;
        let store = Arc::new(store.unwrap());
        let results = Arc::new(LibsqlResults::open(&path("results")).await.unwrap());
        let body = kept("2026-01-01T00:00:00Z").body;
        let report: Report = serde_json::from_str(&body).unwrap();
        let mut change = Change::new(WorkspaceId::local(), None);
        let put = Put::other(ResourceKind::Report, "weekly", body);
        change.puts.push(put);
        store.change(change).await.unwrap();
        let week = Duration::from_hours(7 * 24);
        // Stores have a clock of their own.
        let later = report.last_due(SystemClock.now() + 2 * week).unwrap().due;
        let clock = Arc::new(ManualClock::at(later + Duration::from_hours(1)));
        let reporter = || Reporter {
            configuration: Arc::clone(&store) as _,
            store: Arc::clone(&store) as _,
            results: Arc::clone(&results) as _,
            clock: Arc::clone(&clock) as _,
            public_url: None,
            told: Arc::default(),
        };
        let (one, other) = (reporter(), reporter());
        let (mut ones, mut others) = (HashSet::new(), HashSet::new());
        let told = async || {
            let told = store.tellings_to(&WorkspaceId::local(), "ops", 10).await;
            told.unwrap().len()
        };
        for expected in [1, 2] {
            for _ in 0..2 {
                one.look(&mut ones).await.unwrap();
                other.look(&mut others).await.unwrap();
                let anew = reporter().look(&mut HashSet::new()).await;
                anew.unwrap();
                assert_eq!((told().await, ones.len()), (expected, 1));
            }
            clock.advance(week);
        }
    }

    #[test]
    fn the_worst_come_first_and_only_so_many() {
        let kept = kept("2026-01-01T00:00:00Z");
        let report: Report = serde_json::from_str(&kept.body).unwrap();
        let period = report.last_due(at("2026-11-23T12:00:00Z")).unwrap();
        let mut all = vec![
            one("unknown", None, 0, 0),
            one("slow", Some(1.0), 0, 900),
            one("worst", Some(0.5), 60, 1),
            one("bad", Some(0.75), 600, 1),
        ];
        all.extend((0..20).map(|n| one(&format!("good-{n:02}"), Some(1.0), 0, 100)));
        let report = summed_up(&kept, &report, &period, all);
        assert_eq!(report.days, "2026-11-16 to 2026-11-22");
        let shown = report.monitors.iter().map(|one| one.monitor.as_str());
        let shown: Vec<_> = shown.collect();
        assert_eq!(shown[..4], ["worst", "bad", "slow", "good-00"]);
        assert_eq!((shown.len(), report.others), (20, 4));
        let uptime = report.now.uptime.unwrap();
        assert!((uptime - 22.25 / 23.0).abs() < 1e-9, "{uptime}");
        assert_eq!(report.now.p95_us, Some(900));
        assert_eq!(
            (report.now.incidents, report.now.incident_seconds),
            (2, 660)
        );
        assert_eq!(report.before.uptime, None);
    }
}
