//! `/settings/audit`: who changed what, the newest first.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;
use sonde_store::{AuditAction, AuditEntry, AuditQuery, ResourceKind};

use super::{Tab, tabs};
use crate::asked::Asked;
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

const PATH: &str = "/settings/audit";
/// On one page.
const SHOWN: u32 = 50;

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new().route(PATH, get(page))
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    shell: Shell,
    tabs: Vec<Tab>,
    kinds: Vec<(&'static str, bool)>,
    id: String,
    rows: Vec<Row>,
    /// What is older.
    more: Option<String>,
}

struct Row {
    at: String,
    by: String,
    what: &'static str,
    kind: &'static str,
    id: String,
    before: Option<String>,
    after: Option<String>,
}

async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, PageError> {
    let asked = Asked::new(uri.query());
    let kind = asked.get("kind").and_then(ResourceKind::from_name);
    let query = AuditQuery {
        kind,
        id: asked.get("id").map(str::to_owned),
        before: asked.get("cursor").and_then(|text| text.parse().ok()),
        limit: SHOWN,
    };
    let found = viewer.access.audit(query).await?;
    let rows = found.items.into_iter().map(|it| Row::new(it, &viewer));
    html(&Page {
        shell: Shell::new(&viewer, Place::Settings, "Audit log", pages.service.now()),
        tabs: tabs(&viewer, PATH),
        kinds: ResourceKind::ALL
            .map(|it| (it.as_str(), Some(it) == kind))
            .into(),
        id: asked.get("id").unwrap_or_default().to_owned(),
        rows: rows.collect(),
        more: found
            .next
            .map(|next| format!("{PATH}{}", asked.with(&[("cursor", &next)]))),
    })
}

impl Row {
    fn new(entry: AuditEntry, viewer: &Viewer) -> Self {
        Self {
            at: format::moment(entry.at, viewer.zone),
            by: entry.actor.name,
            what: match entry.action {
                AuditAction::Created => "made",
                AuditAction::Updated => "changed",
                AuditAction::Removed => "removed",
            },
            kind: entry.kind.as_str(),
            id: entry.id,
            before: entry.before.map(readable),
            after: entry.after.map(readable),
        }
    }
}

/// On lines of its own.
fn readable(body: String) -> String {
    let value = serde_json::from_str::<Value>(&body);
    let text = value.and_then(|value| serde_json::to_string_pretty(&value));
    text.unwrap_or(body)
}
