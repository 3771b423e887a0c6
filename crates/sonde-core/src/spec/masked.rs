//! Specs that people may see: every secret masked, and a masked secret that comes back means the one that is stored.

use url::Url;

use super::redacted::{is_secret_parameter, secret_parameters, with_secret_parameters_as};
use super::{Auth, Spec, TlsOptions};

/// Stands where a secret is. Sent back unchanged, it means the secret that is stored.
pub const MASK: &str = "REDACTED";
/// The same for a private key: still PEM.
pub const MASKED_KEY: &str = "-----BEGIN PRIVATE KEY-----\nREDACTED\n-----END PRIVATE KEY-----\n";

/// Headers whose values are no secrets.
const OPEN_HEADERS: [&str; 10] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-type",
    "host",
    "origin",
    "pragma",
    "referer",
    "user-agent",
];

/// Why a mask cannot be replaced by the secret that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    #[error(
        "`{MASK}` stands for a secret that is stored already, and there is none: write the secret itself"
    )]
    Nothing,
    /// Or else whoever may change a target could have its secrets sent to a place of their own.
    #[error(
        "the target is another one: `{MASK}` does not send it the secrets of the one before, write them anew"
    )]
    OtherTarget,
}

impl Spec {
    /// The same with [`MASK`] for passwords, tokens, private keys, and the values of headers and environment variables.
    /// Bodies and dialogues are no secrets.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        for secret in masked.secrets() {
            secret.mask();
        }
        masked
    }

    /// Puts the secrets of `stored` in the place of masks.
    pub fn unmask(&mut self, stored: Option<&Self>) -> Result<(), MaskError> {
        let same_target = stored.is_some_and(|stored| stored.receivers() == self.receivers());
        let mut stored = stored.cloned();
        let mut known: Vec<Secret<'_>> = stored.as_mut().map(Self::secrets).unwrap_or_default();
        for secret in self.secrets() {
            if !secret.is_masked() {
                continue;
            }
            let found = known.iter().position(|known| known.place == secret.place);
            let known = found
                .map(|at| known.swap_remove(at))
                .ok_or(MaskError::Nothing)?;
            if !same_target {
                return Err(MaskError::OtherTarget);
            }
            secret.become_as(&known)?;
        }
        Ok(())
    }

    /// Who gets to see the secrets.
    fn receivers(&self) -> Vec<String> {
        let origin = |url: &Url| url.origin().ascii_serialization();
        match self {
            Self::Http(spec) => {
                let urls = std::iter::once(&spec.url).chain(&spec.proxy);
                urls.map(origin).collect()
            }
            Self::Domain(spec) => spec.proxy.iter().map(origin).collect(),
            other => vec![other.target()],
        }
    }

    fn secrets(&mut self) -> Vec<Secret<'_>> {
        let mut found = Vec::new();
        match self {
            Self::Http(spec) => {
                let spec = &mut **spec;
                found.extend(in_url("url", &mut spec.url));
                let open = |name: &str| OPEN_HEADERS.contains(&name.to_ascii_lowercase().as_str());
                for (name, value) in &mut spec.headers {
                    if !open(name) {
                        let place = format!("headers.{}", name.to_ascii_lowercase());
                        found.push(Secret::text(place, value));
                    }
                }
                match &mut spec.auth {
                    Some(Auth::Basic { password, .. }) => {
                        found.push(Secret::text("auth.basic", password));
                    }
                    Some(Auth::Bearer { token }) => found.push(Secret::text("auth.bearer", token)),
                    None => {}
                }
                found.extend(spec.proxy.as_mut().and_then(|url| in_url("proxy", url)));
                found.extend(in_tls(&mut spec.tls));
            }
            Self::Tcp(spec) => found.extend(spec.tls.as_mut().and_then(in_tls)),
            Self::Dns(spec) => found.extend(in_tls(&mut spec.tls)),
            Self::Tls(spec) => found.extend(in_tls(&mut spec.tls)),
            Self::Domain(spec) => {
                found.extend(spec.proxy.as_mut().and_then(|url| in_url("proxy", url)));
            }
            Self::Icmp(_) | Self::Heartbeat(_) => {}
            Self::Exec(spec) => {
                for (name, value) in &mut spec.environment {
                    found.push(Secret::text(format!("environment.{name}"), value));
                }
            }
        }
        found
    }
}

/// One secret, where it stands.
struct Secret<'a> {
    place: String,
    value: Value<'a>,
}

enum Value<'a> {
    Text(&'a mut String),
    Key(&'a mut String),
    /// Its password and its parameters.
    Url(&'a mut Url),
}

fn in_tls(options: &mut TlsOptions) -> Option<Secret<'_>> {
    let certificate = options.client_certificate.as_mut()?;
    Some(Secret {
        place: "client_key".to_owned(),
        value: Value::Key(&mut certificate.key),
    })
}

fn in_url<'a>(place: &str, url: &'a mut Url) -> Option<Secret<'a>> {
    // A mask does not look like what it stands for.
    let secret =
        url.password().is_some() || has_mask(url) || secret_parameters(url).next().is_some();
    secret.then(|| Secret {
        place: place.to_owned(),
        value: Value::Url(url),
    })
}

impl<'a> Secret<'a> {
    fn text(place: impl Into<String>, value: &'a mut String) -> Self {
        Self {
            place: place.into(),
            value: Value::Text(value),
        }
    }

    fn mask(self) {
        match self.value {
            Value::Text(text) => MASK.clone_into(text),
            Value::Key(key) => MASKED_KEY.clone_into(key),
            Value::Url(url) => *url = masked_url(url),
        }
    }

    fn is_masked(&self) -> bool {
        match &self.value {
            Value::Text(text) => *text == MASK,
            Value::Key(key) => key.contains(MASK),
            Value::Url(url) => has_mask(url),
        }
    }

    fn become_as(self, known: &Secret<'_>) -> Result<(), MaskError> {
        match (self.value, &known.value) {
            (Value::Text(text), Value::Text(known)) | (Value::Key(text), Value::Key(known)) => {
                text.clone_from(known);
            }
            (Value::Url(url), Value::Url(known)) => {
                *url = unmasked_url(url, known).ok_or(MaskError::Nothing)?;
            }
            _ => return Err(MaskError::Nothing),
        }
        Ok(())
    }
}

/// The same with [`MASK`] for its password and for parameters that could be tokens.
pub fn masked_url(url: &Url) -> Url {
    let mut masked = url.clone();
    if url.password().is_some() {
        // Fails only for URLs without a host.
        let _ = masked.set_password(Some(MASK));
    }
    with_secret_parameters_as(MASK, masked)
}

fn has_mask(url: &Url) -> bool {
    url.password() == Some(MASK) || parts(url).any(is_masked)
}

fn parts(url: &Url) -> impl Iterator<Item = &str> {
    url.query().unwrap_or_default().split('&')
}

/// Whether one `name=value`, or a value alone, is masked.
fn is_masked(part: &str) -> bool {
    part.split_once('=').map_or(part, |(_, value)| value) == MASK
}

/// Its password and parameters as in `known`, where they are masked; `None` when `known` has none for one of them.
fn unmasked_url(url: &Url, known: &Url) -> Option<Url> {
    let mut unmasked = url.clone();
    if url.password() == Some(MASK) {
        let _ = unmasked.set_password(Some(known.password()?));
    }
    if parts(url).any(is_masked) {
        let name = |part: &str| part.split_once('=').map(|(name, _)| name.to_owned());
        let mut known: Vec<&str> = parts(known).collect();
        let parameters = parts(url).map(|part| {
            if !is_masked(part) {
                return Some(part);
            }
            // What has no name is known by its looks.
            let same = |known: &&str| match name(part) {
                Some(wanted) => name(known) == Some(wanted),
                None => name(known).is_none() && is_secret_parameter(known),
            };
            let at = known.iter().position(same)?;
            Some(known.remove(at))
        });
        let parameters = parameters.collect::<Option<Vec<_>>>()?;
        unmasked.set_query(Some(&parameters.join("&")));
    }
    Some(unmasked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientCertificate, HttpSpec};

    fn secretive() -> Spec {
        let url = "https://user:hunter2@shop.example/?a=1&api_key=hunter2x";
        let mut spec = HttpSpec::get(url.parse().unwrap());
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        spec.headers = vec![
            header("Accept", "text/html"),
            header("X-Key", "hunter2"),
            header("x-key", "hunter2-too"),
        ];
        spec.auth = Some(Auth::Bearer {
            token: "hunter2".to_owned(),
        });
        spec.proxy = Some("http://u:hunter2@proxy.example:3128".parse().unwrap());
        spec.tls.client_certificate = Some(ClientCertificate {
            certificate: "public".to_owned(),
            key: "hunter2".to_owned(),
        });
        Spec::Http(Box::new(spec))
    }

    #[test]
    fn a_masked_spec_shows_no_secret_and_gets_its_own_back() {
        let spec = secretive();
        let mut masked = spec.masked();
        let text = serde_json::to_string(&masked).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("text/html"));
        assert_eq!(masked.masked(), masked);
        masked.unmask(Some(&spec)).unwrap();
        assert_eq!(masked, spec);
    }

    #[test]
    fn parameters_of_a_url_are_masked_one_by_one_and_come_back() {
        let check = |query: &str, masked: &str| {
            let url = |query: &str| Url::parse(&format!("https://a.example/?{query}")).unwrap();
            let spec = |query| Spec::Http(Box::new(HttpSpec::get(url(query))));
            let (stored, mut sent) = (spec(query), spec(query).masked());
            assert_eq!(sent, spec(masked));
            sent.unmask(Some(&stored)).unwrap();
            assert_eq!(sent, stored);
        };
        let token = "abcdefghij0123456789";
        check("page=1&key=a", "page=1&key=REDACTED");
        check("key=a&key=b", "key=REDACTED&key=REDACTED");
        check(&format!("x={token}&y=1"), "x=REDACTED&y=1");
        check(&format!("a=1&{token}"), "a=1&REDACTED");
    }

    #[test]
    fn what_is_new_stays_and_what_stands_for_nothing_is_refused() {
        let spec = secretive();
        let mut changed = spec.masked();
        let Spec::Http(http) = &mut changed else {
            unreachable!("it is http");
        };
        http.headers[1].1 = "new".to_owned();
        http.auth = None;
        changed.unmask(Some(&spec)).unwrap();
        let Spec::Http(http) = &changed else {
            unreachable!("it is http");
        };
        assert_eq!(http.headers[1].1, "new");
        assert_eq!(spec.masked().unmask(None), Err(MaskError::Nothing));
        let mut moved = spec.masked();
        let Spec::Http(http) = &mut moved else {
            unreachable!("it is http");
        };
        http.url.set_host(Some("elsewhere.example")).unwrap();
        assert_eq!(moved.unmask(Some(&spec)), Err(MaskError::OtherTarget));
    }
}
