//! `/setup`, `/sign-in`, `/invitation`: forms that talk to the API. Their links carry tokens behind `#`, so that no server
//! and no proxy writes them down.

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;

use crate::{PageError, html};

pub(crate) fn router() -> Router {
    Router::new()
        .route("/setup", get(set_up))
        .route("/sign-in", get(sign_in))
        .route("/invitation", get(invitation))
}

/// A form; the script knows by its name what to send where.
#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    form: &'static str,
    title: &'static str,
    /// One sentence on what this is for.
    lead: &'static str,
    /// Whether the address is typed in here.
    asks_email: bool,
    asks_name: bool,
    /// For password managers.
    password: &'static str,
    button: &'static str,
}

async fn set_up() -> Result<Response, PageError> {
    html(&Account {
        form: "setup",
        title: "Set up Sonde",
        lead: "You become the first owner. Everybody else is invited by you.",
        asks_email: true,
        asks_name: true,
        password: "new-password",
        button: "Create the account",
    })
}

async fn sign_in() -> Result<Response, PageError> {
    html(&Account {
        form: "session",
        title: "Sign in",
        lead: "",
        asks_email: true,
        asks_name: false,
        password: "current-password",
        button: "Sign in",
    })
}

async fn invitation() -> Result<Response, PageError> {
    html(&Account {
        form: "invitation",
        title: "You are invited",
        lead: "Choose a password. If your address has an account already, use its password.",
        asks_email: false,
        asks_name: true,
        password: "new-password",
        button: "Accept",
    })
}
