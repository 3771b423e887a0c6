//! The tasks of the process: who owns them, what happens when one ends, and in which order they stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::middleware::from_fn;
use axum::serve::ListenerExt as _;
use prometheus_client::registry::Registry;
use sonde_checker::Checker;
use sonde_core::Monitor;
use sonde_dispatcher::{Dispatcher, Schedule};
use sonde_ingester::Ingester;
use sonde_queue::memory::MemoryQueue;
use sonde_service::Service;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::host;
use super::serve::{self, Listeners, Progress};

/// How long requests under way may take once every check has finished.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// What a stop cancels: first what brings in work, then what does it. What stores results ends by itself after that.
#[derive(Default)]
struct Stages {
    /// The dispatcher, the servers and what runs beside them.
    inflow: CancellationToken,
    checker: CancellationToken,
}

/// A role that ended, by its name.
type Ended = (&'static str, anyhow::Result<()>);

/// Each stage's tasks. Dropping them aborts them: tasks that were not settled run again at the next start.
#[derive(Default)]
pub(super) struct Roles {
    stages: Stages,
    inflow: JoinSet<Ended>,
    checker: JoinSet<Ended>,
    ingester: JoinSet<Ended>,
}

impl Roles {
    pub(super) fn start(
        &mut self,
        dispatcher: Dispatcher,
        schedule: Schedule,
        configured: watch::Receiver<Arc<[Arc<Monitor>]>>,
        checker: Checker,
        ingester: Ingester,
    ) {
        // It ends when the queue is closed and empty, and not before.
        let never = CancellationToken::new();
        self.ingester
            .spawn(async { ("ingester", ingester.run(never).await.map_err(Into::into)) });
        let stop = self.stages.checker.clone();
        self.checker
            .spawn(async { ("checker", checker.run(stop).await.map_err(Into::into)) });
        self.background("dispatcher", |stop| async move {
            dispatcher
                .run(schedule, configured, stop)
                .await
                .map_err(Into::into)
        });
    }

    /// A task that ends at the beginning of a stop.
    pub(super) fn background<F>(
        &mut self,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = task(self.stages.inflow.clone());
        self.inflow.spawn(async move { (name, task.await) });
    }

    pub(super) fn serve(
        &mut self,
        listeners: Listeners,
        service: &Service,
        registry: Registry,
        progress: &Progress,
        public: bool,
    ) {
        let registry = Arc::new(registry);
        let main = serve::main_router(service, &registry, progress);
        let checker = serve::checker_router(service, &registry, progress);
        let guard = |router: Router| {
            if public {
                router
            } else {
                router.layer(from_fn(host::only_loopback))
            }
        };
        for (listener, router) in [(listeners.main, main), (listeners.checker, checker)] {
            let router = guard(router);
            self.background("server", |stop| async move {
                // Answers in several writes must not wait for each other's acknowledgement.
                let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
                let server = axum::serve(listener, router);
                server
                    .with_graceful_shutdown(stop.cancelled_owned())
                    .await
                    .map_err(Into::into)
            });
        }
    }

    /// Waits for `stop`, or for a role that ends unasked: half a service is worse than none.
    pub(super) async fn until(
        &mut self,
        stop: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let ended = tokio::select! {
            biased;
            asked = stop => return asked,
            Some(ended) = self.inflow.join_next() => ended,
            Some(ended) = self.checker.join_next() => ended,
            Some(ended) = self.ingester.join_next() => ended,
        };
        let (name, ended) = ended.context("a role panicked")?;
        ended.with_context(|| format!("the {name} failed"))?;
        Err(anyhow!("the {name} ended unasked"))
    }

    /// Stops in order and settles what is in flight, within `grace`.
    pub(super) async fn drain(
        mut self,
        queue: &MemoryQueue,
        grace: Duration,
    ) -> anyhow::Result<()> {
        tracing::info!("stopping: finishing the checks in flight");
        let drained = tokio::time::timeout(grace, async {
            self.stages.inflow.cancel();
            self.stages.checker.cancel();
            finish(&mut self.checker).await?;
            // Requests that wait for checks have their answers now; who holds a connection open is cut off.
            let closed = tokio::time::timeout(LAST_REQUESTS, finish(&mut self.inflow)).await;
            closed.unwrap_or(Ok(()))?;
            // The ingester stores what is left and then finds the queue closed.
            queue.close();
            finish(&mut self.ingester).await
        });
        drained.await.with_context(|| {
            format!(
                "checks in flight did not finish within {grace:?}: they run again at the next start"
            )
        })?
    }
}

async fn finish(stage: &mut JoinSet<Ended>) -> anyhow::Result<()> {
    while let Some(ended) = stage.join_next().await {
        let (name, ended) = ended.context("a role panicked")?;
        ended.with_context(|| format!("the {name} failed while stopping"))?;
    }
    Ok(())
}
