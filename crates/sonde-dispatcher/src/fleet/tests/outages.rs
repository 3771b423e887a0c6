//! Outages longer than what is made up for.

use sonde_core::DispatchGap;

use super::*;

impl Fleet {
    /// Ends the first dispatcher, and begins the next some hours later.
    async fn away_for(&mut self, hours: i64, monitors: Vec<Monitor>) {
        self.feeds[0].1.cancel();
        sleep(Duration::from_secs(10)).await;
        self.clock.shift(hours * 3600);
        self.start(monitors).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_that_waits_for_triggers_does_not_miss_all_of_a_long_outage() {
    let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
    fleet.internal_clock = false;
    let monitors = || vec![monitor("a", 60, &["fra"])];
    fleet.start(monitors()).await;
    sleep(MINUTE * 3).await;
    let (_, before) = fleet.tasks_and_rows();
    fleet.away_for(5, monitors()).await;
    sleep(Duration::from_secs(30)).await;
    let (_, after) = fleet.tasks_and_rows();
    assert!((59..=62).contains(&(after - before)), "{}", after - before);
    fleet.trigger("1m").await;
    assert_eq!(fleet.tasks_and_rows().0, 1);
    fleet.stop().await;
    fleet.assert_ledger();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_tells_what_it_scheduled_in_the_minute_that_is_open() {
    let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
    fleet.start(monitors()).await;
    sleep(Duration::from_secs(137)).await;
    fleet.stop().await;
    fleet.assert_ledger();
    fleet.broker.with(|state| {
        let (published, stored) = (state.published(&settings()), state.stored_ledger());
        for (account, checks) in published {
            let scheduled = stored.get(&account).copied();
            assert_eq!(scheduled, Some(checks.len() as u64), "{account:?}");
        }
    });
}

#[test]
fn a_leader_that_ends_after_a_gap_leaves_no_other_over_what_it_published() {
    for (after, taken) in (0..12).flat_map(|after| [(after, 0), (after, 100)]) {
        runtime().block_on(ends_after_a_gap(Failure {
            after,
            taken,
            is_crash: true,
        }));
    }
}

async fn ends_after_a_gap(failure: Failure) {
    let mut fleet = Fleet::new(Duration::from_secs(3), Vec::new()).await;
    let monitors = || vec![monitor("a", 5, &["fra"]), monitor("b", 60, &["iad"])];
    fleet.start(monitors()).await;
    sleep(MINUTE).await;
    fleet.broker.with(|state| state.fail(failure));
    fleet.away_for(5, monitors()).await;
    sleep(MINUTE * 2).await;
    fleet.stop().await;
    fleet.assert_ledger();
    fleet.broker.with(|state| {
        let gaps = state.ledger.iter().flat_map(|message| &message.gaps);
        let gaps = DispatchGap::united(gaps.copied().collect());
        assert_eq!(gaps.len(), 1, "{failure:?}");
        let rows = state.rows.iter().map(|row| row.slot);
        assert!(rows.min().unwrap() >= gaps[0].to, "{failure:?}");
    });
}
