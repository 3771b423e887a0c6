//! A checker on the in-process queue, with real probes of this machine's own ports.

mod scene;

use std::sync::atomic::Ordering;
use std::time::Duration;

use sonde_core::{CheckResult, Clock as _, Outcome, Reason, Region, SystemClock, Trigger};
use sonde_queue::fleet::{self, ClockAnswer, ClockQuestion, Heartbeat};
use sonde_queue::{Announcement, Bus as _, Death, ResultsMessage, SealingKeys, TaskMessage, Topic};
use tokio::time::timeout;

use crate::{CheckerError, CheckerOptions, TaskError};
use scene::{PATIENCE, Scene, Skewed};

#[tokio::test]
async fn a_poison_task_goes_to_the_dead_letters_and_delays_no_other() {
    let scene = Scene::new().await;
    let elsewhere = SealingKeys::parse(&SealingKeys::generate()).unwrap();
    let check = scene.check();
    let poison = [
        b"not a task".to_vec(),
        br#"{"v": 9, "job": {}}"#.to_vec(),
        TaskMessage::encode(&check, &elsewhere),
    ];
    for payload in &poison {
        scene.publish(payload.clone()).await;
    }
    scene.publish_check(&check).await;
    let running = scene.start(scene.parts());
    let result = scene.next_result().await;
    assert_eq!(
        (result.check_id, result.outcome),
        (check.key().check_id(), Outcome::Failed)
    );
    let mut dead = Vec::new();
    for _ in &poison {
        let (payload, death) = scene.next_dead().await;
        assert_eq!(death, Some(Death::Rejected));
        dead.push(payload);
    }
    dead.sort();
    let mut expected = poison.to_vec();
    expected.sort();
    assert_eq!(dead, expected);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn it_is_ready_once_it_takes_tasks_and_not_while_it_asks_for_the_time() {
    let scene = Scene::new().await;
    let mut parts = scene.parts();
    // Nobody answers: it waits, and then goes on by its own clock.
    parts.options.asks_time = true;
    let checker = scene.build(parts);
    let ready = checker.ready();
    checker.ready().cancel();
    let mut questions = scene.queue.listen(&[Topic::ClockQuestion]).await.unwrap();
    let running = scene.run(checker);
    let asked = timeout(PATIENCE, questions.next()).await;
    asked.expect("it does not ask").unwrap();
    assert!(!ready.is_cancelled());
    let taking = timeout(PATIENCE, ready.cancelled()).await;
    taking.expect("it does not become ready");
    assert!(scene.consumers().await > 0);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn sealed_tasks_are_opened_with_the_checkers_keys() {
    let scene = Scene::new().await;
    let keys = SealingKeys::parse(&SealingKeys::generate()).unwrap();
    let mut parts = scene.parts();
    parts.keys = keys.clone();
    scene
        .publish(TaskMessage::encode(&scene.check(), &keys))
        .await;
    let running = scene.start(parts);
    assert_eq!(
        scene.next_result().await.reason,
        Some(Reason::ConnectRefused)
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_task_that_panics_is_delivered_again_until_its_limit_and_frees_its_permit() {
    let scene = Scene::new().await;
    let mut parts = scene.parts();
    let clock = Skewed::by(0);
    parts.clock = std::sync::Arc::clone(&clock) as _;
    let checker = scene.build(parts);
    clock.panics.store(true, Ordering::Relaxed);
    let running = scene.run(checker);
    let payload = TaskMessage::encode(&scene.check(), &SealingKeys::none());
    scene.publish(payload.clone()).await;
    assert_eq!(
        scene.next_dead().await,
        (payload, Some(Death::DeliveryLimit))
    );
    clock.panics.store(false, Ordering::Relaxed);
    scene.publish_check(&scene.check()).await;
    assert_eq!(scene.next_result().await.outcome, Outcome::Failed);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_task_that_comes_too_late_is_missed_and_not_executed() {
    let scene = Scene::new().await;
    let mut check = scene.check();
    check.deadline = check.slot;
    scene.publish_check(&check).await;
    let running = scene.start(scene.parts());
    let result = scene.next_result().await;
    assert_eq!(
        (result.outcome, result.reason, result.started_at),
        (Outcome::Missed, Some(Reason::Expired), None)
    );
    assert!(result.attempts.is_empty());
    running.stop().await.unwrap();
}

/// Answers as a leader does.
async fn lead(scene: &Scene) {
    let mut questions = scene.queue.listen(&[Topic::ClockQuestion]).await.unwrap();
    loop {
        let heard = questions.next().await.unwrap();
        let now = SystemClock.now();
        let question: ClockQuestion = fleet::decode(&heard.payload).unwrap();
        let answer = ClockAnswer::new(&question, now, now);
        let topic = Topic::ClockAnswer {
            checker: question.checker,
        };
        let payload = fleet::encode(&answer);
        scene
            .queue
            .announce(Announcement { topic, payload })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_clock_two_minutes_off_is_corrected_and_its_results_are_suspect() {
    for seconds in [120, -120] {
        let scene = Scene::new().await;
        let mut heartbeats = scene.queue.listen(&[Topic::Heartbeat]).await.unwrap();
        let mut parts = scene.parts();
        parts.clock = Skewed::by(seconds);
        parts.options.asks_time = true;
        let test = async {
            let running = scene.start(parts);
            let check = scene.check();
            scene.publish_check(&check).await;
            let result = scene.next_result().await;
            // By its own clock it would have been too late, or long before its slot.
            assert_eq!(result.outcome, Outcome::Failed, "{seconds}");
            let started_at = result.started_at.unwrap();
            assert!(started_at.since(check.slot) < PATIENCE && started_at >= check.slot);
            assert!(result.suspect);
            let status = loop {
                let heard = timeout(PATIENCE, heartbeats.next()).await.unwrap().unwrap();
                let status = fleet::decode::<Heartbeat>(&heard.payload).unwrap().status;
                if status.clock_offset_us.is_some() {
                    break status;
                }
                scene.call_roll().await;
            };
            let offset = status.clock_offset_us.unwrap();
            assert!(
                offset.abs_diff(-seconds * 1_000_000) < 1_000_000,
                "{offset}"
            );
            let side = if seconds > 0 { "ahead of" } else { "behind" };
            assert!(status.unwell.unwrap().contains(side));
            running.stop().await.unwrap();
        };
        tokio::select! {
            () = test => {}
            () = lead(&scene) => unreachable!("a leader answers for ever"),
        }
    }
}

#[tokio::test]
async fn without_a_leader_it_goes_on_by_its_own_clock_after_a_while() {
    let scene = Scene::new().await;
    let mut parts = scene.parts();
    parts.options.asks_time = true;
    let running = scene.start(parts);
    let mut check = scene.check();
    check.deadline = check.slot + Duration::from_mins(1);
    scene.publish_check(&check).await;
    let result = scene.next_result().await;
    assert_eq!(result.outcome, Outcome::Failed);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_roll_call_is_answered_at_once_and_draining_is_told() {
    let scene = Scene::new().await;
    let running = scene.start(scene.parts());
    scene.publish_check(&scene.check()).await;
    scene.next_result().await;
    let mut heartbeats = scene.queue.listen(&[Topic::Heartbeat]).await.unwrap();
    scene.call_roll().await;
    let mut next = async || {
        let heard = timeout(PATIENCE, heartbeats.next()).await.unwrap().unwrap();
        fleet::decode::<Heartbeat>(&heard.payload).unwrap().status
    };
    let status = next().await;
    assert_eq!((status.id.as_str(), status.executed), ("c1", 1));
    assert_eq!((status.in_flight, status.draining), (0, false));
    assert_eq!(status.clock_offset_us, None);
    let release = scene.hold_a_check().await;
    running.shutdown.cancel();
    let draining = loop {
        let status = next().await;
        if status.draining {
            break status;
        }
    };
    assert_eq!(draining.in_flight, 1);
    drop(release);
    running.ended().await.unwrap();
}

#[tokio::test]
async fn stopping_finishes_what_is_held_and_leaves_the_rest() {
    let scene = Scene::new().await;
    let running = scene.start(scene.parts());
    let release = scene.hold_a_check().await;
    running.shutdown.cancel();
    scene.until_nobody_consumes().await;
    scene.publish_check(&scene.check()).await;
    assert_eq!(scene.waiting().await, 1, "taken while stopping");
    drop(release);
    running.ended().await.unwrap();
    // What was held has its result, and its task does not come again.
    scene.next_result().await;
    assert_eq!(scene.waiting().await, 1);
}

#[tokio::test]
async fn results_that_somebody_waits_for_are_announced() {
    let scene = Scene::new().await;
    let mut check = scene.check();
    check.trigger = Trigger::OnDemand;
    check.run_id = sonde_core::RunId::from_u64(7);
    let topic = Topic::Run {
        run_id: check.run_id,
    };
    let mut run = scene.queue.listen(&[topic]).await.unwrap();
    let running = scene.start(scene.parts());
    scene.publish_check(&check).await;
    let heard = timeout(PATIENCE, run.next()).await.unwrap().unwrap();
    let announced = ResultsMessage::decode(&heard.payload).unwrap().results;
    assert_eq!(announced, [scene.next_result().await]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn it_ends_when_there_is_nothing_to_do_but_not_before() {
    let scene = Scene::new().await;
    let mut parts = scene.parts();
    let idle = Duration::from_millis(300);
    parts.options = CheckerOptions {
        idle: Some(idle),
        ..CheckerOptions::default()
    };
    let running = scene.start(parts);
    let release = scene.hold_a_check().await;
    let early = timeout(idle * 3, scene.until_nobody_consumes()).await;
    assert!(early.is_err(), "ended with a check in flight");
    drop(release);
    running.ended().await.unwrap();
    scene.next_result().await;
}

#[tokio::test]
async fn a_task_that_is_handed_in_is_answered_and_its_result_published() {
    let scene = Scene::new().await;
    let checker = scene.build(scene.parts());
    let tasks = checker.tasks();
    let running = scene.run(checker);
    let payload = TaskMessage::encode(&scene.check(), &SealingKeys::none());
    let result: CheckResult = tasks.execute(&payload).await.unwrap();
    assert_eq!(result.reason, Some(Reason::ConnectRefused));
    assert_eq!(scene.next_result().await, result);

    let unreadable = tasks.execute(b"{}").await;
    assert!(matches!(unreadable, Err(TaskError::Unreadable(_))));
    let mut check = scene.check();
    check.region = Region::new("iad").unwrap();
    let payload_of_iad = TaskMessage::encode(&check, &SealingKeys::none());
    let refused = tasks.execute(&payload_of_iad).await;
    assert!(matches!(refused, Err(TaskError::OtherRegion { .. })));

    running.stop().await.unwrap();
    let late = tasks.execute(&payload).await;
    assert!(matches!(late, Err(TaskError::NotReady)));
    scene.queue.close();
}

#[tokio::test]
async fn a_result_that_cannot_be_published_is_not_given_as_done() {
    let scene = Scene::new().await;
    let mut parts = scene.parts();
    parts.partitions = 64;
    let mut check = scene.check();
    let elsewhere = |id: &String| {
        let id = sonde_core::MonitorId::new(id).unwrap();
        sonde_core::partition(&sonde_core::WorkspaceId::local(), &id, 64) != 0
    };
    let id = (0..100).map(|n| format!("m{n}")).find(elsewhere).unwrap();
    let monitor = std::sync::Arc::make_mut(&mut check.monitor);
    monitor.id = sonde_core::MonitorId::new(&id).unwrap();
    let checker = scene.build(parts);
    let tasks = checker.tasks();
    let running = scene.run(checker);
    let payload = TaskMessage::encode(&check, &SealingKeys::none());
    let refused = tasks.execute(&payload).await;
    assert!(matches!(refused, Err(TaskError::Unpublished(Some(_)))));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_queue_that_fails_is_subscribed_to_again() {
    let scene = Scene::new().await;
    let mut parts = scene.parts();
    parts.queue = scene.fails_first(1);
    let running = scene.start(parts);
    scene.publish_check(&scene.check()).await;
    assert_eq!(scene.next_result().await.outcome, Outcome::Failed);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_loop_that_panics_ends_the_checker() {
    let scene = Scene::new().await;
    let mut parts = scene.parts();
    parts.bus = scene.panicking_bus();
    let ended = scene.start(parts).ended().await;
    assert!(matches!(ended, Err(CheckerError::Panicked(_))));
}

#[tokio::test(start_paused = true)]
async fn a_checker_that_cannot_reach_its_canary_says_so() {
    let scene = Scene::new().await;
    let mut heartbeats = scene.queue.listen(&[Topic::Heartbeat]).await.unwrap();
    let mut parts = scene.parts();
    parts.options.canary = Some((*scene.check().monitor).clone());
    let running = scene.start(parts);
    let unwell = async {
        loop {
            let heard = heartbeats.next().await.unwrap();
            let status = fleet::decode::<Heartbeat>(&heard.payload).unwrap().status;
            if let Some(why) = status.unwell {
                return why;
            }
        }
    };
    let why = timeout(Duration::from_mins(2), unwell).await.unwrap();
    assert!(why.starts_with("the canary "), "{why}");
    running.stop().await.unwrap();
}
