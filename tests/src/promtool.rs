//! Prometheus' own judge of metrics and configuration.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Checks a text in the exposition format as `promtool check metrics` does: valid, and named as is customary.
///
/// Panics with what promtool says against it.
pub async fn check_metrics(text: &str) {
    run(&["check", "metrics"], text).await;
}

/// Checks a Prometheus configuration file and all files that it names.
pub async fn check_config(path: &Path) {
    let path = path.to_str().expect("paths of the repository are text");
    run(&["check", "config", path], "").await;
}

/// Does nothing where promtool is missing, unless `SONDE_TEST_STRICT` is set.
async fn run(arguments: &[&str], input: &str) {
    let child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let strict = std::env::var_os("SONDE_TEST_STRICT").is_some();
    assert!(
        child.is_ok() || !strict,
        "promtool is missing; `tests/run` installs it"
    );
    let Ok(mut child) = child else { return };
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let feed = async move { stdin.write_all(input.as_bytes()).await };
    // promtool may end before it has read everything: its verdict is what counts.
    let (_, output) = tokio::join!(feed, child.wait_with_output());
    let output = output.expect("promtool ends");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
