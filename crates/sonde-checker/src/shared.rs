//! What the loops of one checker share: how much it does, how it is, and whether it may take tasks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sonde_core::{CheckResult, Clock, Reason, Region, Timestamp};
use sonde_queue::fleet::CheckerStatus;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::CheckerMetrics;
use crate::clock::CorrectedClock;
use crate::doubt::Doubt;

pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) region: Region,
    pub(crate) started_at: Timestamp,
    pub(crate) permits: u32,
    pub(crate) clock: Arc<CorrectedClock>,
    /// What the machine's clock is behind the leader's, in microseconds, once known.
    pub(crate) clock_offset: watch::Sender<Option<i64>>,
    pub(crate) doubt: Arc<Doubt>,
    pub(crate) metrics: CheckerMetrics,
    /// Tasks may be taken: the queues are consumed, the clock has been asked for.
    pub(crate) ready: CancellationToken,
    /// No more tasks are taken; what is held is settled.
    pub(crate) draining: CancellationToken,
    in_flight: AtomicU32,
    executed: AtomicU64,
    queue_wait_us: AtomicU64,
    last_busy: Mutex<Instant>,
}

/// Counts one task in flight while it lives.
pub(crate) struct Busy<'a> {
    shared: &'a Shared,
    _counted: crate::metrics::InFlight,
}

impl Shared {
    pub(crate) fn new(
        id: String,
        region: Region,
        permits: u32,
        clock: Arc<dyn Clock>,
        metrics: CheckerMetrics,
    ) -> Self {
        let now = Instant::now();
        Self {
            id,
            region,
            started_at: clock.now(),
            permits,
            clock: Arc::new(CorrectedClock::new(clock)),
            clock_offset: watch::Sender::new(None),
            doubt: Arc::new(Doubt::new(now)),
            metrics,
            ready: CancellationToken::new(),
            draining: CancellationToken::new(),
            in_flight: AtomicU32::new(0),
            executed: AtomicU64::new(0),
            queue_wait_us: AtomicU64::new(0),
            last_busy: Mutex::new(now),
        }
    }

    pub(crate) fn begin(&self) -> Busy<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.touch();
        Busy {
            shared: self,
            _counted: self.metrics.begin(),
        }
    }

    /// Takes down what came of a check that began at `start`, and doubts it where that is due.
    pub(crate) fn finish(&self, result: &mut CheckResult, start: Instant) {
        let now = Instant::now();
        // Its phase stands where a name was looked up; servers that are silent count where they are this checker's own.
        let failed = result.reason == Some(Reason::ResolverUnavailable)
            || (result.reason == Some(Reason::DnsTimeout) && result.suspect);
        if failed || result.phases_us.dns.is_some() {
            self.doubt.looked_up(failed, now);
        }
        if result.outcome.is_executed() {
            self.executed.fetch_add(1, Ordering::Relaxed);
            result.suspect |= self.doubt.unwell_since(start, now);
        }
        if let Some(wait) = result.queue_wait_us {
            self.queue_wait_us.store(wait, Ordering::Relaxed);
        }
        self.metrics.observe(result);
    }

    pub(crate) fn status(&self) -> CheckerStatus {
        let unwell = self.doubt.unwell(Instant::now());
        self.metrics.vitals.unwell.set(i64::from(unwell.is_some()));
        CheckerStatus {
            id: self.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            region: self.region.clone(),
            started_at: self.started_at,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            permits: self.permits,
            executed: self.executed.load(Ordering::Relaxed),
            queue_wait_us: self.queue_wait_us.load(Ordering::Relaxed),
            clock_offset_us: *self.clock_offset.borrow(),
            unwell,
            draining: self.draining.is_cancelled(),
        }
    }

    /// Since when there is nothing to do; `None` while there is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let last_busy = *self.last_busy();
        (self.in_flight.load(Ordering::Relaxed) == 0).then_some(last_busy)
    }

    fn touch(&self) {
        *self.last_busy() = Instant::now();
    }

    fn last_busy(&self) -> std::sync::MutexGuard<'_, Instant> {
        let locked = self.last_busy.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.shared.touch();
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
