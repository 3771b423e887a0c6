//! What the page of a monitor shows beside numbers, and what a workspace uses: the same on pages, in the API and in the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use sonde_core::{
    CertificateDetail, CheckResult, Clock as _, MonitorId, Outcome, Region, SystemClock, Timestamp,
    TlsDetail,
};
use sonde_tests::api::{self, Caller};
use sonde_tests::pages::Browser;

use crate::up_dashboards::{
    DAY, FROM, REGIONS, TO, configured_machine, machine, page, rows, table, texts,
};

/// Whoever was checked showed one of two certificates, and from this time on the other one.
const RENEWED: &str = "2026-10-25T12:07:00Z";

fn certificate(at: Timestamp) -> CertificateDetail {
    let is_new = at >= RENEWED.parse().unwrap();
    let day = |text: &str| text.parse::<Timestamp>().unwrap();
    CertificateDetail {
        subject: "CN=shop.example".to_owned(),
        issuer: "CN=Issuer & <Sons>".to_owned(),
        san: vec!["shop.example".to_owned()],
        not_before: day(if is_new {
            "2026-10-25T11:00:00Z"
        } else {
            "2026-07-27T00:00:00Z"
        }),
        not_after: day(if is_new {
            "2027-01-23T11:00:00Z"
        } else {
            "2026-10-28T12:00:00Z"
        }),
        sha256: if is_new { "b" } else { "a" }.repeat(64),
    }
}

/// When each step's newest row was, by region: of those that a chart of the day samples.
fn sampled(rows: &[CheckResult]) -> BTreeMap<(Timestamp, String), Timestamp> {
    let (from, to) = (FROM.parse().unwrap(), TO.parse().unwrap());
    let mut sampled = BTreeMap::new();
    for row in rows.iter().filter(|row| row.slot >= from && row.slot < to) {
        if row.tls.is_some() {
            let place = (
                row.slot.floor(Duration::from_mins(15)),
                row.region.to_string(),
            );
            let newest = sampled.entry(place).or_insert(row.slot);
            *newest = row.slot.max(*newest);
        }
    }
    sampled
}

#[tokio::test]
async fn certificates_are_those_of_the_rows_and_a_renewal_is_told() {
    let mut rows = rows();
    for row in rows.iter_mut().filter(|row| row.outcome.is_executed()) {
        row.phases_us.tls = Some(2_000);
        row.tls = Some(TlsDetail {
            version: Some("1.3".to_owned()),
            cipher: None,
            alpn: None,
            certificates: vec![certificate(row.slot)],
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let up = machine(folder.path(), &rows).await;
    let api = Caller::of(up.url(""));
    let (_, seen) = api
        .get(&format!(
            "/v1/monitors/shop/certificates?from={FROM}&to={TO}"
        ))
        .await;
    let sampled = sampled(&rows);
    let expected = sampled.iter().map(|((_, region), slot)| {
        let leaf = certificate(*slot);
        let left = (leaf.not_after.as_micros() - slot.as_micros()) / 86_400_000_000;
        json!({ "slot": slot, "region": region, "sha256": leaf.sha256, "days_left": left })
    });
    let expected: Vec<Value> = expected.collect();
    assert_eq!(seen["samples"], Value::from(expected));
    let renewed: Timestamp = RENEWED.parse().unwrap();
    let of = |is_new: bool| {
        let these = sampled
            .values()
            .filter(move |at| (**at >= renewed) == is_new);
        these.copied()
    };
    for (place, is_new) in [(0, false), (1, true)] {
        let one = &seen["certificates"][place];
        assert_eq!(one["first_seen"], of(is_new).min().unwrap().to_string());
        assert_eq!(one["last_seen"], of(is_new).max().unwrap().to_string());
        assert_eq!(one["regions"], json!(REGIONS));
    }
    assert_eq!(seen["renewals"].as_array().unwrap().len(), REGIONS.len());

    let html = page(&up, &format!("/monitors/shop?{DAY}")).await;
    let shown = table(&html, "certificate-days");
    let starts: BTreeSet<_> = sampled.keys().map(|(start, _)| *start).collect();
    assert_eq!(shown.len(), starts.len());
    assert_eq!((&*shown[0][0], &*shown[0][1]), ("3 d", "–"));
    assert_eq!(shown.last().unwrap()[..], ["–", "89 d"]);
    assert!(
        html.contains("aaaaaaaa gave way to bbbbbbbb between 25 Oct 12:55 and 25 Oct 13:10, seen from fra, iad")
            && html.contains("Issuer &#38; &#60;Sons&#62;")
            && html.contains("<title>1 day</title>"),
        "{html}"
    );
    let (_, none) = api
        .get("/v1/monitors/shop/certificates?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z")
        .await;
    assert_eq!(none["certificates"], json!([]));
    let before = page(
        &up,
        "/monitors/shop?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z",
    )
    .await;
    assert!(!before.contains("certificate-days") && !before.contains("gave way to"));
    assert!(up.terminate().await.success());
}

/// Of monitors that are told apart by how long they take.
fn rows_of(monitors: &[(&str, u64)]) -> Vec<CheckResult> {
    let mut all = Vec::new();
    for (name, milliseconds) in monitors {
        for mut row in rows() {
            row.monitor = MonitorId::new(name).unwrap();
            row.total_us = row.total_us.map(|_| milliseconds * 1_000);
            all.push(row);
        }
    }
    all
}

#[tokio::test]
async fn several_monitors_are_compared_and_what_is_none_is_said() {
    let rows = rows_of(&[("shop", 100), ("a", 200), ("b", 300)]);
    let folder = tempfile::tempdir().unwrap();
    let each = ["shop", "a", "b", "c", "d", "e"].map(|id| {
        format!("{id}: {{ http: 'http://127.0.0.1:9/', interval: 1d, regions: [fra, iad] }}")
    });
    let text = format!("monitors: {{ {} }}", each.join(", "));
    let up = configured_machine(folder.path(), &rows, &text).await;
    let api = Caller::of(up.url(""));

    let html = page(
        &up,
        &format!("/monitors/shop?{DAY}&compare=a&compare=b,nothing"),
    )
    .await;
    assert!(
        html.contains("there is no monitor `nothing` to compare with"),
        "{html}"
    );
    let shown = table(&html, "compared-latency");
    let (_, series) = api
        .get(&format!("/v1/monitors/a/series?from={FROM}&to={TO}"))
        .await;
    let buckets = series["buckets"].as_array().unwrap();
    assert_eq!(shown.len(), buckets.len());
    for (row, bucket) in shown.iter().zip(buckets) {
        let is_measured = !bucket["p50_us"].is_null();
        let expected = ["100 ms", "200 ms", "300 ms"].map(|it| if is_measured { it } else { "–" });
        assert_eq!(row[..], expected, "{bucket}");
    }
    // Told apart by dashes, and by their names beside them.
    for (place, name) in ["shop", "a", "b"].into_iter().enumerate() {
        let key =
            format!("<path class=\"line c{place} d{place}\" d=\"M1 5H25\"/></svg>{name}</li>");
        assert!(html.contains(&key), "{key} in {html}");
    }
    let (_, compared) = html.split_once("<h2 id=\"compared\">").unwrap();
    let (compared, _) = compared.split_once("</section>").unwrap();
    let (_, summary) = api
        .get(&format!("/v1/monitors/b/summary?from={FROM}&to={TO}"))
        .await;
    let seen = texts(compared);
    let b = seen.iter().rposition(|text| text == "b").unwrap();
    assert_eq!(seen[b + 1], summary["count"].to_string());
    assert_eq!(seen[b + 3], "300 ms");
    assert!(html.contains("name=\"compare\" value=\"a\" checked"));

    let full = page(&up, &format!("/monitors/shop?{DAY}&compare=a,b,c,d,e,a")).await;
    assert!(full.contains("compared are 4 others at most: `e` is left out"));
    assert!(!full.contains("<select name=\"compare\">"), "{full}");
    let own = page(&up, "/monitors/shop?compare=shop,%3Cscript%3E").await;
    assert!(own.contains("`shop` is the monitor of this page"));
    assert!(own.contains("`&#60;script&#62;` is not the id of a monitor"));
    assert!(!own.contains("compared-latency") && own.contains("<select name=\"compare\">"));
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn nobody_compares_with_what_they_may_not_see() {
    let folder = tempfile::tempdir().unwrap();
    let text = "monitors: { shop: { tcp: '127.0.0.1:9', interval: 1h }, secret: { tcp: '127.0.0.1:9', interval: 1h } }";
    let up = configured_machine(folder.path(), &[], text).await;
    let owner = api::set_up(&up).await;
    let limited = owner
        .member("li@example.org", "editor", Some(&["shop"]))
        .await;
    let path = "/monitors/shop?compare=secret";
    let seen = Browser::of(&up, &owner).page(path).await;
    assert!(seen.contains("compared-latency"));
    let browser = Browser::of(&up, &limited);
    let seen = browser.page(path).await;
    assert!(
        seen.contains("there is no monitor `secret` to compare with"),
        "{seen}"
    );
    assert!(!seen.contains("compared-latency"));
    assert_eq!(browser.get("/settings/usage").await.status, 403);
    assert!(up.terminate().await.success());
}

/// What the rows of the last thirty days add up to, by day and by the name of a part of them.
fn used(
    rows: &[CheckResult],
    today: Timestamp,
    part: impl Fn(&CheckResult) -> String,
) -> BTreeMap<Timestamp, BTreeMap<String, u64>> {
    let day = Duration::from_hours(24);
    let mut used: BTreeMap<Timestamp, BTreeMap<String, u64>> = BTreeMap::new();
    for n in 0..30_u32 {
        used.insert(today - day * n, BTreeMap::new());
    }
    for row in rows.iter().filter(|row| row.outcome.is_executed()) {
        if let Some(parts) = used.get_mut(&row.slot.floor(day)) {
            *parts.entry(part(row)).or_default() += 1;
        }
    }
    used
}

/// Of forty days up to yesterday: from two regions, of two kinds and of a monitor that is no more.
fn rows_of_days(today: Timestamp) -> Vec<CheckResult> {
    let mut all = Vec::new();
    for n in 1..160_u32 {
        for (place, region) in (0..).zip(REGIONS) {
            for name in ["shop", "mail", "gone"]
                .into_iter()
                .take(usize::from(n % 3 == 0) + 2)
            {
                let outcome = match (n + place) % 11 {
                    0 => Outcome::Missed,
                    1 => Outcome::Failed,
                    _ => Outcome::Ok,
                };
                let mut row = CheckResult::sample_executed(outcome, Duration::from_millis(2));
                row.monitor = MonitorId::new(name).unwrap();
                row.region = Region::new(region).unwrap();
                row.slot = today - Duration::from_hours(6) * n;
                if outcome == Outcome::Missed {
                    row.started_at = None;
                    row.total_us = None;
                }
                all.push(row);
            }
        }
    }
    all
}

#[tokio::test]
async fn usage_is_that_of_the_rows_on_its_page_and_in_the_api() {
    let today = SystemClock.now().floor(Duration::from_hours(24));
    let rows = rows_of_days(today);
    let folder = tempfile::tempdir().unwrap();
    // Nothing is checked meanwhile: what is not paused has no checker in its regions.
    let text = "monitors: { shop: { http: 'http://127.0.0.1:9/', interval: 1d, regions: [fra, iad], paused: true }, mail: { tcp: '127.0.0.1:9', interval: 1d, regions: [fra, iad], paused: true } }";
    let up = configured_machine(folder.path(), &rows, text).await;
    let api = Caller::of(up.url(""));
    let (status, usage) = api.get("/v1/usage").await;
    assert_eq!(status, 200, "{usage}");
    let days = usage["days"].as_array().unwrap();
    let kind = |row: &CheckResult| match row.monitor.as_str() {
        "shop" => "http".to_owned(),
        "mail" => "tcp".to_owned(),
        _ => String::new(),
    };
    let by_kind = used(&rows, today, kind);
    let by_region = used(&rows, today, |row| row.region.to_string());
    let parts = |list: &Value, name: &str| -> BTreeMap<String, u64> {
        let list = list.as_array().unwrap().iter();
        let part = |it: &Value| {
            let name = it[name].as_str().unwrap_or_default().to_owned();
            (name, it["executed"].as_u64().unwrap())
        };
        list.map(part).collect()
    };
    assert_eq!(days.len(), 30);
    for (day, (start, kinds)) in days.iter().zip(&by_kind) {
        assert_eq!(day["start"], start.to_string());
        assert_eq!(parts(&day["by_kind"], "kind"), *kinds, "{day}");
        assert_eq!(
            parts(&day["by_region"], "region"),
            by_region[start],
            "{day}"
        );
        assert_eq!(day["executed"], kinds.values().sum::<u64>());
    }
    let configured = &usage["configured"];
    assert_eq!(
        (&configured["monitors"], &configured["checks_per_day"]),
        (&json!(2), &json!(0))
    );

    let html = page(&up, "/settings/usage").await;
    // Without a kind first, then kinds in their order, and all of them.
    let names = ["", "http", "tcp"];
    for (row, kinds) in table(&html, "usage-kinds").iter().zip(by_kind.values()) {
        let mut expected: Vec<u64> = names.map(|it| kinds.get(it).copied().unwrap_or(0)).into();
        expected.push(kinds.values().sum());
        let shown: Vec<u64> = row.iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!(shown, expected);
    }
    for (row, regions) in table(&html, "usage-regions").iter().zip(by_region.values()) {
        let expected = REGIONS.map(|it| regions.get(it).copied().unwrap_or(0));
        let shown: Vec<u64> = row.iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!(shown[..2], expected);
    }
    assert_eq!(table(&html, "usage-regions").len(), 30);
    for (days, status) in [("0", 400), ("93", 400), ("x", 400), ("1", 200)] {
        let (seen, problem) = api.get(&format!("/v1/usage?days={days}")).await;
        assert_eq!(seen, status, "{days}: {problem}");
    }
    assert!(up.terminate().await.success());
}
