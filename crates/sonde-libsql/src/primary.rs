//! The primary of a fleet: where it is, and its database over HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use libsql::{Builder, Connection, Database};
use tokio::time::timeout;

use crate::connector::Connector;
use crate::{OpenError, Unavailable, blocking};

/// For one call, however much it transfers.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A migration rewrites whatever there is.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(10);
/// Several processes may migrate at once; each step that another one took first costs a try.
const MIGRATION_TRIES: usize = 20;

/// A libSQL server that holds the truth.
#[derive(Clone)]
pub struct Primary {
    /// `http`, `https` or `libsql` (the same as `https`). Replicas speak sqld's protocol with it unless the URL ends
    /// with `?protocol=2`: then that of Turso.
    pub url: String,
    /// Empty for a server that wants none.
    pub token: String,
    /// Authorities (PEM) to trust beside the system's.
    pub ca: Option<String>,
}

/// How replicas are fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Frames,
    Pages,
}

impl Primary {
    /// The URL as libsql takes it, and the protocol.
    pub(crate) fn endpoint(&self) -> Result<(String, Protocol), Unavailable> {
        let (address, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let protocol = match query {
            "" | "protocol=1" => Protocol::Frames,
            "protocol=2" => Protocol::Pages,
            _ => return Err(self.unusable()),
        };
        let (scheme, rest) = address.split_once("://").ok_or_else(|| self.unusable())?;
        let scheme = match scheme {
            "http" => "http",
            "https" | "libsql" => "https",
            _ => return Err(self.unusable()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() || rest.starts_with([':', '/']) || rest.contains('@') {
            return Err(self.unusable());
        }
        Ok((format!("{scheme}://{rest}"), protocol))
    }

    fn unusable(&self) -> Unavailable {
        let address = self.url.split('?').next().unwrap_or_default();
        // What stands before an `@` may be a password.
        let address = address.rsplit('@').next().unwrap_or_default();
        Unavailable::new(format!(
            "`{address}` is not the URL of a libSQL primary, such as `https://db.example` or `libsql://db.turso.io?protocol=2`"
        ))
    }
}

/// Without the token.
impl fmt::Debug for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Primary")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What a migration found and left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    pub from: u32,
    pub to: u32,
}

/// The primary's database over HTTP.
#[derive(Clone)]
pub struct Remote(Arc<Database>);

impl Remote {
    /// Does not connect yet.
    pub async fn new(primary: &Primary) -> Result<Self, Unavailable> {
        Self::with_patience(primary, CALL_TIMEOUT).await
    }

    async fn with_patience(primary: &Primary, silence: Duration) -> Result<Self, Unavailable> {
        let (url, _) = primary.endpoint()?;
        let connector = Connector::new(primary.ca.as_deref(), silence)?;
        let builder = Builder::new_remote(url, primary.token.clone()).connector(connector);
        Ok(Self(Arc::new(builder.build().await?)))
    }

    /// Gives `work` a connection of its own, and as long as any call may take. Once begun it runs to its end, even
    /// when nobody waits for it any more.
    pub async fn call<T, E>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
    {
        let database = self.0.clone();
        blocking(async move || {
            let connection = database.connect().map_err(Unavailable::from)?;
            timeout(CALL_TIMEOUT, work(&connection))
                .await
                .unwrap_or_else(|_| Err(Unavailable::new("the primary took too long").into()))
        })
        .await
    }

    /// The number of migrations that the primary has seen.
    pub async fn schema(&self) -> Result<u32, Unavailable> {
        self.call(async |connection| Ok(crate::version(connection).await?))
            .await
    }

    /// Brings the primary to this release's schema, each step atomically. Any number of processes may do this at once.
    pub async fn migrate(
        primary: &Primary,
        migrations: &'static [&'static str],
    ) -> Result<Migrated, OpenError> {
        let remote = Self::with_patience(primary, MIGRATION_TIMEOUT).await?;
        let to = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
        let from = remote.schema().await?;
        let mut found = from;
        for _ in 0..MIGRATION_TRIES {
            if found > to {
                return Err(OpenError::NewerSchema { found, known: to });
            }
            let Some(migration) = migrations.get(found as usize) else {
                return Ok(Migrated { from, to });
            };
            let step = remote.step(found, migration).await;
            let before = std::mem::replace(&mut found, remote.schema().await?);
            if found == before {
                step?; // or another process is at it, and it takes another try
            }
        }
        Err(Unavailable::new("other processes keep the primary from being migrated").into())
    }

    /// One migration, in a transaction that fails unless the schema is still the one that was found.
    async fn step(&self, found: u32, migration: &str) -> Result<(), Unavailable> {
        let guarded = format!(
            "SELECT json('another process migrated') FROM pragma_user_version WHERE user_version <> {found};
            {migration}
            PRAGMA user_version = {};",
            found + 1
        );
        let database = self.0.clone();
        blocking(async move || {
            let connection = database.connect()?;
            let transaction = connection.execute_transactional_batch(&guarded);
            let done = timeout(MIGRATION_TIMEOUT, transaction).await;
            done.map_err(Unavailable::new)??;
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Result<(String, Protocol), Unavailable> {
        let primary = Primary {
            url: url.to_owned(),
            token: "secret".to_owned(),
            ca: None,
        };
        assert!(!format!("{primary:?}").contains("secret"));
        primary.endpoint()
    }

    #[test]
    fn a_url_names_the_server_and_the_protocol() {
        let frames = |url: &str| (url.to_owned(), Protocol::Frames);
        let pages = |url: &str| (url.to_owned(), Protocol::Pages);
        for (url, expected) in [
            ("http://127.0.0.1:8080/", frames("http://127.0.0.1:8080")),
            ("https://db.example", frames("https://db.example")),
            ("libsql://db.example", frames("https://db.example")),
            (
                "https://db.example?protocol=1",
                frames("https://db.example"),
            ),
            (
                "libsql://a.turso.io?protocol=2",
                pages("https://a.turso.io"),
            ),
        ] {
            assert_eq!(endpoint(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_primary_is_refused_without_its_password() {
        for url in [
            "",
            "db.example",
            "http://",
            "http://:80",
            "file:store.db",
            "http://user:hunter2@db.example",
            "http://db.example?protocol=3",
            "http://db.example?token=hunter2",
        ] {
            let error = endpoint(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
