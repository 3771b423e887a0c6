//! The JSON Schema of `sonde.yaml`, for editors.
//!
//! Closed sets come from the decoder's own tables; that both know the same keys is proved by a test.

mod kinds;
mod shapes;

use serde_json::{Map, Value, json};
use sonde_core::{Comparator, Kind, Source};

use crate::alerting::{CHANNEL, MAINTENANCE};
use crate::shape::Shape;

/// Draft 2020-12. It accepts what is read, as far as a schema can say; what a `${…}` becomes it cannot know.
pub fn schema() -> Value {
    let monitors = described(
        "What is checked. Each key is the monitor's id, chosen once: results and incidents belong to it.",
        &json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$" },
            "additionalProperties": reference("monitor"),
        }),
    );
    let mut root = section(
        "Monitoring as code for Sonde.",
        &["monitors"],
        vec![
            ("defaults", reference("defaults")),
            ("monitors", monitors),
            ("channels", named("Where incidents are told.", &CHANNEL)),
            ("maintenance", named("When nobody is told.", &MAINTENANCE)),
        ],
    );
    let mut definitions = Map::new();
    for (name, definition) in sections().into_iter().chain(kinds::sections()) {
        definitions.insert(name.to_owned(), definition);
    }
    definitions.extend(shapes::definitions([&CHANNEL, &MAINTENANCE]));
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("sonde.yaml");
    root["$defs"] = Value::Object(definitions);
    root
}

/// Things of one shape, by the user's own ids.
fn named(description: &str, shape: &Shape) -> Value {
    described(
        description,
        &json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9_-]{1,100}$" },
            "additionalProperties": shapes::schema(shape),
        }),
    )
}

fn sections() -> Vec<(&'static str, Value)> {
    vec![
        ("duration", duration()),
        ("expansion", json!({ "type": "string", "pattern": r"\$\{" })),
        ("defaults", defaults()),
        ("monitor", monitor()),
        ("alert", alert()),
        ("retry_backoff", retry_backoff()),
        (
            "assertions",
            list(&json!({ "anyOf": [{ "type": "string" }, reference("assertion")] })),
        ),
        ("assertion", assertion()),
    ]
}

fn duration() -> Value {
    described(
        "A number with its unit, or several: 500ms, 30s, 1m 30s, 1h.",
        &json!({ "type": "string", "pattern": r"^\s*(\d+\s*[a-zA-Zµ]+\s*)+$|\$\{" }),
    )
}

/// The keys that `defaults` and monitors share.
fn shared() -> Vec<(&'static str, Value)> {
    vec![
        (
            "interval",
            described(
                "Time from one check to the next, 5s or more. Default: 15s.",
                &reference("duration"),
            ),
        ),
        (
            "timeout",
            described(
                "Bound of one attempt, at most the interval. Default: 10s.",
                &reference("duration"),
            ),
        ),
        (
            "regions",
            described(
                "Where checks run.",
                &json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true }),
            ),
        ),
        (
            "retries",
            integer("Attempts after the first before a check has failed.", 0, 20),
        ),
        ("retry_backoff", reference("retry_backoff")),
        ("alert", reference("alert")),
        (
            "tags",
            described(
                "Words to find and route by.",
                &json!({ "type": "array", "items": text(), "uniqueItems": true }),
            ),
        ),
    ]
}

fn defaults() -> Value {
    let mut keys = shared();
    keys.extend(kinds::network());
    section("What monitors use that say nothing themselves.", &[], keys)
}

fn monitor() -> Value {
    let mut keys = shared();
    keys.extend([
        (
            "name",
            described("For people; may change. Default: the id.", &text()),
        ),
        (
            "expect",
            described(
                "All must hold, or the check has failed.",
                &reference("assertions"),
            ),
        ),
        (
            "degraded",
            described(
                "A check that has not failed is degraded when any of these holds.",
                &reference("assertions"),
            ),
        ),
        (
            "depends_on",
            described(
                "Ids of monitors without which this one cannot be up.",
                &list(&text()),
            ),
        ),
        ("paused", boolean("Whether checks are suspended.")),
    ]);
    keys.extend(kinds::forms());
    let mut monitor = section(
        "A monitor: a target of exactly one kind, and what is expected of it.",
        &[],
        keys,
    );
    let required = Kind::ALL.map(|kind| json!({ "required": [kind.as_str()] }));
    monitor["oneOf"] = json!(required);
    monitor
}

fn alert() -> Value {
    let quorum = json!({ "anyOf": [
        { "enum": ["any", "majority", "all"] },
        { "type": "integer", "minimum": 1 },
        { "type": "string", "pattern": r"^\d+%?$|\$\{" },
    ] });
    section(
        "When outcomes become an incident.",
        &[],
        vec![
            (
                "fail_after",
                integer(
                    "Failures before a region counts as down, in a row unless there is `within`. Default: 2.",
                    1,
                    1000,
                ),
            ),
            (
                "within",
                integer(
                    "Of the last so many checks, fail_after failures are enough, in a row or not.",
                    2,
                    60,
                ),
            ),
            (
                "recover_after",
                integer(
                    "Consecutive successes before it counts as up again. Default: 2.",
                    1,
                    1000,
                ),
            ),
            (
                "quorum",
                described(
                    "Regions that must agree: any, majority, all, a number, or a percentage. Default: majority.",
                    &quorum,
                ),
            ),
            (
                "confirm",
                boolean(
                    "Whether one failure is enough where another region sees it in the same slot. A monitor with one region \
                     has another one of the workspace asked at once. Default: false.",
                ),
            ),
            (
                "expiry",
                described(
                    "Days before a certificate ends at which that is told, once each. Default: 30, 14, 7, 3, 1.",
                    &json!({ "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": 365 }, "uniqueItems": true }),
                ),
            ),
        ],
    )
}

fn retry_backoff() -> Value {
    section(
        "How the attempts of one check are spread.",
        &[],
        vec![
            (
                "initial",
                described("The first wait.", &reference("duration")),
            ),
            (
                "factor",
                number("What each further wait is multiplied by.", 1, 100),
            ),
            (
                "max",
                described("The longest wait.", &reference("duration")),
            ),
            ("jitter", number("Share of each wait that is random.", 0, 1)),
        ],
    )
}

fn assertion() -> Value {
    let scalar = json!({ "type": ["string", "number", "boolean", "null"] });
    let value = json!({ "anyOf": [scalar, { "type": "array", "items": scalar }] });
    let sources: Vec<_> = Source::names().collect();
    section(
        "An assertion in parts; the text form `source [argument] comparator value` means the same.",
        &["source", "comparator"],
        vec![
            (
                "source",
                described("What is looked at.", &json!({ "enum": sources })),
            ),
            (
                "argument",
                described("The header's name, or the JSON path.", &text()),
            ),
            (
                "comparator",
                one_of("How it compares.", &Comparator::ALL.map(Comparator::as_str)),
            ),
            ("value", described("What it is compared with.", &value)),
        ],
    )
}

fn section(description: &str, required: &[&str], keys: Vec<(&str, Value)>) -> Value {
    let properties = keys.into_iter().map(|(key, value)| (key.to_owned(), value));
    json!({
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties.collect::<Map<_, _>>(),
    })
}

fn described(description: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["description"] = json!(description);
    schema
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// Or a text that `${…}` makes one.
fn or_expansion(description: &str, schema: &Value) -> Value {
    json!({ "description": description, "anyOf": [schema, reference("expansion")] })
}

fn boolean(description: &str) -> Value {
    or_expansion(description, &json!({ "type": "boolean" }))
}

fn integer(description: &str, low: i64, high: i64) -> Value {
    or_expansion(
        description,
        &json!({ "type": "integer", "minimum": low, "maximum": high }),
    )
}

fn number(description: &str, low: i64, high: i64) -> Value {
    or_expansion(
        description,
        &json!({ "type": "number", "minimum": low, "maximum": high }),
    )
}

fn one_of(description: &str, names: &[&str]) -> Value {
    or_expansion(description, &json!({ "enum": names }))
}
