//! What `sonde up` keeps when it is killed, stopped or left alone: the ledger balances, and nothing stored is lost.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use sonde_tests::sonde::{Output, Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(40);

/// A folder with `monitors` monitors of `url`, every 5 s.
fn folder(monitors: usize, url: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "defaults: { interval: 5s, timeout: 4s, retries: 0 }\nmonitors:\n".to_owned();
    for n in 0..monitors {
        writeln!(text, "  m{n}: {{ http: \"{url}\" }}").unwrap();
    }
    std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
    folder
}

async fn get(up: &Running, path: &str) -> Value {
    let answer = sonde_tests::http::get(up.url(path))
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    answer.json().await.unwrap()
}

/// The scheduled rows of the last day of one monitor, newest first.
async fn rows(up: &Running, monitor: &str) -> Vec<Value> {
    let page = get(up, &format!("/v1/monitors/{monitor}/results?limit=1000")).await;
    let rows = page["results"].as_array().unwrap().clone();
    rows.into_iter()
        .filter(|row| row["trigger"] == "schedule")
        .collect()
}

async fn ledger(folder: &TempDir) -> (Output, Value) {
    let run = Sonde::new(["ledger", "--data=data", "--format=json"]).directory(folder.path());
    let output = run.run().await;
    let ledger = serde_json::from_str(&output.stdout).unwrap_or_default();
    (output, ledger)
}

fn total(ledger: &Value, count: &str) -> u64 {
    let minutes = ledger["minutes"].as_array().unwrap();
    minutes
        .iter()
        .map(|minute| minute[count].as_u64().unwrap())
        .sum()
}

/// Waits until each of `monitors` monitors has a scheduled row.
async fn wait_for_rows(up: &Running, monitors: usize) {
    wait_until(PATIENCE, async || {
        for n in 0..monitors {
            if rows(up, &format!("m{n}")).await.is_empty() {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test]
async fn a_kill_loses_no_stored_result_and_the_ledger_balances_after_the_next_start() {
    let target = HttpStub::start([("/", Reply::text("up"))]).await;
    let folder = folder(20, &target.url("/"));
    let up = Sonde::up(folder.path()).serve().await;
    wait_for_rows(&up, 20).await;
    let before = rows(&up, "m7").await;
    up.kill().await;

    let (output, killed) = ledger(&folder).await;
    assert_eq!(
        output.code,
        Some(0),
        "right after the kill:\n{}",
        output.stdout
    );
    let up = Sonde::up(folder.path()).serve().await;
    let after = rows(&up, "m7").await;
    assert!(
        before.iter().all(|row| after.contains(row)),
        "a stored row is gone"
    );
    let known = after.len();
    wait_until(PATIENCE, async || rows(&up, "m7").await.len() > known).await;
    assert!(up.terminate().await.success());

    let (output, settled) = ledger(&folder).await;
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert!(total(&settled, "scheduled") > total(&killed, "scheduled"));
}

#[tokio::test]
async fn a_stop_finishes_and_stores_what_is_in_flight() {
    let target = HttpStub::start([("/", Reply::text("up").after(Duration::from_secs(2)))]).await;
    let folder = folder(1, &target.url("/"));
    let up = Sonde::up(folder.path()).serve().await;
    // The one that runs at the start on demand, then a scheduled one: it is at the target when the stop comes.
    wait_until(PATIENCE, async || target.requests().len() >= 2).await;
    assert!(up.terminate().await.success());

    let (output, settled) = ledger(&folder).await;
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert_eq!(
        total(&settled, "ok"),
        total(&settled, "scheduled"),
        "{settled:#}"
    );
    assert!(total(&settled, "ok") >= 1, "{settled:#}");
}

#[tokio::test]
async fn what_was_due_while_it_was_down_is_missed_and_accounted_for() {
    let target = HttpStub::start([("/", Reply::text("up"))]).await;
    let folder = folder(1, &target.url("/"));
    let up = Sonde::up(folder.path()).serve().await;
    wait_for_rows(&up, 1).await;
    assert!(up.terminate().await.success());
    let (_, stopped) = ledger(&folder).await;
    // Two slots pass.
    let last = stopped["to"].clone();
    wait_until(PATIENCE, async || {
        let (_, now) = ledger(&folder).await;
        let seconds = |time: &Value| {
            time.as_str()
                .unwrap()
                .parse::<sonde_core::Timestamp>()
                .unwrap()
                .as_micros()
                / 1_000_000
        };
        seconds(&now["to"]) - seconds(&last) >= 11
    })
    .await;

    let up = Sonde::up(folder.path()).serve().await;
    let rows = rows(&up, "m0").await;
    let missed: Vec<_> = rows
        .iter()
        .filter(|row| row["outcome"] == "missed")
        .collect();
    assert!(
        !missed.is_empty() && missed.iter().all(|row| row["reason"] == "not_dispatched"),
        "{rows:#?}"
    );
    assert!(up.terminate().await.success());
    let (output, _) = ledger(&folder).await;
    assert_eq!(output.code, Some(0), "{}", output.stdout);
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let target = HttpStub::start([("/", Reply::text("up"))]).await;
    let folder = folder(1, &target.url("/"));
    let _first = Sonde::up(folder.path()).serve().await;
    let second = Sonde::up(folder.path()).run().await;
    assert_eq!(second.code, Some(3));
    assert!(
        second
            .stderr
            .contains("another sonde uses the data directory data"),
        "{}",
        second.stderr
    );
}
