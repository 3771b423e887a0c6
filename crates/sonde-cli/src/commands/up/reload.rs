//! A changed configuration is taken over whole, or not at all.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use sonde_checker::CheckerMetrics;
use sonde_core::{Monitor, MonitorId, QueueSettings, WorkspaceId};
use sonde_service::Service;
use sonde_store::ConfigStore as _;
use sonde_store::libsql::LibsqlStore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::example::Source;

/// Editors write a file in several steps: wait until they are done.
const SETTLE: Duration = Duration::from_millis(300);

pub(super) struct Reload {
    pub(super) source: Source,
    pub(super) settings: QueueSettings,
    pub(super) store: Arc<LibsqlStore>,
    pub(super) service: Service,
    pub(super) publish: watch::Sender<Arc<[Arc<Monitor>]>>,
    pub(super) metrics: CheckerMetrics,
}

impl Reload {
    /// Reloads on SIGHUP and when the file changes, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
        let (changed, mut changes) = mpsc::channel(1);
        let _watcher = self
            .source
            .file
            .as_deref()
            .and_then(|file| watch_folder(file, changed));
        let mut content = self.content();
        // Aborted when the process stops: what they asked for is not in the ledger.
        let mut first_checks = JoinSet::new();
        first_checks.spawn(super::first_checks(self.service.clone()));
        loop {
            let asked = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = hangup.recv() => true,
                Some(()) = changes.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    false
                }
            };
            let found = self.content();
            // The folder changes for other reasons too, and files are replaced in more ways than events tell.
            if (asked || found != content) && self.reload().await {
                first_checks.spawn(super::first_checks(self.service.clone()));
            }
            content = found;
            while first_checks.try_join_next().is_some() {}
        }
    }

    fn content(&self) -> Option<Vec<u8>> {
        self.source
            .file
            .as_deref()
            .and_then(|file| std::fs::read(file).ok())
    }

    /// Whether there is a new configuration now.
    async fn reload(&self) -> bool {
        let monitors = match self.source.load(&self.settings) {
            Ok(monitors) => monitors,
            Err(error) => {
                error.report();
                tracing::error!("the changed configuration is not used: the one before stays");
                return false;
            }
        };
        if *monitors == **self.publish.borrow() {
            return false;
        }
        let plain: Vec<_> = monitors.iter().map(|monitor| (**monitor).clone()).collect();
        if let Err(error) = self
            .store
            .replace_monitors(&WorkspaceId::local(), &plain)
            .await
        {
            let error = sonde_core::chain(&error);
            tracing::error!(
                error,
                "cannot save the changed configuration: the one before stays"
            );
            return false;
        }
        self.metrics.watch_only(watched(&monitors));
        tracing::info!(monitors = plain.len(), "took over a changed configuration");
        self.publish.send_replace(monitors);
        true
    }
}

/// What may have series in the metrics.
pub(super) fn watched(monitors: &[Arc<Monitor>]) -> HashSet<(MonitorId, String)> {
    monitors
        .iter()
        .map(|monitor| (monitor.id.clone(), monitor.target()))
        .collect()
}

/// Watches the file's folder, because editors and orchestrators replace files; `None` where that cannot be had, which
/// SIGHUP makes up for.
fn watch_folder(file: &Path, changed: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let on_event = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Full means that a look is due already.
            let _ = changed.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot watch the configuration file: send SIGHUP after a change");
        })
        .ok()
}
