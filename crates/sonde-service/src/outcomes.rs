//! Outcomes as they come in, to be followed. Each has an id after which somebody who was away goes on: exactly in the
//! process that gave it, and elsewhere or much later from the rows, where some may come twice and none is left out.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sonde_core::{CheckResult, Clock, Scope, Timestamp};
use sonde_queue::{ResultsMessage, Topic};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::access::Access;
use crate::{Result, Service};

/// Outcomes kept for who comes back.
const KEPT: usize = 10_000;
/// Nothing is kept when nobody has listened for so long: reading results costs.
const INTEREST: Duration = Duration::from_mins(10);
/// A result comes so much later than its slot, at most, while nothing is wrong.
const LATE: Duration = Duration::from_mins(10);
/// Rows read for somebody who was away long.
const MOST_ROWS: u32 = 10_000;

/// Where somebody is in the stream; opaque text to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    /// The process that gave it; zero where it was made from a row.
    epoch: u64,
    number: u64,
    at: Timestamp,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.at.as_micros(), self.epoch, self.number)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = text.splitn(3, '-');
        let mut next = || numbers.next()?.parse::<u64>().ok();
        let id = (|| {
            Some(Self {
                at: Timestamp::from_micros(i64::try_from(next()?).ok()?),
                epoch: next()?,
                number: next()?,
            })
        })();
        id.ok_or(())
    }
}

#[derive(Debug, Clone)]
pub struct Event {
    pub id: EventId,
    pub result: CheckResult,
}

/// What came in of late.
pub(crate) struct Outcomes {
    epoch: u64,
    kept: Mutex<Kept>,
    live: broadcast::Sender<Arc<Event>>,
}

struct Kept {
    events: VecDeque<Arc<Event>>,
    /// Of the event that comes next.
    next: u64,
    wanted: Option<Instant>,
}

impl Outcomes {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        let started = clock.now().as_micros();
        Self {
            epoch: u64::try_from(started).unwrap_or(1).max(1),
            kept: Mutex::new(Kept {
                events: VecDeque::new(),
                next: 1,
                wanted: None,
            }),
            live: broadcast::Sender::new(KEPT),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody listens, or did not long ago.
    fn is_wanted(&self) -> bool {
        let mut kept = self.kept();
        if self.live.receiver_count() > 0 {
            kept.wanted = Some(Instant::now());
        }
        let wanted = kept.wanted.is_some_and(|at| at.elapsed() < INTEREST);
        if !wanted {
            kept.events.clear();
        }
        wanted
    }

    fn add(&self, results: Vec<CheckResult>, at: Timestamp) {
        let mut kept = self.kept();
        for result in results {
            let id = EventId {
                epoch: self.epoch,
                number: kept.next,
                at,
            };
            kept.next += 1;
            let event = Arc::new(Event { id, result });
            kept.events.push_back(Arc::clone(&event));
            if kept.events.len() > KEPT {
                kept.events.pop_front();
            }
            // Nobody listening is fine.
            let _ = self.live.send(event);
        }
    }

    /// What is kept after `id`, and what comes from now on; `None` in place of the former when some of it is kept no
    /// longer, or never was here.
    fn after(
        &self,
        id: Option<EventId>,
    ) -> (Option<Vec<Arc<Event>>>, broadcast::Receiver<Arc<Event>>) {
        let mut kept = self.kept();
        kept.wanted = Some(Instant::now());
        let live = self.live.subscribe();
        let Some(id) = id else {
            return (Some(Vec::new()), live);
        };
        let oldest = kept
            .events
            .front()
            .map_or(kept.next, |event| event.id.number);
        if id.epoch != self.epoch || id.number + 1 < oldest {
            return (None, live);
        }
        let later = kept
            .events
            .iter()
            .filter(|event| event.id.number > id.number);
        (Some(later.cloned().collect()), live)
    }
}

impl Service {
    /// Hears results for whoever follows them, until the queue is closed or the future is dropped.
    pub async fn hear_outcomes(&self) -> Result<()> {
        let parts = &self.parts;
        let partitions = 0..parts.queues.partitions;
        let topics: Vec<_> = partitions
            .map(|partition| Topic::Results { partition })
            .collect();
        let mut listener = parts.bus.listen(&topics).await?;
        loop {
            let heard = listener.next().await?;
            if !self.outcomes.is_wanted() {
                continue;
            }
            match ResultsMessage::decode(&heard.payload) {
                Ok(message) => self.outcomes.add(message.results, self.now()),
                Err(error) => {
                    let error = sonde_core::chain(&error);
                    tracing::warn!(error, "results are unreadable to who follows them");
                }
            }
        }
    }
}

/// Somebody who follows.
pub struct Following {
    access: Access,
    backlog: VecDeque<Arc<Event>>,
    live: broadcast::Receiver<Arc<Event>>,
    last: Option<EventId>,
}

impl Access {
    /// Outcomes of the workspace from now on, or after one that was seen.
    pub async fn follow(&self, after: Option<EventId>) -> Result<Following> {
        self.visible(Scope::ResultsRead)?;
        let mut following = Following {
            access: self.clone(),
            backlog: VecDeque::new(),
            live: self.service.outcomes.live.subscribe(),
            last: after,
        };
        following.catch_up().await?;
        Ok(following)
    }
}

impl Following {
    /// The next one; waits for it. An error ends it: come back with the last id. Cancel safe but for an error.
    pub async fn next(&mut self) -> Result<Option<Arc<Event>>> {
        loop {
            while let Some(event) = self.backlog.pop_front() {
                self.last = Some(event.id);
                if self.is_ours(&event) {
                    return Ok(Some(event));
                }
            }
            match self.live.recv().await {
                Ok(event) => self.backlog.push_back(event),
                Err(RecvError::Lagged(_)) => self.catch_up().await?,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    fn is_ours(&self, event: &Event) -> bool {
        let permit = self.access.visible(Scope::ResultsRead);
        event.result.workspace == *self.access.workspace()
            && permit.is_ok_and(|permit| permit.sees(&event.result.monitor))
    }

    /// From the last one on.
    async fn catch_up(&mut self) -> Result<()> {
        let outcomes = &self.access.service.outcomes;
        let (kept, live) = outcomes.after(self.last);
        self.live = live;
        self.backlog = match (kept, self.last) {
            (Some(kept), _) => kept.into(),
            (None, Some(last)) => self.rows_since(last.at - LATE).await?,
            (None, None) => VecDeque::new(),
        };
        Ok(())
    }

    async fn rows_since(&self, from: Timestamp) -> Result<VecDeque<Arc<Event>>> {
        let permit = self.access.visible(Scope::ResultsRead)?;
        let rows = permit.results().recent(permit.workspace(), from, MOST_ROWS);
        let event = |result: CheckResult| {
            let id = EventId {
                epoch: 0,
                number: 0,
                at: result.slot,
            };
            Arc::new(Event { id, result })
        };
        Ok(rows.await?.into_iter().map(event).collect())
    }
}

#[cfg(test)]
mod tests {
    use sonde_core::ManualClock;

    use super::*;

    fn outcomes() -> (Outcomes, Timestamp) {
        let at = CheckResult::sample().slot;
        (Outcomes::new(&ManualClock::at(at)), at)
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = EventId {
            epoch: 7,
            number: 3,
            at: Timestamp::from_micros(1_763_640_000_000_000),
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1", "1-2", "1-2-x", "-1-2-3", "1-2-3-4"] {
            assert_eq!(text.parse::<EventId>(), Err(()), "{text}");
        }
    }

    #[test]
    fn who_comes_back_gets_all_that_came_meanwhile() {
        let (outcomes, at) = outcomes();
        let (_, mut live) = outcomes.after(None);
        outcomes.add(vec![CheckResult::sample(); 3], at);
        let first = live.try_recv().unwrap().id;
        let (later, _) = outcomes.after(Some(first));
        let numbers: Vec<u64> = later.unwrap().iter().map(|event| event.id.number).collect();
        assert_eq!(numbers, [2, 3]);
    }

    #[test]
    fn what_is_kept_no_longer_is_not_passed_over_in_silence() {
        let (outcomes, at) = outcomes();
        let elsewhere = EventId {
            epoch: 1,
            number: 1,
            at,
        };
        assert!(outcomes.after(Some(elsewhere)).0.is_none());
        outcomes.add(vec![CheckResult::sample(); KEPT + 2], at);
        let here = |number| EventId {
            epoch: outcomes.epoch,
            number,
            at,
        };
        assert!(outcomes.after(Some(here(1))).0.is_none());
        let (kept, _) = outcomes.after(Some(here(2)));
        assert_eq!(kept.unwrap().len(), KEPT);
    }
}
