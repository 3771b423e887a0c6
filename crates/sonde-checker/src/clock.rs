//! The leader's time: what the machine's clock is off is asked for over the bus and corrected, as NTP does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sonde_core::{Clock, Timestamp};
use sonde_queue::fleet::{self, ClockAnswer, ClockQuestion};
use sonde_queue::{Announcement, Bus, Listener, QueueError, Topic};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::doubt::Doubt;
use crate::vitals::Vitals;

/// Between two exchanges.
const PERIOD: Duration = Duration::from_secs(30);
/// The same as long as nobody has answered yet: a fleet that starts has no leader for a moment.
const FIRST_PERIOD: Duration = Duration::from_millis(250);
/// Questions in one exchange; the answer with the shortest round trip is the truest.
const ROUNDS: u32 = 4;
/// A slower answer is worth less than none.
const PATIENCE: Duration = Duration::from_secs(1);
/// Beyond it the correction works, but the machine is not to be trusted.
const MOST_OFF: Duration = Duration::from_secs(30);
/// How often, and how precisely, the machine's clock is compared with the monotonic one.
const LOOK: Duration = Duration::from_secs(1);
const JUMP: Duration = Duration::from_millis(500);

/// The machine's clock, corrected by what it is behind the leader's.
pub(crate) struct CorrectedClock {
    machine: Arc<dyn Clock>,
    offset_us: AtomicI64,
}

impl CorrectedClock {
    pub(crate) fn new(machine: Arc<dyn Clock>) -> Self {
        Self {
            machine,
            offset_us: AtomicI64::new(0),
        }
    }
}

impl Clock for CorrectedClock {
    fn now(&self) -> Timestamp {
        let offset = self.offset_us.load(Ordering::Relaxed);
        Timestamp::from_micros(self.machine.now().as_micros().saturating_add(offset))
    }
}

/// Keeps one clock corrected.
pub(crate) struct Exchange {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) checker: String,
    pub(crate) clock: Arc<CorrectedClock>,
    pub(crate) doubt: Arc<Doubt>,
    pub(crate) vitals: Vitals,
    /// Microseconds, for the heartbeat.
    pub(crate) known: tokio::sync::watch::Sender<Option<i64>>,
}

/// One answer, as the asker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    offset_us: i64,
    round_trip: Duration,
}

impl Exchange {
    /// Never ends. Cancels `answered` as soon as the first exchange has had an answer.
    pub(crate) async fn run(self, answered: CancellationToken) {
        let mut last_answer = None;
        loop {
            let topic = Topic::ClockAnswer {
                checker: self.checker.clone(),
            };
            match self.bus.listen(&[topic]).await {
                Ok(mut listener) => {
                    let lost = self.keep(&mut *listener, &answered, &mut last_answer).await;
                    tracing::debug!(
                        error = sonde_core::chain(&lost),
                        "answers about the time are not heard; listening again"
                    );
                }
                Err(error) => tracing::debug!(
                    error = sonde_core::chain(&error),
                    "cannot listen for answers about the time"
                ),
            }
            sleep(PATIENCE).await;
        }
    }

    /// Exchanges until the listener fails.
    async fn keep(
        &self,
        listener: &mut dyn Listener,
        answered: &CancellationToken,
        last_answer: &mut Option<Instant>,
    ) -> QueueError {
        loop {
            match self.exchange(listener).await {
                Ok(Some(sample)) => {
                    self.apply(sample);
                    *last_answer = Some(Instant::now());
                    answered.cancel();
                }
                Ok(None) => {}
                Err(error) => return error,
            }
            self.pause(*last_answer).await;
        }
    }

    /// The best of a few rounds; `None` when nobody answers.
    async fn exchange(&self, listener: &mut dyn Listener) -> Result<Option<Sample>, QueueError> {
        let mut best: Option<Sample> = None;
        for _ in 0..ROUNDS {
            match timeout(PATIENCE, self.ask(listener)).await {
                Ok(Ok(sample)) if best.is_none_or(|best| sample.round_trip < best.round_trip) => {
                    best = Some(sample);
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                // Whoever answers none answers the next neither.
                Err(_) => break,
            }
        }
        Ok(best)
    }

    async fn ask(&self, listener: &mut dyn Listener) -> Result<Sample, QueueError> {
        let question = ClockQuestion::new(self.checker.clone(), self.clock.machine.now());
        let asked = Instant::now();
        let announcement = Announcement {
            topic: Topic::ClockQuestion,
            payload: fleet::encode(&question),
        };
        self.bus.announce(announcement).await?;
        loop {
            let heard = listener.next().await?;
            let took = asked.elapsed();
            match fleet::decode::<ClockAnswer>(&heard.payload) {
                Ok(answer) if answer.sent_at == question.sent_at => {
                    return Ok(Sample::new(&answer, took));
                }
                // The late answer to an earlier question.
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    error = sonde_core::chain(&error),
                    "an answer about the time is unreadable"
                ),
            }
        }
    }

    fn apply(&self, sample: Sample) {
        let Sample { offset_us, .. } = sample;
        let before = self.clock.offset_us.swap(offset_us, Ordering::Relaxed);
        let off = Duration::from_micros(offset_us.unsigned_abs());
        let side = if offset_us < 0 { "ahead of" } else { "behind" };
        let text = format!("the clock is {} ms {side} the leader's", off.as_millis());
        if Duration::from_micros(before.abs_diff(offset_us)) > LOOK {
            tracing::warn!(offset_us, "{text}; times are corrected by that");
        }
        let wrong = (off > MOST_OFF).then_some(text);
        self.doubt.clock(wrong, Instant::now());
        self.vitals.clock_offset.set(seconds(offset_us));
        self.known.send_replace(Some(offset_us));
    }

    /// Waits for the next exchange, which comes at once when the machine's clock is set.
    async fn pause(&self, last_answer: Option<Instant>) {
        let began = Instant::now();
        let machine = self.clock.machine.now();
        let period = last_answer.map_or(FIRST_PERIOD, |_| PERIOD);
        while began.elapsed() < period {
            sleep(LOOK.min(period)).await;
            if let Some(at) = last_answer {
                self.vitals.clock_unanswered.set(at.elapsed().as_secs_f64());
            }
            let elapsed = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
            let moved = self.clock.machine.now().as_micros() - machine.as_micros();
            let jump = Duration::from_micros(moved.abs_diff(elapsed));
            if jump > JUMP && last_answer.is_some() {
                let text = format!("the machine's clock was set by {} ms", jump.as_millis());
                tracing::warn!("{text}; asking the leader for the time");
                self.doubt.clock(Some(text), Instant::now());
                return;
            }
        }
    }
}

impl Sample {
    /// RFC 5905 §8, with the asker's second reading taken from the monotonic clock: its wall clock may be set meanwhile.
    fn new(answer: &ClockAnswer, took: Duration) -> Self {
        let took_us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        let [sent, received, answered] =
            [answer.sent_at, answer.received_at, answer.answered_at].map(Timestamp::as_micros);
        let back = sent.saturating_add(took_us);
        let there = received.saturating_sub(sent);
        let offset_us = there.saturating_add(answered.saturating_sub(back)) / 2;
        let round_trip = took.saturating_sub(answer.answered_at.since(answer.received_at));
        Self {
            offset_us,
            round_trip,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge needs no more than 52 bits"
)]
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_what_halves_the_round_trip() {
        let at = |micros| Timestamp::from_micros(micros);
        // Two minutes behind; 10 ms there, 1 ms at the leader, 10 ms back.
        let question = ClockQuestion::new("c".to_owned(), at(1_000_000));
        let answer = ClockAnswer::new(&question, at(121_010_000), at(121_011_000));
        let sample = Sample::new(&answer, Duration::from_millis(21));
        assert_eq!(sample.offset_us, 120_000_000);
        assert_eq!(sample.round_trip, Duration::from_millis(20));
    }
}
