//! What every election must do. Each test takes a fresh one, with the queue of the watermark declared.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::Timestamp;
use tokio::time::{interval, timeout};

use super::PATIENCE;
use crate::{Election, Leader, Office, Outgoing, QueueError, Route, WatermarkMessage};

/// Longer than any backend waits before it looks again who leads.
const POLLS: Duration = Duration::from_millis(1200);

async fn lead(election: &dyn Election) -> Arc<dyn Leader> {
    let elected = timeout(PATIENCE, election.lead(Office::Dispatcher)).await;
    elected.expect("nobody leads").unwrap()
}

fn watermark(micros: i64) -> WatermarkMessage {
    WatermarkMessage::new(Timestamp::from_micros(micros), Vec::new())
}

pub async fn one_leads_at_a_time(election: &dyn Election) {
    let first = lead(election).await;
    let second = timeout(POLLS, election.lead(Office::Dispatcher)).await;
    assert!(second.is_err(), "two lead");
    let lost = timeout(Duration::ZERO, first.lost()).await;
    assert!(lost.is_err(), "lost without a reason");
    drop(first);
    lead(election).await;
}

pub async fn offices_are_held_apart(election: &dyn Election) {
    let dispatcher = lead(election).await;
    let alerter = timeout(PATIENCE, election.lead(Office::Alerter)).await;
    let alerter = alerter.expect("nobody alerts").unwrap();
    let second = timeout(POLLS, election.lead(Office::Alerter)).await;
    assert!(second.is_err(), "two alert");
    drop(alerter);
    let lost = timeout(POLLS, dispatcher.lost()).await;
    assert!(lost.is_err(), "one office went with the other");
}

pub async fn who_waits_takes_over(election: &dyn Election) {
    let first = lead(election).await;
    let waiting = lead(election);
    let giving_up = async {
        timeout(POLLS, std::future::pending::<()>())
            .await
            .unwrap_err();
        drop(first);
    };
    let (second, ()) = tokio::join!(waiting, giving_up);
    assert_eq!(second.watermark().await.unwrap(), None);
}

pub async fn what_was_the_leader_publishes_nothing(election: &dyn Election) {
    let leader = lead(election).await;
    let queue = leader.queue();
    drop(leader);
    let mut ticks = interval(Duration::from_millis(10));
    let refused = timeout(PATIENCE, async {
        let (route, payload) = (Route::Cron, b"late".to_vec());
        let message = Outgoing { route, payload };
        while !matches!(
            queue.publish(vec![message.clone()]).await,
            Err(QueueError::Closed)
        ) {
            ticks.tick().await;
        }
    });
    assert!(refused.await.is_ok(), "still publishing");
}

pub async fn the_watermark_outlives_its_leader(election: &dyn Election) {
    let leader = lead(election).await;
    assert_eq!(leader.watermark().await.unwrap(), None);
    leader.save_watermark(&watermark(1)).await.unwrap();
    assert_eq!(leader.watermark().await.unwrap(), Some(watermark(1)));
    drop(leader);
    let leader = lead(election).await;
    // Reading leaves it where it is.
    for _ in 0..3 {
        assert_eq!(leader.watermark().await.unwrap(), Some(watermark(1)));
    }
}

pub async fn saving_replaces_the_watermark(election: &dyn Election) {
    for last in [10, 20] {
        let leader = lead(election).await;
        for micros in last..last + 5 {
            leader.save_watermark(&watermark(micros)).await.unwrap();
        }
        let saved = leader.watermark().await.unwrap();
        assert_eq!(saved, Some(watermark(last + 4)));
    }
}

/// Runs the whole suite against one backend: `election_conformance!(name, async { Some((fresh_election, guard)) })`.
#[macro_export]
macro_rules! election_conformance {
    ($backend:ident, $fresh:expr) => {
        $crate::election_conformance!(@tests $backend, $fresh;
            one_leads_at_a_time,
            offices_are_held_apart,
            who_waits_takes_over,
            what_was_the_leader_publishes_nothing,
            the_watermark_outlives_its_leader,
            saving_replaces_the_watermark,
        );
    };
    (@tests $backend:ident, $fresh:expr; $($test:ident),+ $(,)?) => {
        mod $backend {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    let Some((election, _guard)) = $fresh.await else {
                        return;
                    };
                    $crate::conformance::election::$test(&election).await;
                }
            )+
        }
    };
}
