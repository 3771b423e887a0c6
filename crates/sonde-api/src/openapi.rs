//! The OpenAPI document: the handlers' own descriptions, the schema of `sonde.yaml`, and the errors that every route can
//! answer with.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{Object, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

use crate::caller::SESSION_COOKIE;
use crate::problem::{Field, Problem};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sonde",
        description = "Everything that Sonde can do. Errors are problem+json with a stable `code`; listings are read on by \
                       `next_cursor`; a POST with an `Idempotency-Key` can be repeated safely for a day.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(
        Problem, Field, MonitorConfig, RoleName, ScopeName, OutcomeName, TriggerName, StateName, KindName,
        ResourceName, ActionName, ActorName, CauseName, IncidentStatusName, IncidentEventName, TellingState
    )),
    modifiers(&Security),
    security(("key" = []), ("session" = []))
)]
pub(crate) struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let mut key = Http::new(HttpAuthScheme::Bearer);
        key.description = Some("An API key; it is one of a workspace.".to_owned());
        components.add_security_scheme("key", SecurityScheme::Http(key));
        let cookie = ApiKeyValue::with_description(
            SESSION_COOKIE,
            "Of who signed in. Members of several workspaces name one in the header `Sonde-Workspace`.",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// Stands for the schema of a monitor in `sonde.yaml`, which [`complete`] puts in its place.
pub(crate) struct MonitorConfig;

impl PartialSchema for MonitorConfig {
    fn schema() -> RefOr<Schema> {
        Object::new().into()
    }
}

impl ToSchema for MonitorConfig {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("MonitorConfig")
    }
}

/// The names of closed sets, for the document; the types themselves are in `sonde-core`.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $($value:literal)+;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let mut names = Object::with_type(utoipa::openapi::schema::Type::String);
                names.enum_values = Some(vec![$(json!($value)),+]);
                names.into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

names! {
    RoleName: "viewer" "editor" "admin" "owner";
    ScopeName: "monitors:read" "monitors:write" "results:read" "alerts:read" "alerts:write" "checks:run" "fleet:read" "members:read"
        "members:write" "keys:read" "keys:write" "audit:read";
    OutcomeName: "ok" "degraded" "failed" "missed";
    TriggerName: "schedule" "on_demand";
    StateName: "paused" "pending" "up" "degraded" "down" "unknown";
    KindName: "http" "tcp" "dns" "icmp" "tls" "domain" "exec" "heartbeat";
    ResourceName: "monitor" "maintenance" "channel" "report" "member" "invitation" "api_key" "heartbeat";
    CauseName: "down" "degraded" "unknown" "certificate_expiring" "domain_expiring";
    IncidentStatusName: "open" "acknowledged" "resolved";
    IncidentEventName: "opened" "changed" "acknowledged" "commented" "resolved";
    TellingState: "waiting" "sent" "failed" "dropped";
    ActionName: "created" "updated" "removed";
    ActorName: "user" "api_key" "file" "operator";
}

/// The result of one check: the same object everywhere. Durations are in microseconds; what did not happen is absent.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what CheckResult serializes to")]
pub(crate) struct ResultBody {
    v: u8,
    #[schema(format = "uuid")]
    check_id: String,
    workspace: String,
    monitor: String,
    name: String,
    #[schema(value_type = KindName)]
    kind: KindName,
    target: String,
    region: String,
    #[schema(value_type = TriggerName)]
    trigger: TriggerName,
    #[schema(format = DateTime)]
    slot: String,
    interval_us: u64,
    run_id: u64,
    #[schema(format = DateTime, nullable = false)]
    started_at: Option<String>,
    #[schema(value_type = OutcomeName)]
    outcome: OutcomeName,
    #[schema(nullable = false)]
    reason: Option<String>,
    #[schema(nullable = false)]
    message: Option<String>,
    #[schema(required = false)]
    attempts: Vec<AttemptBody>,
    phases_us: PhasesBody,
    #[schema(nullable = false)]
    total_us: Option<u64>,
    #[schema(nullable = false)]
    queue_wait_us: Option<u64>,
    #[schema(nullable = false)]
    schedule_lag_us: Option<u64>,
    #[schema(nullable = false)]
    checker: Option<CheckerName>,
    #[schema(nullable = false)]
    remote_address: Option<String>,
    #[schema(value_type = Object, required = false)]
    http: (),
    #[schema(value_type = Object, required = false)]
    tls: (),
    #[schema(value_type = Object, required = false)]
    tcp: (),
    #[schema(value_type = Object, required = false)]
    dns: (),
    #[schema(value_type = Object, required = false)]
    icmp: (),
    #[schema(value_type = Object, required = false)]
    exec: (),
    #[schema(value_type = Object, required = false)]
    domain: (),
    #[schema(required = false)]
    failed: Vec<FailedBody>,
    /// What was seen of a failure: response head, body, certificate subject, addresses.
    #[schema(value_type = Object, required = false)]
    evidence: (),
    suspect: bool,
    in_maintenance: bool,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Attempt serializes to")]
struct AttemptBody {
    reason: Option<String>,
    total_us: u64,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what CheckerInfo serializes to")]
struct CheckerName {
    id: String,
    version: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Phases serializes to")]
pub(crate) struct PhasesBody {
    #[schema(nullable = false)]
    dns: Option<u64>,
    #[schema(nullable = false)]
    connect: Option<u64>,
    #[schema(nullable = false)]
    tls: Option<u64>,
    #[schema(nullable = false)]
    send: Option<u64>,
    #[schema(nullable = false)]
    wait: Option<u64>,
    #[schema(nullable = false)]
    receive: Option<u64>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what FailedAssertion serializes to")]
struct FailedBody {
    assertion: String,
    expected: String,
    seen: String,
}

/// The document as it is served.
pub(crate) fn complete(document: &Document) -> Value {
    let mut document = serde_json::to_value(document).expect("the document is JSON");
    let schemas = document["components"]["schemas"].as_object_mut();
    let schemas = schemas.expect("there are schemas");
    add_configuration(schemas);
    let paths = document["paths"].as_object_mut();
    for path in paths.into_iter().flat_map(|paths| paths.values_mut()) {
        let operations = path.as_object_mut().into_iter().flatten();
        for (method, operation) in operations {
            if matches!(&**method, "get" | "put" | "post" | "patch" | "delete") {
                name(operation);
                add_errors(method, operation);
            }
        }
    }
    document
}

/// The handlers' names are those of their files: with the tag they are unique.
fn name(operation: &mut Value) {
    let tag = operation["tags"][0].as_str().unwrap_or_default();
    let own = operation["operationId"].as_str().unwrap_or_default();
    operation["operationId"] = json!(format!("{}_{own}", tag.replace(' ', "_")));
}

/// Every route can answer so; what it answers when all is well, it says itself.
fn add_errors(method: &str, operation: &mut Value) {
    let mut errors = vec![
        ("400", "A parameter or the body cannot be read"),
        ("401", "Nobody, or nobody who is known"),
        ("403", "Not allowed: `code` says why"),
        ("404", "Not there"),
        (
            "429",
            "Too many requests or attempts: `Retry-After` says how long to wait",
        ),
        ("500", "A fault of the server"),
        ("503", "A store or the broker is away: try again"),
    ];
    if operation.get("requestBody").is_some() {
        errors.extend([
            ("413", "The body is too large"),
            ("415", "The body is not JSON"),
            ("422", "The body is JSON, and wrong: `errors` says where"),
        ]);
    }
    if method != "get" {
        errors.extend([
            ("409", "It is there already, or not to be changed here"),
            ("412", "It is not what `If-Match` or a plan expected"),
        ]);
    }
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for (status, description) in errors {
        let error = json!({
            "description": description,
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
        responses.entry(status).or_insert(error);
    }
}

/// The definitions of `sonde.yaml`, each under a name of its own, and what is a monitor with something more.
fn add_configuration(schemas: &mut Map<String, Value>) {
    let mut schema = sonde_config::schema();
    let definitions = schema["$defs"].take();
    let Value::Object(definitions) = definitions else {
        return;
    };
    for (name, mut definition) in definitions {
        point_to_components(&mut definition);
        schemas.insert(component(&name), definition);
    }
    let monitor = schemas["MonitorConfig"].clone();
    let mut new = monitor.clone();
    let id = json!({
        "type": "string",
        "pattern": "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$",
        "description": "Stable, chosen once: results and incidents belong to it.",
    });
    new["properties"]["id"] = id;
    new["required"] = json!(["id"]);
    new["description"] = json!("A monitor as in sonde.yaml, with its id.");
    schemas.insert("NewMonitor".to_owned(), new);
    let mut check = monitor;
    check["description"] =
        json!("A target as a monitor in sonde.yaml has it; nothing but its kind is needed.");
    schemas.insert("CheckRequest".to_owned(), check);
}

fn component(definition: &str) -> String {
    match definition {
        "monitor" => "MonitorConfig".to_owned(),
        other => format!("config_{other}"),
    }
}

fn point_to_components(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            if let Some(Value::String(reference)) = entries.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/components/schemas/{}", component(name));
            }
            entries.values_mut().for_each(point_to_components);
        }
        Value::Array(items) => items.iter_mut().for_each(point_to_components),
        _ => {}
    }
}
