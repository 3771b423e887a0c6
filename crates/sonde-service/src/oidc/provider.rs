//! What is asked of an identity provider: what it is, which code stands for whom, which keys it signs with.
//!
//! Nothing here decides who gets in.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType,
    CoreIdTokenClaims, CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreTokenResponse,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    SignatureVerificationError, TokenResponse as _,
};
use reqwest::redirect::Policy;
use sonde_config::settings::OidcSettings;
use sonde_core::{Clock, Timestamp};
use tokio::time::Instant;
use url::Url;

use super::decide::{Address, Identity};
use super::flow::Flow;
use crate::{Result, ServiceError};

/// Of one answer; a person waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What providers answer with is a few kilobytes.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// How long what a provider says of itself is taken as true; keys that are not among it are looked for at once.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// Beside `openid`, which always is.
const SCOPES: [&str; 2] = ["email", "profile"];

const UNREACHABLE: &str = "the identity provider does not answer as it should";
const UNBELIEVABLE: &str = "what the identity provider says cannot be trusted";
const USED_UP: &str = "this sign-in was finished already, or took too long: begin again";

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Asks a provider; clones share what is known of it.
#[derive(Clone)]
pub struct OidcProvider {
    settings: Arc<OidcSettings>,
    issuer: IssuerUrl,
    http: reqwest::Client,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Clone)]
struct Known {
    metadata: Arc<CoreProviderMetadata>,
    since: Instant,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("cannot ask the provider")]
    Http(#[from] reqwest::Error),
    #[error("cannot read the answer")]
    Answer(#[from] openidconnect::http::Error),
    #[error("the answer is larger than {LARGEST_ANSWER} bytes")]
    TooLarge,
    #[error("the provider names no token endpoint")]
    NoTokenEndpoint,
    #[error("the answer has no ID token")]
    NoIdToken,
}

impl OidcProvider {
    /// Asks for nothing yet. The process has to have a provider of TLS.
    pub fn new(settings: OidcSettings) -> Result<Self> {
        let issuer = IssuerUrl::new(settings.issuer.clone());
        Ok(Self {
            issuer: issuer.map_err(unreachable)?,
            settings: Arc::new(settings),
            http: http().map_err(unreachable)?,
            known: Arc::default(),
        })
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Where a browser goes to sign in, and what has to be remembered until it is back.
    pub(super) async fn begin(
        &self,
        redirect: &Url,
        ticket: Option<String>,
    ) -> Result<(Url, Flow)> {
        let client = self.client(&*self.metadata().await?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(SCOPES.map(|scope| Scope::new(scope.to_owned())))
            .set_redirect_uri(at(redirect))
            .set_pkce_challenge(challenge)
            .url();
        let flow = Flow {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            ticket,
        };
        Ok((url, flow))
    }

    /// Whom a code stands for, by an ID token that was made for us and for this flow.
    pub(super) async fn finish(
        &self,
        code: &str,
        redirect: &Url,
        flow: &Flow,
        clock: &dyn Clock,
    ) -> Result<Identity> {
        let metadata = self.metadata().await?;
        let answer = self.exchange(&metadata, code, redirect, flow).await?;
        let token = answer.id_token();
        let token = token.ok_or_else(|| unreachable(AskError::NoIdToken))?;
        let nonce = Nonce::new(flow.nonce.clone());
        let now = clock.now();
        let client = self.client(&metadata);
        let claims = match token.claims(&verifier(&client, &metadata, now), &nonce) {
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                let metadata = self.discover().await?;
                let client = self.client(&metadata);
                let claims = token.claims(&verifier(&client, &metadata, now), &nonce);
                claims.cloned()
            }
            claims => claims.cloned(),
        };
        let claims = claims.map_err(|error| provider(UNBELIEVABLE, error))?;
        Ok(identity(&claims))
    }

    async fn exchange(
        &self,
        metadata: &CoreProviderMetadata,
        code: &str,
        redirect: &Url,
        flow: &Flow,
    ) -> Result<CoreTokenResponse> {
        let client = self.client(metadata);
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|_| unreachable(AskError::NoTokenEndpoint))?
            .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier.clone()))
            .set_redirect_uri(at(redirect));
        let ask = |request| ask(self.http.clone(), request);
        let answer = request.request_async(&ask).await;
        answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(answer)
                if *answer.error() == CoreErrorResponseType::InvalidGrant =>
            {
                ServiceError::Unauthenticated(USED_UP)
            }
            error => unreachable(error),
        })
    }

    async fn metadata(&self) -> Result<Arc<CoreProviderMetadata>> {
        let known = self.known();
        match known.filter(|known| known.since.elapsed() < KNOWN_FOR) {
            Some(known) => Ok(known.metadata),
            None => self.discover().await,
        }
    }

    fn known(&self) -> Option<Known> {
        let known = self.known.lock();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn discover(&self) -> Result<Arc<CoreProviderMetadata>> {
        let since = Instant::now();
        let ask = |request| ask(self.http.clone(), request);
        let metadata = CoreProviderMetadata::discover_async(self.issuer.clone(), &ask).await;
        let metadata = Arc::new(metadata.map_err(unreachable)?);
        let known = Known {
            metadata: Arc::clone(&metadata),
            since,
        };
        let mut place = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(known);
        Ok(metadata)
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Client {
        let id = ClientId::new(self.settings.client_id.clone());
        let secret = self.settings.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose().to_owned()));
        let client = CoreClient::from_provider_metadata(metadata.clone(), id, secret);
        client.set_auth_type(auth_type(metadata))
    }
}

fn at(redirect: &Url) -> Cow<'static, RedirectUrl> {
    Cow::Owned(RedirectUrl::from_url(redirect.clone()))
}

/// `client_secret_basic` is what holds when a provider does not say.
fn auth_type(metadata: &CoreProviderMetadata) -> AuthType {
    let methods = metadata.token_endpoint_auth_methods_supported();
    match methods {
        Some(methods) if !methods.contains(&CoreClientAuthMethod::ClientSecretBasic) => {
            AuthType::RequestBody
        }
        _ => AuthType::BasicAuth,
    }
}

/// Takes only what the provider signs with its own key: a secret that two share proves nothing to a third.
fn verifier<'a>(
    client: &'a Client,
    metadata: &CoreProviderMetadata,
    now: Timestamp,
) -> CoreIdTokenVerifier<'a> {
    use CoreJwsSigningAlgorithm as Algorithm;
    let theirs = metadata.id_token_signing_alg_values_supported().iter();
    let shared = [
        Algorithm::HmacSha256,
        Algorithm::HmacSha384,
        Algorithm::HmacSha512,
        Algorithm::None,
    ];
    let theirs = theirs.filter(|algorithm| !shared.contains(algorithm));
    let now = DateTime::<Utc>::from_timestamp_micros(now.as_micros()).unwrap_or_default();
    client
        .id_token_verifier()
        .set_allowed_algs(theirs.cloned())
        .set_time_fn(move || now)
}

fn identity(claims: &CoreIdTokenClaims) -> Identity {
    let name = claims.name().and_then(|names| names.get(None));
    Identity {
        issuer: claims.issuer().to_string(),
        subject: claims.subject().to_string(),
        name: name.map(|name| name.to_string()),
        address: claims.email().map(|email| Address {
            text: email.to_string(),
            verified: claims.email_verified() == Some(true),
        }),
    }
}

/// Where the system has no roots of trust, there is still a provider on this machine.
fn http() -> Result<reqwest::Client, reqwest::Error> {
    let builder = || {
        reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(PATIENCE)
    };
    let plain = |_| builder().tls_certs_only([]).build();
    builder().build().or_else(plain)
}

async fn ask(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, AskError> {
    let mut answer = http.execute(request.try_into()?).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(AskError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = openidconnect::http::Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        *headers = std::mem::take(answer.headers_mut());
    }
    Ok(response.body(body)?)
}

fn unreachable(error: impl std::error::Error + Send + Sync + 'static) -> ServiceError {
    provider(UNREACHABLE, error)
}

fn provider(
    message: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ServiceError {
    ServiceError::Provider {
        message,
        source: Box::new(source),
    }
}
