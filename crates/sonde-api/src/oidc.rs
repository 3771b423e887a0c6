//! `/v1/session/methods` and `/v1/session/oidc`: signing in with an identity provider, which sends the browser back here.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use sonde_service::{Arrival, Departure, ServiceError, Token};
use url::Url;
use url::form_urlencoded::{self, byte_serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::{From, cookie, is_cross_site};
use crate::extract::{Body, Query};
use crate::problem::{ApiError, Problem};
use crate::session::session_cookie;
use crate::{Api, ApiOptions};

/// What is kept of a sign-in that is under way.
const FLOW_COOKIE: &str = "sonde_oidc";
/// Why somebody was not signed in, for the page to sign in with. In a link anybody could write there what they like.
const TOLD_COOKIE: &str = "sonde_told";
const SIGN_IN: &str = "/sign-in";
const PATH: &str = "/v1/session/oidc";
/// How many seconds a person may take at the provider.
const LONGEST_FLOW: u32 = 600;

pub(crate) fn public() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(methods))
        .routes(routes!(start, start_with))
        .routes(routes!(callback))
}

/// How people can sign in.
#[derive(Serialize, ToSchema)]
pub(crate) struct MethodsBody {
    /// With e-mail address and password.
    password: bool,
    oidc: Option<ProviderBody>,
}

/// An identity provider.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProviderBody {
    /// What people call it.
    #[schema(example = "accounts.example.org")]
    name: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StartQuery {
    /// The token of an invitation, which is accepted by signing in with its address. A POST keeps it out of logs.
    invitation: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRequest {
    /// Out of the link of an invitation, or of the one that the first start prints.
    token: String,
}

/// Where to go.
#[derive(Serialize, ToSchema)]
pub(crate) struct StartBody {
    location: String,
}

/// As RFC 6749 has it; providers may add what they like.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    /// In place of a code.
    error: Option<String>,
}

/// How people can sign in here.
#[utoipa::path(get, path = "/v1/session/methods", tag = "session", security(()),
    responses((status = 200, body = MethodsBody)))]
async fn methods(State(api): State<Api>) -> Json<MethodsBody> {
    let name = api.service.oidc_name();
    Json(MethodsBody {
        password: true,
        oidc: name.map(|name| ProviderBody {
            name: name.to_owned(),
        }),
    })
}

/// Sends the browser to the identity provider to sign in.
#[utoipa::path(get, path = "/v1/session/oidc/start", tag = "session", params(StartQuery), security(()),
    responses(
        (status = 302, description = "To the identity provider", headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 303, description = "A browser that cannot be sent there: to `/sign-in`, which says why", headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 502, description = "The identity provider does not answer, or not as it should",
            body = Problem, content_type = "application/problem+json")
    ))]
async fn start(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<StartQuery>,
) -> Response {
    let token = query.invitation.as_deref().map(Token::presented);
    match depart(&api, token.as_ref()).await {
        Ok(Departure { provider, flow }) => {
            let to = [
                (header::LOCATION, provider.to_string()),
                (header::SET_COOKIE, flow_cookie(&api, flow.expose())),
            ];
            (StatusCode::FOUND, to).into_response()
        }
        Err(error) => told(&api.options, error, &headers),
    }
}

/// The same for who has a link: says where to go.
#[utoipa::path(post, path = "/v1/session/oidc/start", tag = "session", request_body = StartRequest, security(()),
    responses(
        (status = 200, body = StartBody, headers(("Set-Cookie" = String))),
        (status = 502, description = "The identity provider does not answer, or not as it should",
            body = Problem, content_type = "application/problem+json")
    ))]
async fn start_with(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(wanted): Body<StartRequest>,
) -> Result<Response, ApiError> {
    if is_cross_site(&Method::POST, &headers) {
        return Err(ApiError::CrossSite);
    }
    let token = Token::presented(&wanted.token);
    let Departure { provider, flow } = depart(&api, Some(&token)).await?;
    let cookie = [(header::SET_COOKIE, flow_cookie(&api, flow.expose()))];
    let body = StartBody {
        location: provider.to_string(),
    };
    Ok((cookie, Json(body)).into_response())
}

/// Where the identity provider sends the browser back to. A browser that cannot be signed in goes to `/sign-in`, which says why.
#[utoipa::path(get, path = "/v1/session/oidc/callback", tag = "session", params(CallbackQuery), security(()),
    responses(
        (status = 303, description = "Signed in: to `/`; a browser that is not: to `/sign-in`, which says why",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 502, description = "The identity provider does not answer, or not as it should",
            body = Problem, content_type = "application/problem+json")
    ))]
async fn callback(
    State(api): State<Api>,
    From(peer): From,
    headers: HeaderMap,
    Query(query): Query<CallbackQuery>,
) -> Response {
    let flow = cookie(&headers, FLOW_COOKIE).map(Token::presented);
    let signed_in = async {
        let code = query.code.as_deref().ok_or_else(|| declined(&query))?;
        let redirect = redirect(&api)?;
        let arrival = Arrival {
            code,
            state: query.state.as_deref().unwrap_or_default(),
            flow: flow.as_ref(),
            redirect: &redirect,
        };
        Ok(api.service.oidc_finish(arrival, peer).await?)
    };
    let gone = (header::SET_COOKIE, flow_cookie(&api, ""));
    match signed_in.await {
        Ok(signed_in) => {
            let session = session_cookie(&api, &signed_in.session);
            let cookies = AppendHeaders([gone, (header::SET_COOKIE, session)]);
            (cookies, Redirect::to("/")).into_response()
        }
        Err(error) => {
            let told = told(&api.options, error, &headers);
            (AppendHeaders([gone]), told).into_response()
        }
    }
}

async fn depart(api: &Api, ticket: Option<&Token>) -> Result<Departure, ApiError> {
    let redirect = redirect(api)?;
    Ok(api.service.oidc_start(&redirect, ticket).await?)
}

/// The callback, as the provider has to know it.
pub(crate) fn redirect(api: &Api) -> Result<Url, ApiError> {
    let base = api.options.public_url.as_str().trim_end_matches('/');
    let url = format!("{base}{PATH}/callback").parse();
    url.map_err(|_| ApiError::NotThere("the public URL takes no path".to_owned()))
}

/// The provider's own words are for its users; ours only say which code it gave.
fn declined(query: &CallbackQuery) -> ApiError {
    let plain = |code: &&str| code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let code = query.error.as_deref().filter(plain).unwrap_or("no code");
    ServiceError::Refused(format!(
        "the identity provider did not sign you in ({code})"
    ))
    .into()
}

/// To a browser by the page that it came from.
fn told(options: &ApiOptions, error: ApiError, headers: &HeaderMap) -> Response {
    let cookie = told_cookie(options, &error.to_string());
    // Which logs what is not for the one who asked.
    let response = error.into_response();
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    if !accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return response;
    }
    let kept = AppendHeaders([(header::SET_COOKIE, cookie)]);
    (kept, Redirect::to(SIGN_IN)).into_response()
}

/// What is to be told where a browser was sent back to. Gone when it is empty.
pub(crate) fn told_cookie(options: &ApiOptions, text: &str) -> String {
    let age = if text.is_empty() { 0 } else { 60 };
    let secure = if options.is_https() { "; Secure" } else { "" };
    let text: String = byte_serialize(text.as_bytes()).collect();
    format!("{TOLD_COOKIE}={text}; Path={SIGN_IN}; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
}

/// What a browser brings of that.
pub(crate) fn told_before(headers: &HeaderMap) -> Option<String> {
    let text = cookie(headers, TOLD_COOKIE)?;
    let (text, _) = form_urlencoded::parse(text.as_bytes()).next()?;
    Some(text.into_owned())
}

/// Gone when it is empty. `Lax` and not `Strict`, because people come back from another site.
pub(crate) fn flow_cookie(api: &Api, flow: &str) -> String {
    let age = if flow.is_empty() { 0 } else { LONGEST_FLOW };
    let secure = if api.options.is_https() {
        "; Secure"
    } else {
        ""
    };
    format!("{FLOW_COOKIE}={flow}; Path={PATH}; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(error: &str) -> CallbackQuery {
        CallbackQuery {
            code: None,
            state: None,
            error: Some(error.to_owned()),
        }
    }

    #[test]
    fn a_browser_is_sent_to_the_page_and_a_program_is_told() {
        let error = || ApiError::from(ServiceError::Refused("nobody has invited a@b".to_owned()));
        let options = ApiOptions::new("https://sonde.example".parse().unwrap());
        let mut headers = HeaderMap::new();
        let response = told(&options, error(), &headers);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(!response.headers().contains_key(header::SET_COOKIE));
        let accept = "text/html,application/xhtml+xml".parse().unwrap();
        headers.insert(header::ACCEPT, accept);
        let response = told(&options, error(), &headers);
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let text = |name| response.headers()[name].to_str().unwrap();
        assert_eq!(text(header::LOCATION), SIGN_IN);
        let kept = text(header::SET_COOKIE);
        assert!(
            kept.contains("Path=/sign-in; HttpOnly; SameSite=Lax") && kept.ends_with("; Secure")
        );
        let pair = kept.split(';').next().unwrap().parse().unwrap();
        headers.insert(header::COOKIE, pair);
        let told = told_before(&headers);
        assert_eq!(told.as_deref(), Some("nobody has invited a@b"));
    }

    #[test]
    fn what_a_link_says_is_not_shown_as_the_providers_words() {
        let shown = declined(&query("access_denied")).to_string();
        assert!(shown.ends_with("(access_denied)"), "{shown}");
        let shown = declined(&query("Call 555 now")).to_string();
        assert!(shown.ends_with("(no code)"), "{shown}");
    }
}
