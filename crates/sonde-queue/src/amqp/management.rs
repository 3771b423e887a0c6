//! What declaring cannot tell: every argument that differs, and what is there beyond the topology. Reads the broker's
//! HTTP API and changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::names::{Address, Argument, EXCHANGES, arguments, kind};
use super::{TopologyProblem, parse};
use crate::{QueueDeclaration, QueueError, Result, Topology};

const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the broker's HTTP API, for one virtual host.
pub struct Management {
    client: Client,
    base: Url,
    user: String,
    password: String,
    vhost: String,
}

#[derive(Debug, thiserror::Error)]
enum BadUrl {
    #[error("not the URL of a management API: {0}")]
    Malformed(url::ParseError),
    #[error("not the URL of a management API: it must begin with http:// or https://")]
    Scheme,
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    #[serde(default)]
    durable: bool,
    #[serde(default)]
    arguments: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    durable: bool,
}

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Binding {
    source: String,
    destination: String,
    destination_type: String,
    routing_key: String,
}

/// The process has to have a provider of TLS. Where the system has no roots of trust, there is still plain HTTP.
fn client() -> Result<Client, reqwest::Error> {
    let plain = |_| Client::builder().tls_certs_only([]).build();
    Client::builder().build().or_else(plain)
}

impl Management {
    /// `url` is where the API listens, `amqp_url` where the broker does: it tells the virtual host, and the user
    /// where `url` names none.
    pub fn new(url: &str, amqp_url: &str) -> Result<Self> {
        let broker = parse(amqp_url).map_err(unavailable)?;
        let mut base: Url = url
            .parse()
            .map_err(|error| unavailable(BadUrl::Malformed(error)))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(unavailable(BadUrl::Scheme));
        }
        let (user, password) = if base.username().is_empty() {
            let userinfo = broker.authority.userinfo;
            (userinfo.username, userinfo.password)
        } else {
            let password = base.password().unwrap_or_default();
            (decode(base.username()), decode(password))
        };
        // Else they would stand in error messages. Cannot fail for a URL with a host.
        let _ = base.set_username("").and_then(|()| base.set_password(None));
        Ok(Self {
            client: client().map_err(unavailable)?,
            base,
            user,
            password,
            vhost: broker.vhost,
        })
    }

    /// How the broker differs from `topology`, in its order; then what is there beyond it.
    pub async fn diff(&self, topology: &Topology) -> Result<Vec<TopologyProblem>> {
        let exchanges: Vec<Exchange> = self.get("exchanges").await?;
        let queues: Vec<Queue> = self.get("queues").await?;
        let bindings: HashSet<Binding> = self.get("bindings").await?;
        let mut problems = exchange_problems(&exchanges);
        let found: HashMap<_, _> = queues
            .iter()
            .map(|queue| (queue.name.as_str(), queue))
            .collect();
        let mut expected = HashSet::new();
        for queue in &topology.queues {
            let name = queue.name.to_string();
            match found.get(name.as_str()) {
                None => problems.push(TopologyProblem::Missing(queue.name.clone())),
                Some(found) => {
                    problems.extend(conflict(queue, found));
                    problems.extend(missing_binding(queue, &bindings));
                }
            }
            expected.insert(name);
        }
        let surplus = queues.into_iter().map(|queue| queue.name).filter(|name| {
            let ours = name.starts_with("checks.") || name.starts_with("results.");
            ours && !expected.contains(name)
        });
        problems.extend(surplus.map(TopologyProblem::Surplus));
        Ok(problems)
    }

    async fn get<T: DeserializeOwned>(&self, what: &str) -> Result<T> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", what, &self.vhost]);
        }
        let request = self.client.get(url).timeout(PATIENCE);
        let request = request.basic_auth(&self.user, Some(&self.password));
        let answer = request.send().await.map_err(unavailable)?;
        let answer = answer.error_for_status().map_err(unavailable)?;
        answer.json().await.map_err(unavailable)
    }
}

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> QueueError {
    QueueError::Unavailable {
        backend: "rabbitmq management",
        source: Box::new(source),
    }
}

fn decode(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text);
    decoded.decode_utf8_lossy().into_owned()
}

fn exchange_problems(found: &[Exchange]) -> Vec<TopologyProblem> {
    let problem = |(name, expected)| {
        let text = match found.iter().find(|exchange| exchange.name == name) {
            None => "is missing".to_owned(),
            Some(found) if found.kind != expected => {
                format!("is {}, not {expected}", found.kind)
            }
            Some(found) if !found.durable => "is not durable".to_owned(),
            Some(_) => return None,
        };
        Some(TopologyProblem::Exchange { name, text })
    };
    let expected = EXCHANGES.iter().map(|(name, it)| (*name, kind(it)));
    expected.filter_map(problem).collect()
}

fn conflict(queue: &QueueDeclaration, found: &Queue) -> Option<TopologyProblem> {
    let expected = arguments(queue);
    let mut differences = Vec::new();
    if !found.durable {
        differences.push("is not durable".to_owned());
    }
    for (name, argument) in &expected {
        let argument = value(*argument);
        match found.arguments.get(*name) {
            None => differences.push(format!("{name} is missing, not {argument}")),
            Some(found) if *found != argument => {
                differences.push(format!("{name} is {found}, not {argument}"));
            }
            Some(_) => {}
        }
    }
    for (name, value) in &found.arguments {
        if !expected.contains_key(name.as_str()) {
            differences.push(format!("{name} is {value}, not missing"));
        }
    }
    (!differences.is_empty()).then(|| TopologyProblem::Conflict {
        queue: queue.name.clone(),
        text: differences.join(", "),
    })
}

fn value(argument: Argument) -> Value {
    match argument {
        Argument::Text(text) => text.into(),
        Argument::Number(number) => number.into(),
        Argument::Flag(flag) => flag.into(),
    }
}

fn missing_binding(
    queue: &QueueDeclaration,
    bindings: &HashSet<Binding>,
) -> Option<TopologyProblem> {
    let Address { exchange, key } = Address::bound_to(queue)?;
    let binding = Binding {
        source: exchange.to_owned(),
        destination: queue.name.to_string(),
        destination_type: "queue".to_owned(),
        routing_key: key.clone(),
    };
    (!bindings.contains(&binding)).then(|| TopologyProblem::MissingBinding {
        queue: queue.name.clone(),
        exchange,
        key,
    })
}
