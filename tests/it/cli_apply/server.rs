//! A server as its clients see it: monitors in memory, plans, refusals on demand. And a file that changes, by HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// As many monitors as a page has.
const PAGE: usize = 2;

#[derive(Default)]
pub(super) struct Known {
    pub(super) monitors: BTreeMap<String, Value>,
    /// Goes into fingerprints.
    version: u64,
    /// How often the workspace is still to be changed by others between a plan and its apply.
    pub(super) interfering: u32,
    /// What all requests are refused with.
    pub(super) refusal: Option<(StatusCode, Value)>,
    /// Headers of the last request.
    pub(super) headers: HeaderMap,
    /// Applies that were carried out.
    pub(super) applied: u32,
    /// What is at `/sonde.yaml`.
    pub(super) file: String,
    /// Answers of 304.
    pub(super) not_modified: u32,
}

/// Ends when it is dropped.
pub(super) struct Server {
    pub(super) url: String,
    known: Shared,
    _serving: JoinSet<()>,
}

type Shared = Arc<Mutex<Known>>;

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let known = Shared::default();
        let routes = Router::new()
            .route("/v1/plan", post(plan))
            .route("/v1/apply", post(apply))
            .route("/v1/monitors", get(monitors))
            .layer(middleware::from_fn_with_state(known.clone(), refuse))
            .route("/sonde.yaml", get(file))
            .with_state(known.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            known,
            _serving: serving,
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.known().monitors.keys().cloned().collect()
    }

    pub(super) fn refuse(&self, status: u16, problem: Value) {
        self.known().refusal = Some((StatusCode::from_u16(status).unwrap(), problem));
    }
}

async fn refuse(State(known): State<Shared>, request: Request, next: Next) -> Response {
    let refusal = {
        let mut known = known.lock().unwrap();
        known.headers = request.headers().clone();
        known.refusal.clone()
    };
    match refusal {
        Some((status, problem)) => problem_json(status, &problem),
        None => next.run(request).await,
    }
}

fn problem_json(status: StatusCode, problem: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, problem.to_string()).into_response()
}

async fn plan(State(known): State<Shared>, Json(wanted): Json<Value>) -> Json<Value> {
    let mut known = known.lock().unwrap();
    let plan = known.plan(&wanted);
    if known.interfering > 0 {
        known.interfering -= 1;
        known.version += 1;
    }
    Json(plan)
}

async fn apply(State(known): State<Shared>, Json(wanted): Json<Value>) -> Response {
    let mut known = known.lock().unwrap();
    let plan = known.plan(&wanted);
    let fingerprint = &wanted["fingerprint"];
    if !fingerprint.is_null() && *fingerprint != plan["fingerprint"] {
        let problem = json!({ "status": 412, "code": "plan_changed", "title": "Changed" });
        return problem_json(StatusCode::PRECONDITION_FAILED, &problem);
    }
    let monitors = wanted["monitors"].as_object().unwrap();
    if wanted["prune"] == true {
        known.monitors.retain(|id, _| monitors.contains_key(id));
    }
    known.monitors.extend(monitors.clone());
    known.version += 1;
    known.applied += 1;
    Json(plan).into_response()
}

async fn monitors(
    State(known): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    let known = known.lock().unwrap();
    assert_eq!(query["limit"], "500");
    let start: usize = query.get("cursor").map_or(0, |at| at.parse().unwrap());
    let page = known.monitors.iter().skip(start).take(PAGE);
    let page =
        page.map(|(id, config)| json!({ "id": id, "name": config["name"], "config": config }));
    let next = Some(start + PAGE).filter(|next| *next < known.monitors.len());
    let next = next.map(|next| next.to_string());
    Json(json!({ "monitors": page.collect::<Vec<_>>(), "next_cursor": next }))
}

async fn file(State(known): State<Shared>, headers: HeaderMap) -> Response {
    let mut known = known.lock().unwrap();
    let tag = format!("\"{}\"", known.file.len());
    let same = headers.get(header::IF_NONE_MATCH);
    if same.is_some_and(|same| same.as_bytes() == tag.as_bytes()) {
        known.not_modified += 1;
        return StatusCode::NOT_MODIFIED.into_response();
    }
    ([(header::ETAG, tag)], known.file.clone()).into_response()
}

impl Known {
    fn plan(&self, wanted: &Value) -> Value {
        let monitors = wanted["monitors"].as_object().unwrap();
        let mut changes = Vec::new();
        let mut unchanged = 0;
        for (id, config) in monitors {
            match self.monitors.get(id) {
                None => changes.push(json!({ "id": id, "action": "create", "fields": [] })),
                Some(same) if same == config => unchanged += 1,
                Some(before) => {
                    let fields = fields(before.as_object().unwrap(), config.as_object().unwrap());
                    changes.push(json!({ "id": id, "action": "update", "fields": fields }));
                }
            }
        }
        let gone = self
            .monitors
            .keys()
            .filter(|id| !monitors.contains_key(*id));
        if wanted["prune"] == true {
            changes.extend(gone.map(|id| json!({ "id": id, "action": "remove", "fields": [] })));
        }
        let fingerprint = format!("{:x}", self.version);
        json!({ "changes": changes, "unchanged": unchanged, "fingerprint": fingerprint })
    }
}

fn fields(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Value> {
    let different = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value));
    let field = |(key, value): (&String, &Value)| json!({ "path": key, "before": before.get(key), "after": value, "secret": false });
    different.map(field).collect()
}
