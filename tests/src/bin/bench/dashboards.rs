//! Pages over ten million results on one machine: from the request to the last byte, and how much that is.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use reqwest::header::ACCEPT_ENCODING;
use sonde_core::{
    CheckResult, Clock as _, HttpDetail, MonitorId, Outcome, Phases, Reason, SystemClock, Timestamp,
};
use sonde_results::Results as _;
use sonde_results::libsql::LibsqlResults;
use sonde_tests::http;
use sonde_tests::sonde::{Running, Sonde};

use crate::figures::{quantile, say};

const MONITORS: u32 = 1_000;
const ROWS: u64 = 10_000_000;
/// Of the monitor that is looked at: a check a minute.
const DAYS: u32 = 30;
const MINUTE: Duration = Duration::from_mins(1);
/// Rows of one insert.
const BATCH: usize = 5_000;
const ROUNDS: usize = 50;
/// What people open.
const PAGES: [&str; 5] = [
    "/",
    "/monitors/m0?period=30d",
    "/monitors/m0?period=24h",
    "/monitors/m0/checks?period=30d",
    "/monitors/m0/checks?period=30d&outcome=failed",
];

pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data)?;
    let started = Instant::now();
    let rows = fill(&data.join("results.db")).await?;
    say(format!(
        "{rows} results of {MONITORS} monitors written in {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    configure(folder.path())?;
    let server = Sonde::up(folder.path()).serve().await;
    for path in PAGES {
        say(ask(&server, path).await?);
    }
    ensure!(server.terminate().await.success(), "it ends well");
    Ok(())
}

/// No check is due while pages are asked for.
fn configure(folder: &Path) -> anyhow::Result<()> {
    let mut text = "defaults: { interval: 1d }\nmonitors:\n".to_owned();
    for n in 0..MONITORS {
        writeln!(
            text,
            "  m{n}: {{ name: Monitor {n}, http: \"http://127.0.0.1:9/{n}\", tags: [t{}] }}",
            n % 20
        )?;
    }
    Ok(std::fs::write(folder.join("sonde.yaml"), text)?)
}

async fn fill(file: &Path) -> anyhow::Result<u64> {
    let store = LibsqlResults::open(file).await?;
    let now = SystemClock.now().floor(MINUTE);
    let minutes = DAYS * 24 * 60;
    let others = (ROWS - u64::from(minutes)) / u64::from(MONITORS - 1);
    let mut batch = Vec::with_capacity(BATCH);
    let mut written = 0;
    for n in 0..MONITORS {
        let count = match n {
            0 => minutes,
            _ => u32::try_from(others)?,
        };
        let every = MINUTE * (minutes / count).max(1);
        let template = template(n)?;
        for k in 0..count {
            batch.push(result(&template, now - every * k, n, k));
            if batch.len() == BATCH {
                store.store(&batch).await?;
                written += batch.len() as u64;
                batch.clear();
            }
        }
    }
    store.store(&batch).await?;
    Ok(written + batch.len() as u64)
}

fn template(n: u32) -> anyhow::Result<CheckResult> {
    let mut result = CheckResult::sample_executed(Outcome::Ok, Duration::from_millis(3));
    result.monitor = MonitorId::new(&format!("m{n}"))?;
    result.name = format!("Monitor {n}");
    result.http = Some(HttpDetail {
        status: 200,
        version: "1.1".to_owned(),
        bytes: 512,
        redirects: Vec::new(),
    });
    Ok(result)
}

/// Latency that swings, and one failure in a few hundred.
fn result(template: &CheckResult, slot: Timestamp, n: u32, k: u32) -> CheckResult {
    let swing = u64::from((k.wrapping_mul(2_654_435_761) ^ n) % 1_000);
    let mut result = template.clone();
    result.slot = slot;
    result.started_at = Some(slot + Duration::from_millis(3));
    result.total_us = Some(40_000 + swing * swing / 5);
    result.phases_us = Phases {
        dns: Some(2_000 + swing),
        connect: Some(5_000),
        tls: Some(9_000 + swing),
        send: Some(100),
        wait: Some(20_000 + swing * swing / 5),
        receive: Some(1_000),
    };
    if swing < 3 {
        result.outcome = Outcome::Failed;
        result.reason = Some(Reason::HttpStatus);
    }
    result
}

/// One after the other, as one person looks.
async fn ask(server: &Running, path: &str) -> anyhow::Result<String> {
    let client = http::client();
    let mut took = Vec::new();
    let mut size = 0;
    for _ in 0..=ROUNDS {
        let started = Instant::now();
        let request = client.get(server.url(path));
        let answer = request.header(ACCEPT_ENCODING, "gzip").send().await?;
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
