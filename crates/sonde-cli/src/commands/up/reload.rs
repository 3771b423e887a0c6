//! A changed configuration is taken over whole, or not at all.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use sonde_checker::CheckerMetrics;
use sonde_core::{Monitor, QueueSettings, WorkspaceId};
use sonde_service::Service;
use sonde_store::ConfigStore as _;
use sonde_store::libsql::LibsqlStore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
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
            .and_then(|file| watch_file(file, changed));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = hangup.recv() => {}
                Some(()) = changes.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    while changes.try_recv().is_ok() {}
                }
            }
            self.reload().await?;
        }
    }

    async fn reload(&self) -> anyhow::Result<()> {
        let monitors = match self.source.load(&self.settings) {
            Ok(monitors) => monitors,
            Err(error) => {
                error.report();
                tracing::error!("the changed configuration is not used: the one before stays");
                return Ok(());
            }
        };
        if *monitors == **self.publish.borrow() {
            return Ok(());
        }
        let plain: Vec<_> = monitors.iter().map(|monitor| (**monitor).clone()).collect();
        self.store
            .replace_monitors(&WorkspaceId::local(), &plain)
            .await
            .context("cannot save the changed configuration")?;
        self.metrics.retain(|id, target| {
            plain
                .iter()
                .any(|monitor| monitor.id == *id && monitor.target() == target)
        });
        tracing::info!(monitors = plain.len(), "took over a changed configuration");
        self.publish.send_replace(monitors);
        super::first_checks(&self.service).await
    }
}

/// Watches the file's folder, because editors replace files; `None` where that cannot be had, which SIGHUP makes up for.
fn watch_file(file: &Path, changed: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = file.file_name()?.to_owned();
    let on_event = move |event: notify::Result<notify::Event>| {
        let ours = event.is_ok_and(|event| {
            !event.kind.is_access()
                && event
                    .paths
                    .iter()
                    .any(|path| path.file_name() == Some(&name))
        });
        if ours {
            // Full means that a reload is due already.
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
