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
        let missing = balance.scheduled.saturating_sub(balance.settled());
        if now < balance.minute + MINUTE + settle && !balance.is_balanced() {
            return Self::new(balance, missing, State::Open);
        }
        // One check of a day leaves room for itself, not for all the others of its minute.
        let in_flight = missing.min(balance.may_be_open(now, settle));
        let state = if balance.is_balanced() {
            State::Balanced
        } else if balance.scheduled == balance.settled() + in_flight {
            State::Open
        } else {
            State::Unbalanced
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
    fn by_deadline(classes: &[(u64, u64)], ok: u64, seconds: u64, expected: (State, u64)) {
        let at = |seconds| Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut balance = balance(0, ok);
        for (scheduled, deadline) in classes {
            balance.schedule(*scheduled, Some(at(*deadline)));
        }
        let row = Row::by_deadline(balance, at(seconds), SETTLE);
        assert_eq!((row.state, row.in_flight), expected, "{row:?}");
    }

    #[test]
    fn a_minute_is_open_until_its_last_deadline_is_settled() {
        by_deadline(&[(10, 90)], 10, 60, (State::Balanced, 0));
        by_deadline(&[(10, 90)], 8, 389, (State::Open, 2));
        by_deadline(&[(10, 90)], 8, 390, (State::Unbalanced, 0));
        // Daily checks have a day.
        by_deadline(&[(10, 86_400)], 8, 86_000, (State::Open, 2));
    }

    #[test]
    fn a_check_of_a_day_hides_no_loss_of_a_check_of_seconds() {
        let classes = [(500, 65), (1, 86_400)];
        by_deadline(&classes, 500, 1000, (State::Open, 1));
        by_deadline(&classes, 499, 1000, (State::Unbalanced, 1));
        by_deadline(&classes, 0, 1000, (State::Unbalanced, 1));
        by_deadline(&classes, 501, 1000, (State::Balanced, 0));
        by_deadline(&classes, 502, 1000, (State::Unbalanced, 0));
    }

    #[test]
    fn more_rows_than_were_scheduled_do_not_balance_either() {
        by_deadline(&[(10, 90)], 11, 390, (State::Unbalanced, 0));
        // The ledger may come after the results, or be lost.
        by_deadline(&[], 3, 359, (State::Open, 0));
        by_deadline(&[], 3, 360, (State::Unbalanced, 0));
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
