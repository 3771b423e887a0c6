//! What a form asks of a monitor, by its kind: where its settings stand is what they are called in `sonde.yaml`.

use sonde_core::Kind;

use crate::form::{Field, Form, Group, Shape};

/// Kinds in the order in which people look for them.
pub(super) const KINDS: [Kind; 8] = [
    Kind::Http,
    Kind::Tcp,
    Kind::Tls,
    Kind::Dns,
    Kind::Icmp,
    Kind::Domain,
    Kind::Heartbeat,
    Kind::Exec,
];

const METHODS: [(&str, &str); 7] = [
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("OPTIONS", "OPTIONS"),
];
const RECORDS: [(&str, &str); 10] = [
    ("A", "A"),
    ("AAAA", "AAAA"),
    ("CNAME", "CNAME"),
    ("MX", "MX"),
    ("NS", "NS"),
    ("TXT", "TXT"),
    ("SOA", "SOA"),
    ("SRV", "SRV"),
    ("CAA", "CAA"),
    ("PTR", "PTR"),
];

/// One for a monitor that is there, or for a new one.
pub(super) fn form(kind: Kind, is_new: bool, regions: &[String]) -> Form {
    let mut what = vec![Field::line("name", "Name").hint("As people know it; it may change.")];
    if is_new {
        let hint = "Stays for good: a-z, 0-9, - and _. Made of the name when it is left empty.";
        what.push(Field::line("id", "Id").hint(hint));
    }
    what.extend(of_kind(kind));
    let mut groups = vec![Group::new("What is checked", what)];
    if kind == Kind::Heartbeat {
        let hint = "How often it is to tell that it is well, as in 1h or 1d.";
        let interval = Field::line("interval", "Interval").hint(hint);
        let interval = if is_new {
            interval.with("1h")
        } else {
            interval
        };
        groups.push(Group::new("When", vec![interval]));
    } else {
        groups.push(Group::new(
            "When and from where",
            schedule(kind, is_new, regions),
        ));
        groups.push(Group::new("What is expected", expectations(kind)));
    }
    groups.push(Group::new("When it alerts", alert(kind)));
    let tags = Field::words("tags", "Tags").hint("With commas in between.");
    let paused = Field::flag("paused", "Paused: it is not checked, and nobody is told");
    groups.push(Group::new("Beside that", vec![tags, paused]));
    let hint = "Everything else that sonde.yaml and the API know, such as auth, proxy or retry_backoff. A secret that reads REDACTED stays as it is.";
    groups.push(Group::more(hint));
    Form::new(groups)
}

fn of_kind(kind: Kind) -> Vec<Field> {
    match kind {
        Kind::Http => http(),
        Kind::Tcp => vec![
            Field::line("tcp.host", "Host").hint("A name or an address."),
            Field::whole("tcp.port", "Port"),
        ],
        Kind::Tls => vec![
            Field::line("tls.host", "Host").hint("A name or an address."),
            Field::whole("tls.port", "Port").hint("443 when it is left empty."),
            Field::line("tls.starttls", "STARTTLS").hint("For a server that begins in the clear: smtp, imap, pop3 …"),
            Field::flag("tls.skip_verify", "Do not verify the certificate"),
        ],
        Kind::Dns => vec![
            Field::line("dns.name", "Name that is asked for"),
            Field::choice("dns.type", "Record", &RECORDS),
            Field::line("dns.server", "Server").hint("An address, with :port if it is not 53; the checker's own resolver when it is left empty."),
            Field::choice("dns.transport", "Transport", &[("", "as usual"), ("udp", "UDP"), ("tcp", "TCP"), ("tls", "TLS")]),
        ],
        Kind::Icmp => vec![
            Field::line("icmp.host", "Host").hint("A name or an address."),
            Field::whole("icmp.packets", "Packets").hint("Of each check; their mean is the latency."),
        ],
        Kind::Domain => vec![
            Field::line("domain.name", "Name").hint("As it is registered: example.com, without www."),
            Field::line("domain.server", "RDAP server").of_type("url").hint("Found in IANA's list when it is left empty."),
        ],
        Kind::Heartbeat => vec![
            Field::line("heartbeat.grace", "Grace").hint("How late it may be before it counts as late, as in 5m."),
        ],
        Kind::Exec => vec![
            Field::line("exec.command", "Program").hint("Not a line for a shell."),
            Field::area("exec.arguments", "Arguments", 3, Shape::Lines).hint("One on each line."),
            Field::area("exec.environment", "Environment", 2, Shape::Entries).hint("NAME: value, one on each line."),
            Field::flag("exec.warn_only", "A failure is only degraded"),
        ],
    }
}

fn http() -> Vec<Field> {
    vec![
        Field::line("http.url", "URL")
            .of_type("url")
            .wide()
            .hint("With https:// or http://."),
        Field::choice("http.method", "Method", &METHODS),
        Field::whole("http.max_redirects", "Redirects")
            .hint("How many are followed; 0 follows none."),
        Field::area("http.headers", "Headers", 3, Shape::Pairs)
            .hint("name: value, one on each line. A secret that reads REDACTED stays as it is."),
        Field::area("http.body.text", "Body", 3, Shape::Raw),
        Field::flag("http.tls.skip_verify", "Do not verify the certificate"),
    ]
}

fn schedule(kind: Kind, is_new: bool, regions: &[String]) -> Vec<Field> {
    let usual = |value: &str| if is_new { value } else { "" }.to_owned();
    // Registries limit how often they are asked.
    let (interval, hint) = match kind {
        Kind::Domain => ("1d", "As in 12h or 1d; 1h or more."),
        _ => ("1m", "As in 30s, 5m or 1h; 5s or more."),
    };
    let regions = match regions {
        [] => "With commas in between; those of this Sonde when it is left empty.".to_owned(),
        known => format!("With commas in between. In use: {}.", known.join(", ")),
    };
    vec![
        Field::line("interval", "Interval")
            .with(usual(interval))
            .hint(hint),
        Field::line("timeout", "Timeout")
            .with(usual("10s"))
            .hint("Of each try; not longer than the interval."),
        Field::whole("retries", "Retries").hint("After the first try, before a check has failed."),
        Field::words("regions", "Regions").hint(regions),
    ]
}

fn expectations(kind: Kind) -> Vec<Field> {
    let (expect, degraded) = match kind {
        Kind::Http => (
            "One on each line, and all must hold: status in 200..299 · body contains welcome · json $.database == \"up\" · header content-type contains json · tls.days_left > 14. Without one for the status, any 2xx is right.",
            "Up, but not well: latency > 400ms · phase.wait > 300ms",
        ),
        Kind::Dns => (
            "One on each line, and all must hold: dns.rcode == NOERROR · dns.answer contains 192.0.2.10 · dns.count > 1",
            "Up, but not well: latency > 200ms · dns.ttl < 60",
        ),
        Kind::Icmp => (
            "One on each line, and all must hold: icmp.loss < 20% · icmp.max < 500ms",
            "Up, but not well: icmp.avg > 100ms",
        ),
        Kind::Tls => (
            "One on each line, and all must hold: tls.days_left > 14 · tls.issuer contains \"Let's Encrypt\"",
            "Up, but not well: tls.days_left < 30",
        ),
        Kind::Domain => (
            "One on each line, and all must hold: domain.registrar contains Example · domain.status not contains hold",
            "Up, but not well: domain.days_left < 30",
        ),
        Kind::Tcp | Kind::Heartbeat | Kind::Exec => (
            "One on each line, and all must hold: latency < 2s",
            "Up, but not well: latency > 400ms",
        ),
    };
    vec![
        Field::area("expect", "Expected", 4, Shape::Lines).hint(expect),
        Field::area("degraded", "Degraded when", 3, Shape::Lines).hint(degraded),
    ]
}

fn alert(kind: Kind) -> Vec<Field> {
    let mut fields = vec![
        Field::whole("alert.fail_after", "Fails after").hint("So many failed checks in a row."),
        Field::whole("alert.recover_after", "Recovers after").hint("So many good checks in a row."),
    ];
    if kind != Kind::Heartbeat {
        fields.extend([
            Field::line("alert.quorum", "Regions that must agree")
                .hint("any, majority, all, or a number."),
            Field::whole("alert.within", "Among the last")
                .hint("Failures need not be in a row: so many of these checks."),
            Field::flag(
                "alert.confirm",
                "One failed check is enough where another region sees it too",
            ),
        ]);
    }
    let hint = "Ids of monitors that this one needs: behind one that is down it stays quiet.";
    fields.push(Field::words("depends_on", "Depends on").hint(hint).wide());
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use sonde_core::Monitor;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else {
            panic!("it is an object");
        };
        map
    }

    /// Lists that name nothing and answers that say no are the same as none.
    fn pruned(config: &Map<String, Value>) -> Map<String, Value> {
        let mut pruned = Map::new();
        for (name, value) in config {
            let value = match value {
                Value::Object(inner) => pruned_object(inner),
                other => other.clone(),
            };
            if value != json!([]) && value != json!(false) && value != json!({}) {
                pruned.insert(name.clone(), value);
            }
        }
        pruned
    }

    fn pruned_object(config: &Map<String, Value>) -> Value {
        Value::Object(pruned(config))
    }

    #[test]
    fn a_form_that_nobody_touches_changes_nothing() {
        let monitor = Monitor::sample();
        let stored = sonde_service::masked_config(&monitor);
        let mut shown = form(monitor.spec.kind(), false, &[]);
        shown.show(stored.clone());
        let sent = shown.config().unwrap();
        assert_eq!(pruned(&sent), pruned(&stored));
        assert_eq!(shown.get("http.url"), "http://shop.example/health");
    }

    #[test]
    fn every_kind_has_its_fields_and_keeps_what_they_cannot_say() {
        let configs = [
            (
                Kind::Http,
                json!({ "http": { "url": "https://a/", "method": "PROPFIND", "headers": [{ "name": "authorization", "value": "REDACTED" }],
                    "body": { "base64": "/w==" }, "auth": { "basic": { "username": "u", "password": "REDACTED" } }, "max_redirects": 0 },
                    "alert": { "quorum": "2", "within": 5, "confirm": true, "expiry": [14, 3] }, "retry_backoff": { "jitter": 0.5 } }),
            ),
            (
                Kind::Tcp,
                json!({ "tcp": { "host": "a", "port": 1, "dialogue": [{ "send": "x\n" }] } }),
            ),
            (
                Kind::Tls,
                json!({ "tls": { "host": "a", "port": 25, "starttls": "smtp", "skip_verify": true } }),
            ),
            (
                Kind::Dns,
                json!({ "dns": { "name": "a", "type": "TYPE65", "class": "CH", "transport": "udp" } }),
            ),
            (
                Kind::Icmp,
                json!({ "icmp": { "host": "a", "packets": 3, "ttl": 9 } }),
            ),
            (
                Kind::Domain,
                json!({ "domain": { "name": "example.com", "server": "https://rdap.example/", "ip": "6" }, "interval": "1d" }),
            ),
            (
                Kind::Heartbeat,
                json!({ "heartbeat": { "grace": "5m" }, "regions": ["push"], "timeout": "10s" }),
            ),
            (
                Kind::Exec,
                json!({ "exec": { "command": "/bin/true", "arguments": ["", "a b"], "environment": { "A": "b" } } }),
            ),
        ];
        for (kind, config) in configs {
            let config = object(config);
            let mut shown = form(kind, false, &[]);
            shown.show(config.clone());
            assert_eq!(shown.config(), Some(config), "{kind}");
        }
    }
}
