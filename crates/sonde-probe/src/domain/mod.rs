//! The domain kind: what the registry says of a domain's registration, by RDAP (RFC 9082, RFC 9083).
//!
//! Who is to be asked stands in IANA's list, unless the monitor names a server; both are fetched as http checks fetch.

mod answer;
mod bootstrap;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use sonde_core::{DomainDetail, DomainSpec, HttpSpec, Reason};
use tokio::time::Instant;
use url::Url;

use crate::environment::Environment;
use crate::http as client;
use crate::observe::{Failure, Observation};

pub(crate) use bootstrap::Servers;

/// What servers answer with (RFC 7480 §4.2).
const MEDIA_TYPE: &str = "application/rdap+json";

pub(crate) async fn probe(
    environment: &Environment,
    spec: &DomainSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let server = if let Some(server) = &spec.server {
        server.clone()
    } else {
        let servers = &environment.rdap_servers;
        servers.find(environment, spec, seen.deadline).await?
    };
    let start = Instant::now();
    seen.looks_at_body = true;
    let asked = client::probe(environment, &request(spec, &server), seen).await;
    // Of the question alone: the list is fetched once a day.
    seen.latency = Some(start.elapsed());
    asked?;
    // That of the registry's server is no business of the domain's.
    seen.tls = None;
    seen.domain = Some(read(&spec.name, &server, seen)?);
    Ok(())
}

fn request(spec: &DomainSpec, server: &Url) -> HttpSpec {
    let mut url = server.clone();
    // Base URLs end with a slash (RFC 9224 §3); people leave it away.
    let base = server.path().trim_end_matches('/');
    url.set_path(&format!("{base}/domain/{}", spec.name));
    HttpSpec {
        headers: vec![("Accept".to_owned(), MEDIA_TYPE.to_owned())],
        proxy: spec.proxy.clone(),
        network: spec.network.clone(),
        ..HttpSpec::get(url)
    }
}

fn read(name: &str, server: &Url, seen: &mut Observation) -> Result<DomainDetail, Failure> {
    let host = server.host_str().unwrap_or_default();
    let status = seen.http.as_ref().map_or(0, |http| http.status);
    let refused = |reason, message: String| Err(Failure::new(reason, message));
    match status {
        200..=299 => {}
        404 => {
            let message = format!("`{host}` has no domain `{name}` (404): it is not registered");
            return refused(Reason::DomainUnregistered, message);
        }
        429 => {
            let later = seen.headers.get(RETRY_AFTER).map(HeaderValue::to_str);
            let later = later.and_then(Result::ok).and_then(in_words);
            let message = format!("`{host}` refuses to be asked so often (429)");
            return refused(
                Reason::RdapRateLimited,
                message + &later.unwrap_or_default(),
            );
        }
        status => {
            let message = format!("`{host}` answered {status} when asked for `{name}`");
            return refused(Reason::HttpStatus, message);
        }
    }
    let body = whole_body(seen).map_err(|kept| {
        let message = format!("the answer of `{host}` is larger than {kept} bytes");
        Failure::new(Reason::BodyTooLarge, message)
    })?;
    let detail = answer::read(&body, name, server);
    detail.map_err(|why| {
        let message = format!("the answer of `{host}` about `{name}` is not RDAP: {why}");
        Failure::new(Reason::RdapAnswer, message)
    })
}

/// What a `Retry-After` asks for (RFC 9110 §10.2.3): seconds, or a date.
fn in_words(later: &str) -> Option<String> {
    let unit = match later.parse::<u64>() {
        Ok(_) => " s",
        // A date has 29 characters.
        Err(_) if later.len() < 40 => "",
        Err(_) => return None,
    };
    Some(format!("; it may be asked again after {later}{unit}"))
}

/// The body, which nobody needs afterwards; where it was cut off, how much of it was kept.
fn whole_body(seen: &mut Observation) -> Result<Bytes, usize> {
    let body = seen.body.take().unwrap_or_default();
    let size = seen.size.unwrap_or(0);
    if size > body.len() as u64 {
        return Err(body.len());
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_follows_the_base_url_with_a_slash_or_without() {
        let spec = DomainSpec::of("xn--bcher-kva.example".to_owned());
        for (server, expected) in [
            (
                "https://rdap.example/",
                "https://rdap.example/domain/xn--bcher-kva.example",
            ),
            (
                "https://rdap.example/v1",
                "https://rdap.example/v1/domain/xn--bcher-kva.example",
            ),
            (
                "https://rdap.example:8443/v1/",
                "https://rdap.example:8443/v1/domain/xn--bcher-kva.example",
            ),
        ] {
            let request = request(&spec, &server.parse().unwrap());
            assert_eq!(request.url.as_str(), expected);
        }
    }
}
