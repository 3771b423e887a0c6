//! Whether a process can do its work now, and if not, why: what `/-/ready` answers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::exposition;

/// What is in the way, as a sentence; `None` when nothing is.
type Condition = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Every condition must hold.
pub(crate) struct Readiness {
    conditions: Vec<(&'static str, Condition)>,
}

impl Readiness {
    /// Not ready any more once `stopping` is cancelled, so that nobody sends work to what drains.
    pub(crate) fn until(stopping: CancellationToken) -> Self {
        let mut readiness = Self {
            conditions: Vec::new(),
        };
        readiness.require("process", move || {
            stopping.is_cancelled().then(|| "stopping".to_owned())
        });
        readiness
    }

    pub(crate) fn require(
        &mut self,
        name: &'static str,
        condition: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) {
        self.conditions.push((name, Box::new(condition)));
    }

    /// One line per condition that does not hold.
    pub(crate) fn obstacles(&self) -> Vec<String> {
        let obstacles = self.conditions.iter().filter_map(|(name, condition)| {
            let obstacle = condition()?;
            Some(format!("{name}: {obstacle}"))
        });
        obstacles.collect()
    }
}

/// `/-/healthy`, `/-/ready` and `/metrics`.
pub(crate) fn router(readiness: Arc<Readiness>, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/-/ready", get(ready))
        .with_state(readiness)
        .route("/-/healthy", get(|| async { "ok\n" }))
        .merge(
            Router::new()
                .route("/metrics", get(exposition::expose))
                .with_state(registry),
        )
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> (StatusCode, String) {
    let obstacles = readiness.obstacles();
    if obstacles.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_obstacle_is_named_and_a_stop_is_one() {
        let stopping = CancellationToken::new();
        let mut readiness = Readiness::until(stopping.clone());
        readiness.require("queue", || None);
        assert!(readiness.obstacles().is_empty());
        readiness.require("store", || Some("never synced".to_owned()));
        stopping.cancel();
        assert_eq!(
            readiness.obstacles(),
            ["process: stopping", "store: never synced"]
        );
    }
}
