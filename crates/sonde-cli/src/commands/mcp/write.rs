//! Tools that check something now, and tools that change monitors. Their comments are what an agent reads of them.

use std::time::Duration;

use reqwest::Method;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{tool, tool_router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sonde_core::MonitorId;

use super::read::of;
use super::tools::{Tools, said};
use crate::client::PATIENCE;

/// A check that fails takes all of its attempts, each with its timeout.
const PATIENCE_OF_CHECKS: Duration = Duration::from_mins(5);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunMonitor {
    /// The monitor's id
    #[schemars(with = "String")]
    id: MonitorId,
    /// Where it is to run; the monitor's own regions when absent
    regions: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CheckTarget {
    /// What to check, as a monitor in sonde.yaml: exactly one of `http`, `tcp`, `dns`, `icmp`, `tls`, `domain`, and what is expected. As
    /// `{"http": "https://shop.example/health", "expect": ["status == 200", "latency < 500ms"]}`,
    /// `{"tcp": "db.example:5432"}`, `{"dns": {"name": "shop.example", "type": "A"}}`, `{"icmp": "10.0.0.1"}`,
    /// `{"tls": "shop.example:443", "expect": ["tls.days_left > 14"]}`, `{"domain": "shop.example"}`. `retries` 0 answers
    /// sooner.
    config: Map<String, Value>,
    /// Where from; see `list_regions`
    regions: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateMonitor {
    /// Chosen once: 1 to 63 of a-z, 0-9, `-` and `_`
    #[schemars(with = "String")]
    id: MonitorId,
    /// The settings as in sonde.yaml: exactly one of `http`, `tcp`, `dns`, `icmp`, `tls`, `domain`; what else is left out is at its
    /// default. As `{"name": "Shop", "http": "https://shop.example/health", "interval": "1m", "timeout": "10s", "regions":
    /// ["fra"], "expect": ["status == 200", "json $.database == \"up\""], "degraded": ["latency > 400ms"], "tags":
    /// ["prod"]}`. The long form of http: `{"http": {"url": "…", "method": "POST", "headers": {"x-client": "sonde"},
    /// "body": {"json": {}}}}`
    config: Map<String, Value>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UpdateMonitor {
    /// The monitor's id
    #[schemars(with = "String")]
    id: MonitorId,
    /// The settings to change, as a JSON merge patch (RFC 7396): what is not named stays, null takes a setting back to its
    /// default, a list is replaced as a whole. As `{"interval": "30s", "degraded": null}`
    patch: Map<String, Value>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteMonitor {
    /// The monitor's id
    #[schemars(with = "String")]
    id: MonitorId,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PauseMonitor {
    /// The monitor's id
    #[schemars(with = "String")]
    id: MonitorId,
    /// False goes on with a monitor that is paused; true when absent
    paused: Option<bool>,
}

#[tool_router(router = writing, vis = "pub(super)")]
impl Tools {
    /// Runs a monitor now, beside its schedule, and answers with a result per region once all have finished. Use it to see
    /// whether a problem is still there, or whether a fix works. It sends real requests to the target.
    #[tool(annotations(
        title = "Run a monitor now",
        read_only_hint = false,
        destructive_hint = false,
        open_world_hint = true
    ))]
    async fn run_monitor(&self, Parameters(wanted): Parameters<RunMonitor>) -> CallToolResult {
        let path = of(&wanted.id, "/run");
        self.check(&path, with_regions(Map::new(), wanted.regions))
            .await
    }

    /// Checks a target once that is no monitor. Use it to look at something that is not watched, from the places where
    /// checks run, or to try settings before they become a monitor. It sends real requests to the target.
    #[tool(annotations(
        title = "Check a target once",
        read_only_hint = false,
        destructive_hint = false,
        open_world_hint = true
    ))]
    async fn check_target(&self, Parameters(wanted): Parameters<CheckTarget>) -> CallToolResult {
        self.check("v1/checks", with_regions(wanted.config, wanted.regions))
            .await
    }

    /// Makes a monitor: its target is checked on schedule from then on. What is there already is refused. Try the settings
    /// with `check_target` first where that tool is there.
    #[tool(annotations(
        title = "Create a monitor",
        read_only_hint = false,
        destructive_hint = false,
        open_world_hint = false
    ))]
    async fn create_monitor(
        &self,
        Parameters(wanted): Parameters<CreateMonitor>,
    ) -> CallToolResult {
        let mut body = wanted.config;
        body.insert("id".to_owned(), json!(wanted.id));
        self.send(Method::POST, "v1/monitors", &Value::Object(body))
            .await
    }

    /// Changes some settings of a monitor and leaves the others as they are. Look at them with `get_monitor` first. Monitors
    /// that are kept in a file (`managed_by`) are refused: they change there.
    #[tool(annotations(
        title = "Change a monitor",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn update_monitor(
        &self,
        Parameters(wanted): Parameters<UpdateMonitor>,
    ) -> CallToolResult {
        let patch = Value::Object(wanted.patch);
        self.send(Method::PATCH, &of(&wanted.id, ""), &patch).await
    }

    /// Removes a monitor for good; its results stay until their retention is over. Use it only when that was asked for:
    /// `pause_monitor` stops the checks and can be taken back.
    #[tool(annotations(
        title = "Delete a monitor",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn delete_monitor(
        &self,
        Parameters(wanted): Parameters<DeleteMonitor>,
    ) -> CallToolResult {
        let path = of(&wanted.id, "");
        let removed = self.api.call(Method::DELETE, &path, None, PATIENCE).await;
        said(removed.map(|_| json!({ "deleted": wanted.id })))
    }

    /// Stops a monitor's scheduled checks, as during planned work, or goes on with them (`paused` false). Nothing else of it
    /// changes.
    #[tool(annotations(
        title = "Pause or resume a monitor",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn pause_monitor(&self, Parameters(wanted): Parameters<PauseMonitor>) -> CallToolResult {
        let patch = json!({ "paused": wanted.paused.unwrap_or(true) });
        self.send(Method::PATCH, &of(&wanted.id, ""), &patch).await
    }

    async fn check(&self, path: &str, body: Map<String, Value>) -> CallToolResult {
        let body = Value::Object(body);
        let answer = self
            .api
            .call(Method::POST, path, Some(&body), PATIENCE_OF_CHECKS);
        said(answer.await)
    }
}

fn with_regions(mut body: Map<String, Value>, regions: Option<Vec<String>>) -> Map<String, Value> {
    if let Some(regions) = regions {
        body.insert("regions".to_owned(), json!(regions));
    }
    body
}
