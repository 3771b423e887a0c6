//! The HTTP part: health, notes, a page, and the switch that makes health slow or bad.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sonde_core::{format_duration, parse_duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::notes::{NoteError, Notes};

const PAGE: &str = include_str!("page.html");

/// Longest delay that can be asked for; enough to run into any sensible timeout.
const MAX_DELAY: Duration = Duration::from_mins(1);

/// What `/health` does.
#[derive(Debug, Clone, Default)]
struct Behaviour {
    fail: bool,
    delay: Duration,
    /// When it is healthy again; never by itself when absent.
    until: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Service {
    behaviour: Arc<Mutex<Behaviour>>,
    notes: Arc<Notes>,
    stop: CancellationToken,
}

impl Service {
    fn behaviour(&self) -> Behaviour {
        let mut behaviour = self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if behaviour.until.is_some_and(|until| until <= Instant::now()) {
            *behaviour = Behaviour::default();
        }
        behaviour.clone()
    }

    fn behave(&self, behaviour: Behaviour) {
        *self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = behaviour;
    }
}

pub(super) fn router(notes: PathBuf, stop: CancellationToken) -> Router {
    let service = Service {
        behaviour: Arc::default(),
        notes: Arc::new(Notes::new(notes)),
        stop,
    };
    Router::new()
        .route("/", get(Html(PAGE)))
        .route("/health", get(health))
        .route("/notes", get(note))
        .route("/behave", get(show).post(behave))
        .with_state(service)
}

/// Serves until `stop`, and ends when the answers under way have been sent.
pub(super) async fn serve<L>(listener: L, router: Router, stop: CancellationToken)
where
    L: Listener<Addr: std::fmt::Debug>,
{
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(error = %error, "the example service has stopped answering HTTP");
    }
}

async fn health(State(service): State<Service>) -> Response {
    let Behaviour { fail, delay, .. } = service.behaviour();
    service
        .stop
        .run_until_cancelled(tokio::time::sleep(delay))
        .await;
    let (code, status) = if fail {
        (StatusCode::SERVICE_UNAVAILABLE, "down")
    } else {
        (StatusCode::OK, "up")
    };
    (
        code,
        Json(json!({ "service": "sonde-example", "status": status })),
    )
        .into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    content: String,
}

async fn note(State(service): State<Service>, Query(note): Query<Note>) -> Response {
    let answer = match service.notes.append(&note.content).await {
        Ok(()) => (StatusCode::OK, "noted".to_owned()),
        Err(error @ NoteError::TooLong) => (StatusCode::BAD_REQUEST, error.to_string()),
        Err(error @ NoteError::Full) => (StatusCode::INSUFFICIENT_STORAGE, error.to_string()),
        Err(NoteError::Io(source)) => {
            tracing::warn!(error = %source, "the example service cannot write a note");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot write the note".to_owned(),
            )
        }
    };
    answer.into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Behave {
    #[serde(default)]
    fail: bool,
    delay: Option<String>,
    r#for: Option<String>,
}

/// Sets the behaviour as a whole: what is not named is healthy again.
async fn behave(State(service): State<Service>, Query(ask): Query<Behave>) -> Response {
    let duration = |text: &Option<String>| text.as_deref().map(parse_duration).transpose();
    let (delay, lasting) = match (duration(&ask.delay), duration(&ask.r#for)) {
        (Ok(delay), Ok(lasting)) => (delay.unwrap_or_default(), lasting),
        (Err(error), _) | (_, Err(error)) => {
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
    };
    if delay > MAX_DELAY {
        let at_most = format!("a delay is at most {}", format_duration(MAX_DELAY));
        return (StatusCode::BAD_REQUEST, at_most).into_response();
    }
    service.behave(Behaviour {
        fail: ask.fail,
        delay,
        until: lasting.and_then(|lasting| Instant::now().checked_add(lasting)),
    });
    show(State(service)).await.into_response()
}

/// The behaviour as `GET` and `POST /behave` show it.
#[derive(Debug, Serialize)]
struct Shown {
    fail: bool,
    delay: String,
    /// What is left of `for`.
    r#for: Option<String>,
}

async fn show(State(service): State<Service>) -> Json<Shown> {
    let behaviour = service.behaviour();
    let left = behaviour
        .until
        .map(|until| until.saturating_duration_since(Instant::now()));
    Json(Shown {
        fail: behaviour.fail,
        delay: format_duration(behaviour.delay),
        r#for: left.map(|left| format_duration(Duration::from_secs(left.as_secs()))),
    })
}
