//! Gatus's `config.yaml`, with Gatus's meaning: nothing is presumed that no condition says.
//!
//! Keys and defaults are those of Gatus's packages `config/endpoint` and `client`. Variables of the environment stay
//! variables.

mod alert;
mod client;
mod condition;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use sonde_core::{
    DnsClass, DnsSpec, DnsTransport, HttpSpec, Monitor, MonitorId, Pattern, Source, Spec, StartTls,
    Step, TcpSpec, TlsSpec,
};

use self::alert::{Defaults, Told};
use self::client::Client;
use self::condition::Meaning;
use super::lenient::{self, NO_EQUIVALENT, Timed};
use super::variables::Variables;
use super::{Draft, Found};
use crate::decode::Item;
use crate::fields::Fields;
use crate::names::unique_id;
use crate::{address, kind};

/// One of these is what makes a file Gatus's; `services` is what `endpoints` were once called.
pub(super) const LISTS: [&str; 4] = ["endpoints", "services", "external-endpoints", "suites"];

/// How Gatus runs, not what it checks.
const PASSED_OVER: [&str; 5] = [
    "debug",
    "metrics",
    "skip-invalid-config-update",
    "disable-monitoring-lock",
    "concurrency",
];

const LEFT_OUT: [&str; 11] = [
    "external-endpoints",
    "suites",
    "security",
    "storage",
    "web",
    "ui",
    "maintenance",
    "remote",
    "connectivity",
    "tunneling",
    "announcements",
];

const INTERVAL: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn read(root: &Item<'_>, variables: &Variables) -> Found {
    let found = root.fields("a Gatus configuration", |fields| {
        lenient::pass_over(fields, &PASSED_OVER);
        lenient::leave_out(fields, &LEFT_OUT);
        let alerting = fields.take("alerting");
        let defaults = alerting.as_ref().map(alert::defaults).unwrap_or_default();
        let lists = [fields.take("endpoints"), fields.take("services")];
        let (mut ids, mut told) = (BTreeSet::new(), Told::default());
        let endpoints = lists.into_iter().flatten().filter_map(|list| list.list());
        let drafts = endpoints.flatten().filter_map(|item| {
            let draft = endpoint(&item, &defaults, &mut told, variables, &mut ids);
            lenient::kept(&item, draft)
        });
        let drafts = drafts.collect();
        let channels = alerting.map(|item| alert::channels(&item, &told));
        let channels = channels.unwrap_or_default();
        Found { drafts, channels }
    });
    found.unwrap_or_default()
}

/// What an endpoint says, before any of it is understood.
struct Endpoint<'a> {
    item: Item<'a>,
    name: &'a str,
    group: &'a str,
    url: Option<Item<'a>>,
    method: Option<Item<'a>>,
    body: &'a str,
    graphql: bool,
    headers: Option<Item<'a>>,
    dns: Option<Item<'a>>,
    client: Client<'a>,
}

fn endpoint(
    item: &Item<'_>,
    defaults: &Defaults<'_>,
    told: &mut Told,
    variables: &Variables,
    ids: &mut BTreeSet<MonitorId>,
) -> Option<Draft> {
    item.fields("an endpoint", |fields| {
        let endpoint = Endpoint::read(item, fields);
        let conditions = fields.take("conditions").and_then(|item| item.list());
        let alert = fields
            .take("alerts")
            .map(|item| alert::rule(&item, defaults));
        let interval = Timed::new(fields.take("interval"), lenient::duration, INTERVAL);
        let enabled = lenient::flag(fields.take("enabled"));
        let labels = fields.take("extra-labels").map(|item| labels(&item));
        // `ssh` goes with URLs that are noted themselves.
        lenient::pass_over(fields, &["ui", "ssh"]);
        lenient::leave_out(fields, &["maintenance-windows", "store", "always-run"]);
        let spec = endpoint.spec()?;
        // Whatever is wrong with the name, there is the target.
        let name = if endpoint.name.is_empty() {
            spec.target()
        } else {
            endpoint.name.to_owned()
        };
        let full_name = variables.show(&format!("{} {name}", endpoint.group));
        let id = unique_id(&full_name, "endpoint", ids)?;
        let mut monitor = lenient::monitor(item.context, id, &name, spec);
        let timeout = Timed::new(endpoint.client.timeout.clone(), lenient::duration, TIMEOUT);
        lenient::set_times(&mut monitor, &interval, &timeout);
        for condition in conditions.unwrap_or_default() {
            match condition::read(&condition, &monitor.spec) {
                Meaning::Expected(assertions) => monitor.expect.extend(assertions),
                Meaning::Implied | Meaning::Unknown => {}
                Meaning::Opposite => return None,
            }
        }
        await_reply(&mut monitor);
        lenient::presume_nothing(&monitor.spec, &mut monitor.expect);
        let (rule, alerts) = alert.unwrap_or_default();
        monitor.alert = rule;
        told.note(&monitor.id, alerts);
        monitor.tags = lenient::tags(
            std::iter::once(endpoint.group.to_owned()).chain(labels.unwrap_or_default()),
        );
        monitor.paused = enabled == Some(false);
        Some(Draft::new(item, monitor))
    })
    .flatten()
}

fn labels(item: &Item<'_>) -> Vec<String> {
    let entries = item.entries().unwrap_or_default().into_iter();
    let label = |(name, item): (&str, Item<'_>)| Some(lenient::tag(name, item.scalar()?));
    entries.filter_map(label).collect()
}

impl<'a> Endpoint<'a> {
    fn read(item: &Item<'a>, fields: &mut Fields<'a>) -> Self {
        let client = fields.take("client");
        let client = client.and_then(|item| item.fields("a client", Client::read));
        Self {
            item: item.clone(),
            name: lenient::text(fields.take("name")).unwrap_or_default(),
            group: lenient::text(fields.take("group")).unwrap_or_default(),
            url: fields.take("url"),
            method: fields.take("method"),
            body: lenient::text(fields.take("body")).unwrap_or_default(),
            graphql: lenient::flag(fields.take("graphql")).unwrap_or(false),
            headers: fields.take("headers"),
            dns: fields.take("dns"),
            client: client.unwrap_or_default(),
        }
    }

    /// What is checked. Nothing where Sonde has no such check, which is noted then.
    fn spec(&self) -> Option<Spec> {
        let Some(item) = &self.url else {
            self.item.problem("`url` is missing");
            return None;
        };
        let url = item.filled()?;
        if let Some(dns) = &self.dns {
            return self.dns(dns, url);
        }
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let host_port = || item.parse(|_| address::host_port(rest, None));
        match scheme {
            "http" | "https" => self.http(item),
            "icmp" => {
                let host = item.parse(|_| address::host(rest))?;
                Some(Spec::Icmp(kind::ping(host, self.client.network.clone())))
            }
            "tcp" => Some(self.tcp(host_port()?)),
            "tls" => Some(self.tls(host_port()?, None)),
            // Gatus knows STARTTLS of SMTP alone.
            "starttls" => Some(self.tls(host_port()?, Some(StartTls::Smtp))),
            "ws" | "wss" | "ssh" | "sctp" | "udp" | "grpc" | "grpcs" => {
                item.warning(format!("a check by {scheme}:// {NO_EQUIVALENT}"));
                None
            }
            _ => {
                item.problem("not a URL of a kind that Gatus checks");
                None
            }
        }
    }

    fn tcp(&self, (host, port): (String, u16)) -> Spec {
        let send = (!self.body.is_empty()).then(|| Step::Send(self.sent_body()));
        Spec::Tcp(Box::new(TcpSpec {
            host,
            port,
            tls: None,
            dialogue: send.into_iter().collect(),
            network: self.client.network.clone(),
        }))
    }

    fn tls(&self, (host, port): (String, u16), starttls: Option<StartTls>) -> Spec {
        if !self.body.is_empty() {
            let message = "the body is not sent: nothing is said after the handshake";
            self.item.warning(message);
        }
        Spec::Tls(Box::new(TlsSpec {
            host,
            port,
            tls: self.client.tls(),
            starttls,
            network: self.client.network.clone(),
        }))
    }

    fn http(&self, item: &Item<'_>) -> Option<Spec> {
        let headers = self.headers.as_ref().map(|item| kind::headers(item));
        let (url, auth) = item.parse(kind::parse_url)?;
        let mut spec = HttpSpec {
            headers: headers.unwrap_or_default(),
            auth,
            tls: self.client.tls(),
            network: self.client.network.clone(),
            ..HttpSpec::get(url)
        };
        if let Some(method) = lenient::text(self.method.clone()) {
            method.clone_into(&mut spec.method);
        }
        if self.client.ignore_redirect {
            spec.max_redirects = 0;
        }
        spec.proxy = self.client.proxy.as_ref().and_then(lenient::proxy);
        let body = self.sent_body();
        if self.graphql {
            spec.body = Some(json!({ "query": body }).to_string().into_bytes());
            lenient::imply_content_type(&mut spec.headers, "application/json");
        } else if !body.is_empty() {
            spec.body = Some(body.into_bytes());
        }
        Some(Spec::Http(Box::new(spec)))
    }

    /// The body with Gatus's placeholders filled in.
    fn sent_body(&self) -> String {
        if self.body.contains("[RANDOM_STRING_") {
            self.item
                .warning("the body's random strings are sent as they are written");
        }
        let url = self.url.as_ref().and_then(Item::scalar).unwrap_or_default();
        self.body
            .replace("[ENDPOINT_NAME]", self.name)
            .replace("[ENDPOINT_GROUP]", self.group)
            .replace("[ENDPOINT_URL]", url)
    }

    /// The URL is the name server, with or without a scheme.
    fn dns(&self, item: &Item<'_>, url: &str) -> Option<Spec> {
        let (name, record) = item.fields("a dns query", |fields| {
            let name = fields.required("query-name");
            let record = lenient::text(fields.required("query-type"));
            Some((name?.parse(kind::dns_name)?, record?))
        })??;
        let (scheme, server) = url.split_once("://").unwrap_or(("udp", url));
        let transport = match scheme {
            "tcp" => DnsTransport::Tcp,
            "tls" => DnsTransport::Tls,
            _ => DnsTransport::Udp,
        };
        let place = self.url.as_ref()?;
        Some(Spec::Dns(Box::new(DnsSpec {
            name,
            record_type: record.to_ascii_uppercase(),
            class: DnsClass::In,
            server: Some(place.parse(|_| address::server(server))?),
            transport,
            recursion: true,
            tls: self.client.tls(),
            network: self.client.network.clone(),
        })))
    }
}

/// Nothing is read from a connection unless a step waits for it.
fn await_reply(monitor: &mut Monitor) {
    let asserted = monitor
        .expect
        .iter()
        .any(|assertion| assertion.source == Source::TcpReply);
    if let Spec::Tcp(spec) = &mut monitor.spec
        && asserted
    {
        spec.dialogue
            .extend(Pattern::new("(?s).").ok().map(Step::Expect));
    }
}
