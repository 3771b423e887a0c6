//! Shell scripts: what they print, how they end, and that nothing of them stays.

use std::collections::BTreeMap;

use super::*;
use crate::{Egress, Settings};

fn environment(allow_exec: bool) -> Environment {
    Environment::new(Settings {
        egress: Egress::open(),
        resolver: None,
        allow_exec,
        rdap_bootstrap: None,
        checker_id: String::new(),
    })
    .unwrap()
}

async fn shell(script: &str, timeout: Duration) -> (Result<(), Failure>, ExecDetail) {
    let mut seen = Observation::until(Instant::now() + timeout);
    let done = probe(&environment(true), &spec(script), &mut seen).await;
    (done, seen.exec.unwrap())
}

fn spec(script: &str) -> ExecSpec {
    ExecSpec {
        command: "/bin/sh".to_owned(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        warn_only: false,
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn code_output_and_environment_are_those_of_the_command() {
    let (done, detail) = shell("echo oops >&2; echo $GREETING; exit 3", LONG).await;
    assert_eq!(done, Ok(()));
    assert_eq!(detail.code, Some(3));
    assert_eq!(detail.output, "hello\noops\n");
}

#[tokio::test]
async fn a_signal_leaves_no_code() {
    let (done, detail) = shell("kill -9 $$", LONG).await;
    assert_eq!((done, detail.code), (Ok(()), None));
}

#[tokio::test]
async fn endless_output_neither_blocks_the_command_nor_fills_memory() {
    let (done, detail) = shell("yes | head -c 3000000; exit 4", LONG).await;
    assert_eq!((done, detail.code), (Ok(()), Some(4)));
    assert_eq!(detail.output.len(), KEPT);
}

#[tokio::test]
async fn nothing_runs_unless_it_is_allowed() {
    let mut seen = Observation::until(Instant::now() + LONG);
    let done = probe(&environment(false), &spec("exit 0"), &mut seen).await;
    let failure = done.unwrap_err();
    assert_eq!(failure.reason, Reason::Unsupported);
    assert!(failure.message.contains("--allow-exec"));
    assert_eq!(seen.exec, None);
}

#[tokio::test]
async fn a_command_that_is_not_there_fails() {
    let mut seen = Observation::until(Instant::now() + LONG);
    let mut spec = spec("");
    spec.command = "/nonexistent/command".to_owned();
    let failure = probe(&environment(true), &spec, &mut seen)
        .await
        .unwrap_err();
    assert_eq!(failure.reason, Reason::ExecFailed);
    assert!(
        failure
            .message
            .starts_with("cannot start /nonexistent/command")
    );
}

/// Polls until the process is gone; a zombie that nobody has reaped yet is gone too.
async fn wait_for_end_of(pid: &str) {
    let path = format!("/proc/{}/stat", pid.trim());
    let gone = async {
        while std::fs::read_to_string(&path).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
}

#[tokio::test]
async fn a_command_over_its_time_is_killed_with_its_grandchildren() {
    let script = "sh -c 'sleep 600 & echo $!; wait' & wait";
    let (done, detail) = shell(script, Duration::from_millis(500)).await;
    let failure = done.unwrap_err();
    assert_eq!(failure.reason, Reason::ExecFailed);
    assert!(
        failure
            .message
            .starts_with("/bin/sh did not finish within "),
        "{failure:?}"
    );
    wait_for_end_of(&detail.output).await;
}

#[tokio::test]
async fn children_left_behind_end_with_the_command() {
    let start = Instant::now();
    let (done, detail) = shell("sleep 600 & echo $!", LONG).await;
    assert_eq!((done, detail.code), (Ok(()), Some(0)));
    assert!(
        start.elapsed() < LONG / 2,
        "their open pipe is not waited for"
    );
    wait_for_end_of(&detail.output).await;
}
