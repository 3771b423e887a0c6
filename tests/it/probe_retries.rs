//! Attempts: every one is kept, none begins or ends too late.

use std::time::{Duration, Instant};

use sonde_core::{CheckResult, Outcome, Reason};
use sonde_tests::checks::{exec, http, told};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tcp;

const SOON: Duration = Duration::from_secs(1);

fn reasons(result: &CheckResult) -> Vec<Option<Reason>> {
    result
        .attempts
        .iter()
        .map(|attempt| attempt.reason)
        .collect()
}

#[tokio::test]
async fn a_check_that_fails_twice_and_then_passes_is_ok_and_keeps_all_three_attempts() {
    let reply = Reply::text("hello").but_first(2, Reply::status(503));
    let stub = HttpStub::start([("/", reply)]).await;
    let result = http(stub.url("/")).retries(3).run().await;
    assert_eq!(told(&result), "ok");
    let failed = Some(Reason::HttpStatus);
    assert_eq!(reasons(&result), [failed, failed, None]);
    assert_eq!(stub.server().connections(), 3, "each on its own connection");
    assert_eq!(result.total_us, Some(result.attempts[2].total_us));
}

#[tokio::test]
async fn a_check_that_never_passes_ends_after_its_retries() {
    let stub = HttpStub::start([("/", Reply::status(503))]).await;
    let result = http(stub.url("/")).retries(2).run().await;
    assert_eq!(result.outcome, Outcome::Failed);
    assert_eq!(reasons(&result), [Some(Reason::HttpStatus); 3]);
}

#[tokio::test]
async fn slow_is_not_tried_again() {
    let stub = HttpStub::start([("/", Reply::text("hello"))]).await;
    let trial = http(stub.url("/"))
        .retries(3)
        .degraded_when("latency > 1us");
    let result = trial.run().await;
    assert_eq!(result.outcome, Outcome::Degraded);
    assert_eq!(stub.server().connections(), 1);
}

#[tokio::test]
async fn what_would_be_the_same_again_is_not_tried_again() {
    let result = exec("exit 0").allow_exec(false).retries(3).run().await;
    assert_eq!(result.outcome, Outcome::Missed);
    assert_eq!(reasons(&result), [Some(Reason::Unsupported)]);
}

#[tokio::test]
async fn the_deadline_cuts_the_last_attempt() {
    let silent = tcp::silent().await;
    let url = format!("http://{}/", silent.address());
    let begin = Instant::now();
    let trial = http(url).retries(1000).timeout(SOON).deadline(SOON * 3 / 2);
    let result = trial.run().await;
    assert!(begin.elapsed() >= SOON * 3 / 2);
    assert_eq!(reasons(&result), [Some(Reason::WaitTimeout); 2]);
    let [first, last] = [0, 1].map(|n| Duration::from_micros(result.attempts[n].total_us));
    assert!(first >= SOON && last < SOON, "{first:?}, then {last:?}");
}

#[tokio::test]
async fn a_check_whose_time_is_over_is_missed_and_nothing_is_sent() {
    let stub = HttpStub::start([("/", Reply::text("hello"))]).await;
    let result = http(stub.url("/")).deadline(Duration::ZERO).run().await;
    assert_eq!(
        (result.outcome, result.reason),
        (Outcome::Missed, Some(Reason::Expired))
    );
    assert_eq!((result.started_at, result.attempts.len()), (None, 0));
    // A tenth of the timeout is the least that an attempt needs.
    let late = http(stub.url("/")).timeout(SOON * 100).deadline(SOON);
    assert_eq!(late.run().await.reason, Some(Reason::Expired));
    assert_eq!(stub.server().connections(), 0);
}
