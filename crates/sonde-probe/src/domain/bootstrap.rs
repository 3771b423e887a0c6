//! Which RDAP server knows a top-level domain: IANA's list (RFC 9224), kept for a day.
//!
//! One fetch at a time. A list that cannot be fetched says nothing about a domain, and an old one is better than none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sonde_core::{DomainSpec, HttpSpec, NetworkOptions, Reason, without_userinfo};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::whole_body;
use crate::environment::Environment;
use crate::http as client;
use crate::observe::{Failure, Observation};

const IANA: &str = "https://data.iana.org/rdap/dns.json";
/// New top-level domains come a few times a year.
const FRESH: Duration = Duration::from_hours(24);
/// Before a list that could not be fetched anew is asked for again.
const AGAIN: Duration = Duration::from_mins(10);

/// The list, once somebody has asked.
#[derive(Debug, Default)]
pub(crate) struct Servers(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    list: Arc<List>,
    until: Instant,
}

impl Servers {
    /// The base URL of the server to ask about a domain.
    pub(crate) async fn find(
        &self,
        environment: &Environment,
        spec: &DomainSpec,
        deadline: Instant,
    ) -> Result<Url, Failure> {
        let url = environment.settings.rdap_bootstrap.clone();
        let url = url.unwrap_or_else(|| IANA.parse().expect("a fixed URL is valid"));
        let list = timeout_at(deadline, self.list(environment, spec, &url, deadline)).await;
        let list = list.unwrap_or_else(|_| Err(unavailable(&url, "no answer in time")))?;
        list.server_of(&spec.name).cloned().ok_or_else(|| {
            let name = &spec.name;
            let message = format!(
                "no RDAP server is known for `{name}`: its registry has none in {url}, so name one with `server`"
            );
            Failure::new(Reason::RdapNoServer, message)
        })
    }

    /// Cancel safe: whoever waits for the one that fetches goes on where that one gives up.
    async fn list(
        &self,
        environment: &Environment,
        spec: &DomainSpec,
        url: &Url,
        deadline: Instant,
    ) -> Result<Arc<List>, Failure> {
        let mut kept = self.0.lock().await;
        let now = Instant::now();
        let old = match &*kept {
            Some(kept) if now < kept.until => return Ok(Arc::clone(&kept.list)),
            Some(kept) => Some(Arc::clone(&kept.list)),
            None => None,
        };
        // With an old one there must be time left to ask who stands there.
        let share = if old.is_some() { 2 } else { 1 };
        let end = now + deadline.saturating_duration_since(now) / share;
        let (list, until) = match (fetch(environment, spec, url, end).await, old) {
            (Ok(list), _) => (Arc::new(list), Instant::now() + FRESH),
            (Err(failure), Some(old)) => {
                tracing::warn!(
                    error = failure.message,
                    "the list of RDAP servers stays as it was"
                );
                (old, Instant::now() + AGAIN)
            }
            (Err(failure), None) => return Err(failure),
        };
        let list = kept.insert(Kept { list, until }).list.clone();
        Ok(list)
    }
}

async fn fetch(
    environment: &Environment,
    spec: &DomainSpec,
    url: &Url,
    end: Instant,
) -> Result<List, Failure> {
    let mut seen = Observation::until(end);
    seen.looks_at_body = true;
    let request = HttpSpec {
        // All monitors share the list: none may have it from a name server of its own, nor, where nothing proves whose it
        // is, from a proxy.
        proxy: spec.proxy.clone().filter(|_| url.scheme() == "https"),
        network: NetworkOptions {
            resolver: None,
            ..spec.network.clone()
        },
        ..HttpSpec::get(url.clone())
    };
    let fetched = client::probe(environment, &request, &mut seen).await;
    fetched.map_err(|failure| Failure {
        suspect: failure.suspect,
        ..unavailable(url, &failure.message)
    })?;
    let status = seen.http.as_ref().map_or(0, |http| http.status);
    if status != 200 {
        return Err(unavailable(url, &format!("it answered {status}")));
    }
    let body = whole_body(&mut seen);
    let body = body.map_err(|kept| unavailable(url, &format!("it is larger than {kept} bytes")))?;
    List::parse(&body).map_err(|why| unavailable(url, &why))
}

fn unavailable(url: &Url, why: &str) -> Failure {
    let message = format!("the list of RDAP servers at {url} cannot be fetched: {why}");
    Failure::new(Reason::RdapBootstrap, message)
}

/// Base URLs by the domains whose names their servers know.
#[derive(Debug)]
struct List(HashMap<String, Url>);

/// The file, as far as it is needed (RFC 9224 §3).
#[derive(Deserialize)]
struct File {
    /// Each with domains, and where they are asked about.
    services: Vec<(Vec<String>, Vec<String>)>,
}

impl List {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(text)
            .map_err(|error| format!("it is no such list (RFC 9224): {error}"))?;
        let mut list = HashMap::new();
        for (domains, urls) in file.services {
            let Some(url) = best(&urls) else { continue };
            for domain in domains {
                list.insert(domain.to_ascii_lowercase(), url.clone());
            }
        }
        if list.is_empty() {
            return Err("it names no server".to_owned());
        }
        Ok(Self(list))
    }

    /// Of the domains that `name` is in, the longest one (RFC 9224 §4); that of the root has no name.
    fn server_of(&self, name: &str) -> Option<&Url> {
        let parents = std::iter::successors(Some(name), |name| match name.split_once('.') {
            Some((_, parent)) => Some(parent),
            None => (!name.is_empty()).then_some(""),
        });
        parents.into_iter().find_map(|parent| self.0.get(parent))
    }
}

/// One that nobody on the way can change, if there is one.
fn best(urls: &[String]) -> Option<Url> {
    let urls = urls.iter().filter_map(|url| url.parse::<Url>().ok());
    let mut urls: Vec<Url> = urls
        .filter(|url| matches!(url.scheme(), "https" | "http"))
        .collect();
    urls.sort_by_key(|url| url.scheme() != "https");
    urls.into_iter().next().map(without_userinfo)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::Egress;
    use crate::testing::{Stub, environment};

    const LIST: &str = r#"{
        "version": "1.0", "publication": "2026-11-20T00:00:00Z", "description": "RDAP bootstrap file",
        "services": [
            [["com", "NET"], ["http://rdap.com.example/v1/", "https://rdap.com.example/v1/"]],
            [["uk"], ["https://rdap.uk.example/"]],
            [["co.uk", "xn--p1ai"], ["ftp://x.example/", "https://rdap.co.example/"]],
            [["nothing"], []]
        ]
    }"#;

    #[test]
    fn the_longest_domain_that_a_name_is_in_says_who_knows_it() {
        let list = List::parse(LIST.as_bytes()).unwrap();
        for (name, expected) in [
            ("shop.com", Some("https://rdap.com.example/v1/")),
            ("a.b.net", Some("https://rdap.com.example/v1/")),
            ("shop.uk", Some("https://rdap.uk.example/")),
            ("shop.co.uk", Some("https://rdap.co.example/")),
            ("shop.xn--p1ai", Some("https://rdap.co.example/")),
            ("shop.telecom", None),
            ("shop.nothing", None),
            ("com.example", None),
        ] {
            assert_eq!(list.server_of(name).map(Url::as_str), expected, "{name}");
        }
        let root = List::parse(br#"{"services": [[[""], ["https://root.example/"]]]}"#).unwrap();
        assert!(root.server_of("shop.com").is_some());
    }

    #[test]
    fn what_is_no_such_list_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"services": [["com"]]}"#,
            r#"{"services": []}"#,
        ] {
            assert!(List::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    /// A stub that answers the first request with the list and others with 503, and how often it was asked.
    async fn once() -> (Stub, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let stub = Stub::http(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
            0 => format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{LIST}",
                LIST.len()
            )
            .into(),
            _ => b"HTTP/1.1 503 Sorry\r\ncontent-length: 0\r\n\r\n".to_vec(),
        });
        (stub.await, asked)
    }

    fn at(stub: &Stub) -> Environment {
        let mut environment = environment(Egress::open());
        let url = format!("http://{}/dns.json", stub.address);
        environment.settings.rdap_bootstrap = Some(url.parse().unwrap());
        environment
    }

    async fn find(environment: &Environment, name: &str) -> Result<String, Reason> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let spec = DomainSpec::of(name.to_owned());
        let found = environment.rdap_servers.find(environment, &spec, deadline);
        let found = found.await.map_err(|failure| failure.reason)?;
        Ok(found.to_string())
    }

    #[tokio::test]
    async fn many_at_once_fetch_one_list_and_an_old_one_serves_when_there_is_no_new_one() {
        let (stub, asked) = once().await;
        let environment = at(&stub);
        let found = join_all((0..20).map(|_| find(&environment, "shop.uk"))).await;
        assert!(
            found
                .iter()
                .all(|it| it.as_deref() == Ok("https://rdap.uk.example/"))
        );
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(
            find(&environment, "shop.none").await,
            Err(Reason::RdapNoServer)
        );

        // As it is a day later.
        if let Some(kept) = &mut *environment.rdap_servers.0.lock().await {
            kept.until = Instant::now();
        }
        for _ in 0..3 {
            find(&environment, "shop.uk").await.unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn without_any_list_nothing_is_said_of_the_domain() {
        let (stub, _) = once().await;
        let environment = at(&stub);
        find(&environment, "shop.uk").await.unwrap();
        let other = at(&stub);
        assert_eq!(find(&other, "shop.uk").await, Err(Reason::RdapBootstrap));
        assert_eq!(Reason::RdapBootstrap.outcome(), sonde_core::Outcome::Missed);
    }
}
