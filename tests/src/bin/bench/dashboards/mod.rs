//! Pages over many results: from the request to the last byte, and how much that is.

mod clickhouse;
mod local;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use reqwest::Method;
use sonde_core::{
    CertificateDetail, CheckResult, HttpDetail, MonitorId, Outcome, Phases, Region, Timestamp,
    TlsDetail,
};
use sonde_tests::api::Caller;

use crate::checks::check;
use crate::figures::{quantile, say};

const MONITORS: u32 = 1_000;
const ROUNDS: usize = 50;
const DAY: Duration = Duration::from_hours(24);
/// What people open, and what the overview's script asks for.
const PAGES: [&str; 6] = [
    "/",
    "/rows?ids=m0,m1,m2,m3,m4,m5,m6,m7",
    "/monitors/m0?period=30d",
    "/monitors/m0?period=24h",
    "/monitors/m0/checks?period=30d",
    "/monitors/m0/checks?period=30d&outcome=failed",
];

pub(crate) async fn run(part: Option<&str>) -> anyhow::Result<()> {
    match part {
        None => {
            local::run().await?;
            clickhouse::run().await
        }
        Some("local") => local::run().await,
        Some("clickhouse") => clickhouse::run().await,
        Some(part) => bail!("there is no part `{part}`"),
    }
}

fn configuration(regions: &str) -> String {
    let mut text = format!("defaults: {{ interval: 1d, regions: [{regions}] }}\nmonitors:\n");
    for n in 0..MONITORS {
        let line = writeln!(
            text,
            "  m{n}: {{ name: Monitor {n}, http: \"https://127.0.0.1:9/{n}\", tags: [t{}] }}",
            n % 20
        );
        line.expect("text grows as long as there is memory");
    }
    text
}

/// A check of the n-th monitor that went well.
fn result(n: u32, region: &str, slot: Timestamp) -> anyhow::Result<CheckResult> {
    let mut monitor = (*check("https://127.0.0.1:9/", None)?.monitor).clone();
    monitor.id = MonitorId::new(&format!("m{n}"))?;
    monitor.name = format!("Monitor {n}");
    let mut result = CheckResult::of_heartbeat(&monitor, slot, Outcome::Ok);
    result.region = Region::new(region)?;
    result.check_id = result.key().check_id();
    result.http = Some(HttpDetail {
        status: 200,
        version: "1.1".to_owned(),
        bytes: 512,
        redirects: Vec::new(),
    });
    result.tls = Some(TlsDetail {
        version: Some("1.3".to_owned()),
        cipher: None,
        alpn: None,
        certificates: vec![CertificateDetail {
            subject: "CN=www.example.com".to_owned(),
            issuer: "CN=Example CA".to_owned(),
            san: vec!["www.example.com".to_owned()],
            not_before: slot - DAY * 60,
            not_after: slot + DAY * 30,
            sha256: "0f".repeat(32),
        }],
    });
    result.total_us = Some(40_000);
    result.phases_us = Phases {
        dns: Some(2_000),
        connect: Some(5_000),
        tls: Some(9_000),
        send: Some(100),
        wait: Some(20_000),
        receive: Some(1_000),
    };
    Ok(result)
}

async fn ask_all(viewer: &Caller, rows: u64) -> anyhow::Result<()> {
    let viewer = viewer.header("accept-encoding", "gzip");
    for path in PAGES {
        say(format!(
            "{} million results: {}",
            (rows + 500_000) / 1_000_000,
            ask(&viewer, path).await?
        ));
    }
    Ok(())
}

/// One after the other, as one person looks.
async fn ask(viewer: &Caller, path: &str) -> anyhow::Result<String> {
    let mut took = Vec::new();
    let mut size = 0;
    for _ in 0..=ROUNDS {
        let started = Instant::now();
        let answer = viewer.send(Method::GET, path, None).await;
        let status = answer.status();
        size = answer.bytes().await?.len();
        ensure!(status == 200, "{path}: {status}");
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let first = took.remove(0);
    let (p50, p95) = (quantile(&mut took, 0.5), quantile(&mut took, 0.95));
    #[expect(clippy::cast_precision_loss, reason = "kilobytes are shown")]
    let size = size as f64 / 1e3;
    Ok(format!(
        "GET {path}: first {first:.0} ms, then p50 {p50:.0} ms, p95 {p95:.0} ms (goal: p95 200 ms), {size:.0} kB (goal: 150 kB)"
    ))
}
