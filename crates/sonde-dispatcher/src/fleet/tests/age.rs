//! What a dispatcher says of how far dispatch is behind.

use prometheus_client::encoding::text::encode;

use super::*;

impl Fleet {
    /// What each dispatcher says of the age of its watermark, in seconds.
    fn ages(&self) -> Vec<Option<f64>> {
        let age = |registry: &Registry| {
            let mut text = String::new();
            encode(&mut text, registry).unwrap();
            let mut lines = text.lines();
            let sample =
                lines.find_map(|line| line.strip_prefix("sonde_dispatcher_watermark_age_seconds "));
            sample.map(|age| age.parse().unwrap())
        };
        self.registries.iter().map(age).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_watermark_grows_while_dispatch_stands_still_and_only_a_leader_has_one() {
    // After some steps the broker takes nothing for a while.
    let refused = |after| Failure {
        after,
        taken: 0,
        is_crash: false,
    };
    let mut failures = vec![refused(0); 400];
    failures[0] = refused(100);
    let mut fleet = Fleet::new(Duration::ZERO, failures).await;
    fleet.start(monitors()).await;
    fleet.start(monitors()).await;
    let mut oldest = 0.0_f64;
    for _ in 0..100 {
        sleep(Duration::from_secs(1)).await;
        let [Some(age), None] = fleet.ages()[..] else {
            panic!("{:?}", fleet.ages());
        };
        oldest = oldest.max(age);
    }
    assert!(oldest > 20.0, "{oldest}");
    let [Some(age), None] = fleet.ages()[..] else {
        panic!("{:?}", fleet.ages());
    };
    assert!(age < 2.0, "{age}");
    fleet.feeds[0].1.cancel();
    sleep(Duration::from_secs(20)).await;
    assert!(matches!(fleet.ages()[..], [None, Some(_)]));
    fleet.stop().await;
    assert_eq!(fleet.ages(), [None, None]);
}
