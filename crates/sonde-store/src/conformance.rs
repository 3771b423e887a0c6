//! What every backend must do. Each test takes a fresh, empty store.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "test code")]

use sonde_core::{Monitor, MonitorId, WorkspaceId};

use crate::ConfigStore;

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
    found.monitors
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
    assert_eq!(found.as_ref(), Some(&expected[1]));
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

/// Runs the whole suite against one backend: `store_conformance!(name, async { fresh })`, where `fresh` dereferences
/// to the store and may own what the store needs.
#[macro_export]
macro_rules! store_conformance {
    ($backend:ident, $fresh:expr) => {
        $crate::store_conformance!(@tests $backend, $fresh;
            an_empty_store_has_no_monitors,
            monitors_keep_their_order_and_all_they_say,
            replacing_removes_what_is_not_named,
            workspaces_do_not_see_each_other,
            readers_see_one_replacement_or_the_other,
        );
    };
    (@tests $backend:ident, $fresh:expr; $($test:ident),+ $(,)?) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $test() {
                    let store = { $fresh.await };
                    $crate::conformance::$test(&*store).await;
                }
            )+
        }
    };
}
