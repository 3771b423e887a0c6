//! The libSQL backend: a local file with one writer, a primary over HTTP, or a replica of one.

mod account_store;
mod accounts;
mod alerts;
mod fallback;
mod queries;
mod replica;
mod requests;
mod resources;
mod schema;
mod screenshots;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sonde_core::{Monitor, MonitorId, Region, WorkspaceId};
use sonde_libsql::libsql::{self, Connection};
use sonde_libsql::{LocalFile, OpenError, Remote, Unavailable, blocking};
use sonde_seal::SealingKeys;
use tokio::sync::Mutex;

pub use fallback::Fallback;
pub use replica::{Replica, SyncStatus};
pub use sonde_libsql::{Migrated, Primary};

use crate::{
    AuditEntry, AuditQuery, Change, Changes, ConfigStore, Monitors, Resource, ResourceKind, Result,
    Revision, StoreError, Stored,
};

/// The configuration of one machine in one file, or that of a fleet at its primary.
#[derive(Clone)]
pub struct LibsqlStore {
    backend: Backend,
    keys: SealingKeys,
}

#[derive(Clone)]
enum Backend {
    File {
        file: LocalFile,
        writer: Arc<Mutex<Connection>>,
    },
    Remote(Remote),
}

impl LibsqlStore {
    /// Opens or creates the file, readable by its owner alone, and migrates it. `keys` seal and open secrets; without any,
    /// they are stored in the clear.
    pub async fn open(path: &Path, keys: SealingKeys) -> Result<Self> {
        let (file, writer) = LocalFile::open(path, schema::MIGRATIONS).await?;
        let writer = Arc::new(Mutex::new(writer));
        let backend = Backend::File { file, writer };
        Ok(Self { backend, keys })
    }

    /// Connects to a primary whose schema is this release's.
    pub async fn remote(primary: &Primary, keys: SealingKeys) -> Result<Self> {
        let remote = Remote::new(primary).await?;
        expect_schema(remote.schema().await?)?;
        Ok(Self::at(remote, keys))
    }

    fn at(remote: Remote, keys: SealingKeys) -> Self {
        let backend = Backend::Remote(remote);
        Self { backend, keys }
    }

    /// Brings the primary to this release's schema. Safe to run any number of times, also at once.
    pub async fn migrate(primary: &Primary) -> Result<Migrated> {
        Ok(Remote::migrate(primary, schema::MIGRATIONS).await?)
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl AsyncFnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.backend {
            Backend::Remote(remote) => remote.call(question).await,
            Backend::File { file, .. } => {
                let file = file.clone();
                blocking(async move || question(&file.connect()?).await).await
            }
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl AsyncFnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.backend {
            Backend::Remote(remote) => remote.call(change).await,
            Backend::File { writer, .. } => {
                let writer = writer.clone().lock_owned().await;
                blocking(async move || change(&writer).await).await
            }
        }
    }
}

#[async_trait]
impl ConfigStore for LibsqlStore {
    async fn monitors(&self, workspace: &WorkspaceId) -> Result<Monitors> {
        let (workspace, keys) = (workspace.clone(), self.keys.clone());
        self.read(async move |it| queries::monitors(it, &workspace, &keys).await)
            .await
    }

    async fn monitor(
        &self,
        workspace: &WorkspaceId,
        id: &MonitorId,
    ) -> Result<Option<Stored<Monitor>>> {
        let (workspace, id, keys) = (workspace.clone(), id.clone(), self.keys.clone());
        self.read(async move |it| queries::monitor(it, &workspace, &id, &keys).await)
            .await
    }

    async fn monitors_after(
        &self,
        workspace: &WorkspaceId,
        after: &str,
        limit: u32,
    ) -> Result<Monitors> {
        let (workspace, after, keys) = (workspace.clone(), after.to_owned(), self.keys.clone());
        self.read(async move |it| {
            queries::monitors_after(it, &workspace, &after, limit, &keys).await
        })
        .await
    }

    async fn monitors_named(&self, workspace: &WorkspaceId, ids: &[MonitorId]) -> Result<Monitors> {
        let (workspace, ids, keys) = (workspace.clone(), ids.to_vec(), self.keys.clone());
        self.read(async move |it| queries::monitors_named(it, &workspace, &ids, &keys).await)
            .await
    }

    async fn changes(&self, since: Option<Revision>) -> Result<Changes> {
        let keys = self.keys.clone();
        self.read(async move |it| queries::changes(it, since, &keys).await)
            .await
    }

    async fn regions(&self) -> Result<Vec<Region>> {
        self.read(async |it| queries::regions(it).await).await
    }

    async fn resources(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Stored<Resource>>> {
        let (workspace, after) = (workspace.clone(), after.to_owned());
        self.read(async move |it| resources::list(it, &workspace, kind, &after, limit).await)
            .await
    }

    async fn resource(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        id: &str,
    ) -> Result<Option<Stored<Resource>>> {
        let (workspace, id) = (workspace.clone(), id.to_owned());
        self.read(async move |it| resources::one(it, &workspace, kind, &id).await)
            .await
    }

    async fn change(&self, change: Change) -> Result<()> {
        let keys = self.keys.clone();
        self.write(async move |it| resources::change(it, &change, &keys).await)
            .await
    }

    async fn audit(&self, workspace: &WorkspaceId, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        let (workspace, query) = (workspace.clone(), query.clone());
        self.read(async move |it| resources::audit(it, &workspace, &query).await)
            .await
    }
}

fn expect_schema(found: u32) -> Result<()> {
    let known = u32::try_from(schema::MIGRATIONS.len()).unwrap_or(u32::MAX);
    match found {
        newer if newer > known => Err(StoreError::NewerSchema { found, known }),
        older if older < known => Err(StoreError::OlderSchema { found, known }),
        _ => Ok(()),
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NewerSchema { found, known } => Self::NewerSchema { found, known },
            OpenError::Unavailable(error) => error.into(),
        }
    }
}

impl From<Unavailable> for StoreError {
    fn from(error: Unavailable) -> Self {
        unavailable(error)
    }
}

impl From<libsql::Error> for StoreError {
    fn from(error: libsql::Error) -> Self {
        unavailable(error)
    }
}

fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable(source.into())
}

#[cfg(test)]
mod tests {
    use std::ops::Deref;
    use std::os::unix::fs::PermissionsExt;

    use sonde_core::PackedMonitor;
    use tempfile::TempDir;

    use super::*;

    crate::store_conformance!(libsql, async {
        Some(crate::libsql::tests::Fresh::open().await)
    });

    crate::alert_conformance!(alerts, async {
        Some(crate::libsql::tests::Fresh::open().await)
    });

    struct Fresh {
        store: LibsqlStore,
        directory: TempDir,
    }

    impl Fresh {
        async fn open() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store = LibsqlStore::open(&directory.path().join("store.db"), keys())
                .await
                .unwrap();
            Self { store, directory }
        }

        async fn run(&self, sql: &str) {
            let Backend::File { file, .. } = &self.store.backend else {
                unreachable!("it was opened as a file");
            };
            let connection = file.connect().unwrap();
            connection.execute_batch(sql).await.unwrap();
        }
    }

    impl Deref for Fresh {
        type Target = LibsqlStore;
        fn deref(&self) -> &LibsqlStore {
            &self.store
        }
    }

    fn keys() -> SealingKeys {
        SealingKeys::parse(crate::conformance::KEY).unwrap()
    }

    fn monitor(id: &str) -> Monitor {
        let mut monitor = Monitor::sample();
        monitor.id = MonitorId::new(id).unwrap();
        monitor
    }

    #[tokio::test]
    async fn an_unreadable_monitor_does_not_hide_the_others() {
        let fresh = Fresh::open().await;
        let local = WorkspaceId::local();
        let monitors = [monitor("a"), monitor("b"), monitor("c")];
        fresh.replace_monitors(&local, &monitors).await.unwrap();
        fresh
            .run("UPDATE resources SET body = '{}' WHERE id = 'b'")
            .await;
        let found = fresh.monitors(&local).await.unwrap();
        let unreadable: Vec<String> = found.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(found.into_values(), [monitor("a"), monitor("c")]);
        assert_eq!(unreadable, ["stored monitor `b` is unreadable"]);
        let one = fresh.monitor(&local, &monitors[1].id).await;
        assert!(matches!(one, Err(StoreError::Corrupt { id, .. }) if id == "b"));
    }

    #[tokio::test]
    async fn a_replacement_that_fails_changes_nothing() {
        let fresh = Fresh::open().await;
        let local = WorkspaceId::local();
        let before = [monitor("a"), monitor("b")];
        fresh.replace_monitors(&local, &before).await.unwrap();
        let twice = [monitor("c"), monitor("c")];
        fresh.replace_monitors(&local, &twice).await.unwrap_err();
        assert_eq!(fresh.monitors(&local).await.unwrap().into_values(), before);
        let after = [monitor("c")];
        fresh.replace_monitors(&local, &after).await.unwrap();
        assert_eq!(fresh.monitors(&local).await.unwrap().into_values(), after);
    }

    /// As many revisions and removed monitors as a store is told to have had.
    async fn changed_often(fresh: &Fresh, revisions: u32, removed: u32) -> Revision {
        let local = WorkspaceId::local();
        let all = [monitor("a"), monitor("b")];
        fresh.replace_monitors(&local, &all).await.unwrap();
        let first = fresh.changes(None).await.unwrap().revision;
        fresh.replace_monitors(&local, &all[..1]).await.unwrap();
        let newest = fresh.changes(None).await.unwrap().revision.0;
        fresh
            .run(&format!(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {revisions})
                    INSERT INTO revisions SELECT {newest} + n FROM n;
                WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {removed})
                    INSERT INTO removed_resources SELECT 'default', 'monitor', 'gone-' || n, {newest} + 1 FROM n;"
            ))
            .await;
        let next = [monitor("c")];
        fresh.replace_monitors(&local, &next).await.unwrap();
        first
    }

    #[tokio::test]
    async fn what_was_removed_is_forgotten_with_the_revisions_that_ask_for_it() {
        for (revisions, removed, remembers) in [
            (4000, 10, true),
            (5000, 10, false),
            (10, 99_000, true),
            (10, 101_000, false),
        ] {
            let fresh = Fresh::open().await;
            let first = changed_often(&fresh, revisions, removed).await;
            let found = fresh.changes(Some(first)).await.unwrap();
            assert_eq!(!found.complete, remembers, "{revisions} {removed}");
            assert_eq!(found.changed, [PackedMonitor::new(&monitor("c"))]);
            if remembers {
                let names = |(_, id): &(WorkspaceId, MonitorId)| ["a", "b"].contains(&id.as_str());
                assert_eq!(found.removed.iter().filter(|it| names(it)).count(), 2);
            }
        }
    }

    #[tokio::test]
    async fn a_file_of_the_first_release_keeps_its_monitors_and_gets_their_regions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let body = serde_json::to_string(&monitor("a")).unwrap();
        let (file, writer) = LocalFile::open(&path, &schema::MIGRATIONS[..1])
            .await
            .unwrap();
        let insert = "INSERT INTO monitors VALUES ('default', ?1, 0, ?2), ('default', 'b', 1, '?')";
        writer.execute(insert, ("a", body)).await.unwrap();
        drop((file, writer));
        let store = LibsqlStore::open(&path, SealingKeys::none()).await.unwrap();
        let found = store.changes(None).await.unwrap();
        assert_eq!(
            (found.changed, found.unreadable.len()),
            (vec![PackedMonitor::new(&monitor("a"))], 1)
        );
        assert_eq!(store.regions().await.unwrap(), [Region::local()]);
        let since = store.changes(Some(found.revision)).await.unwrap();
        assert!(!since.complete && since.changed.is_empty());
    }

    #[tokio::test]
    async fn without_its_key_a_secret_is_unreadable_and_hides_no_other_monitor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let local = WorkspaceId::local();
        let store = LibsqlStore::open(&path, keys()).await.unwrap();
        let mut secretive = monitor("a");
        let url = "https://user:hunter2@shop.example/".parse().unwrap();
        secretive.spec = sonde_core::Spec::Http(Box::new(sonde_core::HttpSpec::get(url)));
        let both = [secretive, monitor("b")];
        store.replace_monitors(&local, &both).await.unwrap();
        drop(store);
        let others = SealingKeys::parse(&SealingKeys::generate()).unwrap();
        for keys in [others, SealingKeys::none()] {
            let store = LibsqlStore::open(&path, keys).await.unwrap();
            let found = store.monitors(&local).await.unwrap();
            let said: Vec<_> = found
                .unreadable
                .iter()
                .map(|error| sonde_core::chain(error))
                .collect();
            let expected = "stored monitor `a` is unreadable: its secrets cannot be opened with this process's secret key";
            assert_eq!(said, [expected]);
            assert_eq!(found.into_values(), [monitor("b")]);
            let changes = store.changes(None).await.unwrap();
            assert_eq!((changes.changed.len(), changes.unreadable.len()), (1, 1));
        }
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let fresh = Fresh::open().await;
        fresh.run("PRAGMA user_version = 99").await;
        let opened = LibsqlStore::open(
            &fresh.directory.path().join("store.db"),
            SealingKeys::none(),
        )
        .await;
        let error = opened.err().unwrap();
        assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }));
    }

    #[tokio::test]
    async fn opening_again_keeps_everything_and_the_file_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/store.db");
        let local = WorkspaceId::local();
        let first = LibsqlStore::open(&path, SealingKeys::none()).await.unwrap();
        first
            .replace_monitors(&local, &[monitor("a")])
            .await
            .unwrap();
        let second = LibsqlStore::open(&path, SealingKeys::none()).await.unwrap();
        let found = second.monitors(&local).await.unwrap();
        assert_eq!(found.into_values(), [monitor("a")]);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let wal = path.with_extension("db-wal");
        assert_eq!([mode(&path), mode(&wal)], [0o600, 0o600]);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }
}
