//! Resources, their changes and their audit log; users and credentials.

use sonde_core::{HttpSpec, Monitor, MonitorId, Spec, Timestamp, WorkspaceId};

use super::{monitors, stored};
use crate::{
    AccountStore, Actor, ActorKind, AlertStore, AuditAction, AuditQuery, Change, Claim,
    ConfigStore, Expected, Holder, NewCredential, Only, Opens, Put, Remove, RequestKey,
    ResourceKind, StoreError, User,
};

fn actor() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "u1".to_owned(),
        name: "Ann".to_owned(),
    }
}

fn change(puts: Vec<Put>) -> Change {
    Change {
        puts,
        ..Change::new(WorkspaceId::local(), Some(actor()))
    }
}

fn removal(kind: ResourceKind, id: &str, expected: Expected) -> Change {
    Change {
        removes: vec![Remove {
            kind,
            id: id.to_owned(),
            expected,
        }],
        ..change(Vec::new())
    }
}

fn newest(limit: u32) -> AuditQuery {
    AuditQuery {
        limit,
        ..AuditQuery::default()
    }
}

fn maintenance(id: &str, body: &str) -> Put {
    Put::other(ResourceKind::Maintenance, id, body)
}

pub async fn resources_are_listed_by_kind_and_id(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let puts = ["c", "a", "b"].map(|id| maintenance(id, r#"{"a":1}"#));
    store.change(change(puts.to_vec())).await.unwrap();
    let key = Put::other(ResourceKind::ApiKey, "k", "{}");
    store.change(change(vec![key])).await.unwrap();
    let ids = async |after: &str, limit| {
        let kind = ResourceKind::Maintenance;
        let found = store.resources(&local, kind, after, limit).await.unwrap();
        found.into_iter().map(|it| it.value.id).collect::<Vec<_>>()
    };
    assert_eq!(ids("", 2).await, ["a", "b"]);
    assert_eq!(ids("b", 2).await, ["c"]);
    let kind = ResourceKind::Maintenance;
    let one = store.resource(&local, kind, "a").await.unwrap().unwrap();
    assert_eq!(
        (one.value.body.as_str(), one.meta.version),
        (r#"{"a":1}"#, 1)
    );
    let other = WorkspaceId::new("other").unwrap();
    assert_eq!(store.resource(&other, kind, "a").await.unwrap(), None);
}

pub async fn a_change_is_refused_when_something_is_not_as_expected(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let (kind, first) = (ResourceKind::Maintenance, maintenance("a", r#"{"a":1}"#));
    let new = first.clone().expecting(Expected::Nothing);
    store.change(change(vec![new.clone()])).await.unwrap();
    let again = store.change(change(vec![new])).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");

    let second = maintenance("a", r#"{"a":2}"#);
    let updated = second.clone().expecting(Expected::Version(1));
    store.change(change(vec![updated])).await.unwrap();
    let both = vec![
        maintenance("b", "{}"),
        second.expecting(Expected::Version(1)),
    ];
    let stale = store.change(change(both)).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    assert_eq!(store.resource(&local, kind, "b").await.unwrap(), None);
    let found = store.resource(&local, kind, "a").await.unwrap().unwrap();
    assert_eq!(found.meta.version, 2);

    let stale = store.change(removal(kind, "a", Expected::Version(1))).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    store
        .change(removal(kind, "a", Expected::Version(2)))
        .await
        .unwrap();
    assert_eq!(store.resource(&local, kind, "a").await.unwrap(), None);
}

pub async fn the_audit_log_tells_every_change_and_who_made_it(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    for body in [r#"{"a":1}"#, r#"{"a":1}"#, r#"{"a":2}"#] {
        let puts = vec![maintenance("m", body)];
        store.change(change(puts)).await.unwrap();
    }
    let kind = ResourceKind::Maintenance;
    store
        .change(removal(kind, "m", Expected::Anything))
        .await
        .unwrap();
    store
        .replace_monitors(&local, &monitors(&["quiet"]))
        .await
        .unwrap();
    let found = store.audit(&local, &newest(10)).await.unwrap();
    let told = found.iter().map(|entry| {
        let json = |text: &Option<String>| text.clone().unwrap_or_default();
        (entry.action, json(&entry.before), json(&entry.after))
    });
    let (one, two) = (r#"{"a":1}"#.to_owned(), r#"{"a":2}"#.to_owned());
    let expected = [
        (AuditAction::Removed, two.clone(), String::new()),
        (AuditAction::Updated, one.clone(), two),
        (AuditAction::Created, String::new(), one),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(
        found
            .iter()
            .all(|it| it.actor == actor() && it.id == "m" && it.kind == kind)
    );
    let query = AuditQuery {
        before: Some(found[1].number),
        ..newest(10)
    };
    let older = store.audit(&local, &query).await;
    assert_eq!(older.unwrap(), found[2..]);
    let of = async |kind, id: &str| {
        let query = AuditQuery {
            kind: Some(kind),
            id: Some(id.to_owned()),
            ..newest(10)
        };
        store.audit(&local, &query).await.unwrap().len()
    };
    assert_eq!(of(kind, "m").await, 3);
    assert_eq!(of(kind, "n").await, 0);
    assert_eq!(of(ResourceKind::Monitor, "m").await, 0);
}

pub async fn monitors_are_read_page_by_page_and_by_name(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let all = monitors(&["c", "a", "d", "b"]);
    store.replace_monitors(&local, &all).await.unwrap();
    let page = async |after: &str, limit| {
        let found = store.monitors_after(&local, after, limit).await.unwrap();
        let ids = found.monitors.iter().map(|it| it.value.id.to_string());
        (ids.collect::<Vec<_>>().join(","), found.next)
    };
    assert_eq!(
        page("", 3).await,
        ("a,b,c".to_owned(), Some("c".to_owned()))
    );
    assert_eq!(page("c", 3).await, ("d".to_owned(), None));
    assert_eq!(page("d", 3).await, (String::new(), None));
    let ids = ["d", "x", "a"].map(|id| MonitorId::new(id).unwrap());
    let found = store.monitors_named(&local, &ids).await.unwrap();
    let found: Vec<_> = found
        .monitors
        .iter()
        .map(|it| it.value.id.as_str())
        .collect();
    assert_eq!(found, ["a", "d"]);
    assert!(
        store
            .monitors_named(&local, &[])
            .await
            .unwrap()
            .monitors
            .is_empty()
    );
}

pub async fn a_request_is_done_by_one_and_answered_to_all(
    store: &(impl ConfigStore + AccountStore),
) {
    let local = WorkspaceId::local();
    let request = RequestKey {
        actor: "user/u1",
        key: "k",
    };
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let claim = async |fingerprint: &str, now: i64| {
        let claim = store.claim_request(&local, request, fingerprint, at(now), at(now - 60));
        claim.await.unwrap()
    };
    assert_eq!(claim("f", 0).await, Claim::Ours);
    assert_eq!(claim("f", 1).await, Claim::InProgress);
    assert_eq!(claim("g", 1).await, Claim::Other);
    // Who began it is gone.
    assert_eq!(claim("f", 100).await, Claim::Ours);
    store.release_request(&local, request).await.unwrap();
    let both = tokio::join!(claim("f", 101), claim("f", 101));
    let ours = [&both.0, &both.1]
        .into_iter()
        .filter(|it| **it == Claim::Ours);
    assert_eq!(ours.count(), 1, "{both:?}");
    let body = r#"{"secret":"hunter2"}"#;
    store
        .finish_request(&local, request, 201, body)
        .await
        .unwrap();
    store.release_request(&local, request).await.unwrap();
    let done = Claim::Done {
        status: 201,
        body: body.to_owned(),
    };
    assert_eq!(claim("f", 1000).await, done);
    assert_eq!(claim("g", 1000).await, Claim::Other);
    let other = RequestKey {
        actor: "user/u2",
        ..request
    };
    // A day later it is forgotten.
    let day = 24 * 3600;
    let claimed = store.claim_request(&local, other, "f", at(2 * day), at(day));
    assert_eq!(claimed.await.unwrap(), Claim::Ours);
    assert_eq!(claim("g", 2 * day).await, Claim::Ours);
}

fn secretive(id: &str, secret: &str) -> Monitor {
    let mut spec = HttpSpec::get("https://shop.example/".parse().unwrap());
    spec.headers = vec![("X-Key".to_owned(), secret.to_owned())];
    Monitor {
        id: MonitorId::new(id).unwrap(),
        spec: Spec::Http(Box::new(spec)),
        ..Monitor::sample()
    }
}

pub async fn secrets_are_sealed_and_come_back(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let monitor = secretive("a", "hunter2");
    let put = Put::monitor(monitor.clone());
    store.change(change(vec![put])).await.unwrap();
    let raw = store.resource(&local, ResourceKind::Monitor, "a").await;
    let raw = raw.unwrap().unwrap().value.body;
    assert!(!raw.contains("hunter2"), "{raw}");
    let version = async |expected: &Monitor| {
        let found = store.monitor(&local, &expected.id).await.unwrap().unwrap();
        assert_eq!(found.value, *expected);
        let changes = store.changes(None).await.unwrap();
        assert_eq!(changes.changed[0].unpack(), *expected);
        found.meta.version
    };
    assert_eq!(version(&monitor).await, 1);
    // The same secret is no change, another one is; and no word of either in the audit log.
    let put = Put::monitor(monitor.clone());
    store.change(change(vec![put])).await.unwrap();
    assert_eq!(version(&monitor).await, 1);
    let changed = secretive("a", "hunter3");
    let put = Put::monitor(changed.clone());
    store.change(change(vec![put])).await.unwrap();
    assert_eq!(version(&changed).await, 2);
    let audit = store.audit(&local, &newest(10)).await.unwrap();
    assert_eq!(audit.len(), 2);
    assert!(!format!("{audit:?}").contains("hunter"));
}

pub async fn monitors_of_a_file_leave_others_alone(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let of_file = |ids: &[&str]| Change {
        puts: monitors(ids)
            .into_iter()
            .map(|monitor| Put {
                managed_by: Some("sonde.yaml".to_owned()),
                ..Put::monitor(monitor)
            })
            .collect(),
        only: Some(Only::TheseOf("sonde.yaml".to_owned())),
        ..change(Vec::new())
    };
    let by_hand = monitors(&["hand"]).remove(0);
    store
        .change(change(vec![Put::monitor(by_hand)]))
        .await
        .unwrap();
    store.change(of_file(&["a", "b"])).await.unwrap();
    store.change(of_file(&["b", "c"])).await.unwrap();
    let found = store.monitors(&local).await.unwrap().monitors;
    let mut found: Vec<_> = found
        .iter()
        .map(|it| (it.value.id.as_str(), it.meta.managed_by.as_deref()))
        .collect();
    found.sort_unstable();
    let file = Some("sonde.yaml");
    assert_eq!(found, [("b", file), ("c", file), ("hand", None)]);
}

pub async fn an_added_monitor_comes_last_and_keeps_its_place(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let all = monitors(&["b", "c"]);
    store.replace_monitors(&local, &all).await.unwrap();
    let added = monitors(&["a", "0"]).into_iter().map(Put::monitor);
    store.change(change(added.collect())).await.unwrap();
    let mut changed = all[0].clone();
    changed.paused = true;
    store
        .change(change(vec![Put::monitor(changed)]))
        .await
        .unwrap();
    let ids = stored(store, &local).await;
    let ids: Vec<_> = ids.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["b", "c", "a", "0"]);
}

fn user(id: &str, email: &str) -> User {
    User {
        id: id.to_owned(),
        email: email.to_owned(),
        name: "Ann".to_owned(),
        password: None,
        created_at: Timestamp::from_micros(1),
    }
}

fn credential(hash: &str) -> NewCredential {
    NewCredential {
        hash: hash.to_owned(),
        expires_at: Some(Timestamp::from_micros(9)),
    }
}

pub async fn accounts_are_found_by_what_they_present<S: ConfigStore + AccountStore>(store: &S) {
    assert!(!store.has_users().await.unwrap());
    let mut ann = user("u1", "ann@example.org");
    store.put_user(&ann).await.unwrap();
    ann.password = Some("$argon2id$…".to_owned());
    store.put_user(&ann).await.unwrap();
    assert!(store.has_users().await.unwrap());
    let taken = store.put_user(&user("u2", &ann.email)).await;
    assert!(matches!(taken, Err(StoreError::Conflict)), "{taken:?}");
    let found = store.user_by_email(&ann.email).await.unwrap();
    assert_eq!(found.as_ref(), Some(&ann));
    assert_eq!(store.user("u2").await.unwrap(), None);

    store.put_identity("https://id", "7", "u1").await.unwrap();
    let known = store.user_by_identity("https://id", "7").await.unwrap();
    assert_eq!(known.as_ref(), Some(&ann));
    assert_eq!(
        store.user_by_identity("https://id", "8").await.unwrap(),
        None
    );

    let at = Timestamp::from_micros(5);
    for hash in ["s1", "s2", "s3"] {
        let holder = Holder::User("u1".to_owned());
        store
            .put_credential(&credential(hash), &holder, at)
            .await
            .unwrap();
    }
    store.touch_credential("s1", at).await.unwrap();
    let session = store.credential("s1").await.unwrap().unwrap();
    let user = "u1".to_owned();
    assert_eq!(session.opens, Opens::Session { user });
    assert_eq!(session.last_used_at, Some(at));
    assert_eq!(session.expires_at, Some(Timestamp::from_micros(9)));
    store.end_sessions("u1", Some("s2")).await.unwrap();
    assert_eq!(store.credential("s1").await.unwrap(), None);
    assert!(store.remove_credential("s2").await.unwrap());
    assert!(!store.remove_credential("s2").await.unwrap());

    let member = Put::other(ResourceKind::Member, "u1", r#"{"role":"owner"}"#);
    store.change(change(vec![member])).await.unwrap();
    let of = store.memberships("u1").await.unwrap();
    assert_eq!(
        of,
        [(WorkspaceId::local(), r#"{"role":"owner"}"#.to_owned())]
    );
}

pub async fn a_key_that_is_removed_opens_nothing<S: ConfigStore + AccountStore>(store: &S) {
    let put = Put {
        credential: Some(credential("k1")),
        ..Put::other(ResourceKind::ApiKey, "ci", r#"{"scopes":[]}"#)
    };
    store.change(change(vec![put])).await.unwrap();
    let found = store.credential("k1").await.unwrap().unwrap();
    let (workspace, id) = (WorkspaceId::local(), "ci".to_owned());
    let body = r#"{"scopes":[]}"#.to_owned();
    let expected = Opens::ApiKey {
        workspace: workspace.clone(),
        id,
        body,
    };
    assert_eq!(found.opens, expected);
    assert_eq!(store.keys_used(&workspace).await.unwrap(), []);
    let at = Timestamp::from_micros(7);
    store.touch_credential("k1", at).await.unwrap();
    let used = store.keys_used(&workspace).await.unwrap();
    assert_eq!(used, [("ci".to_owned(), at)]);
    let gone = removal(ResourceKind::ApiKey, "ci", Expected::Anything);
    store.change(gone).await.unwrap();
    assert_eq!(store.credential("k1").await.unwrap(), None);
}

pub async fn the_address_of_a_heartbeat_is_found_by_its_token_and_shown_to_who_may_know_it<S>(
    store: &S,
) where
    S: ConfigStore + AccountStore + AlertStore,
{
    let (workspace, backup) = (WorkspaceId::local(), MonitorId::new("backup").unwrap());
    assert_eq!(store.heartbeat(&workspace, &backup).await.unwrap(), None);
    let secret = r#"{"token":"hunter2"}"#;
    let put = |hash: &str| Put {
        credential: Some(credential(hash)),
        secrets: Some(secret.to_owned()),
        ..Put::other(ResourceKind::Heartbeat, "backup", "{}")
    };
    store.change(change(vec![put("h1")])).await.unwrap();
    let kept = store.heartbeat(&workspace, &backup).await.unwrap();
    assert_eq!(kept.as_deref(), Some(secret));
    let opens = async |hash: &str| {
        let found = store.credential(hash).await.unwrap();
        found.map(|found| found.opens)
    };
    let expected = Opens::Heartbeat {
        workspace: workspace.clone(),
        monitor: backup.clone(),
    };
    assert_eq!(opens("h1").await, Some(expected.clone()));
    // Another one in its place.
    let mut rotated = removal(ResourceKind::Heartbeat, "backup", Expected::Anything);
    rotated.puts.push(put("h2"));
    store.change(rotated).await.unwrap();
    assert_eq!(opens("h1").await, None);
    assert_eq!(opens("h2").await, Some(expected));
    let log = AuditQuery {
        limit: 10,
        ..AuditQuery::default()
    };
    let log = store.audit(&workspace, &log).await.unwrap();
    assert!(!format!("{log:?}").contains("hunter2"));
}
