//! The one connection that writes: statements prepared once, changes in transactions.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sonde_libsql::libsql::params::IntoParams;
use sonde_libsql::libsql::{self, Connection, Row, Statement};

use crate::Result;

pub(super) struct Writer {
    connection: Connection,
    statements: HashMap<&'static str, Statement>,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            statements: HashMap::new(),
        }
    }

    /// All that `change` does, or nothing.
    pub(super) async fn transaction<T>(
        &mut self,
        change: impl AsyncFnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.roll_back().await; // what a panic left behind
        self.execute("BEGIN IMMEDIATE", ()).await?;
        let changed = match change(self).await {
            Ok(value) => self.execute("COMMIT", ()).await.map(|_| value),
            Err(error) => Err(error),
        };
        if changed.is_err() {
            self.roll_back().await;
        }
        changed
    }

    async fn roll_back(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.execute("ROLLBACK", ()).await {
            tracing::error!(%error, "a transaction of the results store could not be rolled back");
        }
    }

    /// Returns how many rows changed.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        params: impl IntoParams,
    ) -> Result<usize> {
        let statement = self.statement(sql).await?;
        let changed = statement.execute(params).await;
        statement.reset();
        Ok(changed?)
    }

    /// The row id of the last insert.
    pub(super) fn last_inserted(&self) -> i64 {
        self.connection.last_insert_rowid()
    }

    /// The first row, if there is any.
    pub(super) async fn first<T>(
        &mut self,
        sql: &'static str,
        params: impl IntoParams,
        read: impl FnOnce(&Row) -> libsql::Result<T>,
    ) -> Result<Option<T>> {
        let statement = self.statement(sql).await?;
        let value = match statement.query(params).await?.next().await {
            Ok(row) => row.as_ref().map(read).transpose(),
            Err(error) => Err(error),
        };
        statement.reset();
        Ok(value?)
    }

    /// Unless it is reset after use, a statement ignores the parameters that it is given next.
    async fn statement(&mut self, sql: &'static str) -> Result<&Statement> {
        match self.statements.entry(sql) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(self.connection.prepare(sql).await?)),
        }
    }
}
