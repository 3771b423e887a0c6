//! Settings of the person who looks and of their workspace: one page each, with the others beside it.

mod audit;
mod keys;
mod me;
mod members;
mod reports;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Redirect, Response};
use sonde_core::{MonitorId, Scope};
use sonde_service::{FieldProblem, PageQuery};

use crate::Pages;
use crate::form::Form;
use crate::viewer::Viewer;

/// More than a page of people, keys or reports has.
const ALL: PageQuery = PageQuery {
    after: None,
    limit: 1000,
};

pub(crate) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .merge(me::router())
        .merge(members::router())
        .merge(keys::router())
        .merge(reports::router())
        .merge(usage::router())
        .merge(audit::router())
}

/// A page of the settings.
struct Tab {
    path: &'static str,
    name: &'static str,
    is_here: bool,
}

/// Those that this viewer may see.
fn tabs(viewer: &Viewer, here: &str) -> Vec<Tab> {
    let all = [
        ("/settings", "You", None),
        ("/settings/members", "Members", Some(Scope::MembersRead)),
        ("/settings/keys", "API keys", Some(Scope::KeysRead)),
        ("/settings/reports", "Reports", Some(Scope::AlertsRead)),
        ("/settings/usage", "Usage", Some(Scope::ResultsRead)),
        ("/settings/audit", "Audit log", Some(Scope::AuditRead)),
    ];
    let may = |scope: Option<Scope>| scope.is_none_or(|scope| viewer.may_for_all(scope));
    let seen = all.into_iter().filter(|(.., scope)| may(*scope));
    seen.map(|(path, name, _)| Tab {
        path,
        name,
        is_here: path == here,
    })
    .collect()
}

fn to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// What somebody or something is limited to; none where nothing is named. What is no id stands beside its field.
fn only(form: &mut Form) -> Result<Option<Vec<MonitorId>>, ()> {
    let named = form.get("only").split(',').map(str::trim);
    let named = named.filter(|text| !text.is_empty()).map(MonitorId::new);
    match named.collect::<Result<Vec<_>, _>>() {
        Ok(ids) => Ok((!ids.is_empty()).then_some(ids)),
        Err(error) => {
            form.place([FieldProblem::new("only", error.to_string())]);
            Err(())
        }
    }
}

fn limited(only: Option<&[MonitorId]>) -> String {
    only.map_or_else(String::new, |only| {
        let ids: Vec<&str> = only.iter().map(MonitorId::as_str).collect();
        format!("only {}", ids.join(", "))
    })
}
