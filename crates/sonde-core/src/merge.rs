//! The one rule for a check that arrives more than once. Stores, rollups, balances and alerts all follow it.

use std::cmp::Ordering;

use crate::CheckResult;

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

/// The version column of stores that keep the largest: zero for missed, else earlier starts are larger.
pub fn version(result: &CheckResult) -> u64 {
    match result.started_at {
        Some(started_at) if result.outcome.is_executed() => {
            u64::MAX - u64::try_from(started_at.as_micros()).unwrap_or(0)
        }
        _ => 0,
    }
}

/// `Less` when `a` is to be kept. A total order: equal only when both say the same.
fn prefer(a: &CheckResult, b: &CheckResult) -> Ordering {
    let executed = |result: &CheckResult| std::cmp::Reverse(result.outcome.is_executed());
    let checker = |result: &CheckResult| result.checker.as_ref().map(|checker| checker.id.clone());
    executed(a)
        .cmp(&executed(b))
        .then_with(|| version(b).cmp(&version(a)))
        .then_with(|| checker(a).cmp(&checker(b)))
        .then_with(|| a.outcome.cmp(&b.outcome))
        .then_with(|| a.reason.cmp(&b.reason))
        // What is left is two texts of the same event; any fixed order will do.
        .then_with(|| canonical(a).cmp(&canonical(b)))
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
            prop_assert_eq!(version(&kept), version(&a).max(version(&b)));
        }
    }
}
