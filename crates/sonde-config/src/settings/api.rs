//! The section `[api]`: what people and programs reach, and how they sign in.

use std::num::NonZeroU32;

use url::Url;

use super::read::Section;
use super::{Secret, ServiceUrl};

/// Ten a second: more is a loop that has gone wrong.
const REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).expect("it is not zero");

#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where people reach it, for links; where it listens when absent.
    pub public_url: Option<ServiceUrl>,
    /// Of one caller.
    pub requests_per_minute: NonZeroU32,
    /// Sites whose pages may call it.
    pub allowed_origins: Vec<String>,
    /// A proxy in front of it says in `X-Forwarded-For` whom it asks for.
    pub trust_forwarded_for: bool,
    /// Whether monitors that run commands can be made.
    pub allow_exec: bool,
    /// Whom people may sign in with beside their passwords.
    pub oidc: Option<OidcSettings>,
}

/// An OpenID Connect provider, and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// Exactly as the provider writes it: with or without a slash at its end.
    pub issuer: String,
    pub client_id: String,
    /// None for a public client.
    pub client_secret: Option<Secret>,
    /// What people call it.
    pub name: String,
}

impl OidcSettings {
    /// Called by its host; an error says what is wrong with the issuer.
    pub fn new(
        issuer: &str,
        client_id: String,
        client_secret: Option<Secret>,
    ) -> Result<Self, String> {
        Ok(Self {
            name: host(&issuer_url(issuer)?),
            issuer: issuer.to_owned(),
            client_id,
            client_secret,
        })
    }
}

pub(super) fn read(section: &Section<'_>) -> ApiSettings {
    ApiSettings {
        public_url: section.parse("public_url", |text| {
            ServiceUrl::parse(text, &["http", "https"])
        }),
        requests_per_minute: section
            .count("requests_per_minute")
            .unwrap_or(REQUESTS_PER_MINUTE),
        allowed_origins: section.list("allowed_origins", origin).unwrap_or_default(),
        trust_forwarded_for: section.boolean("trust_forwarded_for").unwrap_or(false),
        allow_exec: section.boolean("allow_exec").unwrap_or(false),
        oidc: oidc(section),
    }
}

fn oidc(section: &Section<'_>) -> Option<OidcSettings> {
    let client_id = section.parse("oidc_client_id", |text| Ok(text.to_owned()));
    let client_secret = section.secret("oidc_client_secret", |text| Ok(Secret::new(text)));
    let name = section.parse("oidc_name", |text| Ok(text.to_owned()));
    let settings = section.parse("oidc_issuer", |text| {
        let client_id = client_id.ok_or("needs `oidc_client_id` beside it")?;
        OidcSettings::new(text, client_id, client_secret)
    })?;
    Some(OidcSettings {
        name: name.unwrap_or(settings.name),
        ..settings
    })
}

fn issuer_url(text: &str) -> Result<Url, String> {
    let url = ServiceUrl::parse(text, &["http", "https"])?;
    let url = url.expose();
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither a query nor a fragment".to_owned());
    }
    Ok(url.clone())
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// As browsers send it: a scheme and an authority.
fn origin(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok();
    let origin = url.map(|url| url.origin().ascii_serialization());
    match origin {
        Some(origin) if origin == text => Ok(origin),
        _ => Err(format!(
            "`{text}` is not an origin such as https://status.example"
        )),
    }
}
