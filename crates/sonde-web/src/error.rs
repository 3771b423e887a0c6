//! Pages in place of what cannot be shown: what is wrong, and where to go from there.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use sonde_service::ServiceError;

use crate::html;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("the page could not be rendered")]
    Render(#[from] askama::Error),
    #[error("the page's data could not be read")]
    Service(#[from] ServiceError),
    #[error("the page's data is unreadable")]
    Unreadable(#[from] serde_json::Error),
    #[error("there is no such page")]
    NotFound,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Page {
    title: &'static str,
    text: String,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, text) = match &self {
            Self::Service(ServiceError::Unauthenticated(_)) => {
                return Redirect::to("/sign-in").into_response();
            }
            Self::NotFound | Self::Service(ServiceError::NotFound { .. }) => (
                StatusCode::NOT_FOUND,
                "There is nothing here",
                "It may have been removed, or the address is mistyped.".to_owned(),
            ),
            Self::Service(error @ (ServiceError::Forbidden(_) | ServiceError::Limited)) => (
                StatusCode::FORBIDDEN,
                "You may not see this",
                format!("{error}. An owner of the workspace can give you the right to."),
            ),
            Self::Service(error @ ServiceError::Refused(_)) => (
                StatusCode::FORBIDDEN,
                "This was refused",
                format!("{error}."),
            ),
            Self::Service(
                error @ (ServiceError::Changed
                | ServiceError::ManagedByFile { .. }
                | ServiceError::Exists { .. }),
            ) => (
                StatusCode::CONFLICT,
                "Nothing was changed",
                format!("{error}."),
            ),
            Self::Service(error @ ServiceError::Invalid(_)) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Nothing was changed",
                format!("{error}."),
            ),
            failed => {
                tracing::error!(error = sonde_core::chain(failed), "page failed");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This page cannot be shown right now",
                    "What it is made of cannot be read. It may work again in a moment; the server's log tells why."
                        .to_owned(),
                )
            }
        };
        match html(&Page { title, text }) {
            Ok(page) => (status, page).into_response(),
            Err(_) => status.into_response(),
        }
    }
}
