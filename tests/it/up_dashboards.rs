//! The numbers on pages: those of the API, and those of a plain sum over the rows. The day is one on which the clocks change.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sonde_core::{CheckResult, MonitorId, Outcome, Reason, Region, Timestamp};
use sonde_results::Results as _;
use sonde_results::libsql::LibsqlResults;
use sonde_tests::api::Caller;
use sonde_tests::sonde::{Running, Sonde};

pub(crate) const REGIONS: [&str; 2] = ["fra", "iad"];
/// In Berlin this day has 25 hours.
pub(crate) const DAY: &str = "from=2026-10-25T00:00&to=2026-10-26T00:00&zone=Europe/Berlin";
pub(crate) const FROM: &str = "2026-10-24T22:00:00Z";
pub(crate) const TO: &str = "2026-10-25T23:00:00Z";

/// Every five minutes from both regions, and a little more on both sides, with all that makes summing up hard.
pub(crate) fn rows() -> Vec<CheckResult> {
    let begin = FROM.parse::<Timestamp>().unwrap() - Duration::from_mins(10);
    let mut rows = Vec::new();
    for n in 0..310_u32 {
        for (place, region) in (0..).zip(REGIONS) {
            // Two hours in which nobody checked anything.
            if (100..124).contains(&n) {
                continue;
            }
            let outcome = match (n * 7 + place * 3) % 41 {
                0..3 => Outcome::Failed,
                3..8 => Outcome::Degraded,
                8 => Outcome::Missed,
                _ => Outcome::Ok,
            };
            let mut row = CheckResult::sample_executed(outcome, Duration::from_millis(2));
            row.monitor = MonitorId::new("shop").unwrap();
            row.slot = begin + Duration::from_mins(5) * n;
            row.region = Region::new(region).unwrap();
            row.in_maintenance = (200..206).contains(&n);
            row.total_us = Some(u64::from(100 + (n * 37 + place * 11) % 900) * 1_000);
            if outcome == Outcome::Missed {
                row.started_at = None;
                row.total_us = None;
                row.reason = Some(Reason::Expired);
            }
            rows.push(row);
        }
    }
    rows
}

/// What a plain look at the rows gives.
#[derive(Debug, Default)]
struct Naive {
    counts: BTreeMap<Outcome, u64>,
    up: u64,
    executed: u64,
    latencies: Vec<u64>,
}

impl Naive {
    fn of(rows: &[CheckResult], region: Option<&str>) -> Self {
        let (from, to) = (FROM.parse().unwrap(), TO.parse().unwrap());
        let within = |row: &&CheckResult| row.slot >= from && row.slot < to;
        let ours = |row: &&CheckResult| region.is_none_or(|it| row.region.as_str() == it);
        let mut naive = Self::default();
        for row in rows.iter().filter(within).filter(ours) {
            *naive.counts.entry(row.outcome).or_default() += 1;
            if row.in_maintenance || row.outcome == Outcome::Missed {
                continue;
            }
            naive.executed += 1;
            if row.outcome.is_up() {
                naive.up += 1;
                naive.latencies.extend(row.total_us);
            }
        }
        naive.latencies.sort_unstable();
        naive
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or(0)
    }

    /// The smallest latency that at least so many percent do not exceed, in milliseconds.
    fn quantile(&self, percent: usize) -> String {
        let rank = (self.latencies.len() * percent).div_ceil(100);
        format!("{} ms", self.latencies[rank - 1] / 1_000)
    }

    /// Rounded down to three digits.
    fn uptime(&self) -> String {
        let thousandths = self.up * 100_000 / self.executed;
        format!("{}.{:03} %", thousandths / 1_000, thousandths % 1_000)
    }
}

/// A machine with one monitor that has these rows already, some of them twice and in no order.
pub(crate) async fn machine(folder: &Path, rows: &[CheckResult]) -> Running {
    let text =
        "monitors: { shop: { http: 'http://127.0.0.1:9/', interval: 1d, regions: [fra, iad] } }";
    configured_machine(folder, rows, text).await
}

pub(crate) async fn configured_machine(folder: &Path, rows: &[CheckResult], text: &str) -> Running {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let store = LibsqlResults::open(&data.join("results.db")).await.unwrap();
    let again: Vec<CheckResult> = rows.iter().rev().step_by(3).cloned().collect();
    let first: Vec<CheckResult> = again
        .iter()
        .map(|row| CheckResult {
            outcome: Outcome::Missed,
            started_at: None,
            total_us: None,
            reason: Some(Reason::Expired),
            ..row.clone()
        })
        .collect();
    for part in [&first[..], rows, &again[..]] {
        store.store(part).await.unwrap();
    }
    drop(store);
    std::fs::write(folder.join("sonde.yaml"), text).unwrap();
    Sonde::up(folder)
        .argument("--retention")
        .argument("4000d")
        .serve()
        .await
}

pub(crate) async fn page(up: &Running, path: &str) -> String {
    let answer = sonde_tests::http::get(up.url(path)).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.unwrap()
}

/// The text between tags, without blanks around it.
pub(crate) fn texts(html: &str) -> Vec<String> {
    let parts = html.split('<').filter_map(|part| part.split_once('>'));
    let parts = parts.map(|(_, text)| text.trim().to_owned());
    parts.filter(|text| !text.is_empty()).collect()
}

/// What stands behind a name in the numbers of the page.
fn number(html: &str, name: &str) -> String {
    let begin = format!("<dt>{name}</dt>");
    let (_, rest) = html
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {name} in {html}"));
    texts(rest).remove(0)
}

/// The numbers of a chart's table, row by row.
pub(crate) fn table(html: &str, id: &str) -> Vec<Vec<String>> {
    let (_, figure) = html.split_once(&format!("id=\"{id}\"")).unwrap();
    let (_, body) = figure.split_once("<tbody>").unwrap();
    let (body, _) = body.split_once("</tbody>").unwrap();
    let rows = body.split("<tr ").skip(1);
    rows.map(|row| texts(row).split_off(1)).collect()
}

fn check(html: &str, api: &Value, naive: &Naive) {
    let counts = Outcome::ALL.map(|outcome| naive.count(outcome));
    let [ok, degraded, failed, missed] = counts;
    let shown = [
        "Checks", "Degraded", "Failing", "Missed", "Uptime", "p50", "p75", "p90", "p95", "p99",
    ]
    .map(|name| number(html, name));
    let quantiles = [50, 75, 90, 95, 99].map(|percent| naive.quantile(percent));
    let [p50, p75, p90, p95, p99] = quantiles;
    let expected = [
        (ok + degraded + failed + missed).to_string(),
        degraded.to_string(),
        failed.to_string(),
        missed.to_string(),
        naive.uptime(),
        p50,
        p75,
        p90,
        p95,
        p99,
    ];
    assert_eq!(shown, expected, "the page against the rows");
    for (name, count) in [
        ("ok", ok),
        ("degraded", degraded),
        ("failed", failed),
        ("missed", missed),
    ] {
        assert_eq!(
            api[name], count,
            "the API against the rows: {name} of {api}"
        );
    }
    let columns = table(html, "outcomes");
    let sums: Vec<u64> = (0..4)
        .map(|column| {
            columns
                .iter()
                .map(|row| row[column].parse::<u64>().unwrap())
                .sum()
        })
        .collect();
    assert_eq!(sums, counts, "the chart against the rows");
}

#[tokio::test]
async fn every_number_is_the_apis_and_that_of_the_rows() {
    let rows = rows();
    let folder = tempfile::tempdir().unwrap();
    let up = machine(folder.path(), &rows).await;
    let api = Caller::of(up.url(""));
    for region in [None, Some("fra"), Some("iad")] {
        let of = region.map_or_else(String::new, |region| format!("&region={region}"));
        let html = page(&up, &format!("/monitors/shop?{DAY}&p=50{of}")).await;
        let (_, summary) = api
            .get(&format!(
                "/v1/monitors/shop/summary?from={FROM}&to={TO}{of}"
            ))
            .await;
        check(&html, &summary, &Naive::of(&rows, region));
    }
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn a_chart_has_what_the_api_has_and_gaps_are_gaps() {
    let rows = rows();
    let folder = tempfile::tempdir().unwrap();
    let up = machine(folder.path(), &rows).await;
    let api = Caller::of(up.url(""));
    let html = page(&up, &format!("/monitors/shop?{DAY}")).await;
    let (_, series) = api
        .get(&format!("/v1/monitors/shop/series?from={FROM}&to={TO}"))
        .await;
    let buckets = series["buckets"].as_array().unwrap();
    let shown = table(&html, "latency");
    assert_eq!(shown.len(), buckets.len());
    for (row, bucket) in shown.iter().zip(buckets) {
        let values = ["p50_us", "p95_us", "p99_us"].map(|name| match bucket[name].as_u64() {
            Some(micros) => format!("{} ms", micros / 1_000),
            None => "–".to_owned(),
        });
        assert_eq!(row[..], values, "{bucket}");
    }
    // Two hours without a check are two hours without a bucket, and the line is broken there.
    let hours = Duration::from_mins(series["step_us"].as_u64().unwrap() / 60_000_000);
    let whole = Duration::from_hours(25).as_secs() / hours.as_secs();
    let empty = Duration::from_hours(2).as_secs() / hours.as_secs();
    assert!(
        (buckets.len() as u64) <= whole + 1 - empty + 1,
        "{} of {whole}",
        buckets.len()
    );
    let (_, line) = html.split_once("<path class=\"line p50\" d=\"").unwrap();
    let (line, _) = line.split_once('"').unwrap();
    // It is broken once more by the maintenance, which is not measured.
    assert_eq!(line.matches('M').count(), 3, "{line}");

    let csv = page(&up, &format!("/monitors/shop/series.csv?{DAY}")).await;
    assert_eq!(csv.lines().count(), buckets.len() + 1);
    let first = csv.lines().nth(1).unwrap();
    assert!(
        first.starts_with(buckets[0]["start"].as_str().unwrap()),
        "{first}"
    );

    // From midnight to midnight of a day with 25 hours.
    assert!(html.contains(">03:00</text>") && html.contains("value=\"2026-10-25T00:00\""));
    let other = page(
        &up,
        "/monitors/shop?from=2026-10-25T00:00&to=2026-10-24T00:00",
    )
    .await;
    assert!(
        other.contains("must be a minute before"),
        "what is wrong is said"
    );
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn checks_are_listed_page_by_page_and_each_has_a_place_of_its_own() {
    let rows = rows();
    let folder = tempfile::tempdir().unwrap();
    let up = machine(folder.path(), &rows).await;
    let failed = Naive::of(&rows, Some("fra")).count(Outcome::Failed);
    let html = page(
        &up,
        &format!("/monitors/shop/checks?{DAY}&region=fra&outcome=failed"),
    )
    .await;
    let links: Vec<&str> = html
        .split("href=\"")
        .filter_map(|part| part.split_once('"'))
        .map(|(link, _)| link)
        .filter(|link| link.starts_with("/monitors/shop/checks/"))
        .collect();
    assert_eq!(links.len() as u64, failed);
    let check = page(&up, links[0]).await;
    assert!(
        check.contains("failed from fra") && check.contains("http_status"),
        "{check}"
    );

    let (mut path, mut seen) = (format!("/monitors/shop/checks?{DAY}"), 0);
    loop {
        let html = page(&up, &path).await;
        seen += html
            .matches("<th scope=\"row\"><a href=\"/monitors/shop/checks/")
            .count() as u64;
        let Some((_, next)) = html.split_once("rel=\"next\" href=\"") else {
            break;
        };
        let (next, _) = next.split_once('"').unwrap();
        let next = next.replace("&#38;", "&").replace("&amp;", "&");
        path = format!("/monitors/shop/checks{next}");
    }
    let all = Naive::of(&rows, None);
    assert_eq!(seen, all.counts.values().sum::<u64>());
    for lost in [
        "/monitors/shop/checks/1.fra.0",
        "/monitors/shop/checks/x",
        "/monitors/none",
        "/nothing",
    ] {
        let answer = sonde_tests::http::get(up.url(lost)).await.unwrap();
        assert_eq!(answer.status(), 404, "{lost}");
        assert!(
            answer
                .text()
                .await
                .unwrap()
                .contains("There is nothing here"),
            "{lost}"
        );
    }
    assert!(up.terminate().await.success());
}
