//! Whether a minute of a region balances: the decision behind the ledger, without its stores.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use sonde_core::{Balance, Check, Region, Timestamp};

const MINUTE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Every scheduled check has a row, and no other check has.
    Balanced,
    /// Some may rightly be on their way.
    Open,
    /// Checks are lost, or there are more than were scheduled.
    Unbalanced,
}

/// A minute and region, with what is still on its way.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) balance: Balance,
    pub(super) in_flight: u64,
    pub(super) state: State,
    /// The same in short: it does not contradict that nothing was lost.
    pub(super) balanced: bool,
}

impl Row {
    /// What is on its way is known: exactly that may be missing.
    pub(super) fn with_journal(
        balance: Balance,
        in_flight: &HashMap<(Timestamp, Region), u64>,
    ) -> Self {
        let place = (balance.minute, balance.region.clone());
        let in_flight = in_flight.get(&place).copied().unwrap_or(0);
        let state = match balance.scheduled == balance.settled() + in_flight {
            true if in_flight == 0 => State::Balanced,
            true => State::Open,
            false => State::Unbalanced,
        };
        Self::new(balance, in_flight, state)
    }

    /// What is on its way is not known, only how long it may be. Until then counts may differ both ways, because the
    /// ledger comes by another way than the results.
    pub(super) fn by_deadline(balance: Balance, now: Timestamp, settle: Duration) -> Self {
        let end = balance.minute + MINUTE;
        let last = balance.deadline.map_or(end, |deadline| deadline.max(end)) + settle;
        let state = if balance.is_balanced() {
            State::Balanced
        } else if now < last {
            State::Open
        } else {
            State::Unbalanced
        };
        let in_flight = match state {
            State::Open => balance.scheduled.saturating_sub(balance.settled()),
            State::Balanced | State::Unbalanced => 0,
        };
        Self::new(balance, in_flight, state)
    }

    fn new(balance: Balance, in_flight: u64, state: State) -> Self {
        Self {
            balance,
            in_flight,
            state,
            balanced: state != State::Unbalanced,
        }
    }

    /// What does not balance, in words.
    pub(super) fn fault(&self) -> String {
        let found = self.balance.settled() + self.in_flight;
        let scheduled = self.balance.scheduled;
        if found < scheduled {
            format!("DOES NOT BALANCE: {} lost", scheduled - found)
        } else {
            format!("DOES NOT BALANCE: {} too many", found - scheduled)
        }
    }
}

/// Tasks that may still settle, by minute and region.
pub(super) fn in_flight(
    unsettled: &[Check],
    now: Timestamp,
    settle: Duration,
) -> HashMap<(Timestamp, Region), u64> {
    let mut counts = HashMap::new();
    for check in unsettled
        .iter()
        .filter(|check| check.deadline + settle > now)
    {
        *counts
            .entry((check.slot.floor(MINUTE), check.region.clone()))
            .or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_mins(5);

    fn balance(scheduled: u64, ok: u64) -> Balance {
        Balance {
            scheduled,
            ok,
            ..Balance::empty(Timestamp::UNIX_EPOCH, Region::local())
        }
    }

    #[track_caller]
    fn with_journal(scheduled: u64, ok: u64, waiting: u64, state: State) {
        let waiting = HashMap::from([((Timestamp::UNIX_EPOCH, Region::local()), waiting)]);
        let row = Row::with_journal(balance(scheduled, ok), &waiting);
        assert_eq!(row.state, state, "{row:?}");
    }

    #[test]
    fn a_minute_balances_with_what_is_still_in_flight() {
        with_journal(10, 10, 0, State::Balanced);
        with_journal(10, 8, 2, State::Open);
        with_journal(10, 8, 1, State::Unbalanced);
        with_journal(10, 10, 2, State::Unbalanced);
        with_journal(10, 11, 0, State::Unbalanced);
    }

    #[track_caller]
    fn by_deadline(
        scheduled: u64,
        ok: u64,
        deadline: Option<u64>,
        seconds: u64,
        expected: (State, u64),
    ) {
        let at = |seconds| Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
        let balance = Balance {
            deadline: deadline.map(at),
            ..balance(scheduled, ok)
        };
        let row = Row::by_deadline(balance, at(seconds), SETTLE);
        assert_eq!((row.state, row.in_flight), expected, "{row:?}");
    }

    #[test]
    fn a_minute_is_open_until_its_last_deadline_is_settled() {
        by_deadline(10, 10, Some(90), 60, (State::Balanced, 0));
        by_deadline(10, 8, Some(90), 389, (State::Open, 2));
        by_deadline(10, 8, Some(90), 390, (State::Unbalanced, 0));
        // Daily checks have a day.
        by_deadline(10, 8, Some(86_400), 86_000, (State::Open, 2));
    }

    #[test]
    fn more_rows_than_were_scheduled_do_not_balance_either() {
        by_deadline(10, 11, Some(90), 390, (State::Unbalanced, 0));
        // The ledger may come after the results, or be lost.
        by_deadline(0, 3, None, 359, (State::Open, 0));
        by_deadline(0, 3, None, 360, (State::Unbalanced, 0));
    }

    #[test]
    fn what_is_wrong_is_said_in_numbers() {
        let at = Timestamp::UNIX_EPOCH + Duration::from_hours(1);
        let fault = |scheduled, ok| {
            let row = Row::by_deadline(balance(scheduled, ok), at, SETTLE);
            row.fault()
        };
        assert_eq!(fault(10, 7), "DOES NOT BALANCE: 3 lost");
        assert_eq!(fault(10, 11), "DOES NOT BALANCE: 1 too many");
    }
}
