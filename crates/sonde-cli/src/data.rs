//! The data directory of one machine: which files are in it, and who may use it.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sonde_queue::SealingKeys;

/// Where a directory's configuration and results are.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// The lock goes with the process, however it ends.
    lock: File,
}

impl DataDirectory {
    /// Creates the directory, readable by its owner only, and takes it for this process.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot create the data directory {shown}"))?;
        let lock = File::create(path.join("lock"))
            .with_context(|| format!("cannot write to the data directory {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "another sonde uses the data directory {shown}: give this one its own with --data"
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the data directory {shown}"))
            }
        }
    }

    /// Fails when the directory is no longer the one that was locked: what is stored would be gone with the process.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let held = self.lock.metadata().context("cannot look at the lock")?;
        let found = std::fs::metadata(self.path.join("lock"));
        match found {
            Ok(found) if (found.dev(), found.ino()) == (held.dev(), held.ino()) => Ok(()),
            Ok(_) => bail!("the data directory {} was replaced", self.path.display()),
            Err(error) => Err(error)
                .with_context(|| format!("the data directory {} is gone", self.path.display())),
        }
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.path.join("config.db")
    }

    /// What seals secrets in the configuration; made at the first start. Whoever has the configuration without this
    /// file, as in a backup, has no secrets.
    pub(crate) fn secret_keys(&self) -> anyhow::Result<SealingKeys> {
        let path = self.path.join("secret.key");
        let shown = path.display();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = SealingKeys::generate();
                let mut options = File::options();
                let file = options.write(true).create_new(true).mode(0o600).open(&path);
                let written = file.and_then(|mut file| {
                    file.write_all(key.as_bytes())?;
                    file.sync_all()
                });
                written.with_context(|| format!("cannot write {shown}"))?;
                key
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
        };
        SealingKeys::parse(text.trim()).with_context(|| format!("{shown} holds no key"))
    }

    /// A fleet's configuration, as it was when this machine last saw it.
    pub(crate) fn replica(&self) -> PathBuf {
        self.path.join("replica.db")
    }

    pub(crate) fn results(&self) -> PathBuf {
        results(&self.path)
    }
}

/// The results of a directory that another process may be using.
pub(crate) fn results(path: &Path) -> PathBuf {
    path.join("results.db")
}
