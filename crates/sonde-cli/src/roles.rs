//! The tasks of a process: who owns them, what happens when one ends, and in which order they stop.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take once every check has finished.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// When a task is asked to stop: first what brings in work, then what does it, last what stores it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// Dispatchers, servers and what runs beside them.
    Inflow,
    Checks,
    Storage,
}

/// A task that ended, by its name.
type Ended = (&'static str, anyhow::Result<()>);

#[derive(Default)]
struct Tasks {
    stop: CancellationToken,
    running: JoinSet<Ended>,
}

/// Each stage's tasks. Dropping them aborts them: what was not settled is done again elsewhere or at the next start.
#[derive(Default)]
pub(crate) struct Roles {
    inflow: Tasks,
    checks: Tasks,
    storage: Tasks,
}

impl Roles {
    /// Runs `task`, which gets the token that asks it to stop. That it ends unasked, or fails, ends the process.
    pub(crate) fn spawn<F>(
        &mut self,
        stage: Stage,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let tasks = match stage {
            Stage::Inflow => &mut self.inflow,
            Stage::Checks => &mut self.checks,
            Stage::Storage => &mut self.storage,
        };
        let task = task(tasks.stop.clone());
        tasks.running.spawn(async move { (name, task.await) });
    }

    pub(crate) fn serve(&mut self, listener: TcpListener, router: Router) {
        self.spawn(Stage::Inflow, "server", |stop| async move {
            // Answers in several writes must not wait for each other's acknowledgement.
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            let router = router.into_make_service_with_connect_info::<SocketAddr>();
            let server = axum::serve(listener, router);
            server
                .with_graceful_shutdown(stop.cancelled_owned())
                .await
                .map_err(Into::into)
        });
    }

    /// Waits for `stop`, or for a task that ends unasked: half a service is worse than none. Tells which task ended well.
    pub(crate) async fn until(
        &mut self,
        stop: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Option<&'static str>> {
        let ended = tokio::select! {
            biased;
            asked = stop => return asked.map(|()| None),
            Some(ended) = self.inflow.running.join_next() => ended,
            Some(ended) = self.checks.running.join_next() => ended,
            Some(ended) = self.storage.running.join_next() => ended,
        };
        let (name, ended) = ended.context("a role panicked")?;
        ended.with_context(|| format!("the {name} failed"))?;
        Ok(Some(name))
    }

    /// The same for a process none of whose tasks ends by itself.
    pub(crate) async fn until_asked(
        &mut self,
        stop: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        match self.until(stop).await? {
            None => Ok(()),
            Some(name) => Err(anyhow!("the {name} ended unasked")),
        }
    }

    /// Stops in order and settles what is in flight, within `grace`. `checked` runs when no check is in flight any more.
    pub(crate) async fn drain(
        mut self,
        grace: Duration,
        checked: impl FnOnce(),
    ) -> anyhow::Result<()> {
        tracing::info!("stopping: finishing the checks in flight");
        let drained = tokio::time::timeout(grace, async {
            self.inflow.stop.cancel();
            self.checks.stop.cancel();
            finish(&mut self.checks).await?;
            // Requests that wait for checks have their answers now; who holds a connection open is cut off.
            let closed = tokio::time::timeout(LAST_REQUESTS, finish(&mut self.inflow)).await;
            closed.unwrap_or(Ok(()))?;
            checked();
            self.storage.stop.cancel();
            finish(&mut self.storage).await
        });
        drained.await.with_context(|| {
            format!("what is in flight did not finish within {grace:?}: it is done again elsewhere")
        })?
    }
}

async fn finish(tasks: &mut Tasks) -> anyhow::Result<()> {
    while let Some(ended) = tasks.running.join_next().await {
        let (name, ended) = ended.context("a role panicked")?;
        ended.with_context(|| format!("the {name} failed while stopping"))?;
    }
    Ok(())
}
