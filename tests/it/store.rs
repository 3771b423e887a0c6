//! The suite of the configuration stores against a real primary: past it over HTTP, and through a replica.

use std::ops::Deref;

use sonde_core::WorkspaceId;
use sonde_store::libsql::{LibsqlStore, Migrated, Replica};
use sonde_store::{ConfigStore, StoreError};
use sonde_tests::services::{self, Libsql};
use tempfile::TempDir;

use crate::store_harness::{Execute, child, keys, monitor, open, primary, reopen, text, told_to};

/// A store and what it needs.
struct Fresh<S> {
    store: S,
    _server: Libsql,
    _folder: Option<TempDir>,
}

impl<S> Deref for Fresh<S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.store
    }
}

async fn remote() -> Option<Fresh<LibsqlStore>> {
    let server = services::libsql().await?;
    LibsqlStore::migrate(&primary(&server)).await.unwrap();
    Some(Fresh {
        store: LibsqlStore::remote(&primary(&server), keys())
            .await
            .unwrap(),
        _server: server,
        _folder: None,
    })
}

async fn replica() -> Option<Fresh<Replica>> {
    let server = services::libsql().await?;
    LibsqlStore::migrate(&primary(&server)).await.unwrap();
    let (folder, store) = open(&server).await;
    store.sync().await.unwrap();
    Some(Fresh {
        store,
        _server: server,
        _folder: Some(folder),
    })
}

sonde_store::store_conformance!(primary_over_http, crate::store::remote());
sonde_store::alert_conformance!(alerts_over_http, crate::store::remote());
sonde_store::store_conformance!(embedded_replica, crate::store::replica());

#[tokio::test]
async fn thousands_of_monitors_are_one_write_and_come_back_in_order() {
    let Some(store) = replica().await else {
        return;
    };
    let local = WorkspaceId::local();
    let monitors: Vec<_> = (0..20_000).map(|n| monitor(&format!("m-{n}"))).collect();
    store.replace_monitors(&local, &monitors).await.unwrap();
    for seen in [
        store.monitors(&local).await.unwrap(),
        store.primary().monitors(&local).await.unwrap(),
    ] {
        assert!(seen.unreadable.is_empty());
        let seen = seen.into_values();
        assert!(seen == monitors, "{} monitors", seen.len());
    }
}

#[tokio::test]
async fn a_replacement_that_fails_at_the_primary_changes_nothing() {
    let Some(store) = remote().await else {
        return;
    };
    let local = WorkspaceId::local();
    let before = [monitor("a"), monitor("b")];
    store.replace_monitors(&local, &before).await.unwrap();
    let revision = store.changes(None).await.unwrap().revision;
    let twice = [monitor("c"), monitor("c")];
    let error = store.replace_monitors(&local, &twice).await.unwrap_err();
    assert!(
        text(&error).contains("two monitors have one id"),
        "{}",
        text(&error)
    );
    assert_eq!(store.monitors(&local).await.unwrap().into_values(), before);
    assert_eq!(store.changes(None).await.unwrap().revision, revision);
}

#[tokio::test]
async fn a_primary_is_migrated_once_however_many_do_it_at_once() {
    let Some(server) = services::libsql().await else {
        return;
    };
    let primary = primary(&server);
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(child("MIGRATE", &[("URL", &server.url)]).spawn().unwrap());
    }
    let known = LibsqlStore::migrate(&primary).await.unwrap().to;
    for mut process in processes {
        assert!(process.wait().await.unwrap().success());
    }
    let again = LibsqlStore::migrate(&primary).await.unwrap();
    assert_eq!(
        again,
        Migrated {
            from: known,
            to: known
        }
    );
    LibsqlStore::remote(&primary, keys()).await.unwrap();
}

/// What `child("MIGRATE", …)` runs.
#[tokio::test]
async fn process_that_migrates() {
    if let Some(primary) = told_to("MIGRATE") {
        LibsqlStore::migrate(&primary).await.unwrap();
    }
}

#[tokio::test]
async fn a_primary_without_the_schema_says_what_to_run() {
    let Some(server) = services::libsql().await else {
        return;
    };
    let error = LibsqlStore::remote(&primary(&server), keys())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error, StoreError::OlderSchema { found: 0, .. }),
        "{error}"
    );
    assert!(
        error.to_string().ends_with("run `sonde migrate`"),
        "{error}"
    );
    let (_folder, replica) = open(&server).await;
    let error = replica.sync().await.unwrap_err();
    assert!(matches!(error, StoreError::OlderSchema { .. }), "{error}");
    LibsqlStore::migrate(&primary(&server)).await.unwrap();
    replica.sync().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let Some(server) = services::libsql().await else {
        return;
    };
    let primary = primary(&server);
    LibsqlStore::migrate(&primary).await.unwrap();
    let (folder, replica) = open(&server).await;
    replica.sync().await.unwrap();
    server.execute("PRAGMA user_version = 99").await;
    replica.sync().await.unwrap();
    drop(replica);

    let newer = |error: &StoreError| matches!(error, StoreError::NewerSchema { found: 99, .. });
    assert!(newer(&LibsqlStore::migrate(&primary).await.unwrap_err()));
    assert!(newer(
        &LibsqlStore::remote(&primary, keys()).await.err().unwrap()
    ));
    assert!(newer(&reopen(&folder, &server).await.err().unwrap()));
    let (_folder, fresh) = open(&server).await;
    assert!(newer(&fresh.sync().await.unwrap_err()));
    assert_eq!(fresh.status().borrow().synced_at, None);
}
