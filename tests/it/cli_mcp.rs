//! `sonde mcp`, as an agent speaks with it: line by line of JSON-RPC, in front of a real server with an owner.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use sonde_tests::api::{Caller, owned};
use sonde_tests::sonde::{Output, Running, Sonde, binary};
use sonde_tests::wait_until;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

const READS: [&str; 3] = ["monitors:read", "results:read", "fleet:read"];
const WRITES: [&str; 6] = [
    "monitors:read",
    "monitors:write",
    "results:read",
    "checks:run",
    "fleet:read",
    "audit:read",
];

/// A server, and who owns it.
struct House {
    _folder: tempfile::TempDir,
    server: Running,
    owner: Caller,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, owner) = owned(folder.path()).await;
        Self {
            _folder: folder,
            server,
            owner,
        }
    }

    /// An agent with a key that has these scopes.
    async fn agent(&self, scopes: &[&str], only: Option<&[&str]>) -> Agent {
        let key = self.owner.new_key(scopes, only).await;
        let key = key.shown("authorization").unwrap();
        let mut agent = self.start(key.trim_start_matches("Bearer ")).await;
        let greeting = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "a test", "version": "1" },
        });
        let said = agent.ask("initialize", &greeting).await["result"].take();
        assert_eq!(said["protocolVersion"], "2025-06-18");
        assert_eq!(said["serverInfo"]["name"], "sonde");
        assert!(said["capabilities"]["tools"].is_object(), "{said}");
        let instructions = said["instructions"].as_str().unwrap();
        assert!(instructions.contains(&self.server.url("")), "{said}");
        agent
            .send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        agent
    }

    async fn start(&self, key: &str) -> Agent {
        let mut child = Command::new(binary().await)
            .arg("mcp")
            .env_clear()
            .env("SONDE_URL", self.server.url(""))
            .env("SONDE_API_KEY", key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Agent {
            stdin: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            asked: 0,
        }
    }
}

/// The other end of the pipes.
struct Agent {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl Agent {
    async fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    /// The answer to a request; every line before it has to be the protocol's as well.
    async fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
            .await;
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await.unwrap();
            let line = line.unwrap().expect("an answer comes before the end");
            let message: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(message["jsonrpc"], "2.0", "{line}");
            if message["id"] == id {
                return message;
            }
        }
    }

    async fn tools(&mut self) -> Vec<Value> {
        let mut answer = self.ask("tools/list", &json!({})).await;
        let Value::Array(tools) = answer["result"]["tools"].take() else {
            panic!("no tools: {answer}");
        };
        tools
    }

    async fn names(&mut self) -> Vec<String> {
        let tools = self.tools().await;
        let names = tools.iter().map(|tool| tool["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }

    /// Whether it is an error, and the text of the answer.
    async fn call(&mut self, tool: &str, arguments: Value) -> (bool, String) {
        let params = json!({ "name": tool, "arguments": arguments });
        let answer = self.ask("tools/call", &params).await;
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str();
        let text = text.unwrap_or_else(|| panic!("no text: {answer}"));
        if result["isError"] == false {
            let structured: Value = serde_json::from_str(text).unwrap();
            assert_eq!(result["structuredContent"], structured);
        }
        (result["isError"] == true, text.to_owned())
    }

    /// The answer of a tool that does what it is asked.
    async fn does(&mut self, tool: &str, arguments: Value) -> Value {
        let (is_error, text) = self.call(tool, arguments).await;
        assert!(!is_error, "{tool}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Why a tool does not.
    async fn refuses(&mut self, tool: &str, arguments: Value) -> String {
        let (is_error, text) = self.call(tool, arguments).await;
        assert!(is_error, "{tool}: {text}");
        text
    }

    /// How it ends when nobody speaks to it any more.
    async fn end(mut self) -> Output {
        drop(self.stdin);
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut rest = self.lines.into_inner();
        let mut said = self.child.stderr.take().unwrap();
        let ended = async {
            tokio::try_join!(
                self.child.wait(),
                rest.read_to_string(&mut stdout),
                said.read_to_string(&mut stderr)
            )
        };
        let (status, ..) = timeout(PATIENCE, ended).await.unwrap().unwrap();
        Output {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

#[tokio::test]
async fn a_key_that_reads_is_offered_no_tool_that_writes() {
    let house = House::new().await;
    let mut agent = house.agent(&READS, None).await;
    assert_eq!(
        agent.names().await,
        [
            "get_fleet",
            "get_monitor",
            "get_summary",
            "get_uptime",
            "list_monitors",
            "list_regions",
            "list_results"
        ]
    );
    for tool in agent.tools().await {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(tool["description"].as_str().unwrap().len() > 60, "{tool}");
    }
    for (tool, arguments, scope) in [
        ("delete_monitor", json!({ "id": "shop" }), "monitors:write"),
        ("run_monitor", json!({ "id": "shop" }), "checks:run"),
        ("get_audit", json!({}), "audit:read"),
    ] {
        let why = agent.refuses(tool, arguments).await;
        assert!(why.contains(&format!("`{scope}`")), "{why}");
    }
    let listed = agent.does("list_monitors", json!({})).await;
    assert_eq!(listed["monitors"][0]["id"], "shop");
    assert_eq!(listed["monitors"][0]["config"], Value::Null);
    let none = agent.does("list_monitors", json!({ "tag": "none" })).await;
    assert_eq!(none, json!({ "monitors": [] }));
    let shop = agent.does("get_monitor", json!({ "id": "shop" })).await;
    assert_eq!(shop["config"]["interval"], "1h");
    let regions = agent.does("list_regions", json!({})).await;
    assert_eq!(regions["regions"][0]["region"], "local");
    agent.does("get_fleet", json!({})).await;
    let ended = agent.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((ended.stdout, ended.stderr), Default::default());
}

#[tokio::test]
async fn a_key_that_writes_makes_runs_changes_and_deletes_a_monitor() {
    let house = House::new().await;
    let mut agent = house.agent(&WRITES, None).await;
    let tools = agent.tools().await;
    assert_eq!(tools.len(), 14);
    let destructive = tools
        .iter()
        .filter(|tool| tool["annotations"]["destructiveHint"] == true);
    let destructive: Vec<_> = destructive.map(|tool| &tool["name"]).collect();
    assert_eq!(destructive, ["delete_monitor", "update_monitor"]);

    let target = house.server.url("").replace("http://", "");
    let config = json!({ "tcp": target, "interval": "1h", "tags": ["made"] });
    let new = json!({ "id": "made", "config": config });
    let made = agent.does("create_monitor", new.clone()).await;
    assert_eq!(
        (&made["id"], &made["kind"]),
        (&json!("made"), &json!("tcp"))
    );
    let again = agent.refuses("create_monitor", new).await;
    assert!(again.contains("`made`"), "{again}");

    let run = agent.does("run_monitor", json!({ "id": "made" })).await;
    assert_eq!(run["results"][0]["outcome"], "ok", "{run}");
    let asked = json!({ "id": "made", "outcome": "ok", "trigger": "on_demand", "limit": 5 });
    // It is answered with before it is stored.
    wait_until(PATIENCE, async || {
        let rows = agent.does("list_results", asked.clone()).await;
        rows["results"][0]["monitor"] == "made"
    })
    .await;
    let summary = agent.does("get_summary", json!({ "id": "made" })).await;
    assert_eq!(summary["failed"], 0, "{summary}");
    let days = agent.does("get_uptime", json!({ "id": "made", "days": 2 }));
    assert_eq!(days.await["monitor"], "made");
    let once = json!({ "config": { "tcp": target }, "regions": ["local"] });
    let once = agent.does("check_target", once).await;
    assert_eq!(once["results"][0]["outcome"], "ok", "{once}");

    let patch = json!({ "id": "made", "patch": { "interval": "2h", "tags": null } });
    let changed = agent.does("update_monitor", patch).await;
    assert_eq!(changed["config"]["interval"], "2h");
    assert_eq!(changed["tags"], json!([]));
    let paused = agent.does("pause_monitor", json!({ "id": "made" })).await;
    assert_eq!(paused["state"], "paused");
    let listed = agent.does("list_monitors", json!({ "state": "paused" }));
    assert_eq!(listed.await["monitors"][0]["id"], "made");
    let resumed = json!({ "id": "made", "paused": false });
    let resumed = agent.does("pause_monitor", resumed).await;
    assert_eq!(resumed["paused"], false);

    let deleted = agent.does("delete_monitor", json!({ "id": "made" })).await;
    assert_eq!(deleted, json!({ "deleted": "made" }));
    let audit = agent.does("get_audit", json!({ "id": "made" })).await;
    assert_eq!(audit["entries"][0]["action"], "removed");
    assert_eq!(audit["entries"].as_array().unwrap().len(), 5, "{audit}");
    assert_eq!(house.owner.get("/v1/monitors/made").await.0, 404);
    assert_eq!(agent.end().await.code, Some(0));
}

#[tokio::test]
async fn a_key_for_alerts_sees_incidents_and_does_something_about_them() {
    let house = House::new().await;
    let mut agent = house.agent(&["alerts:read", "alerts:write"], None).await;
    let mut names = agent.names().await;
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "acknowledge_incident",
            "comment_incident",
            "get_incident",
            "list_incidents",
            "resolve_incident"
        ]
    );
    let none = agent.does("list_incidents", json!({ "status": "open" }));
    assert_eq!(none.await, json!({ "incidents": [] }));
    let id = "00000000-0000-0000-0000-000000000009";
    for tool in ["get_incident", "acknowledge_incident", "resolve_incident"] {
        let why = agent.refuses(tool, json!({ "id": id })).await;
        assert!(why.contains(&format!("incident `{id}` not found")), "{why}");
    }
    let why = agent.refuses("comment_incident", json!({ "id": id, "text": "" }));
    assert!(why.await.contains("1 to 10000"));
    assert_eq!(agent.end().await.code, Some(0));
}

#[tokio::test]
async fn what_the_server_refuses_is_told_to_the_agent_with_its_place() {
    let house = House::new().await;
    let mut agent = house.agent(&WRITES, None).await;
    let config = json!({ "http": "https://a.example", "interval": "1s", "retires": 2 });
    let wrong = json!({ "id": "a", "config": config });
    let why = agent.refuses("create_monitor", wrong).await;
    assert!(why.contains("interval: must be 5"), "{why}");
    assert!(why.contains("retires"), "{why}");
    let none = agent.refuses("get_monitor", json!({ "id": "none" })).await;
    assert!(none.contains("`none`"), "{none}");
    let kept = agent
        .refuses("delete_monitor", json!({ "id": "shop" }))
        .await;
    assert!(kept.contains("sonde.yaml"), "{kept}");
    let path = agent
        .refuses("get_monitor", json!({ "id": "../keys" }))
        .await;
    assert!(path.contains("not a valid monitor id"), "{path}");
    let field = json!({ "id": "shop", "colour": "red" });
    let field = agent.refuses("run_monitor", field).await;
    assert!(field.contains("colour"), "{field}");
    let range = json!({ "id": "shop", "limit": 5000 });
    let range = agent.refuses("list_results", range).await;
    assert_eq!(range.matches("must be 1 to 1000").count(), 1, "{range}");
    let unknown = agent.refuses("reboot", json!({})).await;
    assert!(unknown.contains("no tool `reboot`"), "{unknown}");
    // And it goes on.
    agent.does("get_monitor", json!({ "id": "shop" })).await;

    let House { server, .. } = house;
    let url = server.url("");
    server.terminate().await;
    let away = agent.refuses("list_monitors", json!({})).await;
    assert!(away.contains(&url) && away.contains("refused"), "{away}");
    assert_eq!(agent.end().await.code, Some(0));
}

#[tokio::test]
async fn a_key_for_some_monitors_is_offered_what_is_about_those() {
    let house = House::new().await;
    let mut agent = house.agent(&WRITES, Some(&["shop"])).await;
    let names = agent.names().await;
    assert!(names.contains(&"update_monitor".to_owned()), "{names:?}");
    for tool in [
        "create_monitor",
        "check_target",
        "list_regions",
        "get_fleet",
        "get_audit",
    ] {
        assert!(!names.contains(&tool.to_owned()), "{names:?}");
    }
    let arguments = json!({ "config": { "tcp": "127.0.0.1:9" } });
    let why = agent.refuses("check_target", arguments).await;
    assert!(why.contains("limited to"), "{why}");
}

#[tokio::test]
async fn a_wrong_key_is_told_before_anything_is_served() {
    let house = House::new().await;
    let ended = house.start("sk_wrong").await.end().await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("SONDE_API_KEY"), "{ended:?}");
    assert!(!ended.stderr.contains("sk_wrong"), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let away = Sonde::new(["mcp", "--url", "http://127.0.0.1:1"])
        .run()
        .await;
    assert_eq!(away.code, Some(3), "{away:?}");
    assert!(away.stderr.contains("SONDE_URL"), "{away:?}");
}
