//! What runs beside the checks: the heartbeat, and the looks that a checker takes at itself. None of it ever ends.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Check, Clock as _, Frequency, Monitor, Region, RunId, Trigger};
use sonde_probe::Prober;
use sonde_queue::fleet::{self, Heartbeat};
use sonde_queue::{Announcement, Bus, Listener, Topic};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::doubt::BEAT;
use crate::shared::Shared;

const HEARTBEAT: Duration = Duration::from_secs(5);
const CANARY: Duration = Duration::from_secs(15);
const CANARY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often idleness is looked at while there is something to do.
const BUSY_LOOK: Duration = Duration::from_millis(100);

/// Tells every few seconds, when asked, and when draining begins, how the checker is.
pub(crate) async fn heartbeat(bus: Arc<dyn Bus>, shared: Arc<Shared>) {
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut roll_call: Option<Box<dyn Listener>> = None;
    let mut drained = false;
    loop {
        if roll_call.is_none() {
            roll_call = bus.listen(&[Topic::RollCall]).await.ok();
        }
        let called = async {
            match &mut roll_call {
                Some(listener) => listener.next().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.draining.cancelled(), if !drained => drained = true,
            heard = called => if !heard {
                roll_call = None;
                // Not at once again, in case it fails at once again.
                sleep(BUSY_LOOK).await;
                continue;
            },
            _ = ticks.tick() => {}
        }
        let announced = bus.announce(Announcement {
            topic: Topic::Heartbeat,
            payload: fleet::encode(&Heartbeat::new(shared.status())),
        });
        if let Err(error) = announced.await {
            tracing::debug!(
                error = sonde_core::chain(&error),
                "cannot announce a heartbeat"
            );
        }
    }
}

/// Shows that the event loop runs, and notices when it did not.
pub(crate) async fn beat(shared: Arc<Shared>) {
    loop {
        sleep(BEAT).await;
        shared.doubt.beat(Instant::now());
    }
}

/// Looks whether what must be reachable from here still is.
pub(crate) async fn canary(monitor: Arc<Monitor>, prober: Prober, shared: Arc<Shared>) {
    loop {
        let now = shared.clock.now();
        let check = Check {
            region: Region::clone(&shared.region),
            slot: now,
            run_id: RunId::random(),
            trigger: Trigger::OnDemand,
            frequency: Frequency::new("canary").expect("a slug"),
            deadline: now + monitor.timeout.min(CANARY_TIMEOUT),
            dispatched_at: now,
            in_maintenance: false,
            monitor: Arc::clone(&monitor),
        };
        let result = prober.run(&check, &*shared.clock).await;
        // What it answers does not matter: it is not about the canary.
        let reached = result.outcome.is_up() || result.remote_address.is_some();
        let failed = (!reached).then(|| {
            let why = result.message.unwrap_or_default();
            format!("the canary {} cannot be reached: {why}", result.target)
        });
        shared.doubt.canary(failed, Instant::now());
        sleep(CANARY).await;
    }
}

/// Resolves when there was nothing to do for `limit`.
pub(crate) async fn idle(limit: Duration, shared: &Shared) {
    loop {
        match shared.idle_since() {
            Some(since) if since.elapsed() >= limit => return,
            Some(since) => sleep_until(since + limit).await,
            None => sleep(BUSY_LOOK).await,
        }
    }
}
