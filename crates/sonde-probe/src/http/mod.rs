//! The http kind: a request on a fresh connection, redirects followed each on their own, the answer read to its end.
//!
//! Whether the answer is a good one is judged elsewhere; here only the network and the protocol can fail.

mod body;
mod exchange;
mod failure;
#[cfg(test)]
mod loopback;
mod meter;
mod proxy;
mod request;
mod route;

use sonde_core::{HttpSpec, Phases, Reason, Redirect, without_userinfo};
use url::Url;

use crate::environment::Environment;
use crate::observe::{Failure, Observation};
use exchange::exchange;
use request::Outgoing;

/// Fills `seen` with the final answer, and with those of the redirects before it.
pub(crate) async fn probe(
    environment: &Environment,
    spec: &HttpSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let mut outgoing = Outgoing::new(spec);
    let mut followed = 0;
    loop {
        let before = seen.phases;
        seen.tls = None;
        let answered = hop(environment, spec, &outgoing, seen).await;
        let location = match answered {
            Ok(None) => return Ok(()),
            Ok(Some(location)) => location,
            Err(failure) if followed > 0 => return Err(after_redirect(failure, &outgoing.url)),
            Err(failure) => return Err(failure),
        };
        let next = target(&outgoing.url, &location)?;
        note(seen, &outgoing.url, &next, before);
        if followed == spec.max_redirects {
            let message = format!("more than {followed} redirects; the next one leads to {next}");
            return Err(Failure::new(Reason::RedirectLimit, message));
        }
        followed += 1;
        let status = seen.http.as_ref().map_or(0, |http| http.status);
        outgoing.follow(next, status);
    }
}

/// One request and its answer; `Some` is where a redirect that is to be followed leads.
async fn hop(
    environment: &Environment,
    spec: &HttpSpec,
    outgoing: &Outgoing<'_>,
    seen: &mut Observation,
) -> Result<Option<String>, Failure> {
    // Boxed: what opening takes is free again while the answer is waited for.
    let opened = Box::pin(route::open(environment, spec, outgoing, seen)).await?;
    let request = outgoing.build(&opened)?;
    let through_proxy = opened.through_proxy;
    let next = exchange(environment, opened, request, spec.max_redirects > 0, seen).await?;
    match &seen.http {
        // Only proxies answer so (RFC 9110 §15.5.8).
        Some(http) if through_proxy && http.status == 407 => {
            let message = "the proxy asks for other credentials (407)";
            Err(Failure::new(Reason::ProxyAuth, message))
        }
        _ => Ok(next),
    }
}

/// The absolute form of a `Location` (RFC 9110 §10.2.2), for the schemes that a check may follow.
fn target(base: &Url, location: &str) -> Result<Url, Failure> {
    let refused = |why: &str| {
        let message = format!("{base} redirects to `{location}`, {why}");
        Failure::new(Reason::RedirectRefused, message)
    };
    let mut next = base
        .join(location)
        .map_err(|_| refused("which is not a URL"))?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err(refused("which is neither http nor https"));
    }
    if next.fragment().is_none() {
        next.set_fragment(base.fragment());
    }
    Ok(without_userinfo(next))
}

/// Records the hop that has just answered; `before` are the phases without it.
fn note(seen: &mut Observation, url: &Url, next: &Url, before: Phases) {
    let address = seen.remote_address.clone().unwrap_or_default();
    let phases_us = difference(before, seen.phases);
    if let Some(http) = &mut seen.http {
        http.redirects.push(Redirect {
            status: http.status,
            url: url.to_string(),
            location: next.to_string(),
            address,
            phases_us,
        });
    }
}

fn difference(before: Phases, after: Phases) -> Phases {
    let mut difference = Phases::default();
    for (phase, sum) in after.iter() {
        match before.get(phase) {
            Some(earlier) if earlier == sum => {}
            earlier => difference.add(phase, sum - earlier.unwrap_or(0)),
        }
    }
    difference
}

/// What a failure behind a redirect says: where it was, and that a guarded address is no fault of the monitor's own target.
fn after_redirect(mut failure: Failure, url: &Url) -> Failure {
    if failure.reason == Reason::BlockedTarget {
        failure.reason = Reason::RedirectRefused;
    }
    failure.message = format!("after a redirect to {url}: {}", failure.message);
    failure
}

#[cfg(test)]
mod tests {
    use sonde_core::Phase;

    use super::*;

    #[track_caller]
    fn check(location: &str, expected: Result<&str, Reason>) {
        let base = "https://a.example/b/c?d#e".parse().unwrap();
        let next = target(&base, location);
        let next = next.map(String::from).map_err(|failure| failure.reason);
        assert_eq!(next, expected.map(str::to_owned), "{location}");
    }

    #[test]
    fn locations_are_resolved_and_only_followed_over_http() {
        check("x", Ok("https://a.example/b/x#e"));
        check("/x?y#z", Ok("https://a.example/x?y#z"));
        check("//b.example", Ok("https://b.example/#e"));
        check("http://u:p@b.example/", Ok("http://b.example/#e"));
        check("ftp://b.example/", Err(Reason::RedirectRefused));
        check("javascript:alert(1)", Err(Reason::RedirectRefused));
        check("http://[", Err(Reason::RedirectRefused));
    }

    #[test]
    fn a_hop_has_its_own_phases() {
        let mut before = Phases::default();
        before.add(Phase::Dns, 5);
        before.add(Phase::Wait, 7);
        let mut after = before;
        after.add(Phase::Wait, 3);
        after.add(Phase::Send, 0);
        let own = difference(before, after);
        assert_eq!((own.dns, own.send, own.wait), (None, Some(0), Some(3)));
    }
}
