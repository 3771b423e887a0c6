//! The one rule for a check that arrives more than once. Stores, rollups, balances and alerts all follow it.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64;

use crate::CheckResult;

/// Length of a [`rank`].
pub const RANK_BYTES: usize = 25;

/// Bytes of a checker id that count in a [`rank`].
const ID_BYTES: usize = 14;

/// The largest value of the seven bytes that say how early a check was started; enough for the year 4253.
const EARLIEST: u64 = (1 << 56) - 1;

/// Keeps one of two results of the same check.
///
/// Executed beats missed; among executed ones the smallest (`started_at`, checker id) wins. Commutative, associative
/// and idempotent, so that the order and number of deliveries do not matter.
#[must_use]
pub fn merge(a: CheckResult, b: CheckResult) -> CheckResult {
    if prefer(&a, &b) == Ordering::Greater {
        b
    } else {
        a
    }
}

/// The rule as a number, big-endian: of two results of one check the larger one is kept. For stores that merge by a
/// version column.
///
/// Seven bytes are zero for missed, else larger for earlier starts (see [`start_of_rank`]); fourteen prefer the smaller
/// checker id; one byte each goes by outcome and reason. The last two are a hash of the whole, so that even two texts
/// of one event have a fixed order.
pub fn rank(result: &CheckResult) -> [u8; RANK_BYTES] {
    let mut rank = [0xff; RANK_BYTES];
    rank[..7].copy_from_slice(&earliness(result).to_be_bytes()[1..]);
    if let Some(checker) = &result.checker {
        for (place, byte) in rank[7..7 + ID_BYTES].iter_mut().zip(checker.id.bytes()) {
            *place = !byte;
        }
    }
    rank[21] = !(result.outcome as u8);
    rank[22] = !result.reason.map_or(0, |reason| reason as u8 + 1);
    let hash = xxh3_64(canonical(result).as_bytes()).to_be_bytes();
    rank[23..].copy_from_slice(&hash[6..]);
    rank
}

/// What [`rank`] says about the start of an executed check.
pub fn start_of_rank(rank: &[u8; RANK_BYTES]) -> Option<crate::Timestamp> {
    let mut bytes = [0; 8];
    bytes[1..].copy_from_slice(&rank[..7]);
    let earliness = u64::from_be_bytes(bytes);
    let micros = i64::try_from(EARLIEST - earliness).unwrap_or(0);
    (earliness > 1).then(|| crate::Timestamp::from_micros(micros))
}

/// Zero for missed, one for executed at an unknown time.
fn earliness(result: &CheckResult) -> u64 {
    match result.started_at {
        _ if !result.outcome.is_executed() => 0,
        None => 1,
        Some(start) => {
            EARLIEST - u64::try_from(start.as_micros()).map_or(0, |start| start.min(EARLIEST - 2))
        }
    }
}

/// `Less` when `a` is to be kept. A total order: equal only when both say the same.
fn prefer(a: &CheckResult, b: &CheckResult) -> Ordering {
    let by_rank = rank(b).cmp(&rank(a));
    by_rank.then_with(|| canonical(a).cmp(&canonical(b)))
}

fn canonical(result: &CheckResult) -> String {
    serde_json::to_string(result).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{CheckerInfo, Outcome, Reason, Timestamp};

    fn results() -> impl Strategy<Value = CheckResult> {
        (0_usize..4, 0_i64..3, 0_u8..3, 0_usize..4, 0_u64..2).prop_map(
            |(outcome, started, checker, reason, total)| {
                let outcome = Outcome::ALL[outcome];
                let mut result = CheckResult::sample();
                result.started_at = outcome
                    .is_executed()
                    .then(|| Timestamp::from_micros(1_000 + started));
                result.checker = outcome.is_executed().then(|| CheckerInfo {
                    id: format!("c{checker}"),
                    version: String::new(),
                });
                result.reason = (outcome != Outcome::Ok).then(|| Reason::ALL[reason]);
                result.outcome = outcome;
                result.total_us = Some(total);
                result
            },
        )
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(
            a in results(), b in results(), c in results()
        ) {
            let (x, y, z) = (|| a.clone(), || b.clone(), || c.clone());
            prop_assert_eq!(merge(x(), y()), merge(y(), x()));
            prop_assert_eq!(merge(merge(x(), y()), z()), merge(x(), merge(y(), z())));
            prop_assert_eq!(merge(x(), x()), x());
        }

        #[test]
        fn executed_beats_missed_and_the_first_start_wins(a in results(), b in results()) {
            let kept = merge(a.clone(), b.clone());
            let executed = a.outcome.is_executed() || b.outcome.is_executed();
            prop_assert_eq!(kept.outcome.is_executed(), executed);
            prop_assert_eq!(rank(&kept), rank(&a).max(rank(&b)));
            let starts = [&a, &b].map(|result| result.started_at);
            prop_assert_eq!(kept.started_at, starts.into_iter().flatten().min());
            prop_assert_eq!(start_of_rank(&rank(&kept)), kept.started_at);
        }

        #[test]
        fn of_equal_starts_the_smaller_checker_id_wins(a in results(), b in results()) {
            let id = |result: &CheckResult| result.checker.as_ref().map(|checker| checker.id.clone());
            if a.outcome.is_executed() && b.outcome.is_executed() && a.started_at == b.started_at {
                prop_assert_eq!(id(&merge(a.clone(), b.clone())), id(&a).min(id(&b)));
            }
        }
    }

    #[test]
    fn the_rank_never_changes_between_releases() {
        let mut result = CheckResult::sample_executed(Outcome::Failed, std::time::Duration::ZERO);
        result.checker = Some(CheckerInfo {
            id: "fra-1".to_owned(),
            version: "1".to_owned(),
        });
        let hex = rank(&result).map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex, "f9bbfa9049cfff998d9ed2cefffffffffffffffffffde7cdde");
        assert_eq!(rank(&CheckResult::sample())[..7], [0; 7]);
    }
}
