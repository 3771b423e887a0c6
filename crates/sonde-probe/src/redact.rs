//! Takes the credentials that a check was sent with out of what came back: servers like to echo them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sonde_core::{Auth, CheckResult, HttpSpec, Spec};
use url::Url;

/// Shorter texts occur by chance, and are no secrets.
const SHORTEST: usize = 4;

const STRUCK: &str = "[redacted]";

/// The credentials in one spec, longest first.
#[derive(Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    pub(crate) fn of(spec: &Spec) -> Self {
        let mut found = match spec {
            Spec::Http(spec) => http(spec),
            Spec::Exec(spec) => (spec.environment.iter())
                .filter(|(name, _)| is_secret(name))
                .map(|(_, value)| value.clone())
                .collect(),
            Spec::Tcp(_) | Spec::Dns(_) | Spec::Icmp(_) | Spec::Tls(_) => Vec::new(),
        };
        found.retain(|secret| secret.len() >= SHORTEST);
        found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(found)
    }

    /// Strikes them out of every text that the target had a say in.
    pub(crate) fn strike(&self, result: &mut CheckResult) {
        let evidence = result.evidence.as_mut();
        if let Some(evidence) = evidence {
            if let Some(head) = &mut evidence.response_head {
                *head = without_cookies(head);
            }
            let texts = [&mut evidence.response_head, &mut evidence.body];
            texts
                .into_iter()
                .flatten()
                .for_each(|text| self.clean(text));
        }
        let redirects = result.http.iter_mut().flat_map(|http| &mut http.redirects);
        redirects.for_each(|hop| self.clean(&mut hop.location));
        let seen = result.failed.iter_mut().map(|failed| &mut failed.seen);
        let output = result.exec.as_mut().map(|exec| &mut exec.output);
        seen.chain(output)
            .chain(result.message.as_mut())
            .for_each(|text| self.clean(text));
    }

    fn clean(&self, text: &mut String) {
        for secret in &self.0 {
            if text.contains(secret) {
                *text = text.replace(secret, STRUCK);
            }
        }
    }
}

fn http(spec: &HttpSpec) -> Vec<String> {
    let mut found: Vec<String> = (spec.headers.iter())
        .filter(|(name, _)| is_secret(name))
        .map(|(_, value)| value.clone())
        .collect();
    match &spec.auth {
        Some(Auth::Basic { username, password }) => {
            found.push(STANDARD.encode(format!("{username}:{password}")));
            found.push(password.clone());
        }
        Some(Auth::Bearer { token }) => found.push(token.clone()),
        None => {}
    }
    let urls = spec.proxy.iter().chain([&spec.url]);
    found.extend(urls.filter_map(Url::password).map(str::to_owned));
    found
}

/// By the names that people give to headers and variables.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["auth", "cookie", "key", "token", "secret", "password"];
    words.iter().any(|word| name.contains(word))
}

/// A session is a credential too, even one that the server has just made up.
fn without_cookies(head: &str) -> String {
    let lines = head.split_inclusive('\n').map(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let end = &value[value.trim_end().len()..];
        if name.eq_ignore_ascii_case("set-cookie") {
            format!("{name}: {STRUCK}{end}")
        } else {
            line.to_owned()
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use sonde_core::{Evidence, Monitor};

    use super::*;

    #[test]
    fn echoed_credentials_and_cookies_do_not_reach_the_result() {
        let mut monitor = Monitor::sample();
        let Spec::Http(spec) = &mut monitor.spec else {
            unreachable!("the sample is an http monitor");
        };
        spec.auth = Some(Auth::Basic {
            username: "ann".into(),
            password: "hunter2".into(),
        });
        spec.headers = vec![("X-Api-Key".into(), "k-123".into())];
        let mut result = CheckResult::sample();
        result.message = Some("body was \"hunter2\"".into());
        result.evidence = Some(Evidence {
            response_head: Some("HTTP/1.1 500\r\nSet-Cookie: id=7\r\nX: k-123\r\n".into()),
            body: Some("Authorization: Basic YW5uOmh1bnRlcjI=".into()),
            ..Evidence::default()
        });
        Secrets::of(&monitor.spec).strike(&mut result);
        let evidence = result.evidence.unwrap();
        assert_eq!(
            evidence.response_head.unwrap(),
            "HTTP/1.1 500\r\nSet-Cookie: [redacted]\r\nX: [redacted]\r\n"
        );
        assert_eq!(evidence.body.unwrap(), "Authorization: Basic [redacted]");
        assert_eq!(result.message.unwrap(), "body was \"[redacted]\"");
    }
}
