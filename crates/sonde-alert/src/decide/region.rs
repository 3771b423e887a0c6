//! One region's view of a target, out of the results that came from there in whatever order.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{AlertRule, CheckResult, Outcome, RANK_BYTES, Timestamp, rank};

/// Results so many intervals behind the newest may still come and be put in their place; later ones change nothing.
pub(super) const SETTLE: u32 = 2;

/// What a region says of a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    #[default]
    Up,
    Degraded,
    Down,
}

/// What is known of a target from one region: a verdict over what is settled, and what may still be added to.
#[derive(Debug, Clone, Default)]
pub(super) struct RegionState {
    settled: Streak,
    /// By slot; each of them once.
    window: Vec<Seen>,
    /// The last slot that is settled: nothing before it changes anything.
    floor: Option<Timestamp>,
    /// The last slot that said something about the target.
    heard: Option<Timestamp>,
}

/// What is kept of a region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptRegion {
    #[serde(flatten)]
    pub(super) streak: Streak,
    slot: Timestamp,
}

/// How long it has been so, in checks one after the other. Counts stop where nothing depends on them any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Streak {
    pub(super) verdict: Verdict,
    failed: u32,
    /// Degraded or failed.
    not_ok: u32,
    /// Degraded or ok.
    not_failed: u32,
    ok: u32,
    /// Of the last checks, the newest lowest, which failed; only where a rule looks back at so many.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    recent_failed: u64,
    /// The same, which were degraded or failed.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    recent_not_ok: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_none_of_them(recent: &u64) -> bool {
    *recent == 0
}

/// What counts of a result.
#[derive(Debug, Clone)]
struct Seen {
    slot: Timestamp,
    outcome: Outcome,
    /// The checker was unwell.
    suspect: bool,
    in_maintenance: bool,
    /// Of two results of one slot the larger one counts.
    rank: [u8; RANK_BYTES],
    /// Another region saw the target fail in the same slot.
    confirmed: bool,
}

impl RegionState {
    /// As it was kept. What was kept is settled, because it may be delivered again.
    pub(super) fn restored(kept: &KeptRegion) -> Self {
        Self {
            settled: kept.streak,
            window: Vec::new(),
            floor: Some(kept.slot),
            heard: Some(kept.slot),
        }
    }

    /// What is to be kept; nothing of a region where all is well.
    pub(super) fn kept(&self, rule: &AlertRule, interval: Duration) -> Option<KeptRegion> {
        let streak = self.streak(rule, interval);
        let slot = self.window.last().map(|seen| seen.slot).or(self.floor)?;
        (streak.verdict != Verdict::Up || streak.is_in_doubt())
            .then_some(KeptRegion { streak, slot })
    }

    /// Puts a result in its place. False when it comes too late, or says what was known.
    /// `interval` is that of the result, or zero where results come at any time.
    pub(super) fn observe(
        &mut self,
        rule: &AlertRule,
        interval: Duration,
        result: &CheckResult,
    ) -> bool {
        let newest = self.window.last().map(|seen| seen.slot);
        let is_late = newest.is_some_and(|newest| newest.since(result.slot) > interval * SETTLE);
        if is_late || self.floor.is_some_and(|floor| result.slot <= floor) {
            return false;
        }
        let seen = Seen::of(result);
        match self.window.binary_search_by_key(&seen.slot, |it| it.slot) {
            Ok(place) if self.window[place].rank < seen.rank => self.window[place] = seen,
            Ok(_) => return false,
            Err(place) => self.window.insert(place, seen),
        }
        self.settle(rule, interval);
        true
    }

    /// Whether it saw the target fail in this slot; none of what is settled.
    pub(super) fn failed_in(&self, slot: Timestamp) -> bool {
        let place = self.window.binary_search_by_key(&slot, |it| it.slot);
        place.is_ok_and(|place| self.window[place].is_failure())
    }

    /// Says whether another region saw it, too.
    pub(super) fn confirm(&mut self, slot: Timestamp, confirmed: bool) {
        if let Ok(place) = self.window.binary_search_by_key(&slot, |it| it.slot) {
            self.window[place].confirmed = confirmed;
        }
    }

    /// The slot of its newest result where that is a failure which nothing came of yet.
    pub(super) fn first_failure(&self, rule: &AlertRule, interval: Duration) -> Option<Timestamp> {
        let newest = self.window.last()?;
        let is_first = newest.is_failure()
            && !newest.confirmed
            && self.verdict(rule, interval) != Verdict::Down;
        is_first.then_some(newest.slot)
    }

    /// What nothing can be put before any more becomes part of what is settled.
    fn settle(&mut self, rule: &AlertRule, interval: Duration) {
        let Some(newest) = self.window.last().map(|seen| seen.slot) else {
            return;
        };
        let oldest = newest - interval * SETTLE;
        let settled = self.window.partition_point(|seen| seen.slot < oldest);
        for seen in self.window.drain(..settled) {
            self.settled.add(rule, &seen);
            self.floor = Some(seen.slot);
            if seen.is_heard() {
                self.heard = Some(seen.slot);
            }
        }
    }

    /// The verdict now. Failures and recoveries count once nothing is missing between them, so that what comes late
    /// completes a row, and takes none back.
    pub(super) fn verdict(&self, rule: &AlertRule, interval: Duration) -> Verdict {
        self.streak(rule, interval).verdict
    }

    fn streak(&self, rule: &AlertRule, interval: Duration) -> Streak {
        let mut streak = self.settled;
        let Some(newest) = self.window.last() else {
            return streak;
        };
        let oldest = newest.slot - interval * SETTLE;
        let mut before = self.floor;
        for seen in &self.window {
            let has_gap = before.is_some_and(|before| seen.slot.since(before) > interval * 3 / 2);
            if has_gap && !interval.is_zero() && seen.slot - interval >= oldest {
                streak.interrupt();
            }
            streak.add(rule, seen);
            before = Some(seen.slot);
        }
        streak
    }

    /// The newest slot that said something of the target.
    pub(super) fn heard(&self) -> Option<Timestamp> {
        let heard = self.window.iter().rev().find(|seen| seen.is_heard());
        heard.map(|seen| seen.slot).or(self.heard)
    }

    /// The last result was not ok, whatever the verdict is.
    pub(super) fn is_in_doubt(&self, rule: &AlertRule, interval: Duration) -> bool {
        self.streak(rule, interval).is_in_doubt()
    }
}

impl Streak {
    fn add(&mut self, rule: &AlertRule, seen: &Seen) {
        if !seen.counts() {
            return;
        }
        let most = rule.fail_after.max(rule.recover_after);
        let count =
            |streak: &mut u32, holds: bool| *streak = if holds { most.min(*streak + 1) } else { 0 };
        let (ok, failed) = (seen.outcome == Outcome::Ok, seen.outcome == Outcome::Failed);
        if let Some(within) = rule.within {
            let kept = u64::MAX >> (64 - within.clamp(1, 64));
            let push = |recent: &mut u64, holds| *recent = (*recent << 1 | u64::from(holds)) & kept;
            push(&mut self.recent_failed, failed);
            push(&mut self.recent_not_ok, !ok);
        }
        count(&mut self.failed, failed);
        count(&mut self.not_ok, !ok);
        count(&mut self.not_failed, !failed);
        count(&mut self.ok, ok);
        let enough = |in_a_row: u32, recent: u64| match rule.within {
            None => in_a_row >= rule.fail_after,
            Some(_) => recent.count_ones() >= rule.fail_after,
        };
        let is_down = enough(self.failed, self.recent_failed) || seen.confirmed;
        self.verdict = match self.verdict {
            _ if failed && is_down => Verdict::Down,
            _ if self.ok >= rule.recover_after => Verdict::Up,
            Verdict::Up if !ok && enough(self.not_ok, self.recent_not_ok) => Verdict::Degraded,
            Verdict::Down if self.not_failed >= rule.recover_after => Verdict::Degraded,
            same => same,
        };
        if self.ok >= rule.recover_after {
            // What it has recovered from is no reason to be down again.
            (self.recent_failed, self.recent_not_ok) = (0, 0);
        }
    }

    /// Something was not ok of late, whatever the verdict is.
    fn is_in_doubt(&self) -> bool {
        self.not_ok > 0 || self.recent_not_ok > 0
    }

    /// Something is missing here that may still come.
    fn interrupt(&mut self) {
        let verdict = self.verdict;
        *self = Self {
            verdict,
            ..Self::default()
        };
    }
}

impl Seen {
    fn of(result: &CheckResult) -> Self {
        Self {
            slot: result.slot,
            outcome: result.outcome,
            suspect: result.suspect,
            in_maintenance: result.in_maintenance,
            rank: rank(result),
            confirmed: false,
        }
    }

    /// Something is known of the target.
    fn is_heard(&self) -> bool {
        self.outcome.is_executed() && !self.suspect
    }

    fn counts(&self) -> bool {
        self.is_heard() && !self.in_maintenance
    }

    fn is_failure(&self) -> bool {
        self.counts() && self.outcome == Outcome::Failed
    }
}
