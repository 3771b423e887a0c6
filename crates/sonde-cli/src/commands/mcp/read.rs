//! Tools that look. Their comments are what an agent reads of them.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{tool, tool_router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sonde_core::MonitorId;

use super::tools::{Tools, said};
use crate::client::ApiError;

/// What one answer holds at most.
const MOST_MONITORS: usize = 500;
/// As many monitors as are asked for at a time.
const PAGE: &str = "500";
/// How many pages are looked through for monitors that fit; then the agent decides whether to go on.
const MOST_PAGES: usize = 20;
/// Rows are long, and an agent has to read them.
const FEW: u32 = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichMonitors {
    /// Only monitors in this state
    state: Option<State>,
    /// Only monitors with this tag
    tag: Option<String>,
    /// `next_cursor` of the answer before
    cursor: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Paused,
    Pending,
    Up,
    Degraded,
    Down,
    Unknown,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneMonitor {
    /// The monitor's id
    #[schemars(with = "String")]
    id: MonitorId,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichResults {
    /// The monitor's id
    #[schemars(with = "String")]
    id: MonitorId,
    /// RFC 3339; a day before `to` when absent
    from: Option<String>,
    /// RFC 3339, not included; now when absent
    to: Option<String>,
    region: Option<String>,
    outcome: Option<Outcome>,
    /// Why they are not ok, as `connect_refused`, `wait_timeout` or `http_status`
    reason: Option<String>,
    /// `schedule` or `on_demand`
    trigger: Option<Trigger>,
    /// `next_cursor` of the answer before
    cursor: Option<String>,
    /// 1 to 1000; 20 when absent
    limit: Option<u32>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok,
    Degraded,
    Failed,
    Missed,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Trigger {
    Schedule,
    OnDemand,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichTime {
    /// The monitor's id
    #[schemars(with = "String")]
    id: MonitorId,
    /// RFC 3339; a day before `to` when absent
    from: Option<String>,
    /// RFC 3339, not included; now when absent
    to: Option<String>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichDays {
    /// The monitor's id
    #[schemars(with = "String")]
    id: MonitorId,
    /// How many days, with today: 1 to 400; 90 when absent
    days: Option<u32>,
    region: Option<String>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichChanges {
    kind: Option<Resource>,
    /// Of the resource with this id, as a monitor's
    id: Option<String>,
    /// `next_cursor` of the answer before
    cursor: Option<String>,
    /// 1 to 1000; 20 when absent
    limit: Option<u32>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Resource {
    Monitor,
    Maintenance,
    Member,
    Invitation,
    ApiKey,
}

#[tool_router(router = reading, vis = "pub(super)")]
impl Tools {
    /// Lists monitors with their state and the newest result of each region, by id. Use it first, to find out what is
    /// watched, what is down (state `down`) and which ids other tools take. Settings are left out: `get_monitor` has them.
    /// At most 500 at a time; `next_cursor` is there when there are more.
    #[tool(annotations(
        title = "List monitors",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn list_monitors(&self, Parameters(which): Parameters<WhichMonitors>) -> CallToolResult {
        said(self.monitors(which).await)
    }

    /// Shows one monitor: its state, the newest result of each region (outcome, reason, message, latency), and all of its
    /// settings as in sonde.yaml. Use it to explain why a monitor is down, and before changing its settings.
    #[tool(annotations(
        title = "Show a monitor",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_monitor(&self, Parameters(which): Parameters<OneMonitor>) -> CallToolResult {
        self.get(&of(&which.id, ""), &[]).await
    }

    /// Lists single results of a monitor, newest first, with the time of each phase (dns, connect, tls, send, wait,
    /// receive), attempts, reason and message. Use it to find out when and where a failure began and what it looked like.
    /// For how often and how fast, `get_summary` is shorter.
    #[tool(annotations(title = "List results", read_only_hint = true, open_world_hint = false))]
    async fn list_results(
        &self,
        Parameters(mut which): Parameters<WhichResults>,
    ) -> CallToolResult {
        which.limit.get_or_insert(FEW);
        self.of_monitor(&which.id, "/results", &which).await
    }

    /// Sums up a monitor's results in a time range, and those of the range before it: counts by outcome, uptime (0 to 1),
    /// latency p50 to p99. Use it for how reliable and how fast something is, and whether that became worse.
    #[tool(annotations(
        title = "Sum up a monitor",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_summary(&self, Parameters(which): Parameters<WhichTime>) -> CallToolResult {
        self.of_monitor(&which.id, "/summary", &which).await
    }

    /// Shows a monitor's uptime day by day (UTC), oldest first. Use it for reports and for service levels.
    #[tool(annotations(
        title = "Uptime by day",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_uptime(&self, Parameters(which): Parameters<WhichDays>) -> CallToolResult {
        self.of_monitor(&which.id, "/uptime", &which).await
    }

    /// Lists the regions that checks can run in, with how many checkers answer in each. Use it before naming regions.
    #[tool(annotations(title = "List regions", read_only_hint = true, open_world_hint = false))]
    async fn list_regions(&self) -> CallToolResult {
        self.get("v1/regions", &[]).await
    }

    /// Shows the checkers of each region with their load, clock and health, and what waits in the queues. Use it when
    /// checks are missed or late: then the monitoring has a problem, not the target.
    #[tool(annotations(
        title = "Show the fleet",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_fleet(&self) -> CallToolResult {
        self.get("v1/fleet", &[]).await
    }

    /// Lists who changed what, newest first, with the settings before and after. Use it to find out whether a change
    /// explains an incident.
    #[tool(annotations(title = "Audit log", read_only_hint = true, open_world_hint = false))]
    async fn get_audit(&self, Parameters(mut which): Parameters<WhichChanges>) -> CallToolResult {
        which.limit.get_or_insert(FEW);
        self.get("v1/audit", &pairs(&query(&which))).await
    }

    /// What is below a monitor, by parameters of which one is its id.
    async fn of_monitor(
        &self,
        id: &MonitorId,
        rest: &str,
        which: &impl Serialize,
    ) -> CallToolResult {
        let mut query = query(which);
        query.retain(|(name, _)| name != "id");
        self.get(&of(id, rest), &pairs(&query)).await
    }

    async fn monitors(&self, which: WhichMonitors) -> Result<Value, ApiError> {
        let (mut monitors, mut cursor) = (Vec::new(), which.cursor);
        let state = which.state.map(|state| json!(state));
        let fits = |monitor: &Value| {
            state
                .as_ref()
                .is_none_or(|state| monitor["state"] == *state)
                && which.tag.as_ref().is_none_or(|tag| {
                    let tags = monitor["tags"].as_array();
                    tags.is_some_and(|tags| tags.iter().any(|has| has == tag))
                })
        };
        for _ in 0..MOST_PAGES {
            let mut query = vec![("limit", PAGE)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let mut page: Value = self.api.get("v1/monitors", &query).await?;
            let found = page["monitors"].as_array_mut().map(std::mem::take);
            let found: Vec<_> = found.into_iter().flatten().filter(|it| fits(it)).collect();
            if !monitors.is_empty() && monitors.len() + found.len() > MOST_MONITORS {
                // This page is the next answer's.
                break;
            }
            monitors.extend(found.into_iter().map(brief));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || monitors.len() >= MOST_MONITORS {
                break;
            }
        }
        Ok(match cursor {
            Some(cursor) => json!({ "monitors": monitors, "next_cursor": cursor }),
            None => json!({ "monitors": monitors }),
        })
    }
}

/// A path of a monitor; its id needs no escapes.
pub(super) fn of(id: &MonitorId, rest: &str) -> String {
    format!("v1/monitors/{id}{rest}")
}

/// Without what takes most of the room.
fn brief(mut monitor: Value) -> Value {
    if let Some(monitor) = monitor.as_object_mut() {
        monitor.remove("config");
    }
    monitor
}

/// What is given of parameters.
pub(super) fn query(parameters: &impl Serialize) -> Vec<(String, String)> {
    let Ok(Value::Object(parameters)) = serde_json::to_value(parameters) else {
        return Vec::new();
    };
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        value => Some(value.to_string()),
    };
    let given = parameters.into_iter();
    given
        .filter_map(|(name, value)| Some((name, text(value)?)))
        .collect()
}

pub(super) fn pairs(query: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = query.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}
