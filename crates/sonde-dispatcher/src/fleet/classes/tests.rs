//! Tasks and missed slots inside a maintenance window are marked, and no others.

use serde_json::json;
use sonde_core::{FrequencyClass, Monitor, WorkspaceId};
use sonde_store::MaintenanceChange;

use super::*;

const START: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);

fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn classes(maintenance: Option<&serde_json::Value>) -> Classes {
    let mut monitor = Monitor::sample();
    monitor.interval = Duration::from_secs(5);
    let settings = QueueSettings {
        retry: monitor.retry,
        delivery_limit: 3,
        frequencies: vec![FrequencyClass {
            name: Frequency::new("5s").unwrap(),
            period: Duration::from_secs(5),
            prefetch: 10,
        }],
        partitions: 1,
        alerting: false,
    };
    let mut classes = Classes::new(&settings);
    let change = |body: &serde_json::Value| MaintenanceChange {
        workspace: WorkspaceId::local(),
        id: "a".to_owned(),
        body: Some(body.to_string()),
    };
    let changes = Changes {
        complete: true,
        changed: vec![PackedMonitor::new(&monitor)],
        maintenance: maintenance.map(change).into_iter().collect(),
        ..Changes::default()
    };
    classes.apply(changes, Timestamp::UNIX_EPOCH);
    classes.resume(&WatermarkMessage::new(START, Vec::new()));
    classes
}

/// All that is planned up to `now`: what is to be executed, and what is missed.
fn plan(classes: &mut Classes, now: Timestamp) -> (Vec<Check>, Vec<Check>) {
    let (mut tasks, mut missed) = (Vec::new(), Vec::new());
    loop {
        let batch = classes.plan(now, true);
        tasks.extend(batch.tasks);
        missed.extend(batch.missed);
        if !batch.is_behind {
            return (tasks, missed);
        }
    }
}

#[test]
fn slots_inside_a_window_are_marked_and_no_slot_is_left_out() {
    let window = json!({ "from": at(120), "to": at(240) });
    let body = json!({ "title": "move", "monitors": "all", "schedule": { "once": window } });
    let unreadable = json!({ "title": "move" });
    let mut ticking = classes(Some(&body));
    let mut tasks = Vec::new();
    for second in 1..=400 {
        tasks.extend(plan(&mut ticking, at(second)).0);
    }
    let between = |two: &[Check]| two[1].slot.since(two[0].slot);
    assert!(
        tasks
            .windows(2)
            .all(|two| between(two) == Duration::from_secs(5))
    );
    assert_eq!(tasks.len(), 80);
    for check in &tasks {
        let inside = (at(120)..at(240)).contains(&check.slot);
        assert_eq!(check.in_maintenance, inside, "{}", check.slot);
    }
    assert!(tasks.iter().any(|check| check.in_maintenance));

    let (_, missed) = plan(&mut classes(Some(&body)), at(400));
    assert!(missed.iter().any(|check| check.in_maintenance));
    for check in &missed {
        let inside = (at(120)..at(240)).contains(&check.slot);
        assert_eq!(check.in_maintenance, inside, "{}", check.slot);
    }
    let (tasks, missed) = plan(&mut classes(Some(&unreadable)), at(400));
    assert_eq!((tasks.len(), missed.len()), (1, 79));
    assert!(missed.iter().all(|check| !check.in_maintenance));
}
