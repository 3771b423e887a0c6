//! Memory stays flat, whatever a target sends.

use std::fmt::Write as _;
use std::time::Duration;

use sonde_tests::sonde::Sonde;
use sonde_tests::stub::encoding::Encoding;
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tcp;
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_mins(1);
/// For the decoders and the kept parts of all bodies together: four bodies at the limit of what is read, or a third of
/// one bomb.
const ALLOWED: u64 = 40 * 1024 * 1024;

/// The most memory that `sonde check` has when all of `targets` are done, and its results so far.
///
/// One more monitor that hangs keeps it alive, so that it can still be asked.
async fn check(targets: &[&HttpStub], expect: &str) -> (u64, String) {
    let silent = tcp::silent().await;
    let hanging = format!("http://{}/", silent.address());
    let urls = targets.iter().map(|stub| stub.url("/"));
    let mut config = "defaults: { retries: 0, interval: 1m, timeout: 1m }\nmonitors:\n".to_owned();
    for (n, url) in urls.chain([hanging]).enumerate() {
        writeln!(config, "  m{n}: {{ http: \"{url}\", expect: [{expect}] }}").unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("sonde.yaml"), config).unwrap();
    let command = Sonde::new(["check", "--format=ndjson"]).directory(directory.path());
    let running = command.start().await;
    wait_until(PATIENCE, async || {
        running.log().lines().count() >= targets.len()
    })
    .await;
    (running.peak_memory(), running.log())
}

#[tokio::test]
async fn bombs_and_endless_bodies_cost_little_memory() {
    let plain = HttpStub::start([("/", Reply::text("hello"))]).await;
    let mut harmful = vec![HttpStub::start([("/", Reply::endless())]).await];
    for encoding in Encoding::ALL {
        harmful.push(HttpStub::start([("/", Reply::bomb(encoding).await)]).await);
    }
    let harmful: Vec<_> = harmful.iter().collect();
    let harmless = vec![&plain; harmful.len()];

    let (usual, results) = check(&harmless, "").await;
    let ok = results.matches(r#""outcome":"ok""#).count();
    assert_eq!(ok, harmless.len(), "{results}");
    let (peak, results) = check(&harmful, "").await;
    let too_large = r#""outcome":"failed","reason":"body_too_large""#;
    let too_large = results.matches(too_large).count();
    assert_eq!(too_large, harmful.len(), "{results}");
    let cost = peak.saturating_sub(usual);
    assert!(cost < ALLOWED, "{cost} bytes more than the usual {usual}");
}

/// As many values as fit into what is kept of a body, as deep down as the parser goes, and something to find at each level.
fn deep() -> String {
    let (levels, zeros) = (126, 520_000);
    let start = r#"{"status":"#.repeat(levels);
    let list = vec!["0"; zeros].join(",");
    format!("{start}[{list}]{}", "}".repeat(levels))
}

#[tokio::test]
async fn a_path_that_selects_much_of_a_document_costs_little_memory() {
    let plain = HttpStub::start([("/", Reply::text("{}"))]).await;
    let hostile = HttpStub::start([("/", Reply::text(deep()))]).await;
    for path in ["$..status", "$..*"] {
        let expect = format!("'json {path} == \"up\"'");
        let (usual, _) = check(&[&plain], &expect).await;
        let (peak, results) = check(&[&hostile], &expect).await;
        let reason = r#""outcome":"failed","reason":"assertion_json""#;
        assert!(results.contains(reason), "{results}");
        let cost = peak.saturating_sub(usual);
        assert!(cost < ALLOWED, "{path}: {cost} bytes more than the usual");
    }
}
