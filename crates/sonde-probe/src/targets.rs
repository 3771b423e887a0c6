//! A look at targets before they are ever checked: which of them egress forbids, as far as that is visible from here.
//! What a checker dials is looked at again, at each attempt and on each hop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use sonde_core::{Monitor, NetworkOptions, Reason, Spec};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::environment::{Environment, EnvironmentError, Settings};
use crate::observe::Observation;
use crate::{Egress, dial};

/// For all names together: what is not resolved by then is left to the checkers.
const LONGEST: Duration = Duration::from_secs(3);
const AT_ONCE: usize = 64;

/// What looks at targets.
#[derive(Debug)]
pub struct Targets {
    environment: Environment,
}

impl Targets {
    pub fn new(egress: Egress, resolver: Option<SocketAddr>) -> Result<Self, EnvironmentError> {
        let settings = Settings {
            egress,
            resolver,
            allow_exec: false,
            rdap_bootstrap: None,
            checker_id: String::new(),
        };
        Ok(Self {
            environment: Environment::new(settings)?,
        })
    }

    /// The monitors whose targets may not be checked, each with a sentence. Names that do not resolve are no reason.
    pub async fn forbidden<'a>(&self, monitors: &[&'a Monitor]) -> Vec<(&'a Monitor, String)> {
        if !self.environment.settings.egress.is_guarded() {
            return Vec::new();
        }
        let all: BTreeSet<Host> = monitors.iter().flat_map(|one| hosts(&one.spec)).collect();
        let until = Instant::now() + LONGEST;
        let looks = all.into_iter().map(async |host| {
            let why = timeout_at(until, self.look(&host)).await.ok().flatten();
            (host, why)
        });
        let looked: Vec<_> = futures_util::stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let forbidden: BTreeMap<Host, String> = looked
            .into_iter()
            .filter_map(|(host, why)| Some((host, why?)))
            .collect();
        let why = |monitor: &Monitor| {
            let mut hosts = hosts(&monitor.spec).into_iter();
            hosts.find_map(|host| forbidden.get(&host).cloned())
        };
        let monitors = monitors.iter();
        let refused = monitors.filter_map(|monitor| Some((*monitor, why(monitor)?)));
        refused.collect()
    }

    async fn look(&self, host: &Host) -> Option<String> {
        let network = NetworkOptions {
            resolver: host.resolver,
            ..NetworkOptions::default()
        };
        let until = Instant::now() + LONGEST;
        let mut seen = Observation::until(until);
        let resolved = dial::resolve(&self.environment, &host.name, &network, &mut seen).await;
        let failure = resolved.err()?;
        (failure.reason == Reason::BlockedTarget).then_some(failure.message)
    }
}

/// A name or an address, and who is asked about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Host {
    name: String,
    resolver: Option<SocketAddr>,
}

/// All that a check of this kind would dial first.
fn hosts(spec: &Spec) -> Vec<Host> {
    let host = |name: &str, network: &NetworkOptions| Host {
        name: name.to_owned(),
        resolver: network.resolver,
    };
    let of_url = |url: &Url, network| url.host_str().map(|name| host(name, network));
    match spec {
        Spec::Http(spec) => {
            let dialled = spec.proxy.as_ref().unwrap_or(&spec.url);
            let both = [Some(dialled), Some(&spec.url)].into_iter().flatten();
            both.filter_map(|url| of_url(url, &spec.network)).collect()
        }
        Spec::Tcp(spec) => vec![host(&spec.host, &spec.network)],
        Spec::Tls(spec) => vec![host(&spec.host, &spec.network)],
        Spec::Icmp(spec) => vec![host(&spec.host, &spec.network)],
        Spec::Dns(spec) => {
            let server = spec.server.as_deref().map(without_port);
            server
                .map(|name| host(name, &spec.network))
                .into_iter()
                .collect()
        }
        Spec::Domain(spec) => {
            let both = [spec.proxy.as_ref(), spec.server.as_ref()]
                .into_iter()
                .flatten();
            both.filter_map(|url| of_url(url, &spec.network)).collect()
        }
        Spec::Exec(_) | Spec::Heartbeat(_) => Vec::new(),
    }
}

/// `host` of `host`, `host:port`, `[address]:port`; a bare IPv6 address stays.
fn without_port(server: &str) -> &str {
    match server.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        _ => server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn look(target: &str) -> Option<String> {
        let targets = Targets::new(Egress::guarded(Vec::new()), None).unwrap();
        let mut monitor = Monitor::sample();
        let Spec::Http(spec) = &mut monitor.spec else {
            panic!("the sample is http");
        };
        spec.url = target.parse().unwrap();
        let forbidden = targets.forbidden(&[&monitor]).await;
        forbidden.into_iter().next().map(|(_, why)| why)
    }

    #[tokio::test]
    async fn private_targets_are_seen_before_they_are_checked() {
        for target in [
            "http://127.0.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:10.0.0.1]/",
            "http://2130706433/",
            "http://localhost/",
        ] {
            let why = look(target).await;
            assert!(
                why.is_some_and(|why| why.contains("egress guard")),
                "{target}"
            );
        }
        assert_eq!(look("http://203.0.114.1/").await, None);
    }

    #[test]
    fn a_servers_port_is_no_part_of_its_name() {
        for (server, expected) in [
            ("dns.example", "dns.example"),
            ("dns.example:53", "dns.example"),
            ("[::1]:53", "[::1]"),
            ("::1", "::1"),
        ] {
            assert_eq!(without_port(server), expected);
        }
    }
}
