//! The calendar says of each slot what its maintenance says, whatever changes and in whatever order it is asked.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const START: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);

fn hour(hours: u64) -> Timestamp {
    START + Duration::from_hours(hours)
}

fn change(workspace: &WorkspaceId, id: &str, body: Option<&Value>) -> MaintenanceChange {
    MaintenanceChange {
        workspace: workspace.clone(),
        id: id.to_owned(),
        body: body.map(Value::to_string),
    }
}

fn once(monitors: &Value, from: u64, hours: u64) -> Value {
    json!({
        "title": "move",
        "monitors": monitors,
        "schedule": { "once": { "from": hour(from), "to": hour(from + hours) } },
    })
}

fn monitor(id: &str, tags: &[&str]) -> Monitor {
    let mut monitor = Monitor::sample();
    monitor.id = id.parse().unwrap();
    monitor.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    monitor
}

#[test]
fn a_removed_window_covers_nothing_and_an_unreadable_one_hides_no_other() {
    let (local, other) = (WorkspaceId::local(), WorkspaceId::new("other").unwrap());
    let shop = monitor("shop", &[]);
    let all = once(&json!("all"), 1, 1);
    let mut calendar = Calendar::default();
    let unreadable = json!({ "title": "from a newer release" });
    let changes = vec![
        change(&local, "a", Some(&unreadable)),
        change(&local, "b", Some(&all)),
        change(&other, "a", Some(&once(&json!("all"), 5, 1))),
    ];
    calendar.apply(changes, true);
    assert!(calendar.covers(&shop, hour(1)) && !calendar.covers(&shop, hour(2)));
    assert!(
        !calendar.covers(&shop, hour(5)),
        "it is another workspace's"
    );
    calendar.apply(
        vec![change(&local, "c", Some(&once(&json!("all"), 3, 1)))],
        false,
    );
    assert!(calendar.covers(&shop, hour(1)) && calendar.covers(&shop, hour(3)));
    calendar.apply(vec![change(&local, "b", None)], false);
    assert!(!calendar.covers(&shop, hour(1)) && calendar.covers(&shop, hour(3)));
    calendar.apply(vec![change(&local, "c", Some(&unreadable))], false);
    assert!(!calendar.covers(&shop, hour(3)));
    calendar.apply(vec![change(&local, "b", Some(&all))], true);
    assert!(calendar.covers(&shop, hour(1)));
    assert_eq!(calendar.workspaces.len(), 1);
}

fn monitors() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("all"),
        json!({ "ids": ["a"] }),
        json!({ "ids": ["a", "b"] }),
        json!({ "tags": ["eu"] }),
        json!({ "tags": ["us", "eu"] }),
    ])
}

fn any_maintenance() -> impl Strategy<Value = Value> {
    let some_hours = (monitors(), 0..200_u64, 1..40_u64);
    let once = some_hours.prop_map(|(monitors, from, hours)| once(&monitors, from, hours));
    let daily = (monitors(), 0..24_u32, 1..30_u64).prop_map(|(monitors, hour, hours)| {
        json!({
            "title": "nightly",
            "monitors": monitors,
            "schedule": { "recurring": {
                "rrule": "FREQ=DAILY;INTERVAL=2", "timezone": "Europe/Berlin",
                "starts_at": format!("2025-10-01T{hour:02}:30"), "duration": format!("{hours}h"),
            } },
        })
    });
    prop_oneof![once, daily]
}

proptest! {
    #[test]
    fn it_covers_what_any_of_its_maintenance_covers(
        before in prop::collection::vec(any_maintenance(), 0..5),
        after in prop::collection::vec(any_maintenance(), 0..5),
        slots in prop::collection::vec(0..400_u64, 1..30),
    ) {
        let local = WorkspaceId::local();
        let monitors = [monitor("a", &[]), monitor("b", &["us"]), monitor("c", &["eu", "us"])];
        let mut calendar = Calendar::default();
        let mut known: HashMap<String, Maintenance> = HashMap::new();
        for (bodies, complete) in [(before, true), (after, false)] {
            let named = bodies.iter().enumerate();
            let changes = named.map(|(no, body)| change(&local, &no.to_string(), Some(body)));
            calendar.apply(changes.collect(), complete);
            for (no, body) in bodies.iter().enumerate() {
                known.insert(no.to_string(), serde_json::from_value(body.clone()).unwrap());
            }
            for slot in &slots {
                let slot = START + Duration::from_mins(slot * 30);
                for monitor in &monitors {
                    let expected = known.values().any(|it| it.covers(slot, &monitor.id, &monitor.tags));
                    prop_assert_eq!(calendar.covers(monitor, slot), expected);
                }
            }
        }
    }
}
