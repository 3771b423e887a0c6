//! What every store of alerts keeps to.

use std::time::Duration;

use sonde_core::{IncidentCause, IncidentStatus, MonitorId, Timestamp, WorkspaceId};
use uuid::Uuid;

use crate::{
    AlertChange, AlertState, AlertStore, Annotation, IncidentChange, IncidentEventKind,
    IncidentQuery, NewNotice, Resolution, StoreError, Told,
};

const START: Timestamp = Timestamp::from_micros(1_795_780_800_000_000);

pub(super) fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn shop() -> MonitorId {
    MonitorId::new("shop").unwrap()
}

fn state(expected: u64, body: Option<&str>) -> AlertState {
    AlertState {
        workspace: WorkspaceId::local(),
        monitor: shop(),
        term: 0,
        expected,
        body: body.map(str::to_owned),
    }
}

pub(super) fn event(id: Uuid, event: IncidentEventKind, seconds: u64) -> IncidentChange {
    IncidentChange {
        id,
        workspace: WorkspaceId::local(),
        monitor: shop(),
        event,
        at: at(seconds),
        cause: IncidentCause::Down,
        flapping: false,
        caused_by: None,
        detail: "{}".to_owned(),
    }
}

fn notice(incident: Uuid, name: u128, channel: &str, due: u64) -> NewNotice {
    NewNotice {
        id: Uuid::from_u128(name),
        workspace: WorkspaceId::local(),
        incident,
        channel: channel.to_owned(),
        body: format!("{{\"no\":{name}}}"),
        due: at(due),
        follows: false,
    }
}

fn opened(id: Uuid, notices: Vec<NewNotice>) -> AlertChange {
    AlertChange {
        incidents: vec![event(id, IncidentEventKind::Opened, 0)],
        notices,
        ..AlertChange::default()
    }
}

fn resolved(id: Uuid, notices: Vec<NewNotice>) -> AlertChange {
    AlertChange {
        incidents: vec![event(id, IncidentEventKind::Resolved, 60)],
        notices,
        ..AlertChange::default()
    }
}

async fn due(store: &dyn AlertStore, seconds: u64) -> Vec<u128> {
    let due = store.notices_due(at(seconds), 100).await.unwrap();
    due.iter().map(|notice| notice.id.as_u128()).collect()
}

async fn states(store: &dyn AlertStore, incident: Uuid) -> Vec<(u128, String)> {
    let local = WorkspaceId::local();
    let tellings = store.tellings(&local, incident).await.unwrap();
    let states = tellings.into_iter();
    states.map(|it| (it.id.as_u128(), it.state)).collect()
}

async fn sent(store: &dyn AlertStore, name: u128, reminder: Option<NewNotice>) {
    let told = store.told(Uuid::from_u128(name), at(1), Told::Sent, reminder);
    told.await.unwrap();
}

pub async fn who_decided_last_is_known_and_nobody_else_decides(store: &dyn AlertStore) {
    let decide = async |states, incidents| {
        let notices = Vec::new();
        let change = AlertChange {
            states,
            incidents,
            notices,
        };
        store.decide(change).await
    };
    decide(vec![state(0, Some("1"))], vec![]).await.unwrap();
    decide(vec![state(1, Some("2"))], vec![]).await.unwrap();
    let kept = store.alert_states().await.unwrap();
    assert_eq!((kept[0].version, kept[0].body.as_str()), (2, "2"));

    let id = Uuid::from_u128(1);
    let incidents = vec![event(id, IncidentEventKind::Opened, 0)];
    let late = decide(vec![state(1, Some("3"))], incidents).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    let local = WorkspaceId::local();
    assert_eq!(store.incident(&local, id).await.unwrap(), None);
    decide(vec![state(2, None)], vec![]).await.unwrap();
    assert_eq!(store.alert_states().await.unwrap(), []);
    decide(vec![state(0, Some("4"))], vec![]).await.unwrap();
}

pub async fn who_was_followed_by_another_decides_nothing(store: &dyn AlertStore) {
    let first = store.take_over().await.unwrap();
    let decide = async |term, expected, body| {
        let states = vec![AlertState {
            term,
            ..state(expected, body)
        }];
        let change = AlertChange {
            states,
            ..AlertChange::default()
        };
        store.decide(change).await
    };
    decide(first, 0, Some("1")).await.unwrap();
    let second = store.take_over().await.unwrap();
    assert!(second > first);
    // What the next one deletes has the version that it had before it was there.
    decide(second, 1, None).await.unwrap();
    let late = decide(first, 0, Some("2")).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    decide(second, 0, Some("3")).await.unwrap();
}

pub async fn an_incident_is_listed_with_its_timeline(store: &dyn AlertStore) {
    let local = WorkspaceId::local();
    let ids = [1, 2, 3].map(Uuid::from_u128);
    for id in ids {
        store.decide(opened(id, vec![])).await.unwrap();
    }
    store.decide(resolved(ids[2], vec![])).await.unwrap();
    let page = async |query: IncidentQuery| {
        let found = store.incidents(&local, &query).await.unwrap();
        found.iter().map(|it| it.id.as_u128()).collect::<Vec<_>>()
    };
    let all = IncidentQuery {
        limit: 2,
        ..IncidentQuery::default()
    };
    assert_eq!(page(all.clone()).await, [3, 2]);
    let next = IncidentQuery {
        before: Some((at(0), ids[1])),
        ..all.clone()
    };
    assert_eq!(page(next).await, [1]);
    let open = IncidentQuery {
        status: Some(IncidentStatus::Open),
        ..all
    };
    assert_eq!(page(open).await, [2, 1]);

    // Two are open since 0 s, the third ended after 60.
    let during = async |from, to| {
        let during = IncidentQuery {
            during: Some((at(from), at(to))),
            limit: 100,
            ..IncidentQuery::default()
        };
        page(during).await
    };
    assert_eq!(during(59, 100).await, [3, 2, 1]);
    assert_eq!(during(60, 100).await, [2, 1]);
    assert_eq!(during(0, 0).await, [0; 0]);

    let annotate = async |id, what| {
        let done = store.annotate(&local, id, what, "ada", at(30)).await;
        done.unwrap()
    };
    assert!(annotate(ids[0], Annotation::Acknowledge(vec![])).await);
    assert!(!annotate(ids[0], Annotation::Acknowledge(vec![])).await);
    assert!(
        !annotate(ids[2], Annotation::Acknowledge(vec![])).await,
        "it is resolved"
    );
    assert!(annotate(ids[0], Annotation::Comment("looking".to_owned())).await);
    let other = WorkspaceId::new("other").unwrap();
    let foreign = Annotation::Acknowledge(vec![]);
    let foreign = store.annotate(&other, ids[1], foreign, "eve", at(30));
    assert!(!foreign.await.unwrap());
    store.decide(resolved(ids[0], vec![])).await.unwrap();
    let incident = store.incident(&local, ids[0]).await.unwrap().unwrap();
    assert_eq!(incident.status, IncidentStatus::Resolved);
    assert_eq!(incident.acknowledged_by.as_deref(), Some("ada"));
    assert_eq!(
        (incident.opened_at, incident.resolved_at),
        (at(0), Some(at(60)))
    );
    let events = store.incident_events(&local, ids[0]).await.unwrap();
    let events: Vec<_> = events
        .iter()
        .map(|it| (it.kind, it.by.as_deref()))
        .collect();
    let expected = [
        (IncidentEventKind::Opened, None),
        (IncidentEventKind::Acknowledged, Some("ada")),
        (IncidentEventKind::Commented, Some("ada")),
        (IncidentEventKind::Resolved, None),
    ];
    assert_eq!(events, expected);
}

pub async fn notices_are_told_in_turn_until_they_are_settled(store: &dyn AlertStore) {
    let id = Uuid::from_u128(1);
    let notices = vec![
        notice(id, 1, "a", 0),
        notice(id, 2, "b", 0),
        notice(id, 3, "a", 5),
    ];
    store.decide(opened(id, notices.clone())).await.unwrap();
    // The same again is no other notice.
    store.decide(opened(id, notices)).await.unwrap();
    assert_eq!(due(store, 0).await, [1, 2]);
    let error = "it says 500".to_owned();
    let again = Told::Again { due: at(10), error };
    store
        .told(Uuid::from_u128(1), at(1), again, None)
        .await
        .unwrap();
    assert_eq!(due(store, 6).await, [2], "the second waits for the first");
    assert_eq!(due(store, 10).await, [2, 1]);
    assert_eq!(store.notices_due(at(10), 100).await.unwrap()[1].attempts, 1);
    sent(store, 1, None).await;
    assert_eq!(due(store, 10).await, [2, 3]);
    let failed = Told::Failed {
        error: "gone".to_owned(),
    };
    store
        .told(Uuid::from_u128(2), at(1), failed, None)
        .await
        .unwrap();
    sent(store, 3, None).await;
    assert_eq!(due(store, 1_000).await, [0; 0]);
    let expected = [(1, "sent"), (2, "failed"), (3, "sent")];
    let expected = expected.map(|(name, state)| (name, state.to_owned()));
    assert_eq!(states(store, id).await, expected);
}

pub async fn recovery_is_told_to_who_was_told_and_nothing_is_told_after_it(store: &dyn AlertStore) {
    let id = Uuid::from_u128(1);
    let later = notice(id, 3, "late", 600);
    let first = vec![notice(id, 1, "told", 0), notice(id, 2, "away", 0), later];
    store.decide(opened(id, first)).await.unwrap();
    sent(store, 1, Some(notice(id, 4, "told", 1_800))).await;
    let follow = |name, channel| NewNotice {
        follows: true,
        ..notice(id, name, channel, 60)
    };
    let last = vec![
        follow(5, "told"),
        follow(6, "away"),
        follow(7, "late"),
        follow(8, "other"),
    ];
    store.decide(resolved(id, last)).await.unwrap();
    let expected = [
        (1, "sent"),
        (2, "waiting"),
        (3, "dropped"),
        (4, "dropped"),
        (5, "waiting"),
        (6, "waiting"),
    ];
    let expected = expected.map(|(name, state)| (name, state.to_owned()));
    assert_eq!(states(store, id).await, expected);
    // It was away all the time: it hears of both, in order.
    assert_eq!(due(store, 10_000).await, [2, 5]);
    sent(store, 5, Some(notice(id, 9, "told", 0))).await;
    sent(store, 2, None).await;
    assert_eq!(
        due(store, 10_000).await,
        [6],
        "nobody is reminded of what is over"
    );
}

pub async fn who_acknowledges_stops_what_was_still_to_come_and_is_told_of_once(
    store: &dyn AlertStore,
) {
    let id = Uuid::from_u128(1);
    let notices = vec![
        notice(id, 1, "told", 0),
        notice(id, 2, "late", 600),
        notice(id, 4, "away", 0),
    ];
    store.decide(opened(id, notices)).await.unwrap();
    sent(store, 1, None).await;
    let local = WorkspaceId::local();
    let acknowledge = async |first: u128| {
        let channels = ["told", "late", "away", "other"].into_iter().zip(first..);
        let tell = channels.map(|(channel, name)| NewNotice {
            follows: true,
            ..notice(id, name, channel, 5)
        });
        let what = Annotation::Acknowledge(tell.collect());
        let done = store.annotate(&local, id, what, "ada", at(5)).await;
        done.unwrap()
    };
    assert!(acknowledge(10).await);
    assert!(!acknowledge(20).await, "somebody did");
    let expected = [
        (1, "sent"),
        (2, "dropped"),
        (4, "waiting"),
        (10, "waiting"),
        (12, "waiting"),
    ];
    let expected = expected.map(|(name, state)| (name, state.to_owned()));
    assert_eq!(states(store, id).await, expected);
    assert_eq!(due(store, 10_000).await, [4, 10], "in order");
    sent(store, 4, Some(notice(id, 30, "away", 1_800))).await;
    assert_eq!(due(store, 10_000).await, [10, 12], "nobody is reminded");
}

pub async fn what_is_long_over_is_forgotten_little_by_little(store: &dyn AlertStore) {
    let [over, open] = [1, 2].map(Uuid::from_u128);
    for (id, first) in [(over, 10), (open, 20)] {
        let notices = (first..first + 3).map(|name| notice(id, name, &format!("c{name}"), 0));
        store.decide(opened(id, notices.collect())).await.unwrap();
        sent(store, first, None).await;
        sent(store, first + 1, None).await;
    }
    // At 60 s; all notices that are settled were so after 1 s.
    store.decide(resolved(over, vec![])).await.unwrap();
    let forget = async |told, resolved, most| {
        let forgotten = store.forget(at(told), at(resolved), most);
        forgotten.await.unwrap()
    };
    let events = async |id| {
        let events = store.incident_events(&WorkspaceId::local(), id).await;
        events.unwrap().len()
    };
    assert_eq!(forget(1, 60, 100).await, 0, "nothing is older");
    assert_eq!(forget(2, 60, 1).await, 1);
    assert_eq!(forget(2, 60, 1).await, 1);
    assert_eq!(forget(2, 60, 1).await, 0);
    let left = states(store, over).await;
    assert_eq!(left, [(12, "waiting".to_owned())], "it is still to be told");
    assert_eq!(states(store, open).await.len(), 3);
    assert_eq!(events(over).await, 2);
    assert_eq!(forget(0, 61, 100).await, 2);
    assert_eq!((events(over).await, events(open).await), (0, 1));
    let incident = store.incident(&WorkspaceId::local(), over).await.unwrap();
    assert_eq!(incident.unwrap().status, IncidentStatus::Resolved);
    // Who was told of it hears of its end still.
    let follow = NewNotice {
        follows: true,
        ..notice(open, 30, "c20", 60)
    };
    store.decide(resolved(open, vec![follow])).await.unwrap();
    assert!(due(store, 60).await.contains(&30));
}

pub async fn what_a_person_ends_is_told_once_and_who_decides_begins_anew(store: &dyn AlertStore) {
    let (local, id) = (WorkspaceId::local(), Uuid::from_u128(1));
    let body = format!(r#"{{"incident":{{"id":"{id}"}},"regions":{{}}}}"#);
    let later = notice(id, 2, "late", 600);
    let open = AlertChange {
        states: vec![state(0, Some(&body))],
        ..opened(id, vec![notice(id, 1, "told", 0), later])
    };
    store.decide(open).await.unwrap();
    sent(store, 1, Some(notice(id, 3, "told", 1_800))).await;
    let resolve = async |workspace: &WorkspaceId, id, name| {
        let follow = |name, channel| NewNotice {
            follows: true,
            ..notice(id, name, channel, 30)
        };
        let resolution = Resolution {
            id,
            by: "ada".to_owned(),
            at: at(30),
            notices: vec![follow(name, "told"), follow(name + 1, "late")],
        };
        store.resolve(workspace, resolution).await.unwrap()
    };
    let other = WorkspaceId::new("other").unwrap();
    assert!(!resolve(&other, id, 4).await, "it is not theirs");
    assert!(
        !resolve(&local, Uuid::from_u128(9), 4).await,
        "there is none"
    );
    assert!(resolve(&local, id, 6).await);
    assert!(!resolve(&local, id, 8).await, "it is resolved");

    let incident = store.incident(&local, id).await.unwrap().unwrap();
    let status = (incident.status, incident.resolved_at);
    assert_eq!(status, (IncidentStatus::Resolved, Some(at(30))));
    assert!(incident.detail.contains("resolved_at"), "{incident:?}");
    let events = store.incident_events(&local, id).await.unwrap();
    let last = events.last().unwrap();
    let by = last.by.as_deref();
    assert_eq!((last.kind, by), (IncidentEventKind::Resolved, Some("ada")));
    assert_eq!(events.len(), 2);
    let expected = [(1, "sent"), (2, "dropped"), (3, "dropped"), (6, "waiting")];
    let expected = expected.map(|(name, state)| (name, state.to_owned()));
    assert_eq!(states(store, id).await, expected);

    // Who decided before has to begin anew.
    let kept = store.alert_states().await.unwrap();
    let since = format!(r#"{{"since":"{}"}}"#, at(30));
    assert_eq!((kept[0].version, &kept[0].body), (2, &since));
    let late = AlertChange {
        states: vec![state(1, None)],
        ..resolved(id, vec![])
    };
    let late = store.decide(late).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
}

pub async fn ending_an_incident_leaves_what_was_decided_of_a_later_one(store: &dyn AlertStore) {
    let (local, id) = (WorkspaceId::local(), Uuid::from_u128(1));
    let later = r#"{"incident":{"id":"00000000-0000-0000-0000-000000000002"}}"#;
    let open = AlertChange {
        states: vec![state(0, Some(later))],
        ..opened(id, vec![])
    };
    store.decide(open).await.unwrap();
    let resolution = Resolution {
        id,
        by: "ada".to_owned(),
        at: at(30),
        notices: Vec::new(),
    };
    assert!(store.resolve(&local, resolution).await.unwrap());
    let kept = store.alert_states().await.unwrap();
    assert_eq!((kept[0].version, kept[0].body.as_str()), (1, later));
}

/// Runs the suite as tests of a module `$backend`; `$fresh` is a future of `Option<impl Deref<Target: AlertStore>>`.
#[macro_export]
macro_rules! alert_conformance {
    ($backend:ident, $fresh:expr) => {
        $crate::store_conformance!(@tests $backend, $fresh;
            who_decided_last_is_known_and_nobody_else_decides,
            who_was_followed_by_another_decides_nothing,
            an_incident_is_listed_with_its_timeline,
            notices_are_told_in_turn_until_they_are_settled,
            recovery_is_told_to_who_was_told_and_nothing_is_told_after_it,
            who_acknowledges_stops_what_was_still_to_come_and_is_told_of_once,
            what_is_long_over_is_forgotten_little_by_little,
            what_a_person_ends_is_told_once_and_who_decides_begins_anew,
            ending_an_incident_leaves_what_was_decided_of_a_later_one,
            of_what_a_picture_is_wanted,
            two_never_take_the_same_picture,
            what_became_of_a_picture_is_known_until_it_is_forgotten,
            the_address_of_a_heartbeat_is_found_by_its_token_and_shown_to_who_may_know_it,
        );
    };
}
