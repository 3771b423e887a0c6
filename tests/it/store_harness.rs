//! What the tests of the configuration stores share: a server's database, a replica of it, processes of their own.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sonde_core::{Clock, Monitor, MonitorId, SystemClock};
use sonde_seal::SealingKeys;
use sonde_store::Result;
use sonde_store::libsql::{Primary, Replica};
use sonde_tests::services::Libsql;
use tempfile::TempDir;
use tokio::process::Command;

/// Long enough for anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn primary(server: &Libsql) -> Primary {
    primary_at(&server.url)
}

pub(crate) fn primary_at(url: &str) -> Primary {
    Primary {
        url: url.to_owned(),
        token: String::new(),
        ca: None,
    }
}

/// A replica in a folder of its own, not synced.
pub(crate) async fn open(server: &Libsql) -> (TempDir, Replica) {
    let folder = tempfile::tempdir().unwrap();
    let replica = reopen(&folder, server).await.unwrap();
    (folder, replica)
}

/// The replica that an earlier process left in the folder.
pub(crate) async fn reopen(folder: &TempDir, server: &Libsql) -> Result<Replica> {
    open_at(folder, &server.url, Arc::new(SystemClock)).await
}

pub(crate) async fn open_at(folder: &TempDir, url: &str, clock: Arc<dyn Clock>) -> Result<Replica> {
    Replica::open(&path(folder), &primary_at(url), keys(), clock).await
}

pub(crate) fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("replica.db")
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

pub(crate) fn monitor(id: &str) -> Monitor {
    let mut monitor = Monitor::sample();
    monitor.id = MonitorId::new(id).unwrap();
    monitor
}

/// What secrets are sealed with.
pub(crate) fn keys() -> SealingKeys {
    SealingKeys::parse(sonde_store::conformance::KEY).unwrap()
}

/// An error with its causes.
pub(crate) fn text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// SQL past all that is tested.
pub(crate) trait Execute {
    async fn execute(&self, sql: &str);
}

impl Execute for Libsql {
    async fn execute(&self, sql: &str) {
        let execute = json!({"type": "execute", "stmt": {"sql": sql}});
        let answer = sonde_tests::http::client()
            .post(format!("{}/v2/pipeline", self.url))
            .json(&json!({"requests": [execute, {"type": "close"}]}))
            .send()
            .await
            .unwrap();
        let answer: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(answer["results"][0]["type"], "ok", "{answer}");
    }
}

/// This test program as a process of its own, which runs the one test that looks at `told_to(task)`.
pub(crate) fn child(task: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--test-threads=1", "process_that_"])
        .env("STORE_TEST_TASK", task)
        .stdout(Stdio::null())
        .kill_on_drop(true);
    for (name, value) in settings {
        command.env(format!("STORE_TEST_{name}"), value);
    }
    command
}

/// The primary that the parent named, where it gave this task.
pub(crate) fn told_to(task: &str) -> Option<Primary> {
    let told = env::var("STORE_TEST_TASK").is_ok_and(|told| told == task);
    told.then(|| primary_at(&env::var("STORE_TEST_URL").unwrap()))
}
