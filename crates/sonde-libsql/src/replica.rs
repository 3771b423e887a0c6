//! A primary's database in a local file, as far as libSQL goes: how it is synced, read, told apart from a damaged one,
//! and removed.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libsql::{Builder, Database, OpenFlags, SyncProtocol};
use tokio::sync::Mutex;
use tokio::task::JoinError;
use tokio::time::timeout;

use crate::connector::Connector;
use crate::primary::Protocol;
use crate::{LocalFile, Primary, Unavailable, blocking, create_folder, create_private};

/// A first sync may transfer a gigabyte.
const SYNC_TIMEOUT: Duration = Duration::from_mins(10);
/// A primary that sends nothing for so long is away.
const SILENCE: Duration = Duration::from_secs(15);
/// What libSQL keeps beside the file, whichever protocol it speaks.
const BESIDE: [&str; 6] = ["", "-wal", "-shm", "-journal", "-client_wal_index", "-info"];

/// A replica: where it is, and of what. One process has one of each path.
#[derive(Clone)]
pub struct ReplicaFile {
    path: PathBuf,
    primary: Primary,
    /// Who holds it may write or remove the file.
    writer: Arc<Mutex<Option<Database>>>,
}

impl ReplicaFile {
    /// Neither connects nor touches the file.
    pub fn new(path: &Path, primary: &Primary) -> Result<Self, Unavailable> {
        primary.endpoint()?;
        Ok(Self {
            path: path.to_owned(),
            primary: primary.clone(),
            writer: Arc::default(),
        })
    }

    /// Brings the file to the primary's newest state. What fails leaves the last one. Once begun it runs to its end,
    /// even when nobody waits for it any more.
    pub async fn sync(&self) -> Result<(), Unavailable> {
        let file = self.clone();
        blocking(async move || {
            let mut writer = file.writer.lock().await;
            // Taken out, because what panics is not to be used again.
            let database = match writer.take() {
                Some(database) => database,
                None => file.build().await?,
            };
            let synced = timeout(SYNC_TIMEOUT, database.sync()).await;
            *writer = Some(database);
            synced.map_err(Unavailable::new)??;
            Ok(())
        })
        .await
    }

    /// Speaks with the primary only when its protocol is `2`.
    async fn build(&self) -> Result<Database, Unavailable> {
        let (url, protocol) = self.primary.endpoint()?;
        let connector = Connector::new(self.primary.ca.as_deref(), SILENCE)?;
        self.prepare(protocol).map_err(Unavailable::new)?;
        let builder = Builder::new_remote_replica(&self.path, url, self.primary.token.clone())
            .connector(connector)
            .sync_protocol(match protocol {
                Protocol::Frames => SyncProtocol::V1,
                Protocol::Pages => SyncProtocol::V2,
            });
        let built = timeout(SYNC_TIMEOUT, builder.build()).await;
        Ok(built.map_err(Unavailable::new)??)
    }

    /// For reading alone: nothing that goes through it reaches the primary.
    pub async fn reader(&self) -> Result<LocalFile, Unavailable> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = Builder::new_local(&self.path).flags(flags).build().await?;
        Ok(LocalFile(database.into()))
    }

    /// Takes away the file and all that belongs to it; waits for a sync to end. Nobody may be reading it.
    pub async fn remove(&self) -> Result<(), Unavailable> {
        let file = self.clone();
        blocking(async move || {
            *file.writer.lock().await = None;
            for suffix in BESIDE {
                match std::fs::remove_file(file.beside(suffix)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Unavailable::new(error));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }

    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// A file of the same name with `suffix` at its end.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        PathBuf::from(name)
    }

    /// Takes away everybody else's right to read the secrets in it.
    pub fn make_private(&self) -> io::Result<()> {
        for path in BESIDE.map(|suffix| self.beside(suffix)) {
            if path.exists() {
                std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
            }
        }
        Ok(())
    }

    /// So that the file is private from its beginning. With frames libSQL wants the file and its index or neither,
    /// with pages it makes the file itself.
    fn prepare(&self, protocol: Protocol) -> io::Result<()> {
        create_folder(&self.path)?;
        if protocol == Protocol::Frames && !self.path.exists() {
            create_private(&self.beside("-client_wal_index"))?;
            create_private(&self.path)?;
        }
        Ok(())
    }
}

/// SQLite's codes for a file that cannot be read to its end, and for what is not, or is no longer, a database. A disk
/// that is full, or too many open files, have others.
const DAMAGE_CODES: [i32; 3] = [10, 11, 26];
/// How libSQL words it where it keeps no code.
const DAMAGE_WORDS: [&str; 8] = [
    "disk i/o error",
    "malformed",
    "not a database",
    "wal_index",
    "invalid meta file",
    "metadata file",
    "local state",
    "lower generation",
];

impl Unavailable {
    /// True when the file is to blame, so that the same would happen again.
    pub fn is_damage(&self) -> bool {
        if let Some(error) = self.0.downcast_ref::<libsql::Error>() {
            is_damage(error)
        } else {
            // The code that applies a sync panics when it does not find what it left.
            self.0
                .downcast_ref::<JoinError>()
                .is_some_and(JoinError::is_panic)
        }
    }
}

/// True when the file is to blame, so that the same would happen again.
pub fn is_damage(error: &libsql::Error) -> bool {
    if let libsql::Error::SqliteFailure(code, _) = error {
        return DAMAGE_CODES.contains(&(code & 0xff));
    }
    let text = error.to_string().to_lowercase();
    DAMAGE_WORDS.iter().any(|word| text.contains(word))
}
