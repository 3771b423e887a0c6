//! How libSQL is reached: a local file, opened, kept private and migrated; a primary over HTTP; a replica of one. What
//! the stores of configuration and results share.
//!
//! libSQL works on the thread that calls it, so everything happens on blocking threads: a slow disk never delays a probe.

mod connector;
mod primary;
mod replica;

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libsql::{Builder, Connection, Database, OpenFlags};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

pub use libsql;
pub use primary::{Migrated, Primary, Remote};
pub use replica::{ReplicaFile, is_damage};

/// How long one process waits for another's lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A newer release wrote it.
    #[error("schema {found} is newer than {known}")]
    NewerSchema { found: u32, known: u32 },
}

/// The file, the disk or the thread failed; transparent, because whoever wraps it says what was being done.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unavailable(Box<dyn std::error::Error + Send + Sync>);

impl Unavailable {
    pub(crate) fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl From<libsql::Error> for Unavailable {
    fn from(error: libsql::Error) -> Self {
        Self(error.into())
    }
}

impl From<libsql::Error> for OpenError {
    fn from(error: libsql::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

/// One file, of which there may be many connections.
#[derive(Clone)]
pub struct LocalFile(Arc<Database>);

impl LocalFile {
    /// Opens or creates the file, readable by its owner alone, and migrates it; also returns the connection to write with.
    ///
    /// `migrations` lead from each version (`PRAGMA user_version`) to the next; one that was released is never edited.
    pub async fn open(
        path: &Path,
        migrations: &'static [&'static str],
    ) -> Result<(Self, Connection), OpenError> {
        let path = path.to_owned();
        blocking(async move || {
            create_private(&path).map_err(|error| Unavailable(error.into()))?;
            let file = Self(Arc::new(Builder::new_local(&path).build().await?));
            let writer = file.connect()?;
            writer
                .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
                .await?;
            migrate(&writer, migrations).await?;
            Ok((file, writer))
        })
        .await
    }

    /// Opens a file that exists without changing anything: while another process writes it, or on a disk that is full.
    pub async fn open_read_only(
        path: &Path,
        migrations: &'static [&'static str],
    ) -> Result<Self, OpenError> {
        let path = path.to_owned();
        blocking(async move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
            let file = Self(Arc::new(
                Builder::new_local(&path).flags(flags).build().await?,
            ));
            let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
            match version(&file.connect()?).await? {
                found if found > known => Err(OpenError::NewerSchema { found, known }),
                _ => Ok(file),
            }
        })
        .await
    }

    /// The number of migrations that the file has seen.
    pub async fn schema(&self) -> Result<u32, Unavailable> {
        let file = self.clone();
        blocking(async move || Ok(version(&file.connect()?).await?)).await
    }

    pub fn connect(&self) -> Result<Connection, libsql::Error> {
        let connection = self.0.connect()?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }
}

/// Runs what blocks where it may block. Once begun it runs to its end, even when nobody waits for it any more.
pub async fn blocking<T, E>(
    work: impl AsyncFnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Unavailable> + Send + 'static,
{
    let runtime = Handle::current();
    let done = spawn_blocking(move || runtime.block_on(work())).await;
    done.map_err(|error| Unavailable(error.into()))?
}

/// Brings the file to this release's schema, atomically; does nothing when it is there already.
async fn migrate(connection: &Connection, migrations: &[&str]) -> Result<(), OpenError> {
    connection.execute("BEGIN IMMEDIATE", ()).await?;
    let found = version(connection).await?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let missing = usize::try_from(found)
        .ok()
        .and_then(|found| migrations.get(found..));
    for migration in missing.ok_or(OpenError::NewerSchema { found, known })? {
        connection.execute_batch(migration).await?;
    }
    let set_version = format!("PRAGMA user_version = {known}");
    connection.execute_batch(&set_version).await?;
    connection.execute("COMMIT", ()).await?;
    Ok(())
}

async fn version(connection: &Connection) -> Result<u32, libsql::Error> {
    let mut rows = connection.query("PRAGMA user_version", ()).await?;
    match rows.next().await? {
        Some(row) => row.get(0),
        None => Ok(0),
    }
}

/// The file holds secrets; what libSQL puts beside it gets the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    create_folder(path)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

/// The one that `path` is to be in.
fn create_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const FIRST: &[&str] = &["CREATE TABLE a (b INTEGER) STRICT;"];
    const BOTH: &[&str] = &[FIRST[0], "CREATE TABLE c (d INTEGER) STRICT;"];

    #[tokio::test]
    async fn a_file_is_private_and_migrated_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("file.db");
        for migrations in [FIRST, FIRST, BOTH, BOTH] {
            let (file, writer) = LocalFile::open(&path, migrations).await.unwrap();
            writer
                .execute("INSERT INTO a VALUES (1)", ())
                .await
                .unwrap();
            drop(file);
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_file_can_be_read_while_it_is_written_and_only_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        assert!(LocalFile::open_read_only(&path, FIRST).await.is_err());
        let (_file, writer) = LocalFile::open(&path, FIRST).await.unwrap();
        writer
            .execute("INSERT INTO a VALUES (1)", ())
            .await
            .unwrap();
        let reader = LocalFile::open_read_only(&path, FIRST)
            .await
            .unwrap()
            .connect()
            .unwrap();
        let mut rows = reader.query("SELECT b FROM a", ()).await.unwrap();
        assert_eq!(
            rows.next().await.unwrap().unwrap().get::<i64>(0).unwrap(),
            1
        );
        assert!(
            reader
                .execute("INSERT INTO a VALUES (2)", ())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_newer_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        LocalFile::open(&path, BOTH).await.unwrap();
        let refused = LocalFile::open(&path, FIRST).await.err().unwrap();
        assert!(
            matches!(refused, OpenError::NewerSchema { found: 2, known: 1 }),
            "{refused}"
        );
    }
}
