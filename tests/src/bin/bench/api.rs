//! The API of one machine: how long an apply of a thousand monitors takes, and its questions with ten thousand.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use sonde_tests::api::{self, Caller};
use sonde_tests::sonde::{Running, Sonde};

use crate::figures::{quantile, say};

const APPLIED: usize = 1_000;
const MONITORS: usize = 10_000;
const ROUNDS: usize = 200;
/// What a hundred pages of a hundred monitors ask for, and what a detail page does.
const QUESTIONS: [&str; 7] = [
    "/v1/monitors?limit=100",
    "/v1/monitors?limit=100&cursor=m5000",
    "/v1/monitors/m5000",
    "/v1/monitors/m5000/results",
    "/v1/monitors/m5000/summary",
    "/v1/monitors/m5000/series",
    "/v1/audit?limit=100",
];

pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, owner) = api::owned(folder.path()).await;
    let (status, key) = owner
        .post(
            "/v1/keys",
            &json!({ "name": "bench", "scopes": ["monitors:read", "monitors:write"] }),
        )
        .await;
    ensure!(status == 201, "no key: {key}");
    let secret = key["secret"].as_str().context("a key has a secret")?;
    let first = apply(&server, secret, folder.path(), APPLIED).await?;
    let again = apply(&server, secret, folder.path(), APPLIED).await?;
    say(format!(
        "apply of {APPLIED} monitors on a local store: {first:.2} s, once more without a change {again:.2} s (goal: 5 s)"
    ));
    let all = apply(&server, secret, folder.path(), MONITORS).await?;
    say(format!("apply of {MONITORS} monitors: {all:.2} s"));
    for path in QUESTIONS {
        // One key may not ask for all of it within a minute.
        let scopes = ["monitors:read", "results:read", "audit:read"];
        say(ask(&owner.new_key(&scopes, None).await, path).await?);
    }
    Ok(())
}

/// Seconds that the command takes.
async fn apply(
    server: &Running,
    secret: &str,
    folder: &Path,
    monitors: usize,
) -> anyhow::Result<f64> {
    let mut text = "defaults: { interval: 1d, regions: [local] }\nmonitors:\n".to_owned();
    for n in 0..monitors {
        writeln!(
            text,
            "  m{n}: {{ http: \"http://127.0.0.1:9/{n}\", paused: true }}"
        )?;
    }
    let file = folder.join("apply.yaml");
    std::fs::write(&file, text)?;
    let started = Instant::now();
    let output = Sonde::new(["apply", "--yes", "-c"])
        .argument(&file)
        .env("SONDE_URL", server.url(""))
        .env("SONDE_API_KEY", secret)
        .patience(Duration::from_mins(2))
        .run()
        .await;
    ensure!(output.code == Some(0), "{}", output.stderr);
    Ok(started.elapsed().as_secs_f64())
}

/// One after the other, as one person asks.
async fn ask(caller: &Caller, path: &str) -> anyhow::Result<String> {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let (status, body) = caller.get(path).await;
        ensure!(status == 200, "{path}: {body}");
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let (p50, p95) = (quantile(&mut took, 0.5), quantile(&mut took, 0.95));
    Ok(format!(
        "GET {path} with {MONITORS} monitors: p50 {p50:.1} ms, p95 {p95:.1} ms (goal: p95 20 ms)"
    ))
}
