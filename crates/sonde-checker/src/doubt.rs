//! Self-doubt: a checker that is unwell itself must not accuse its targets. Results taken meanwhile are suspect.
//!
//! Pure: what is noticed comes in with its time; the loops that notice it are in [`crate::watch`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two looks at whether timers still fire in time.
pub(crate) const BEAT: Duration = Duration::from_millis(100);
/// A wake-up later than this moved some measured phase by as much.
const LATE: Duration = Duration::from_millis(250);
/// How far back late wake-ups and failed look-ups count.
const WINDOW: Duration = Duration::from_secs(10);
/// Late for a tenth of the window in all: one hiccup is none, a stopped process or a starved one is.
const MOST_LATE: Duration = Duration::from_secs(1);
/// Fewer failed look-ups may be about the names.
const LEAST_FAILED_LOOKUPS: u32 = 3;
/// In a row: one lost packet is no outage.
const CANARY_FAILURES: u32 = 2;

/// What is known of this checker's health.
pub(crate) struct Doubt(Mutex<Health>);

struct Health {
    /// When the event loop last showed that it runs.
    last_beat: Instant,
    /// Late wake-ups: when, and how late.
    late: VecDeque<(Instant, Duration)>,
    /// Per second: look-ups in all, and those that this checker's own name servers failed.
    lookups: VecDeque<Lookups>,
    canary_failures: u32,
    canary: Option<String>,
    clock: Option<String>,
    last_unwell: Option<Instant>,
}

struct Lookups {
    since: Instant,
    all: u32,
    failed: u32,
}

impl Doubt {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Health {
            last_beat: now,
            late: VecDeque::new(),
            lookups: VecDeque::new(),
            canary_failures: 0,
            canary: None,
            clock: None,
            last_unwell: None,
        }))
    }

    /// The event loop runs; [`BEAT`] after the last time, if all is well.
    pub(crate) fn beat(&self, now: Instant) {
        let mut health = self.lock();
        let late = health.pending(now);
        if late > LATE {
            health.late.push_back((now, late));
        }
        health.last_beat = now;
        health.note(now);
    }

    pub(crate) fn looked_up(&self, failed: bool, now: Instant) {
        let mut health = self.lock();
        let second = Duration::from_secs(1);
        let current = health.lookups.back_mut();
        let failed = u32::from(failed);
        match current.filter(|bucket| now.duration_since(bucket.since) < second) {
            Some(bucket) => {
                bucket.all += 1;
                bucket.failed += failed;
            }
            None => health.lookups.push_back(Lookups {
                since: now,
                all: 1,
                failed,
            }),
        }
        health.note(now);
    }

    /// `failed` says why it could not be reached.
    pub(crate) fn canary(&self, failed: Option<String>, now: Instant) {
        let mut health = self.lock();
        health.canary_failures = match failed {
            Some(_) => health.canary_failures + 1,
            None => 0,
        };
        health.canary = failed.filter(|_| health.canary_failures >= CANARY_FAILURES);
        health.note(now);
    }

    /// `wrong` says what is wrong with the machine's clock.
    pub(crate) fn clock(&self, wrong: Option<String>, now: Instant) {
        let mut health = self.lock();
        health.clock = wrong;
        health.note(now);
    }

    /// Why results are suspect now.
    pub(crate) fn unwell(&self, now: Instant) -> Option<String> {
        self.lock().note(now)
    }

    /// Whether it was unwell at any time since `start`.
    pub(crate) fn unwell_since(&self, start: Instant, now: Instant) -> bool {
        let mut health = self.lock();
        health.note(now);
        health.last_unwell.is_some_and(|at| at >= start)
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        // Every change is complete before anything can panic, so a poisoned state is still a good one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    /// How late the next beat is already: a process that was stopped knows before its timers fire.
    fn pending(&self, now: Instant) -> Duration {
        (now.duration_since(self.last_beat)).saturating_sub(BEAT)
    }

    fn note(&mut self, now: Instant) -> Option<String> {
        let old = |at: Instant| now.duration_since(at) > WINDOW;
        while self.late.front().is_some_and(|(at, _)| old(*at)) {
            self.late.pop_front();
        }
        while self.lookups.front().is_some_and(|it| old(it.since)) {
            self.lookups.pop_front();
        }
        let why = self
            .event_loop(now)
            .or_else(|| self.resolver())
            .or_else(|| self.canary.clone())
            .or_else(|| self.clock.clone());
        if why.is_some() {
            self.last_unwell = Some(now);
        }
        why
    }

    fn event_loop(&self, now: Instant) -> Option<String> {
        let pending = Some(self.pending(now)).filter(|late| *late > LATE);
        let late = self.late.iter().map(|(_, late)| *late).chain(pending);
        let late: Duration = late.sum();
        (late >= MOST_LATE).then(|| {
            let millis = late.as_millis();
            format!("the checker was {millis} ms late in the last {WINDOW:?}: it has too little CPU or was stopped")
        })
    }

    fn resolver(&self) -> Option<String> {
        let all: u32 = self.lookups.iter().map(|it| it.all).sum();
        let failed: u32 = self.lookups.iter().map(|it| it.failed).sum();
        (failed >= LEAST_FAILED_LOOKUPS && failed * 2 >= all).then(|| {
            format!("the checker's own name servers failed {failed} of {all} look-ups in the last {WINDOW:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn doubt() -> (Doubt, Instant) {
        let now = Instant::now();
        (Doubt::new(now), now)
    }

    /// Beats in time from `from` for `lasting`.
    fn beats(doubt: &Doubt, from: Instant, lasting: Duration) -> Instant {
        let mut now = from;
        while now < from + lasting {
            now += BEAT;
            doubt.beat(now);
        }
        now
    }

    #[test]
    fn one_hiccup_is_no_illness() {
        let (doubt, start) = doubt();
        doubt.beat(start + BEAT + Duration::from_millis(900));
        assert_eq!(doubt.unwell(start + SECOND), None);
    }

    #[test]
    fn a_process_that_was_stopped_knows_before_its_timers_fire_and_forgets_after_a_while() {
        let (doubt, start) = doubt();
        let resumed = start + SECOND * 15;
        assert!(doubt.unwell_since(start, resumed));
        doubt.beat(resumed);
        let why = doubt.unwell(resumed).unwrap();
        assert!(why.contains("14900 ms late"), "{why}");
        let later = beats(&doubt, resumed, SECOND * 11);
        assert_eq!(doubt.unwell(later), None);
        // A check that began before that has been through it.
        assert!(doubt.unwell_since(start, later));
        assert!(!doubt.unwell_since(later, later));
    }

    #[test]
    fn a_starved_process_is_unwell_though_no_single_wake_up_was_very_late() {
        let (doubt, start) = doubt();
        let mut now = start;
        for _ in 0..4 {
            now += BEAT + Duration::from_millis(300);
            doubt.beat(now);
        }
        assert!(doubt.unwell(now).is_some());
    }

    #[test]
    fn name_servers_that_fail_most_look_ups_make_it_unwell() {
        let (doubt, start) = doubt();
        let look = |failed| doubt.looked_up(failed, start);
        look(true);
        look(true);
        assert_eq!(doubt.unwell(start), None, "too few to tell");
        look(true);
        assert!(doubt.unwell(start).is_some());
        (0..4).for_each(|_| look(false));
        assert_eq!(doubt.unwell(start), None, "most succeed");
    }

    #[test]
    fn a_canary_must_fail_twice_in_a_row() {
        let (doubt, now) = doubt();
        let fails = || doubt.canary(Some("no canary".to_owned()), now);
        fails();
        doubt.canary(None, now);
        fails();
        assert_eq!(doubt.unwell(now), None);
        fails();
        assert_eq!(doubt.unwell(now).as_deref(), Some("no canary"));
        doubt.canary(None, now);
        assert_eq!(doubt.unwell(now), None);
    }
}
