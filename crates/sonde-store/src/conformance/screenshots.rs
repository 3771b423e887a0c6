//! What every store keeps to about pictures of incidents.

use sonde_core::{IncidentCause, Monitor, MonitorId, Spec, WorkspaceId};
use uuid::Uuid;

use super::alerts::{at, event};
use crate::{
    AlertChange, AlertStore, ConfigStore, IncidentChange, IncidentEventKind, Shot, TakenScreenshot,
    WantedScreenshot,
};

/// Incidents of `shop`, which is http, and of `ping`, which is not.
async fn incidents(store: &(impl ConfigStore + AlertStore), incidents: Vec<IncidentChange>) {
    let monitor = |id: &str| {
        let mut monitor = Monitor::sample();
        monitor.id = MonitorId::new(id).unwrap();
        monitor
    };
    let mut ping = monitor("ping");
    ping.spec = Spec::Exec(sonde_core::ExecSpec {
        command: "true".to_owned(),
        arguments: Vec::new(),
        environment: std::collections::BTreeMap::new(),
        warn_only: false,
    });
    let monitors = [monitor("shop"), ping];
    let local = WorkspaceId::local();
    store.replace_monitors(&local, &monitors).await.unwrap();
    let change = AlertChange {
        incidents,
        ..AlertChange::default()
    };
    store.decide(change).await.unwrap();
}

fn opened(id: u128, seconds: u64) -> IncidentChange {
    event(Uuid::from_u128(id), IncidentEventKind::Opened, seconds)
}

async fn wanted(store: &impl AlertStore, since: u64, seconds: u64) -> Vec<WantedScreenshot> {
    let wanted = store.screenshots_wanted(at(since), at(seconds), 10).await;
    wanted.unwrap()
}

pub async fn of_what_a_picture_is_wanted(store: &(impl ConfigStore + AlertStore)) {
    let shop = |id| opened(id, 10);
    let other = |id: u128, monitor: &str| IncidentChange {
        monitor: MonitorId::new(monitor).unwrap(),
        ..shop(id)
    };
    let over = event(Uuid::from_u128(5), IncidentEventKind::Resolved, 20);
    let all = vec![
        opened(1, 11),
        opened(2, 12),
        other(3, "ping"),
        other(4, "gone"),
        shop(5),
        over,
        IncidentChange {
            cause: IncidentCause::Degraded,
            ..shop(6)
        },
        IncidentChange {
            caused_by: Some(MonitorId::new("gateway").unwrap()),
            ..shop(7)
        },
        opened(8, 9),
    ];
    incidents(store, all).await;
    let found = wanted(store, 10, 30).await;
    let ids: Vec<u128> = found.iter().map(|it| it.incident.as_u128()).collect();
    assert_eq!(ids, [2, 1]);
    assert_eq!(found[0].monitor.as_str(), "shop");
}

pub async fn two_never_take_the_same_picture(store: &(impl ConfigStore + AlertStore)) {
    incidents(store, vec![opened(1, 0)]).await;
    let first = wanted(store, 0, 1).await.remove(0);
    assert!(store.claim_screenshot(&first, at(60)).await.unwrap());
    assert!(!store.claim_screenshot(&first, at(60)).await.unwrap());
    assert_eq!(wanted(store, 0, 59).await, []);

    // Who had it died, and comes back when it is somebody else's.
    let again = wanted(store, 0, 60).await.remove(0);
    assert_eq!(again.attempts, 1);
    assert!(store.claim_screenshot(&again, at(120)).await.unwrap());
    let taken = |size| Shot::Taken { size };
    let late = store.settle_screenshot(&first, at(61), taken(1)).await;
    assert!(!late.unwrap());
    let settled = store.settle_screenshot(&again, at(62), taken(2)).await;
    assert!(settled.unwrap());
    assert_eq!(wanted(store, 0, 1000).await, []);
}

pub async fn what_became_of_a_picture_is_known_until_it_is_forgotten(
    store: &(impl ConfigStore + AlertStore),
) {
    let (local, id) = (WorkspaceId::local(), Uuid::from_u128(1));
    incidents(store, vec![opened(1, 0)]).await;
    assert_eq!(store.screenshot(&local, id).await.unwrap(), None);
    let failed = |seconds| Shot::Failed {
        error: "no page".to_owned(),
        again: at(seconds),
    };
    for (seconds, again) in [(1, 10), (10, 20)] {
        assert_eq!(
            wanted(store, 0, seconds - 1).await.len(),
            usize::from(seconds == 1)
        );
        let claimed = wanted(store, 0, seconds).await.remove(0);
        assert!(store.claim_screenshot(&claimed, at(60)).await.unwrap());
        let settled = store.settle_screenshot(&claimed, at(seconds), failed(again));
        assert!(settled.await.unwrap());
    }
    assert_eq!(wanted(store, 0, 1000).await, [], "two tries are enough");
    let found = store.screenshot(&local, id).await.unwrap().unwrap();
    assert_eq!((found.attempts, found.taken), (2, None));
    assert_eq!(found.error.as_deref(), Some("no page"));

    store.forget_screenshot(id).await.unwrap();
    let claimed = wanted(store, 0, 30).await.remove(0);
    assert!(store.claim_screenshot(&claimed, at(60)).await.unwrap());
    let taken = store.settle_screenshot(&claimed, at(31), Shot::Taken { size: 7 });
    assert!(taken.await.unwrap());
    let found = store.screenshot(&local, id).await.unwrap().unwrap();
    let expected = TakenScreenshot {
        at: at(31),
        size: 7,
    };
    assert_eq!((found.taken, found.error), (Some(expected), None));
    let other = WorkspaceId::new("other").unwrap();
    assert_eq!(store.screenshot(&other, id).await.unwrap(), None);

    // Of an incident that there is no more, at once.
    let gone = WantedScreenshot {
        incident: Uuid::from_u128(2),
        ..claimed
    };
    assert!(store.claim_screenshot(&gone, at(50)).await.unwrap());
    let old = async |before, seconds| {
        let old = store.screenshots_to_forget(at(before), at(seconds), 10);
        let old = old.await.unwrap().into_iter();
        old.map(|(_, id)| id.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(old(31, 40).await, [0; 0]);
    assert_eq!(old(31, 51).await, [2]);
    assert_eq!(old(32, 40).await, [1]);
}
