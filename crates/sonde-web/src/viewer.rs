//! Who looks at a page, in which time zone, and what is around every page.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use chrono_tz::Tz;
use sonde_core::{Scope, Timestamp};
use sonde_service::{Access, Principal, ServiceError};

use crate::{PageError, format};

/// Written by the pages' script; a link with `zone=` says otherwise.
const ZONE_COOKIE: &str = "sonde_zone";

pub(crate) struct Viewer {
    pub(crate) access: Access,
    pub(crate) zone: Tz,
}

impl Viewer {
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.access.grant().scopes.contains(&scope)
    }

    /// The same for what belongs to the workspace as a whole.
    pub(crate) fn may_for_all(&self, scope: Scope) -> bool {
        self.may(scope) && self.access.grant().only.is_none()
    }

    /// For a form that others are not to see.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), PageError> {
        if self.may(scope) {
            return Ok(());
        }
        Err(ServiceError::Forbidden(scope).into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        let access = parts.extensions.get::<Access>().cloned();
        let access = access.ok_or_else(|| {
            // A page outside of the layer: nobody gets in by mistake.
            ServiceError::Unauthenticated("nobody was asked to sign in")
        })?;
        Ok(Self {
            access,
            zone: zone(&parts.uri, &parts.headers),
        })
    }
}

fn zone(uri: &Uri, headers: &HeaderMap) -> Tz {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let named = |pairs: &str, by: char, name: &str| {
        let mut pairs = pairs
            .split(by)
            .filter_map(|pair| pair.trim().split_once('='));
        let found = pairs.find(|(found, _)| *found == name)?;
        found.1.replace("%2F", "/").parse::<Tz>().ok()
    };
    let asked = uri.query().and_then(|query| named(query, '&', "zone"));
    let mut cookies = cookies;
    let usual = || cookies.find_map(|it| named(it, ';', ZONE_COOKIE));
    asked.or_else(usual).unwrap_or(Tz::UTC)
}

/// A page among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Monitors,
    Incidents,
    Run,
    Fleet,
    Channels,
    Maintenance,
    Settings,
}

impl Place {
    const ALL: [(Self, &'static str, &'static str, Option<Scope>); 7] = [
        (Self::Monitors, "/", "Monitors", None),
        (
            Self::Incidents,
            "/incidents",
            "Incidents",
            Some(Scope::AlertsRead),
        ),
        (Self::Run, "/run", "Run a check", Some(Scope::ChecksRun)),
        (Self::Fleet, "/fleet", "Fleet", Some(Scope::FleetRead)),
        (
            Self::Channels,
            "/channels",
            "Channels",
            Some(Scope::AlertsRead),
        ),
        (
            Self::Maintenance,
            "/maintenance",
            "Maintenance",
            Some(Scope::MonitorsRead),
        ),
        (Self::Settings, "/settings", "Settings", None),
    ];
}

/// What is around every page.
pub(crate) struct Shell {
    pub(crate) title: String,
    here: Option<Place>,
    pub(crate) workspace: String,
    /// Who signed in, if anybody had to.
    pub(crate) user: Option<String>,
    scopes: Vec<Scope>,
    pub(crate) zone: Tz,
    pub(crate) rendered_at: String,
}

/// A link of the navigation.
pub(crate) struct Link {
    pub(crate) path: &'static str,
    pub(crate) name: &'static str,
    pub(crate) is_here: bool,
}

impl Shell {
    pub(crate) fn new(
        viewer: &Viewer,
        place: impl Into<Option<Place>>,
        title: impl Into<String>,
        now: Timestamp,
    ) -> Self {
        let access = &viewer.access;
        Self {
            title: title.into(),
            here: place.into(),
            workspace: access.workspace().to_string(),
            user: match access.principal() {
                Principal::User(user) => Some(user.email.clone()),
                Principal::Local | Principal::ApiKey { .. } => None,
            },
            scopes: access.grant().scopes.iter().copied().collect(),
            zone: viewer.zone,
            rendered_at: format::moment(now, viewer.zone),
        }
    }

    /// Pages that this viewer may see.
    pub(crate) fn links(&self) -> impl Iterator<Item = Link> {
        let may = |needed: Option<Scope>| needed.is_none_or(|it| self.scopes.contains(&it));
        let places = Place::ALL.into_iter();
        let places = places.filter(move |(.., needed)| may(*needed));
        places.map(|(place, path, name, _)| Link {
            path,
            name,
            is_here: self.here == Some(place),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_the_zone_and_else_the_cookie_does() {
        let zone = |uri: &str, cookie: &str| {
            let headers = [(header::COOKIE, cookie.parse().unwrap())]
                .into_iter()
                .collect();
            zone(&uri.parse().unwrap(), &headers).name()
        };
        assert_eq!(zone("/", "a=b; sonde_zone=Europe/Berlin"), "Europe/Berlin");
        assert_eq!(
            zone("/?a=b&zone=Asia%2FKolkata", "sonde_zone=Europe/Berlin"),
            "Asia/Kolkata"
        );
        assert_eq!(zone("/?zone=Nowhere", "sonde_zone=<script>"), "UTC");
    }
}
