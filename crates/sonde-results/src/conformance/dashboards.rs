//! What dashboards ask equals what the rows say one by one: over days, in all regions, whatever came twice or late.

use std::time::Duration;

use sonde_core::{
    CertificateDetail, CheckResult, HttpDetail, Outcome, Reason, Timestamp, TlsDetail, WorkspaceId,
};

use super::naive::Rows;
use super::{
    EVER, START, at, by_checker, identify, in_region, monitor, of_monitor, on_demand, query,
    region, result, rows, slots,
};
use crate::{ChartBucket, ChartQuery, Charts, Results, Summary, TimeRange};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Three days of two monitors in two regions, with everything that can come of a check, gaps, another workspace, checks
/// on demand, and every fifth check told twice, in conflict.
pub fn dashboard_rows() -> Vec<CheckResult> {
    let mut all = Vec::new();
    for n in 0..600_u64 {
        // Nothing for six hours of the second day.
        if (250..300).contains(&n) {
            continue;
        }
        for (offset, name, region) in [(0, "shop", "fra"), (7, "shop", "iad"), (11, "api", "fra")] {
            let one = checked(n * 432 + offset, n * 3 + offset);
            all.push(of_monitor(in_region(one, region), name));
        }
    }
    let again = all.iter().step_by(5).cloned().map(|one| {
        let slot = one.slot.since(at(0)).as_secs();
        let mut other = by_checker(result(slot, Outcome::Failed), "other", Duration::ZERO);
        other.total_us = Some(9);
        (other.monitor, other.region) = (one.monitor, one.region);
        identify(other)
    });
    let again: Vec<_> = again.collect();
    all.extend(again);
    let mut elsewhere = checked(3, 1);
    elsewhere.workspace = WorkspaceId::new("other").unwrap();
    all.extend([on_demand(100, Outcome::Failed), identify(elsewhere)]);
    all.extend(all.iter().step_by(17).cloned().collect::<Vec<_>>());
    all
}

/// What came of one check, by a number.
fn checked(slot: u64, n: u64) -> CheckResult {
    let outcomes = [
        Outcome::Ok,
        Outcome::Ok,
        Outcome::Degraded,
        Outcome::Failed,
        Outcome::Ok,
        Outcome::Missed,
        Outcome::Ok,
    ];
    let outcome = outcomes[usize::try_from(n % 7).unwrap()];
    let mut one = result(slot, outcome);
    one.in_maintenance = n.is_multiple_of(13);
    let reasons = [
        Reason::HttpStatus,
        Reason::ConnectTimeout,
        Reason::DnsTimeout,
    ];
    one.reason = match outcome {
        Outcome::Ok => None,
        Outcome::Degraded => Some(Reason::AssertionLatency),
        Outcome::Failed => Some(reasons[usize::try_from(n % 3).unwrap()]),
        Outcome::Missed => Some(Reason::Expired),
    };
    if outcome == Outcome::Missed {
        return one;
    }
    // From half a millisecond to beyond the last band, and on the bounds themselves.
    one.total_us = Some(match n % 11 {
        0 => 1_000,
        1 => 30_000_000,
        2 => 45_000_000,
        3 => 500,
        _ => (n * 7_919 % 10_007) * 137 + 100,
    });
    one.phases_us.dns = n.is_multiple_of(2).then_some(n);
    one.phases_us.connect = Some(n * 3);
    one.phases_us.tls = n.is_multiple_of(5).then_some(0);
    one.phases_us.wait = one.total_us;
    one.http = (!n.is_multiple_of(4)).then(|| HttpDetail {
        status: if outcome == Outcome::Failed { 503 } else { 200 },
        version: "1.1".to_owned(),
        bytes: 5,
        redirects: Vec::new(),
    });
    // Some shake hands and are shown nothing, and a certificate is in use for eleven hours.
    one.tls = (one.phases_us.tls.is_some()).then(|| TlsDetail {
        version: None,
        cipher: None,
        alpn: None,
        certificates: if n.is_multiple_of(3) {
            Vec::new()
        } else {
            vec![certificate(slot / (11 * HOUR)), certificate(0)]
        },
    });
    one
}

/// The n-th that a target has.
fn certificate(n: u64) -> CertificateDetail {
    CertificateDetail {
        subject: "CN=shop.example".to_owned(),
        issuer: "CN=\"the\", \\ issuer".to_owned(),
        san: vec!["shop.example".to_owned()],
        not_before: at(n * 11 * HOUR),
        not_after: at((n + 2) * 11 * HOUR),
        sha256: format!("{n:064x}"),
    }
}

/// With edges on and off the buckets, short and long, and of nothing.
fn ranges(start: Timestamp) -> Vec<TimeRange> {
    let edges = [
        (0, 4 * DAY),
        (HOUR, 2 * DAY + HOUR),
        (5 * MINUTE + 1, DAY + 23 * HOUR + 59 * MINUTE),
        (7 * HOUR + 7 * MINUTE, DAY + 7 * HOUR + 7 * MINUTE),
        (23 * HOUR + 59 * MINUTE, 2 * DAY + MINUTE),
        (5 * MINUTE, 20 * MINUTE),
        (30 * HOUR, 36 * HOUR),
        (10 * DAY, 20 * DAY),
    ];
    let range = |(from, to)| TimeRange {
        from: start + Duration::from_secs(from),
        to: start + Duration::from_secs(to),
    };
    let mut ranges: Vec<_> = edges.into_iter().map(range).collect();
    ranges.push(EVER);
    ranges
}

impl Rows {
    /// Every summary is that of the rows, in ranges about `start`; quantiles within a hundredth, or exactly.
    pub async fn assert_overview(&self, results: &dyn Results, start: Timestamp, exact: bool) {
        let others = ["other", "none"].map(|name| WorkspaceId::new(name).unwrap());
        for workspace in [WorkspaceId::local()].into_iter().chain(others) {
            for range in ranges(start) {
                let seen = results.overview(&workspace, range).await.unwrap();
                let expected = self.overview(&workspace, range);
                assert_eq!(seen.len(), expected.len(), "{range:?}");
                for (monitor, expected) in &expected {
                    let seen = &seen[monitor];
                    if exact {
                        assert_eq!(seen, expected, "{monitor} {range:?}");
                    }
                    assert_close(seen, expected);
                }
            }
        }
    }

    /// All that was checked is what the rows say.
    pub async fn assert_usage(&self, results: &dyn Results) {
        for workspace in [WorkspaceId::local(), WorkspaceId::new("other").unwrap()] {
            for range in ranges(START) {
                for step in [15 * MINUTE, DAY] {
                    let step = Duration::from_secs(step);
                    let usage = results.usage(&workspace, range, step).await.unwrap();
                    let expected = self.usage(&workspace, range, step);
                    assert_eq!(usage, expected, "{workspace} {range:?} {step:?}");
                }
            }
        }
    }

    /// Phases, distributions, reasons and certificates are those of the rows.
    pub async fn assert_breakdowns(&self, results: &dyn Results) {
        for range in ranges(START) {
            for (of, by_region) in [
                (None, false),
                (None, true),
                (Some("fra"), false),
                (Some("gru"), true),
            ] {
                for step in [7 * MINUTE, 15 * MINUTE, DAY] {
                    let query = ChartQuery {
                        workspace: WorkspaceId::local(),
                        monitor: monitor("shop"),
                        region: of.map(region),
                        by_region,
                        range,
                        step: Duration::from_secs(step),
                    };
                    self.assert_breakdown(results, &query).await;
                }
            }
        }
    }

    async fn assert_breakdown(&self, results: &dyn Results, query: &ChartQuery) {
        let phases = results.phases(query).await.unwrap();
        assert_eq!(phases, self.phases(query), "{query:?}");
        if query.by_region {
            return; // which makes no difference to the others
        }
        assert_charts(results, query).await;
        let certificates = results.certificates(query).await.unwrap();
        assert_eq!(certificates, self.certificates(query), "{query:?}");
        let heat = results.heat(query).await.unwrap();
        assert_eq!(heat, self.heat(query), "{query:?}");
        let ChartQuery {
            workspace,
            monitor,
            region,
            range,
            ..
        } = query;
        let reasons = results.reasons(workspace, monitor, *range, region.as_ref());
        assert_eq!(reasons.await.unwrap(), self.reasons(query), "{query:?}");
    }
}

/// What is read at once is what is read one by one.
async fn assert_charts(results: &dyn Results, query: &ChartQuery) {
    let by_region = ChartQuery {
        by_region: true,
        region: None,
        ..query.clone()
    };
    let whole = results.chart(&by_region.whole()).await.unwrap();
    let region = |it: ChartBucket| (it.region.unwrap(), it.summary);
    let expected = Charts {
        summary: results.summary_of(query).await.unwrap(),
        buckets: results.chart(query).await.unwrap(),
        by_region: results.chart(&by_region).await.unwrap(),
        regions: whole.into_iter().map(region).collect(),
        heat: results.heat(query).await.unwrap(),
    };
    assert_eq!(results.charts(query).await.unwrap(), expected, "{query:?}");
}

/// Counts are equal, quantiles within a hundredth and the rounding to whole microseconds.
fn assert_close(seen: &Summary, expected: &Summary) {
    let quantiles = |it: &Summary| [it.p50_us, it.p75_us, it.p90_us, it.p95_us, it.p99_us];
    for (seen, expected) in quantiles(seen).into_iter().zip(quantiles(expected)) {
        assert_eq!(seen.is_some(), expected.is_some());
        let (seen, expected) = (seen.unwrap_or_default(), expected.unwrap_or_default());
        assert!(
            seen.abs_diff(expected) * 100 <= expected + 100,
            "{seen} for {expected}"
        );
    }
    let counts = |it: &Summary| (it.ok, it.degraded, it.failed, it.missed, it.uptime);
    assert_eq!(counts(seen), counts(expected));
}

pub async fn dashboards_show_what_the_rows_say(results: &dyn Results) {
    let stored = dashboard_rows();
    let mut rows = Rows::default();
    let (most, late) = stored.split_at(stored.len() - 200);
    for batch in [late, most, late] {
        rows.add(batch);
        results.store(batch).await.unwrap();
    }
    rows.assert_overview(results, START, true).await;
    rows.assert_breakdowns(results).await;
    rows.assert_usage(results).await;
    // The question for all and the one for each agree.
    let local = WorkspaceId::local();
    for range in ranges(START) {
        for (monitor, summary) in results.overview(&local, range).await.unwrap() {
            let one = results.summary(&local, &monitor, range).await.unwrap();
            assert_eq!(one, summary, "{monitor} {range:?}");
        }
    }
}

pub async fn pages_are_filtered_by_the_status_of_the_answer(results: &dyn Results) {
    let answered = |slot, status| {
        let mut one = result(slot, Outcome::Failed);
        one.http = Some(HttpDetail {
            status,
            version: "2".to_owned(),
            bytes: 0,
            redirects: Vec::new(),
        });
        one
    };
    let silent = result(3, Outcome::Failed);
    let batch = [answered(0, 503), answered(1, 404), answered(2, 503), silent];
    results.store(&batch).await.unwrap();
    let of = async |status, reason| {
        let mut query = query();
        (query.status, query.reason) = (Some(status), reason);
        slots(&rows(results, &query).await)
    };
    assert_eq!(of(503, None).await, [2, 0]);
    assert_eq!(of(404, batch[0].reason).await, [1]);
    assert_eq!(of(503, Some(Reason::Expired)).await, [0; 0]);
    assert_eq!(of(200, None).await, [0; 0]);
    // What counts is the row as it is merged.
    let earlier = by_checker(answered(2, 200), "other", Duration::ZERO);
    let later = by_checker(answered(2, 503), "another", Duration::from_millis(1));
    results.store(&[earlier]).await.unwrap();
    results.store(&[later]).await.unwrap();
    let merged = rows(results, &query()).await[1].clone();
    let status = merged.http.unwrap().status;
    assert!(of(status, None).await.contains(&2));
}
