//! Attempts within the deadline, on paused time; and one whole run.

use std::cell::RefCell;

use sonde_core::{HttpSpec, ManualClock, RetryPolicy, Timestamp};

use super::*;
use crate::Egress;
use crate::testing::Stub;

const MS: Duration = Duration::from_millis(1);

/// Timeout 1 s, and waits of 500 ms, 1 s, 2 s between attempts.
fn monitor(retries: u32) -> Monitor {
    Monitor {
        timeout: 1000 * MS,
        retry: RetryPolicy {
            retries,
            initial: 500 * MS,
            factor: 2.0,
            max: 5000 * MS,
            jitter: 0.0,
        },
        ..Monitor::sample()
    }
}

fn tried(deadline: Instant, reason: Option<Reason>, total: Duration) -> Tried {
    Tried {
        seen: Observation::until(deadline),
        verdict: Verdict {
            outcome: reason.map_or(Outcome::Ok, Reason::outcome),
            reason,
            message: None,
            failed: Vec::new(),
            suspect: false,
        },
        total,
    }
}

/// Runs attempts that take `took` each (or up to their deadline) and end with the reasons in turn; returns when each
/// started and was to end, when all was over, and what it came to.
async fn attempts(
    monitor: &Monitor,
    left: Duration,
    took: Duration,
    reasons: &[Option<Reason>],
) -> (Vec<[u128; 2]>, u128, Option<Execution>) {
    let zero = Instant::now();
    let starts = RefCell::new(Vec::new());
    let execution = execute(monitor, zero + left, |deadline| {
        let mut starts = starts.borrow_mut();
        let reason = reasons[starts.len()];
        starts.push([zero.elapsed().as_millis(), (deadline - zero).as_millis()]);
        async move {
            let start = Instant::now();
            tokio::time::sleep_until(deadline.min(start + took)).await;
            tried(deadline, reason, start.elapsed())
        }
    });
    let execution = execution.await;
    (starts.into_inner(), zero.elapsed().as_millis(), execution)
}

const DOWN: Option<Reason> = Some(Reason::ConnectRefused);

#[tokio::test(start_paused = true)]
async fn retries_are_spread_by_the_policy_to_the_millisecond() {
    let (starts, end, execution) = attempts(&monitor(3), 60_000 * MS, 10 * MS, &[DOWN; 4]).await;
    assert_eq!(starts, [[0, 1000], [510, 1510], [1520, 2520], [3530, 4530]]);
    assert_eq!(end, 3540);
    let execution = execution.unwrap();
    let kept: Vec<_> = (execution.attempts.iter())
        .map(|attempt| (attempt.reason, attempt.total_us))
        .collect();
    assert_eq!(kept, [(DOWN, 10_000); 4]);
}

#[tokio::test(start_paused = true)]
async fn a_good_attempt_ends_the_execution() {
    let (starts, end, execution) = attempts(&monitor(3), 60_000 * MS, 10 * MS, &[DOWN, None]).await;
    assert_eq!((starts.len(), end), (2, 520));
    let execution = execution.unwrap();
    assert_eq!(execution.last.verdict.outcome, Outcome::Ok);
    assert_eq!(execution.attempts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_would_be_the_same_again_is_not_tried_again() {
    let blocked = [Some(Reason::BlockedTarget)];
    let (starts, end, _) = attempts(&monitor(3), 60_000 * MS, MS, &blocked).await;
    assert_eq!((starts.len(), end), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_is_cut_at_the_deadline() {
    let (starts, end, execution) = attempts(&monitor(3), 1700 * MS, 5000 * MS, &[DOWN; 2]).await;
    assert_eq!(starts, [[0, 1000], [1500, 1700]]);
    assert_eq!(end, 1700);
    assert_eq!(execution.unwrap().attempts[1].total_us, 200_000);
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_had_no_fair_chance_says_nothing_about_the_target() {
    let slow = Some(Reason::WaitTimeout);
    let late = attempts(&monitor(3), 400 * MS, 60_000 * MS, &[slow]).await;
    assert!(late.2.is_none(), "cut before half of its timeout");
    let refused = attempts(&monitor(0), 400 * MS, 10 * MS, &[DOWN]).await;
    assert_eq!(
        refused.2.unwrap().attempts.len(),
        1,
        "the target did answer"
    );
    let fair = attempts(&monitor(0), 600 * MS, 60_000 * MS, &[slow]).await;
    assert_eq!(fair.2.unwrap().last.verdict.reason, slow);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_with_less_than_a_tenth_of_the_timeout_left() {
    // The second attempt would begin at 510 ms.
    let (starts, ..) = attempts(&monitor(3), 610 * MS, 10 * MS, &[DOWN; 2]).await;
    assert_eq!(starts, [[0, 610], [510, 610]]);
    let (starts, end, _) = attempts(&monitor(3), 609 * MS, 10 * MS, &[DOWN; 2]).await;
    assert_eq!((starts.len(), end), (1, 10), "and is not waited for either");
    let (starts, _, execution) = attempts(&monitor(3), 99 * MS, 10 * MS, &[DOWN; 2]).await;
    assert!(starts.is_empty() && execution.is_none());
}

fn prober() -> Prober {
    Prober::new(Settings {
        egress: Egress::open(),
        resolver: None,
        allow_exec: false,
        rdap_bootstrap: None,
        checker_id: "c1".to_owned(),
    })
    .unwrap()
}

#[tokio::test]
async fn a_check_taken_after_its_deadline_is_missed() {
    let slot = Timestamp::from_micros(1_000_000);
    let mut check = Check::sample(slot);
    check.dispatched_at = slot + 2 * MS;
    let clock = ManualClock::at(check.deadline + MS);
    let result = prober().run(&check, &clock).await;
    assert_eq!(result.outcome, Outcome::Missed);
    assert_eq!(result.reason, Some(Reason::Expired));
    assert_eq!(result.started_at, None);
    assert!(result.attempts.is_empty());
    assert_eq!(result.schedule_lag_us, Some(2_000));
    assert_eq!(result.queue_wait_us, Some(4_999_000));
    assert_eq!(result.checker.unwrap().id, "c1");
}

#[tokio::test]
async fn what_cannot_run_here_is_missed_and_says_why() {
    let mut check = Check::sample(Timestamp::from_micros(0));
    let monitor = Arc::make_mut(&mut check.monitor);
    monitor.spec = Spec::Exec(sonde_core::ExecSpec {
        command: "true".to_owned(),
        arguments: Vec::new(),
        environment: std::collections::BTreeMap::default(),
        warn_only: false,
    });
    let result = prober().run(&check, &ManualClock::at(check.slot)).await;
    assert_eq!(result.outcome, Outcome::Missed);
    assert_eq!(result.reason, Some(Reason::Unsupported));
    assert_eq!(result.started_at, None);
    assert!(result.message.unwrap().contains("--allow-exec"));
}

#[tokio::test]
async fn an_executed_check_tells_all_that_happened() {
    let closed = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = closed.local_addr().unwrap().to_string();
    drop(closed);
    let mut check = Check::sample(Timestamp::from_micros(0));
    *Arc::make_mut(&mut check.monitor) = Monitor {
        spec: Spec::Dns(Box::new(sonde_core::DnsSpec {
            name: "shop.example".to_owned(),
            record_type: "A".to_owned(),
            class: sonde_core::DnsClass::In,
            server: Some(server.clone()),
            transport: sonde_core::DnsTransport::Udp,
            recursion: true,
            tls: sonde_core::TlsOptions::default(),
            network: sonde_core::NetworkOptions::default(),
        })),
        ..monitor(1)
    };
    Arc::make_mut(&mut check.monitor).retry.initial = 10 * MS;
    let clock = ManualClock::at(check.slot + 3 * MS);
    let result = prober().run(&check, &clock).await;
    assert_eq!(result.outcome, Outcome::Failed);
    assert_eq!(result.reason, Some(Reason::ConnectRefused));
    assert_eq!(result.started_at, Some(clock.now()));
    assert_eq!(result.attempts.len(), 2);
    assert_eq!(result.total_us, Some(result.attempts[1].total_us));
    assert!(result.phases_us.wait.is_some() && result.phases_us.connect.is_none());
    assert_eq!(result.remote_address.as_ref(), Some(&server));
    assert_eq!(result.evidence.unwrap().addresses, ["127.0.0.1"]);
    assert!(result.message.unwrap().contains(&server));
}

#[tokio::test]
async fn a_good_check_keeps_no_credentials_that_the_target_repeats() {
    let stub = Stub::http(|head| {
        let location = match head.split(' ').nth(1) {
            Some("/") => "Location: /1?token=hunter2\r\n",
            Some("/1?token=hunter2") => "Location: /2\r\n",
            _ => return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(),
        };
        format!("HTTP/1.1 302 Found\r\n{location}content-length: 0\r\n\r\n").into_bytes()
    })
    .await;
    let mut check = Check::sample(Timestamp::from_micros(0));
    let url = format!("http://{}/", stub.address);
    let mut spec = HttpSpec::get(url.parse().unwrap());
    spec.headers = vec![("Authorization".into(), "Bearer hunter2".into())];
    *Arc::make_mut(&mut check.monitor) = Monitor {
        spec: Spec::Http(Box::new(spec)),
        ..monitor(0)
    };
    let result = prober().run(&check, &ManualClock::at(check.slot)).await;
    assert_eq!(result.outcome, Outcome::Ok, "{:?}", result.message);
    let hops = result.http.unwrap().redirects;
    assert_eq!(hops[0].location, format!("{url}1?token=[redacted]"));
    assert_eq!(hops[1].url, hops[0].location);
}

#[tokio::test]
async fn a_panic_is_contained_and_says_nothing_about_the_target() {
    let probing = async { panic!("index {} out of range", 7) };
    let failure = contain(probing, &monitor(0)).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Internal);
    assert_eq!(failure.reason.outcome(), Outcome::Missed);
    assert_eq!(
        failure.message,
        "the check of http://shop.example/health failed inside the checker: index 7 out of range"
    );
}

#[test]
fn a_run_can_move_between_threads() {
    fn assert_send(_: impl Send) {}
    let check = Check::sample(Timestamp::from_micros(0));
    let clock = ManualClock::at(check.slot);
    assert_send(prober().run(&check, &clock));
}
