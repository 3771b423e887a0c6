//! Who asks: looked at once per request, before any handler, and by every route that is not marked public.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use sonde_core::WorkspaceId;
use sonde_service::{Access, Peer, Presented, ServiceError, Token, Visit};

use crate::problem::ApiError;
use crate::{Api, limits};

/// The cookie of a session.
pub(crate) const SESSION_COOKIE: &str = "sonde_session";
const WORKSPACE: &str = "sonde-workspace";
/// The cookie in which a browser says the same.
pub(crate) const WORKSPACE_COOKIE: &str = "sonde_workspace";
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The caller of a route that is not public.
pub(crate) struct Caller(pub(crate) Access);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let access = parts.extensions.get::<Access>().cloned();
        access.map(Self).ok_or_else(|| {
            // A route outside of the layer: nobody gets in by mistake.
            ServiceError::Unauthenticated("nobody was asked to sign in").into()
        })
    }
}

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(crate) struct From(pub(crate) Peer);

impl FromRequestParts<Api> for From {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        Ok(Self(peer(api, &parts.headers, parts.extensions.get())))
    }
}

/// The session that a browser presents.
pub(crate) struct Session(pub(crate) Token);

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match presented(&parts.headers)? {
            Presented::Cookie(token) => Ok(Self(token)),
            _ => Err(ServiceError::Unauthenticated("this takes a session: sign in").into()),
        }
    }
}

/// Puts an [`Access`] into the request, or answers why there is none.
pub(crate) async fn authenticate(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let access = match access(&api, &parts).await {
        Ok(access) => access,
        Err(error) => return error.into_response(),
    };
    if let Err(error) = limits::admit_caller(&api, &access) {
        return error.into_response();
    }
    parts.extensions.insert(access);
    next.run(Request::from_parts(parts, body)).await
}

/// The same for pages: who is nobody is sent to sign in.
pub async fn authenticate_page(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut chosen = None;
    let mut found = access(&api, &parts).await;
    if matches!(found, Err(ApiError::Service(ServiceError::Refused(_)))) {
        found = in_first_workspace(&api, &parts.headers).await;
        chosen = found.as_ref().ok().map(|it| it.workspace().clone());
    }
    match found {
        Ok(access) => {
            if let Ok(presented) = presented(&parts.headers) {
                let peer = peer(&api, &parts.headers, parts.extensions.get());
                parts.extensions.insert(Visit { presented, peer });
            }
            parts.extensions.insert(access);
            let response = next.run(Request::from_parts(parts, body)).await;
            match chosen {
                Some(workspace) => (workspace_cookie(&api, &workspace), response).into_response(),
                None => response,
            }
        }
        Err(ApiError::Service(ServiceError::Unauthenticated(_))) => {
            Redirect::to("/sign-in").into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// Of a person with several who has not chosen one, or who is no member of that any more.
async fn in_first_workspace(api: &Api, headers: &HeaderMap) -> Result<Access, ApiError> {
    let presented = presented(headers)?;
    let Presented::Cookie(session) = &presented else {
        return Err(ServiceError::Unauthenticated("this takes a session: sign in").into());
    };
    let service = &api.service;
    let user = service.session_user(session).await?;
    let own = service.workspaces(&user).await?;
    let first = own.first().map(|(workspace, _)| workspace);
    Ok(service.authenticate(&presented, first, None).await?)
}

/// What keeps a choice of workspace.
pub(crate) fn workspace_cookie(
    api: &Api,
    workspace: &WorkspaceId,
) -> [(header::HeaderName, String); 1] {
    let secure = if api.options.is_https() {
        "; Secure"
    } else {
        ""
    };
    let age = 365 * 24 * 3600;
    let cookie = format!(
        "{WORKSPACE_COOKIE}={workspace}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}"
    );
    [(header::SET_COOKIE, cookie)]
}

async fn access(api: &Api, parts: &Parts) -> Result<Access, ApiError> {
    let headers = &parts.headers;
    let presented = presented(headers)?;
    let workspace = match headers.get(WORKSPACE) {
        None if matches!(presented, Presented::Cookie(_)) => {
            cookie(headers, WORKSPACE_COOKIE).and_then(|name| name.parse().ok())
        }
        None => None,
        Some(name) => Some(workspace(name.to_str().unwrap_or_default())?),
    };
    if !matches!(presented, Presented::Bearer(_)) && is_cross_site(&parts.method, headers) {
        return Err(ApiError::CrossSite);
    }
    let peer = peer(api, headers, parts.extensions.get());
    let service = &api.service;
    Ok(service
        .authenticate(&presented, workspace.as_ref(), peer)
        .await?)
}

fn workspace(name: &str) -> Result<WorkspaceId, ApiError> {
    name.parse()
        .map_err(|error: sonde_core::InvalidId| ApiError::Parameter {
            field: "Sonde-Workspace".to_owned(),
            message: error.to_string(),
        })
}

pub(crate) fn presented(headers: &HeaderMap) -> Result<Presented, ApiError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            let message = "only the scheme `Bearer` is taken";
            return Err(ServiceError::Unauthenticated(message).into());
        }
        return Ok(Presented::Bearer(Token::presented(token.trim())));
    }
    Ok(match cookie(headers, SESSION_COOKIE) {
        Some(token) => Presented::Cookie(Token::presented(token)),
        None => Presented::Nothing,
    })
}

pub(crate) fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|value| value.split(';'));
    cookies.find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == wanted).then_some(value)
    })
}

/// A browser says where a request was made: another site's page must not use a session that it cannot see.
pub(crate) fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    if method.is_safe() {
        return false;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(SEC_FETCH_SITE), text("origin"), text("host")) {
        (Some(site), ..) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin), Some(host)) => {
            origin.split_once("://").map(|(_, authority)| authority) != Some(host)
        }
        (None, Some(_), None) => true,
        // No browser asked.
        (None, None, _) => false,
    }
}

/// As the connection has it, or as a proxy in front says that is trusted: the last that it names.
fn peer(api: &Api, headers: &HeaderMap, connection: Option<&ConnectInfo<SocketAddr>>) -> Peer {
    if api.options.trust_forwarded_for {
        let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
        let forwarded = forwarded.and_then(|value| value.to_str().ok());
        let last = forwarded.and_then(|value| value.rsplit(',').next());
        let address = last.and_then(|last| last.trim().parse::<IpAddr>().ok());
        if address.is_some() {
            return address;
        }
    }
    connection.map(|ConnectInfo(address)| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        let of = of.iter().map(|(name, value)| {
            let name = header::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        of.collect()
    }

    #[test]
    fn a_key_or_a_session_is_presented_and_nothing_else() {
        let shown = |of: &[(&'static str, &str)]| match presented(&headers(of)) {
            Ok(Presented::Nothing) => "nothing".to_owned(),
            Ok(Presented::Bearer(token)) => format!("bearer {}", token.expose()),
            Ok(Presented::Cookie(token)) => format!("cookie {}", token.expose()),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown(&[]), "nothing");
        assert_eq!(shown(&[("authorization", "bearer  x")]), "bearer x");
        assert_eq!(shown(&[("cookie", "a=b; sonde_session=y")]), "cookie y");
        assert_eq!(shown(&[("cookie", "xsonde_session=y")]), "nothing");
        assert!(shown(&[("authorization", "Basic x")]).contains("Bearer"));
    }

    #[test]
    fn other_sites_may_look_but_not_act() {
        let own = headers(&[
            ("origin", "https://sonde.example"),
            ("host", "sonde.example"),
        ]);
        let other = headers(&[
            ("origin", "https://evil.example"),
            ("host", "sonde.example"),
        ]);
        let site = headers(&[("sec-fetch-site", "same-site"), ("host", "sonde.example")]);
        assert!(!is_cross_site(&Method::GET, &other));
        assert!(!is_cross_site(&Method::POST, &own));
        assert!(is_cross_site(&Method::POST, &other));
        assert!(is_cross_site(&Method::DELETE, &site));
        assert!(!is_cross_site(&Method::POST, &headers(&[])));
    }
}
