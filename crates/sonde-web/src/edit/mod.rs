//! Pages with which people change what a workspace has: monitors, channels, maintenance. What is right is decided where the API
//! decides it. Those for something new stand apart (`/new/monitor`), where nothing can be called like them.

mod calendar;
mod channel_fields;
mod channels;
mod maintenance;
mod maintenance_fields;
mod monitor;
mod monitor_fields;

use std::sync::Arc;

use axum::Router;

use crate::Pages;

pub(crate) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .merge(monitor::router())
        .merge(channels::router())
        .merge(maintenance::router())
}
