//! What every backend must do. Each test takes a fresh, empty store, opened with [`KEY`].
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "test code")]

use sonde_core::{Monitor, MonitorId, PackedMonitor, Region, WorkspaceId};

pub use alerts::*;
pub use resources::*;
pub use screenshots::*;

use crate::{
    Change, Changes, ConfigStore, Expected, MaintenanceChange, Put, Remove, ResourceKind, Revision,
};

mod alerts;
mod resources;
mod screenshots;

/// What stores under test seal secrets with.
pub const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn monitors(ids: &[&str]) -> Vec<Monitor> {
    let named = |id: &&str| {
        let mut monitor = Monitor::sample();
        monitor.id = MonitorId::new(id).unwrap();
        monitor
    };
    ids.iter().map(named).collect()
}

async fn stored(store: &dyn ConfigStore, workspace: &WorkspaceId) -> Vec<Monitor> {
    let found = store.monitors(workspace).await.unwrap();
    assert!(found.unreadable.is_empty());
    found.into_values()
}

pub async fn an_empty_store_has_no_monitors(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    assert_eq!(stored(store, &local).await, []);
    let found = store.monitor(&local, &Monitor::sample().id).await;
    assert_eq!(found.unwrap(), None);
}

pub async fn monitors_keep_their_order_and_all_they_say(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let mut expected = monitors(&["zebra", "ape", "m-1"]);
    expected[1].paused = true;
    expected[2].tags.clear();
    store.replace_monitors(&local, &expected).await.unwrap();
    assert_eq!(stored(store, &local).await, expected);
    let found = store.monitor(&local, &expected[1].id).await.unwrap();
    assert_eq!(found.map(|it| it.value).as_ref(), Some(&expected[1]));
}

pub async fn replacing_removes_what_is_not_named(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let before = monitors(&["a", "b", "c"]);
    store.replace_monitors(&local, &before).await.unwrap();
    let after = monitors(&["d", "b"]);
    store.replace_monitors(&local, &after).await.unwrap();
    assert_eq!(stored(store, &local).await, after);
    store.replace_monitors(&local, &[]).await.unwrap();
    assert_eq!(stored(store, &local).await, []);
}

pub async fn workspaces_do_not_see_each_other(store: &dyn ConfigStore) {
    let (local, other) = (WorkspaceId::local(), WorkspaceId::new("other").unwrap());
    let expected = monitors(&["a", "b"]);
    store.replace_monitors(&local, &expected).await.unwrap();
    store
        .replace_monitors(&other, &monitors(&["a"]))
        .await
        .unwrap();
    store.replace_monitors(&other, &[]).await.unwrap();
    assert_eq!(stored(store, &other).await, []);
    let found = store.monitor(&other, &expected[0].id).await.unwrap();
    assert_eq!(found, None);
    assert_eq!(stored(store, &local).await, expected);
}

pub async fn readers_see_one_replacement_or_the_other(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let (few, many) = (monitors(&["a"]), monitors(&["a", "b", "c"]));
    store.replace_monitors(&local, &few).await.unwrap();
    for next in [&many, &few, &many] {
        let (replaced, seen) =
            tokio::join!(store.replace_monitors(&local, next), stored(store, &local));
        replaced.unwrap();
        assert!(seen == few || seen == many, "a mixture was seen");
    }
}

async fn changes(store: &dyn ConfigStore, since: Option<Revision>) -> Changes {
    let mut changes = store.changes(since).await.unwrap();
    assert!(changes.unreadable.is_empty());
    changes
        .changed
        .sort_by(|a, b| (&a.workspace, &a.id).cmp(&(&b.workspace, &b.id)));
    changes.removed.sort();
    changes
        .maintenance
        .sort_by(|a, b| (&a.workspace, &a.id).cmp(&(&b.workspace, &b.id)));
    changes
}

fn unpacked(changes: &Changes) -> Vec<Monitor> {
    changes.changed.iter().map(PackedMonitor::unpack).collect()
}

pub async fn the_first_answer_is_complete(store: &dyn ConfigStore) {
    let nothing = changes(store, None).await;
    assert!(nothing.complete && nothing.changed.is_empty());
    let mut expected = monitors(&["a", "b"]);
    let other = WorkspaceId::new("other").unwrap();
    for monitor in &mut expected {
        monitor.workspace = other.clone();
    }
    store.replace_monitors(&other, &expected).await.unwrap();
    let local = monitors(&["a"]);
    store
        .replace_monitors(&WorkspaceId::local(), &local)
        .await
        .unwrap();
    let everything = changes(store, None).await;
    assert!(everything.complete && everything.removed.is_empty());
    assert_eq!(unpacked(&everything), [&local[..], &expected[..]].concat());
    assert!(everything.revision > nothing.revision);
}

pub async fn one_change_in_many_monitors_is_one_change(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let mut many = monitors(&["a", "b", "c"]);
    store.replace_monitors(&local, &many).await.unwrap();
    let before = changes(store, None).await.revision;
    many[1].paused = true;
    store.replace_monitors(&local, &many).await.unwrap();
    let found = changes(store, Some(before)).await;
    assert!(!found.complete);
    assert_eq!(unpacked(&found), many[1..2]);
    assert!(found.regions.iter().eq(&many[1].regions));
    assert_eq!(found.removed, []);
    let nothing = changes(store, Some(found.revision)).await;
    assert!(!nothing.complete);
    assert_eq!((nothing.changed, nothing.removed), (vec![], vec![]));
}

pub async fn the_same_again_is_no_change_and_neither_is_another_order(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let mut same = monitors(&["a", "b"]);
    store.replace_monitors(&local, &same).await.unwrap();
    let before = changes(store, None).await.revision;
    store.replace_monitors(&local, &same).await.unwrap();
    same.reverse();
    store.replace_monitors(&local, &same).await.unwrap();
    let found = changes(store, Some(before)).await;
    assert_eq!(found.revision, before);
    assert_eq!((found.changed, found.removed), (vec![], vec![]));
    assert_eq!(stored(store, &local).await, same);
}

pub async fn what_is_removed_is_told_until_it_comes_back(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let all = monitors(&["a", "b"]);
    store.replace_monitors(&local, &all).await.unwrap();
    let before = changes(store, None).await.revision;
    store.replace_monitors(&local, &all[..1]).await.unwrap();
    let removed = changes(store, Some(before)).await;
    assert_eq!(removed.removed, [(local.clone(), all[1].id.clone())]);
    assert_eq!(removed.changed, []);
    store.replace_monitors(&local, &all).await.unwrap();
    for since in [before, removed.revision] {
        let back = changes(store, Some(since)).await;
        assert_eq!(unpacked(&back), all[1..]);
        assert_eq!(back.removed, []);
    }
}

pub async fn maintenance_is_told_as_monitors_are(store: &dyn ConfigStore) {
    let (local, other) = (WorkspaceId::local(), WorkspaceId::new("other").unwrap());
    let told = |workspace: &WorkspaceId, id: &str, body: Option<&str>| MaintenanceChange {
        workspace: workspace.clone(),
        id: id.to_owned(),
        body: body.map(str::to_owned),
    };
    let put = async |workspace: &WorkspaceId, id: &str, body: &str| {
        let mut change = Change::new(workspace.clone(), None);
        let put = Put::other(ResourceKind::Maintenance, id, body.to_owned());
        change.puts.push(put);
        store.change(change).await.unwrap();
    };
    let before = changes(store, None).await;
    assert_eq!(before.maintenance, []);
    put(&local, "a", r#"{"no":1}"#).await;
    put(&other, "a", r#"{"no":2}"#).await;
    let mut invitation = Change::new(local.clone(), None);
    let body = r#"{"no":3}"#.to_owned();
    let invited = Put::other(ResourceKind::Invitation, "a", body);
    invitation.puts.push(invited);
    store.change(invitation).await.unwrap();
    let all = [
        told(&local, "a", Some(r#"{"no":1}"#)),
        told(&other, "a", Some(r#"{"no":2}"#)),
    ];
    for since in [None, Some(before.revision)] {
        let found = changes(store, since).await;
        assert_eq!(found.maintenance, all);
        assert_eq!((found.changed, found.removed), (vec![], vec![]));
    }
    let before = changes(store, None).await.revision;
    let mut change = Change::new(other.clone(), None);
    change.removes.push(Remove {
        kind: ResourceKind::Maintenance,
        id: "a".to_owned(),
        expected: Expected::Anything,
    });
    store.change(change).await.unwrap();
    let removed = changes(store, Some(before)).await;
    assert_eq!(removed.maintenance, [told(&other, "a", None)]);
    assert_eq!(removed.removed, []);
    assert!(!removed.is_empty());
    assert!(changes(store, Some(removed.revision)).await.is_empty());
    assert_eq!(changes(store, None).await.maintenance, all[..1]);
}

pub async fn an_unknown_revision_gets_a_complete_answer(store: &dyn ConfigStore) {
    let all = monitors(&["a", "b"]);
    let local = WorkspaceId::local();
    store.replace_monitors(&local, &all).await.unwrap();
    let Revision(newest) = changes(store, None).await.revision;
    for unknown in [0, newest - 1_000_000, newest + 1] {
        let found = changes(store, Some(Revision(unknown))).await;
        assert!(found.complete, "{unknown}");
        assert_eq!(unpacked(&found), all);
    }
}

pub async fn regions_are_those_of_the_monitors(store: &dyn ConfigStore) {
    let local = WorkspaceId::local();
    let mut all = monitors(&["a", "b"]);
    let region = |name| Region::new(name).unwrap();
    all[0].regions = vec![region("iad"), region("fra")];
    all[1].regions = vec![region("fra"), region("gru")];
    assert_eq!(store.regions().await.unwrap(), []);
    store.replace_monitors(&local, &all).await.unwrap();
    let expected = [region("fra"), region("gru"), region("iad")];
    assert_eq!(store.regions().await.unwrap(), expected);
    store.replace_monitors(&local, &all[1..]).await.unwrap();
    assert_eq!(store.regions().await.unwrap(), expected[..2]);
}

/// Runs the whole suite against one backend: `store_conformance!(name, async { Some(fresh) })`, where `fresh`
/// dereferences to the store and may own what the store needs; None where the backend is not to be had.
#[macro_export]
macro_rules! store_conformance {
    ($backend:ident, $fresh:expr) => {
        $crate::store_conformance!(@tests $backend, $fresh;
            an_empty_store_has_no_monitors,
            monitors_keep_their_order_and_all_they_say,
            replacing_removes_what_is_not_named,
            workspaces_do_not_see_each_other,
            readers_see_one_replacement_or_the_other,
            the_first_answer_is_complete,
            one_change_in_many_monitors_is_one_change,
            the_same_again_is_no_change_and_neither_is_another_order,
            what_is_removed_is_told_until_it_comes_back,
            maintenance_is_told_as_monitors_are,
            an_unknown_revision_gets_a_complete_answer,
            regions_are_those_of_the_monitors,
            resources_are_listed_by_kind_and_id,
            a_change_is_refused_when_something_is_not_as_expected,
            the_audit_log_tells_every_change_and_who_made_it,
            secrets_are_sealed_and_come_back,
            monitors_of_a_file_leave_others_alone,
            an_added_monitor_comes_last_and_keeps_its_place,
            accounts_are_found_by_what_they_present,
            a_key_that_is_removed_opens_nothing,
            monitors_are_read_page_by_page_and_by_name,
            a_request_is_done_by_one_and_answered_to_all,
        );
    };
    (@tests $backend:ident, $fresh:expr; $($test:ident),+ $(,)?) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $test() {
                    if let Some(store) = { $fresh.await } {
                        $crate::conformance::$test(&*store).await;
                    }
                }
            )+
        }
    };
}
