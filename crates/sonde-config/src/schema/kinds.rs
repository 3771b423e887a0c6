//! The schema of each kind's short and long form.

use serde_json::{Value, json};
use sonde_core::StartTls;

use super::{boolean, described, integer, list, one_of, reference, section, text};
use crate::kind::{CLASSES, IP_PREFERENCES, TRANSPORTS};

/// One key per kind, with both its forms.
pub(super) fn forms() -> Vec<(&'static str, Value)> {
    [
        ("http", "A URL, or a mapping with the whole request."),
        ("tcp", "`host:port`, or a mapping with TLS and a dialogue."),
        (
            "dns",
            "A name to ask the A records of, or a mapping with the whole question.",
        ),
        ("icmp", "A host to ping, or a mapping that says how."),
        (
            "tls",
            "`host` or `host:port` of a TLS server, or a mapping.",
        ),
        (
            "domain",
            "A domain whose registration is looked up, or a mapping that says where.",
        ),
        (
            "exec",
            "A program of the checker's machine; needs --allow-exec.",
        ),
    ]
    .map(|(kind, description)| (kind, described(description, &either(&text(), kind))))
    .into_iter()
    .chain([(
        "heartbeat",
        described(
            "Nothing is checked: a job tells by itself that it is well, once in every interval.",
            &reference("heartbeat"),
        ),
    )])
    .collect()
}

/// A plain form, or the section of that name.
fn either(plain: &Value, name: &str) -> Value {
    json!({ "anyOf": [plain, reference(name)] })
}

pub(super) fn sections() -> Vec<(&'static str, Value)> {
    vec![
        ("http", http()),
        ("headers", headers()),
        (
            "header",
            section(
                "A header.",
                &["name", "value"],
                vec![("name", text()), ("value", scalar())],
            ),
        ),
        ("body", body()),
        ("auth", auth()),
        (
            "basic",
            section(
                "Basic authentication.",
                &["username", "password"],
                vec![("username", any_text()), ("password", any_text())],
            ),
        ),
        (
            "tls_options",
            section("How TLS is made and verified.", &[], tls_options()),
        ),
        ("tcp", tcp()),
        ("step", step()),
        ("dns", dns()),
        ("icmp", icmp()),
        ("tls", tls()),
        ("domain", domain()),
        ("exec", exec()),
        ("heartbeat", heartbeat()),
    ]
}

pub(super) fn network() -> Vec<(&'static str, Value)> {
    vec![
        (
            "ip",
            one_of(
                "Address families that may be used. Default: prefer_v4.",
                &names(&IP_PREFERENCES),
            ),
        ),
        (
            "resolver",
            described(
                "A name server, `address` or `address:port`, instead of the system's.",
                &text(),
            ),
        ),
    ]
}

fn names<T>(options: &[(&'static str, T)]) -> Vec<&'static str> {
    options.iter().map(|(name, _)| *name).collect()
}

fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn any_text() -> Value {
    json!({ "type": "string" })
}

fn http() -> Value {
    let version = json!({ "enum": ["auto", "1.1", "2", 1.1, 2] });
    let mut keys = vec![
        (
            "url",
            described(
                "http:// or https://; a user name and password in it are used for basic authentication.",
                &text(),
            ),
        ),
        ("method", described("Default: GET.", &text())),
        ("headers", reference("headers")),
        (
            "body",
            described("What is sent.", &either(&any_text(), "body")),
        ),
        ("auth", reference("auth")),
        ("tls", reference("tls_options")),
        (
            "proxy",
            described("An HTTP proxy, http://[user:password@]host:port.", &text()),
        ),
        (
            "http_version",
            described(
                "auto (the default), 1.1 or 2.",
                &json!({ "anyOf": [version, reference("expansion")] }),
            ),
        ),
        (
            "max_redirects",
            integer(
                "Redirects followed; one more fails the check. Default: 10.",
                0,
                50,
            ),
        ),
        (
            "follow_redirects",
            boolean("`false` takes the first answer as it is."),
        ),
        (
            "compression",
            boolean("Ask for compressed bodies. Default: true."),
        ),
    ];
    keys.extend(network());
    section("An HTTP request.", &["url"], keys)
}

fn headers() -> Value {
    let values = json!({ "anyOf": [scalar(), list(&scalar())] });
    let map = json!({ "type": "object", "additionalProperties": values });
    described(
        "By name, with one value or several; or a list where the order matters.",
        &json!({ "anyOf": [map, list(&reference("header"))] }),
    )
}

fn body() -> Value {
    let mut body = section(
        "The body of a request, in one of these forms.",
        &[],
        vec![
            ("text", described("Sent as it is.", &any_text())),
            (
                "json",
                json!({ "description": "Sent as JSON, with that content type." }),
            ),
            (
                "file",
                described(
                    "The content of a file, read when the configuration is.",
                    &text(),
                ),
            ),
            ("base64", described("Bytes.", &text())),
        ],
    );
    exactly_one(&mut body);
    body
}

fn exactly_one(section: &mut Value) {
    section["minProperties"] = json!(1);
    section["maxProperties"] = json!(1);
}

fn auth() -> Value {
    let mut auth = section(
        "Who is asking.",
        &[],
        vec![
            ("basic", reference("basic")),
            ("bearer", described("A token.", &text())),
        ],
    );
    exactly_one(&mut auth);
    auth
}

fn tls_options() -> Vec<(&'static str, Value)> {
    vec![
        (
            "skip_verify",
            boolean("Accept any certificate; its details are still recorded."),
        ),
        (
            "server_name",
            described(
                "The name sent and verified instead of the target's host.",
                &text(),
            ),
        ),
        (
            "ca",
            described(
                "Certificates trusted instead of the system's: PEM, or a file's name.",
                &text(),
            ),
        ),
        (
            "client_certificate",
            described("PEM, or a file's name.", &text()),
        ),
        (
            "client_key",
            described("Its private key: PEM, or a file's name.", &text()),
        ),
    ]
}

fn starttls() -> (&'static str, Value) {
    (
        "starttls",
        one_of(
            "The protocol in which TLS is asked for.",
            &StartTls::ALL.map(StartTls::as_str),
        ),
    )
}

fn port(description: &str) -> (&'static str, Value) {
    ("port", integer(description, 1, 65_535))
}

fn tcp() -> Value {
    let tls = json!({ "anyOf": [{ "type": "boolean" }, reference("expansion"), reference("tls_options")] });
    let step = json!({ "anyOf": [{ "const": "starttls" }, reference("step")] });
    let mut keys = vec![
        ("address", described("`host:port`.", &text())),
        (
            "host",
            described("With `port`, instead of `address`.", &text()),
        ),
        port("With `host`, instead of `address`."),
        (
            "tls",
            described(
                "`true`, or options. From the first byte on, or from STARTTLS on where there is one.",
                &tls,
            ),
        ),
        starttls(),
        (
            "dialogue",
            described("What is said and heard after connecting.", &list(&step)),
        ),
    ];
    keys.extend(network());
    let mut tcp = section("A TCP connection.", &[], keys);
    tcp["oneOf"] = json!([{ "required": ["address"] }, { "required": ["host", "port"] }]);
    tcp
}

fn step() -> Value {
    let mut step = section(
        "A step of a dialogue.",
        &[],
        vec![
            (
                "send",
                described(
                    "Text, with `${1}` or `$${name}` for captures of the last `expect`.",
                    &any_text(),
                ),
            ),
            ("send_base64", described("Bytes.", &text())),
            (
                "expect",
                described(
                    "A regular expression that what arrives must match.",
                    &text(),
                ),
            ),
        ],
    );
    exactly_one(&mut step);
    step
}

fn tls() -> Value {
    let mut keys = vec![("host", text()), port("Default: 443."), starttls()];
    keys.extend(tls_options());
    keys.extend(network());
    section(
        "A TLS handshake, and the certificates seen in it.",
        &["host"],
        keys,
    )
}

fn dns() -> Value {
    let mut keys = vec![
        ("name", described("What is asked for.", &text())),
        (
            "type",
            described("A, AAAA, MX, … or TYPE65. Default: A.", &text()),
        ),
        ("class", one_of("Default: IN.", &names(&CLASSES))),
        (
            "server",
            described(
                "`host` or `host:port`. Default: the system's first name server.",
                &text(),
            ),
        ),
        (
            "transport",
            one_of(
                "Default: udp, falling back to tcp when the answer is truncated.",
                &names(&TRANSPORTS),
            ),
        ),
        (
            "recursion",
            boolean("Whether recursion is desired. Default: true."),
        ),
        (
            "tls",
            described("For `transport: tls`.", &reference("tls_options")),
        ),
    ];
    keys.extend(network());
    section("A DNS question.", &["name"], keys)
}

fn icmp() -> Value {
    let mut keys = vec![
        ("host", text()),
        ("packets", integer("Default: 3.", 1, 100)),
        (
            "payload_size",
            integer(
                "Bytes after the ICMP header. Default: 56.",
                0,
                crate::kind::icmp::MAX_PAYLOAD,
            ),
        ),
        ("ttl", integer("Hops at most.", 1, 255)),
    ];
    keys.extend(network());
    section("A ping.", &["host"], keys)
}

fn domain() -> Value {
    let mut keys = vec![
        (
            "name",
            described(
                "As it is registered: example.com, not www.example.com.",
                &text(),
            ),
        ),
        (
            "server",
            described(
                "The base URL of an RDAP server. Default: that of the registry, by IANA's list.",
                &text(),
            ),
        ),
        (
            "proxy",
            described("An HTTP proxy, http://[user:password@]host:port.", &text()),
        ),
    ];
    keys.extend(network());
    section(
        "The registration of a domain, asked for by RDAP.",
        &["name"],
        keys,
    )
}

fn exec() -> Value {
    let command =
        json!({ "anyOf": [text(), { "type": "array", "items": scalar(), "minItems": 1 }] });
    section(
        "A program.",
        &["command"],
        vec![
            (
                "command",
                described(
                    "The program, or a list of it and its arguments. No shell splits them.",
                    &command,
                ),
            ),
            ("arguments", list(&scalar())),
            (
                "environment",
                described(
                    "Variables beside the checker's own.",
                    &json!({ "type": "object", "additionalProperties": scalar() }),
                ),
            ),
            ("warn_only", boolean("A program that fails only degrades.")),
        ],
    )
}

fn heartbeat() -> Value {
    section(
        "What a job tells by itself.",
        &[],
        vec![(
            "grace",
            described(
                "How much later than the interval it may come. Default: 1m.",
                &reference("duration"),
            ),
        )],
    )
}
