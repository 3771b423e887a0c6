//! What the protocol asks for: who this is, which tools there are, and a call of one. Tools themselves stand in `read`,
//! `write` and `incidents`.

use reqwest::Method;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, Content, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerInfo, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;

use super::offer::Caller;
use crate::client::{ApiError, Client, PATIENCE};

/// What an agent should know of all tools.
const INSTRUCTIONS: &str = "\
Sonde checks on a schedule, from one or more regions, that sites and services are up and how fast they answer. A monitor is \
what is checked and how; a result is one check of one monitor from one region. The outcome of a check is `ok`, `degraded` \
(it answers, but slower or otherwise worse than wanted), `failed` (with a `reason` and a `message`), or `missed` (nobody \
executed it: says nothing about the target). A monitor's state is `up`, `degraded`, `down`, `unknown`, `pending` (no result \
yet) or `paused`. Fields that end in `_us` are microseconds; times are RFC 3339 in UTC. Secrets in settings read REDACTED; \
sent back so, they stay as they are.";

/// One server's API, as one caller may use it.
pub(super) struct Tools {
    pub(super) api: Client,
    caller: Caller,
    offered: ToolRouter<Self>,
}

/// All tools, whoever calls.
pub(super) fn all() -> ToolRouter<Tools> {
    Tools::reading() + Tools::writing() + Tools::incidents()
}

impl Tools {
    pub(super) fn new(api: Client, caller: Caller) -> Self {
        let mut offered = all();
        for tool in offered.list_all() {
            if caller.refusal(&tool.name).is_some() {
                offered.remove_route(&tool.name);
            }
        }
        Self {
            api,
            caller,
            offered,
        }
    }

    /// What is at a path.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> CallToolResult {
        said(self.api.get(path, query).await)
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> CallToolResult {
        said(self.api.call(method, path, Some(body), PATIENCE).await)
    }
}

/// An answer of the API, or why there is none, for the agent to read.
pub(super) fn said(answer: Result<Value, ApiError>) -> CallToolResult {
    match answer {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => refused(error.lines().join("\n")),
    }
}

fn refused(why: String) -> CallToolResult {
    CallToolResult::error(vec![Content::text(why)])
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerInfo {
        let (url, workspace) = (self.api.url(), &self.caller.workspace);
        let server = Implementation::new("sonde", env!("CARGO_PKG_VERSION"));
        ServerInfo::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(server.with_title("Sonde"))
            .with_instructions(format!(
                "{INSTRUCTIONS}\nThe server is {url}, the workspace `{workspace}`."
            ))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.offered.get(name).cloned()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.offered.list_all()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        // As an answer that the agent sees: of errors of the protocol many clients show nothing.
        if let Some(why) = self.caller.refusal(&request.name) {
            return Ok(refused(why));
        }
        let call = ToolCallContext::new(self, request, context);
        self.offered.call(call).await
    }
}
