//! What was scheduled is taken down as often as it is told, and counts once.

use sonde_core::{Balance, DispatchGap, Frequency, LedgerEntry, Outcome};

use super::{EVER, at, in_region, region, result};
use crate::{Results, TimeRange};

fn entry(minute: u64, class: &str, scheduled: u64, deadline: u64) -> LedgerEntry {
    LedgerEntry {
        frequency: Frequency::new(class).unwrap(),
        region: region("fra"),
        minute: at(minute),
        scheduled,
        deadline: at(deadline),
    }
}

pub async fn the_ledger_keeps_the_highest_count_of_a_class(results: &dyn Results) {
    let ledger = [
        entry(0, "5s", 12, 65),
        entry(0, "1m", 3, 119),
        entry(60, "5s", 12, 125),
    ];
    results.record(&ledger, &[]).await.unwrap();
    results.record(&ledger, &[]).await.unwrap();
    results.record(&[entry(0, "5s", 7, 60)], &[]).await.unwrap();
    results
        .record(&[entry(60, "5s", 14, 130)], &[])
        .await
        .unwrap();
    results.record(&[], &[]).await.unwrap();
    let mut late = in_region(result(59, Outcome::Ok), "fra");
    late.check_id = late.key().check_id();
    // What comes by itself was scheduled by nobody.
    let pushed = in_region(result(30, Outcome::Ok), "push");
    results.store(&[late, pushed]).await.unwrap();
    let balance = |minute, classes: &[(u64, u64)], ok| {
        let mut balance = Balance::empty(at(minute), region("fra"));
        for (scheduled, deadline) in classes {
            balance.schedule(*scheduled, Some(at(*deadline)));
        }
        Balance { ok, ..balance }
    };
    let expected = [
        balance(0, &[(12, 65), (3, 119)], 1),
        balance(60, &[(14, 130)], 0),
    ];
    let mut found = results.balances(EVER).await.unwrap();
    for balance in &mut found {
        balance.deadlines.sort_unstable();
    }
    assert_eq!(found, expected);
}

pub async fn gaps_are_found_by_what_they_overlap(results: &dyn Results) {
    let gap = |from, to| DispatchGap {
        from: at(from),
        to: at(to),
    };
    let gaps = [gap(100, 200), gap(10, 20)];
    results.record(&[], &gaps).await.unwrap();
    results.record(&[], &gaps[..1]).await.unwrap();
    let found = async |from, to| {
        let range = TimeRange {
            from: at(from),
            to: at(to),
        };
        results.gaps(range).await.unwrap()
    };
    assert_eq!(found(0, 300).await, [gaps[1], gaps[0]]);
    assert_eq!(found(150, 160).await, [gaps[0]]);
    assert_eq!(found(19, 100).await, [gaps[1]]);
    assert_eq!(found(20, 100).await, []);
    assert_eq!(found(200, 300).await, []);
}
