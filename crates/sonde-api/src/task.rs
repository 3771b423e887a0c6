//! `POST /task`: one check by HTTP, for push queues and for platforms that start machines on request.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use axum::{Json, Router};
use sonde_core::CheckResult;

use crate::bearer;
use crate::problem::{ApiError, method_not_allowed};

/// A task holds one monitor; what is larger is none.
const LARGEST_TASK: usize = 1024 * 1024;

/// Why a task was not executed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum TaskRefused {
    #[error("the task cannot be read: {0}")]
    Unreadable(String),
    /// Here and now; elsewhere or later it may be.
    #[error("the task was not executed: {0}")]
    NotNow(String),
}

/// Who executes tasks.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Executes a task message; its result is published before it is returned.
    async fn execute(&self, payload: &[u8]) -> Result<CheckResult, TaskRefused>;
}

/// Only for who presents `token`.
pub fn task_router(tasks: Arc<dyn Tasks>, token: Arc<str>) -> Router {
    Router::new()
        .route("/task", post(execute))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST_TASK))
        .layer(from_fn_with_state(token, bearer::require))
        .with_state(tasks)
}

async fn execute(
    State(tasks): State<Arc<dyn Tasks>>,
    payload: Bytes,
) -> Result<Json<CheckResult>, ApiError> {
    let result = tasks.execute(&payload).await;
    result.map(Json).map_err(|refused| match refused {
        TaskRefused::Unreadable(_) => ApiError::BadRequest(refused.to_string()),
        TaskRefused::NotNow(_) => ApiError::Unavailable(refused.to_string()),
    })
}
