//! Uptime Kuma's types of monitors, as far as there are such checks here.

use std::time::Duration;

use sonde_core::{
    Assertion, Auth, ClientCertificate, Comparator, DnsClass, DnsSpec, DnsTransport, HeartbeatSpec,
    HttpSpec, IcmpSpec, NetworkOptions, Source, Spec, TcpSpec, TlsOptions, Unit, Value as Expected,
};

use super::super::lenient::{self, NO_EQUIVALENT, with_pattern, with_text};
use super::{Columns, Surroundings};
use crate::checkup::number;
use crate::decode::Item;
use crate::kind::icmp::MAX_PAYLOAD;
use crate::node::{self, Node, Position, Value};
use crate::{address, kind};

/// What a type's own columns come to.
pub(super) struct Checked {
    pub(super) spec: Spec,
    pub(super) expect: Vec<Assertion>,
    pub(super) degraded: Vec<Assertion>,
}

impl From<Spec> for Checked {
    fn from(spec: Spec) -> Self {
        Self {
            spec,
            expect: Vec::new(),
            degraded: Vec::new(),
        }
    }
}

/// Uptime Kuma warns first when a certificate has this many days left.
const DAYS_LEFT: f64 = 21.0;

/// Authentication by a request of its own.
const OAUTH: [&str; 2] = ["oauth2-cc", "ntlm"];

/// What a monitor of this type checks. Nothing where there is no such check, which is noted then.
pub(super) fn read(columns: &Columns<'_>, surroundings: &Surroundings<'_>) -> Option<Checked> {
    let item = columns.get("type").unwrap_or_else(|| columns.item.clone());
    let Some(name) = columns.text("type") else {
        item.problem("`type` is missing");
        return None;
    };
    match name {
        "http" | "keyword" | "json-query" => http(columns, surroundings, name),
        "port" => port(columns),
        "ping" => ping(columns),
        "dns" => dns(columns),
        "push" => Some(push(columns)),
        other => {
            item.warning(format!("a check of type `{other}` {NO_EQUIVALENT}"));
            None
        }
    }
}

/// Late as soon as the interval is over, but for a second. Its address is another one here.
fn push(columns: &Columns<'_>) -> Checked {
    let place = columns.get("pushToken");
    place.unwrap_or_else(|| columns.item.clone()).warning(
        "a heartbeat has an address of its own here: ask for it, and let the job call that one",
    );
    let grace = Duration::from_secs(1);
    Spec::Heartbeat(HeartbeatSpec { grace }).into()
}

/// Notes that a column is missing.
fn required<'a>(columns: &Columns<'a>, name: &str) -> Option<Item<'a>> {
    let item = columns.get(name);
    if item.is_none() {
        columns.item.problem(format!("`{name}` is missing"));
    }
    item
}

fn http(columns: &Columns<'_>, surroundings: &Surroundings<'_>, name: &str) -> Option<Checked> {
    let (url, url_auth) = required(columns, "url")?.parse(kind::parse_url)?;
    let secure = url.scheme() == "https";
    let mut spec = HttpSpec {
        headers: columns
            .get("headers")
            .map(|item| headers(&item))
            .unwrap_or_default(),
        auth: auth(columns).or(url_auth),
        tls: tls(columns),
        proxy: columns
            .get("proxyId")
            .and_then(|item| proxy(&item, surroundings)),
        ..HttpSpec::get(url)
    };
    if let Some(method) = columns.text("method") {
        method.clone_into(&mut spec.method);
    }
    if let Some(redirects) = columns.get("maxredirects") {
        spec.max_redirects = redirects.integer(0, 50).unwrap_or(spec.max_redirects);
    }
    if let Some(body) = columns.text("body") {
        spec.body = Some(body.as_bytes().to_vec());
        let content_type = match columns.text("httpBodyEncoding") {
            Some("form") => "application/x-www-form-urlencoded",
            Some("xml") => "text/xml; charset=utf-8",
            _ => "application/json",
        };
        lenient::imply_content_type(&mut spec.headers, content_type);
    }
    let mut expect = Vec::new();
    expect.extend(
        columns
            .get("accepted_statuscodes")
            .and_then(|item| statuses(&item)),
    );
    match name {
        "keyword" => expect.push(keyword(columns)?),
        "json-query" => expect.extend(json_query(columns)),
        _ => {}
    }
    let mut degraded = Vec::new();
    if secure && columns.flag("expiryNotification") && !spec.tls.skip_verify {
        degraded.push(number(
            Source::TlsDaysLeft,
            Comparator::Less,
            DAYS_LEFT,
            Unit::None,
        ));
    }
    if let Some(item) = columns.get("cacheBust").filter(lenient::is_set) {
        item.warning(NO_EQUIVALENT);
    }
    Some(Checked {
        spec: Spec::Http(Box::new(spec)),
        expect,
        degraded,
    })
}

/// A JSON object in a text.
fn headers(item: &Item<'_>) -> Vec<(String, String)> {
    let Some(text) = lenient::text(Some(item.clone())) else {
        return Vec::new();
    };
    let Ok(mut node) = node::parse(text) else {
        item.problem("expected a JSON object with header names");
        return Vec::new();
    };
    place(&mut node, item.at);
    kind::headers(&Item {
        node: &node,
        ..item.clone()
    })
}

/// Puts all of a text's parts where the text stands. Depth is bounded by the parser.
fn place(node: &mut Node, at: Position) {
    node.at = at;
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter_mut().for_each(|item| place(item, at)),
        Value::Map(entries) => {
            for entry in entries {
                entry.key_at = at;
                place(&mut entry.value, at);
            }
        }
    }
}

fn auth(columns: &Columns<'_>) -> Option<Auth> {
    let method = columns.text("authMethod").unwrap_or("basic");
    if OAUTH.contains(&method) {
        columns
            .get("authMethod")?
            .warning(format!("`{method}` {NO_EQUIVALENT}"));
        return None;
    }
    Some(Auth::Basic {
        username: columns.text("basic_auth_user")?.to_owned(),
        password: columns
            .text("basic_auth_pass")
            .unwrap_or_default()
            .to_owned(),
    })
}

fn tls(columns: &Columns<'_>) -> TlsOptions {
    let skip_verify = columns.flag("ignoreTls");
    if columns.text("authMethod") != Some("mtls") {
        return TlsOptions {
            skip_verify,
            ..TlsOptions::default()
        };
    }
    let certificate = columns.text("tlsCert").zip(columns.text("tlsKey"));
    TlsOptions {
        skip_verify,
        ca: columns.text("tlsCa").map(str::to_owned),
        client_certificate: certificate.map(|(certificate, key)| ClientCertificate {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }),
        ..TlsOptions::default()
    }
}

fn proxy(item: &Item<'_>, surroundings: &Surroundings<'_>) -> Option<url::Url> {
    let proxy = surroundings.proxies.get(item.scalar()?).cloned().flatten();
    if proxy.is_none() {
        item.warning("left out: only proxies by HTTP can be used, and only those in `proxyList`");
    }
    proxy
}

fn keyword(columns: &Columns<'_>) -> Option<Assertion> {
    let keyword = required(columns, "keyword")?;
    let comparator = if columns.flag("invertKeyword") {
        Comparator::NotContains
    } else {
        Comparator::Contains
    };
    Some(with_text(Source::Body, comparator, keyword.scalar()?))
}

/// `JSONata` is a language; only paths into the document are understood.
fn json_query(columns: &Columns<'_>) -> Option<Assertion> {
    let item = required(columns, "jsonPath")?;
    let text = item.scalar()?.trim();
    let path = text
        .strip_prefix('$')
        .unwrap_or(text)
        .trim_start_matches('.');
    let simple = |c: char| c.is_ascii_alphanumeric() || "_.[]".contains(c);
    let dot = if path.is_empty() || path.starts_with('[') {
        ""
    } else {
        "."
    };
    let source = Source::new("json", Some(&["$", dot, path].concat()));
    let Some(source) = source.ok().filter(|_| path.chars().all(simple)) else {
        item.warning(format!(
            "`{text}` {NO_EQUIVALENT}: only paths such as `$.items[0].id` are read"
        ));
        return None;
    };
    let operator = columns.get("jsonPathOperator");
    let comparator = match &operator {
        None => Comparator::Equal,
        Some(operator) => operator.choice(&[
            ("==", Comparator::Equal),
            ("!=", Comparator::NotEqual),
            (">", Comparator::Greater),
            (">=", Comparator::GreaterOrEqual),
            ("<", Comparator::Less),
            ("<=", Comparator::LessOrEqual),
            ("contains", Comparator::Contains),
        ])?,
    };
    let expected = required(columns, "expectedValue")?;
    let value = lenient::json_value(expected.scalar()?);
    if lenient::is_order(comparator) && !matches!(value, Expected::Number(..)) {
        return expected.expected("a number to compare with");
    }
    Some(Assertion {
        source,
        comparator,
        value,
    })
}

/// `200-299`, `200`, …: any of these.
fn statuses(item: &Item<'_>) -> Option<Assertion> {
    let mut ranges = item.list_of(|item| {
        let text = item.scalar()?;
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let range = low
            .trim()
            .parse::<u16>()
            .ok()
            .zip(high.trim().parse::<u16>().ok());
        let range =
            range.filter(|(low, high)| (100..=999).contains(low) && (low..=&999).contains(&high));
        range.map_or_else(|| item.expected("a status such as 200 or 200-299"), Some)
    })?;
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (low, high) in ranges {
        match merged.last_mut() {
            Some(last) if low <= last.1 + 1 => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    let status = |status: u16| Expected::Number(status.into(), Unit::None);
    let (comparator, value) = match merged[..] {
        [] => return None,
        [(low, high)] if low == high => (Comparator::Equal, status(low)),
        [(low, high)] => {
            let (low, high) = (Box::new(status(low)), Box::new(status(high)));
            (Comparator::In, Expected::Range(low, high))
        }
        _ if merged.iter().all(|(low, high)| low == high) => {
            let codes = merged.iter().map(|(code, _)| status(*code));
            (Comparator::In, Expected::List(codes.collect()))
        }
        _ => return with_pattern(Source::Status, Comparator::Matches, &pattern(&merged)).ok(),
    };
    Some(Assertion {
        source: Source::Status,
        comparator,
        value,
    })
}

/// Several ranges at once. Whole hundreds, as they mostly are, are said briefly.
fn pattern(ranges: &[(u16, u16)]) -> String {
    let mut parts = Vec::new();
    for (low, high) in ranges {
        let mut code = *low;
        while code <= *high {
            if code % 100 == 0 && code + 99 <= *high {
                parts.push(format!("{}..", code / 100));
                code += 100;
            } else {
                parts.push(code.to_string());
                code += 1;
            }
        }
    }
    format!("^({})$", parts.join("|"))
}

fn port(columns: &Columns<'_>) -> Option<Checked> {
    let host = required(columns, "hostname")?.parse(address::host);
    let port = required(columns, "port")?.integer(1, 65_535);
    let spec = Spec::Tcp(Box::new(TcpSpec {
        host: host?,
        port: port?,
        tls: None,
        dialogue: Vec::new(),
        network: NetworkOptions::default(),
    }));
    Some(spec.into())
}

/// One packet, unless it says how many.
fn ping(columns: &Columns<'_>) -> Option<Checked> {
    let host = required(columns, "hostname")?.parse(address::host)?;
    let standard = kind::ping(host, NetworkOptions::default());
    let size = columns
        .get("packetSize")
        .and_then(|item| item.integer(0, MAX_PAYLOAD));
    let packets = columns
        .get("ping_count")
        .and_then(|item| item.integer(1, 100));
    let spec = Spec::Icmp(IcmpSpec {
        packets: packets.unwrap_or(1),
        payload_size: size.unwrap_or(standard.payload_size),
        ..standard
    });
    Some(spec.into())
}

fn dns(columns: &Columns<'_>) -> Option<Checked> {
    let name = required(columns, "hostname")?.parse(kind::dns_name);
    let record = columns.text("dns_resolve_type").unwrap_or("A");
    let server = columns
        .get("dns_resolve_server")
        .map(|item| server(columns, &item));
    let spec = Spec::Dns(Box::new(DnsSpec {
        name: name?,
        record_type: record.to_ascii_uppercase(),
        class: DnsClass::In,
        server: server.flatten(),
        transport: DnsTransport::Udp,
        recursion: true,
        tls: TlsOptions::default(),
        network: NetworkOptions::default(),
    }));
    Some(spec.into())
}

/// The first of those that are asked, with its port where that is another than the usual one.
fn server(columns: &Columns<'_>, item: &Item<'_>) -> Option<String> {
    let text = lenient::text(Some(item.clone()))?;
    let (first, others) = text.split_once(',').unwrap_or((text, ""));
    if !others.trim().is_empty() {
        item.warning("only the first name server is asked");
    }
    let host = item.parse(|_| address::host(first.trim()))?;
    let port: u16 = columns
        .get("port")
        .and_then(|item| item.integer(1, 65_535))
        .unwrap_or(53);
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    Some(if port == 53 {
        host
    } else {
        format!("{host}:{port}")
    })
}
