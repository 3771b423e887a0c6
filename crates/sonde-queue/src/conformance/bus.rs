//! What every bus must do. Each test takes a fresh one, on which the topology is declared where that is needed.

use sonde_core::RunId;
use tokio::time::timeout;

use super::{PATIENCE, SILENCE};
use crate::{Announcement, Bus, Listener, Topic};

fn run(number: u64) -> Topic {
    let run_id = RunId::from_u64(number);
    Topic::Run { run_id }
}

fn answer(checker: &str) -> Topic {
    let checker = checker.to_owned();
    Topic::ClockAnswer { checker }
}

async fn announce(bus: &dyn Bus, topic: &Topic, payload: &str) {
    let (topic, payload) = (topic.clone(), payload.into());
    let announced = bus.announce(Announcement { topic, payload });
    announced.await.unwrap();
}

#[track_caller]
fn expect(heard: &Announcement, topic: &Topic, payload: &str) {
    assert_eq!((&heard.topic, &*heard.payload), (topic, payload.as_bytes()));
}

async fn next(listener: &mut dyn Listener) -> Announcement {
    let heard = timeout(PATIENCE, listener.next()).await;
    heard.expect("an announcement was lost").unwrap()
}

pub async fn an_announcement_reaches_every_listener(bus: &dyn Bus) {
    let topics = [Topic::Config, Topic::Heartbeat];
    let mut one = bus.listen(&topics).await.unwrap();
    let mut other = bus.listen(&topics).await.unwrap();
    announce(bus, &Topic::Config, "").await;
    announce(bus, &Topic::Heartbeat, "2").await;
    for listener in [&mut one, &mut other] {
        // Order holds only within a topic.
        let mut heard = [next(&mut **listener).await, next(&mut **listener).await];
        heard.sort_by_key(|announcement| announcement.payload.clone());
        expect(&heard[0], &Topic::Config, "");
        expect(&heard[1], &Topic::Heartbeat, "2");
    }
}

pub async fn a_listener_hears_its_topics_only(bus: &dyn Bus) {
    let topics = [run(1), answer("fra.1")];
    let mut listener = bus.listen(&topics).await.unwrap();
    for other in [
        run(2),
        answer("fra"),
        answer("fra.2"),
        Topic::Config,
        Topic::Heartbeat,
        Topic::RollCall,
        Topic::ClockQuestion,
    ] {
        announce(bus, &other, "not for it").await;
    }
    for topic in &topics {
        announce(bus, topic, "for it").await;
        expect(&next(&mut *listener).await, topic, "for it");
    }
    let silence = timeout(SILENCE, listener.next()).await;
    assert!(silence.is_err());
}

pub async fn nobody_has_to_listen(bus: &dyn Bus) {
    for topic in [Topic::Config, Topic::RollCall] {
        announce(bus, &topic, "unheard").await;
    }
    let mut listener = bus.listen(&[Topic::RollCall]).await.unwrap();
    announce(bus, &Topic::RollCall, "heard").await;
    expect(&next(&mut *listener).await, &Topic::RollCall, "heard");
}

pub async fn hearing_is_cancel_safe(bus: &dyn Bus) {
    const ANNOUNCEMENTS: usize = 20;
    let mut listener = bus.listen(&[Topic::Heartbeat]).await.unwrap();
    for number in 0..ANNOUNCEMENTS {
        announce(bus, &Topic::Heartbeat, &number.to_string()).await;
    }
    let hearing = async {
        let mut count = 0;
        while count < ANNOUNCEMENTS {
            let brief = std::time::Duration::from_micros(100);
            if let Ok(heard) = timeout(brief, listener.next()).await {
                expect(&heard.unwrap(), &Topic::Heartbeat, &count.to_string());
                count += 1;
            }
        }
    };
    let heard = timeout(PATIENCE, hearing).await;
    heard.expect("a cancelled wait lost an announcement");
}

/// Runs the whole suite against one backend: `bus_conformance!(name, async { Some((fresh_bus, guard)) })`.
#[macro_export]
macro_rules! bus_conformance {
    ($backend:ident, $fresh:expr) => {
        $crate::bus_conformance!(@tests $backend, $fresh;
            an_announcement_reaches_every_listener,
            a_listener_hears_its_topics_only,
            nobody_has_to_listen,
            hearing_is_cancel_safe,
        );
    };
    (@tests $backend:ident, $fresh:expr; $($test:ident),+ $(,)?) => {
        mod $backend {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    let Some((bus, _guard)) = $fresh.await else {
                        return;
                    };
                    $crate::conformance::bus::$test(&bus).await;
                }
            )+
        }
    };
}
