//! Tools for incidents. Their comments are what an agent reads of them.

use reqwest::Method;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{tool, tool_router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::read::{pairs, query};
use super::tools::Tools;

/// They are long, and an agent has to read them.
const FEW: u32 = 20;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichIncidents {
    /// Only incidents in this state
    status: Option<Status>,
    /// Only incidents of the monitor with this id
    monitor: Option<String>,
    /// `next_cursor` of the answer before
    cursor: Option<String>,
    /// 1 to 1000; 20 when absent
    limit: Option<u32>,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Open,
    Acknowledged,
    Resolved,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneIncident {
    /// The incident's id
    #[schemars(with = "String")]
    id: Uuid,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Comment {
    /// The incident's id
    #[schemars(with = "String")]
    id: Uuid,
    /// What to say: 1 to 10000 characters
    text: String,
}

#[tool_router(router = incidents, vis = "pub(super)")]
impl Tools {
    /// Lists incidents, newest first: of which monitor, since when, why (`down`, `degraded` or `unknown`), who looks after it,
    /// and what each region saw. Use it to find out what is wrong now (status `open`), or what was of late.
    #[tool(annotations(
        title = "List incidents",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn list_incidents(
        &self,
        Parameters(mut which): Parameters<WhichIncidents>,
    ) -> CallToolResult {
        which.limit.get_or_insert(FEW);
        self.get("v1/incidents", &pairs(&query(&which))).await
    }

    /// Shows one incident with its timeline (what happened, and what people did and said) and who was told of it.
    #[tool(annotations(
        title = "Show an incident",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_incident(&self, Parameters(which): Parameters<OneIncident>) -> CallToolResult {
        self.get(&path(which.id, ""), &[]).await
    }

    /// Says that somebody looks after an incident: nobody is reminded or woken up because of it any more. Use it only when
    /// that was asked for.
    #[tool(annotations(
        title = "Acknowledge an incident",
        read_only_hint = false,
        destructive_hint = false,
        open_world_hint = true
    ))]
    async fn acknowledge_incident(
        &self,
        Parameters(which): Parameters<OneIncident>,
    ) -> CallToolResult {
        let nothing = Value::Object(serde_json::Map::new());
        let path = path(which.id, "/acknowledge");
        self.send(Method::POST, &path, &nothing).await
    }

    /// Ends an incident, whatever its target does; who was told of it hears that it is over. When the target goes on failing,
    /// another incident is opened. Use it only when that was asked for: incidents end by themselves when their target
    /// recovers.
    #[tool(annotations(
        title = "Resolve an incident",
        read_only_hint = false,
        destructive_hint = true,
        open_world_hint = true
    ))]
    async fn resolve_incident(&self, Parameters(which): Parameters<OneIncident>) -> CallToolResult {
        let nothing = Value::Object(serde_json::Map::new());
        let path = path(which.id, "/resolve");
        self.send(Method::POST, &path, &nothing).await
    }

    /// Adds a comment to an incident's timeline, for people: as what was found out, or what was done.
    #[tool(annotations(
        title = "Comment on an incident",
        read_only_hint = false,
        destructive_hint = false,
        open_world_hint = false
    ))]
    async fn comment_incident(&self, Parameters(comment): Parameters<Comment>) -> CallToolResult {
        let body = json!({ "text": comment.text });
        let path = path(comment.id, "/comments");
        self.send(Method::POST, &path, &body).await
    }
}

fn path(id: Uuid, rest: &str) -> String {
    format!("v1/incidents/{id}{rest}")
}
