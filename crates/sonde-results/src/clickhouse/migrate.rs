//! The schema's versions: who brings them, who checks them, and the user that may only read.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::error::{is_unknown_table, unavailable};
use super::schema::{self, literal, quoted};
use super::{ClickhouseResults, views, within};
use crate::{Result, ResultsError};

/// What [`ClickhouseResults::migrate`] found and left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Zero where there was nothing.
    pub from: u32,
    pub to: u32,
}

/// A user for dashboards and people's own SQL: may read the views and nothing else.
#[derive(Clone)]
pub struct ReadOnlyUser {
    pub name: String,
    pub password: String,
}

/// The role that [`ReadOnlyUser`] gets.
const READER: &str = "sonde_reader";

#[derive(Row, Deserialize)]
struct Found {
    version: u32,
}

#[derive(Row, Serialize)]
struct VersionRow {
    version: u32,
    release: String,
}

#[derive(Row, Deserialize)]
struct Count {
    count: u64,
}

#[derive(Row, Deserialize)]
struct Definition {
    definition: String,
}

impl ClickhouseResults {
    /// Creates the database and brings it to this release's schema and retention. Does nothing that was done already,
    /// and goes on where an earlier migration broke off.
    pub async fn migrate(&self) -> Result<Migrated> {
        self.create_database().await?;
        let from = self.version().await?.unwrap_or(0);
        let to = schema::newest_version();
        if from > to {
            return Err(ResultsError::NewerSchema {
                found: from,
                known: to,
            });
        }
        self.run(&self.dialect.create_versions()).await?;
        for version in from..to {
            for statement in schema::migration(&self.dialect, version).unwrap_or_default() {
                self.run(&statement).await?;
            }
            let row = VersionRow {
                version: version + 1,
                release: env!("CARGO_PKG_VERSION").to_owned(),
            };
            self.insert::<VersionRow>("schema_versions", &[row], None)
                .await?;
        }
        self.client.clear_cached_metadata().await;
        self.adjust_retention().await?;
        Ok(Migrated { from, to })
    }

    /// Whether the server answers and has exactly this release's schema.
    pub async fn ready(&self) -> Result<()> {
        let known = schema::newest_version();
        match self.version().await?.unwrap_or(0) {
            found if found > known => Err(ResultsError::NewerSchema { found, known }),
            found if found < known => Err(ResultsError::OutdatedSchema { found, known }),
            _ => Ok(()),
        }
    }

    /// Creates a user that may read what the views show, or gives it this password. Needs the right to manage access.
    pub async fn allow_reading(&self, user: &ReadOnlyUser) -> Result<()> {
        for statement in self.statements_of_reader(user) {
            self.run(&statement).await?;
        }
        Ok(())
    }

    /// All that [`migrate`](Self::migrate) does to an empty server, for whoever may not do it themselves.
    pub fn statements(&self) -> Vec<String> {
        let mut all = vec![
            self.dialect.create_database(),
            self.dialect.create_versions(),
        ];
        for version in 0..schema::newest_version() {
            all.extend(schema::migration(&self.dialect, version).unwrap_or_default());
            let versions = self.dialect.name("schema_versions");
            let release = env!("CARGO_PKG_VERSION");
            all.push(format!(
                "INSERT INTO {versions} (version, release) VALUES ({}, '{release}')",
                version + 1
            ));
        }
        all
    }

    /// All that [`allow_reading`](Self::allow_reading) does.
    ///
    /// Views run with the rights of who asks, so that the role also needs the columns behind them; not evidence.
    pub fn statements_of_reader(&self, user: &ReadOnlyUser) -> Vec<String> {
        let (dialect, on) = (&self.dialect, self.dialect.on_cluster());
        let (name, password) = (quoted(&user.name), literal(&user.password));
        let mut statements = vec![format!("CREATE ROLE IF NOT EXISTS {READER}{on}")];
        let views = views::ALL.iter().map(|view| (view.name, ""));
        for (table, columns) in views.chain(views::READABLE.iter().copied()) {
            let columns: Vec<String> = (columns.split(", ").filter(|column| !column.is_empty()))
                .map(quoted)
                .collect();
            let columns = if columns.is_empty() {
                String::new()
            } else {
                format!("({})", columns.join(", "))
            };
            let table = dialect.name(table);
            statements.push(format!("GRANT{on} SELECT{columns} ON {table} TO {READER}"));
        }
        let identified = format!("IDENTIFIED WITH sha256_password BY {password}");
        statements.extend([
            format!("CREATE USER IF NOT EXISTS {name}{on} {identified}"),
            // Settings such as a time limit may be chosen, data and the limit itself not changed.
            format!("ALTER USER {name}{on} {identified} SETTINGS readonly = 2"),
            format!("GRANT{on} {READER} TO {name}"),
        ]);
        statements
    }

    /// Not when it is there, because who may not create databases may still use one.
    async fn create_database(&self) -> Result<()> {
        let exists = self
            .client
            .clone()
            .with_database("default")
            .query("SELECT count() AS count FROM system.databases WHERE name = ?")
            .bind(&self.dialect.database)
            .fetch_one::<Count>();
        let Count { count } = self.ask(exists).await?;
        if count > 0 && self.dialect.cluster.is_none() {
            return Ok(());
        }
        let create = self
            .client
            .clone()
            .with_database("default")
            .query(&self.dialect.create_database())
            .execute();
        within(self.timeouts.maintenance, create)
            .await?
            .map_err(unavailable)
    }

    /// `None` where no migration was ever begun.
    async fn version(&self) -> Result<Option<u32>> {
        let newest = self
            .client
            .query("SELECT max(version) AS version FROM schema_versions")
            .fetch_one::<Found>();
        match within(self.timeouts.query, newest).await? {
            Ok(Found { version }) => Ok(Some(version)),
            Err(error) if is_unknown_table(&error) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn adjust_retention(&self) -> Result<()> {
        for (table, ttl) in self.dialect.retentions() {
            let definition = self
                .client
                .query("SELECT engine_full AS definition FROM system.tables WHERE database = ? AND name = ?")
                .bind(&self.dialect.database)
                .bind(table)
                .fetch_one::<Definition>();
            let Definition { definition } = self.ask(definition).await?;
            if !definition.contains(&format!("TTL {ttl}")) {
                self.run(&self.dialect.change_retention(table, &ttl))
                    .await?;
            }
        }
        Ok(())
    }
}
