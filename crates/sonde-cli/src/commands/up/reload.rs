//! A changed configuration is taken over whole, or not at all.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use sonde_checker::CheckerMetrics;
use sonde_core::{Monitor, MonitorId, QueueSettings};
use sonde_queue::{Announcement, Bus, Topic};
use sonde_service::Service;
use sonde_store::Calendar;
use sonde_store::libsql::LibsqlStore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::configured::{self, Monitors};
use super::example::Source;
use crate::configuration;

/// Editors write a file in several steps: wait until they are done.
const SETTLE: Duration = Duration::from_millis(300);
/// Between two looks at the file that no event has asked for.
const LOOK: Duration = Duration::from_secs(10);
const LONGEST_READ: Duration = Duration::from_secs(5);

pub(super) struct Reload {
    pub(super) source: Source,
    pub(super) settings: QueueSettings,
    pub(super) store: Arc<LibsqlStore>,
    pub(super) service: Service,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) publish: watch::Sender<Arc<[Arc<Monitor>]>>,
    pub(super) maintenance: Arc<Mutex<Calendar>>,
    /// Touched with every change.
    pub(super) changed: watch::Sender<()>,
    pub(super) metrics: CheckerMetrics,
}

/// What came of a look at the configuration.
enum Reloaded {
    Changed,
    /// It says the same as before, or it is wrong: trying again changes nothing.
    Unchanged,
    /// A disk was in the way.
    NotNow,
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
        let mut told = self.bus.listen(&[Topic::Config]).await?;
        let mut now_and_then = tokio::time::interval(LOOK);
        let mut content = self.content().await;
        // Aborted when the process stops: what they asked for is not in the ledger.
        let mut first_checks = JoinSet::new();
        first_checks.spawn(super::first_checks(self.service.clone()));
        loop {
            let asked = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = told.next() => {
                    if self.take_over().await {
                        first_checks.spawn(super::first_checks(self.service.clone()));
                    }
                    continue;
                }
                _ = hangup.recv() => true,
                Some(()) = changes.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    false
                }
                // What links lead to changes without an event in this folder.
                _ = now_and_then.tick() => false,
            };
            let found = self.content().await;
            // The folder changes for other reasons too, and files are replaced in more ways than events tell.
            if !asked && found == content {
                continue;
            }
            match self.reload().await {
                Reloaded::Changed => {
                    first_checks.spawn(super::first_checks(self.service.clone()));
                }
                Reloaded::Unchanged => {}
                // As if it had not been seen: the next look tries again.
                Reloaded::NotNow => continue,
            }
            content = found;
            while first_checks.try_join_next().is_some() {}
        }
    }

    async fn content(&self) -> Option<Vec<u8>> {
        let file = self.source.file.clone()?;
        aside(move || configuration::read_file(&file).ok())
            .await
            .flatten()
    }

    async fn reload(&self) -> Reloaded {
        let (source, settings) = (self.source.clone(), self.settings.clone());
        let wanted = match aside(move || source.load(&settings)).await {
            Some(Ok(wanted)) => wanted,
            Some(Err(error)) => {
                error.log();
                tracing::error!("the changed configuration is not used: the one before stays");
                return Reloaded::Unchanged;
            }
            None => {
                tracing::error!("the configuration cannot be read in time: the one before stays");
                return Reloaded::NotNow;
            }
        };
        match configured::save(&self.store, &self.source.name(), &wanted).await {
            Ok(monitors) => {
                self.announce().await;
                let reloaded = self.publish(monitors);
                if matches!(reloaded, Reloaded::Unchanged) {
                    tracing::info!("the configuration says the same of monitors as before");
                }
                reloaded
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot save the changed configuration: the one before stays"
                );
                Reloaded::NotNow
            }
        }
    }

    /// Channels and maintenance are taken over by who hears of them.
    async fn announce(&self) {
        let announcement = Announcement {
            topic: Topic::Config,
            payload: Vec::new(),
        };
        if let Err(error) = self.bus.announce(announcement).await {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, "cannot announce a change of the configuration");
        }
    }

    /// What came through the API; true when it changes what is watched.
    async fn take_over(&self) -> bool {
        let followed = configured::follow_maintenance(&*self.store, &self.maintenance).await;
        if let Err(error) = followed {
            let error = sonde_core::chain(&error);
            tracing::error!(
                error,
                "cannot read the changed maintenance: that before stays"
            );
        }
        match configured::load(&*self.store).await {
            Ok(monitors) => matches!(self.publish(monitors), Reloaded::Changed),
            Err(error) => {
                let error = sonde_core::chain(&error);
                tracing::error!(error, "cannot read the changed configuration");
                false
            }
        }
    }

    fn publish(&self, monitors: Monitors) -> Reloaded {
        self.changed.send_replace(());
        if *monitors == **self.publish.borrow() {
            return Reloaded::Unchanged;
        }
        self.metrics.watch_only(watched(&monitors));
        tracing::info!(
            monitors = monitors.len(),
            "took over a changed configuration"
        );
        self.publish.send_replace(monitors);
        Reloaded::Changed
    }
}

/// Runs what may block, on a disk that is gone for instance; `None` when it takes too long.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = tokio::time::timeout(LONGEST_READ, tokio::task::spawn_blocking(work)).await;
    done.ok()?.ok()
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
