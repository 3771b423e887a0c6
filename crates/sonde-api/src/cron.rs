//! `POST /v1/cron/{frequency}`: an outer clock says that a class of checks is due.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use sonde_core::QueueSettings;
use sonde_queue::{CronMessage, Outgoing, Queue, Route};

use crate::bearer;
use crate::problem::{ApiError, method_not_allowed};

/// Where triggers go, and which there are.
#[derive(Clone)]
pub struct Cron {
    pub queue: Arc<dyn Queue>,
    pub settings: Arc<QueueSettings>,
}

/// Only for who presents `token`.
pub fn cron_router(cron: Cron, token: Arc<str>) -> Router {
    Router::new()
        .route("/v1/cron/{frequency}", post(trigger))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(token, bearer::require))
        .with_state(cron)
}

/// Answers once the trigger waits in the broker for whoever leads. Twice, or beside the internal clock, changes nothing.
async fn trigger(
    State(cron): State<Cron>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let classes = &cron.settings.frequencies;
    let known = classes.iter().find(|class| class.name.as_str() == name);
    let Some(class) = known else {
        let names: Vec<_> = classes.iter().map(|class| class.name.as_str()).collect();
        let names = names.join(", ");
        return Err(ApiError::NotThere(format!(
            "there is no frequency of that name: use one of {names}"
        )));
    };
    let message = Outgoing {
        route: Route::Cron,
        payload: CronMessage::new(class.name.clone()).encode(),
    };
    cron.queue.publish(vec![message]).await.map_err(|error| {
        tracing::warn!(
            error = sonde_core::chain(&error),
            "a trigger cannot be passed on"
        );
        ApiError::Unavailable("the trigger could not be passed on: try again".to_owned())
    })?;
    Ok(StatusCode::ACCEPTED)
}
