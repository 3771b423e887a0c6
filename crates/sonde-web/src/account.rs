//! `/sign-in`, and the links that let somebody in: `/setup`, `/invitation`. A link carries its token behind `#`, so that no server
//! and no proxy writes it down; a script puts it into the first form, or whoever has no script does.

use askama::Template;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use sonde_core::WorkspaceId;
use sonde_service::{Newcomer, Service, ServiceError, SignedIn, Stranger, Token};

use crate::asked::Asked;
use crate::form::{Field, Form, Group, answered};
use crate::{PageError, html};

/// What the form for a token says, and the button to go to the identity provider with one.
const LOOK: &str = "look";
const ELSEWHERE: &str = "elsewhere";

pub(crate) fn router() -> Router<Service> {
    Router::new()
        .route("/sign-in", get(ask).post(sign_in))
        .merge(Link::SetUp.router())
        .merge(Link::Invitation.router())
}

#[derive(Template)]
#[template(path = "account.html")]
struct Page {
    title: &'static str,
    /// One sentence on what this is for.
    lead: String,
    action: &'static str,
    form: Form,
    button: &'static str,
    /// Of the link that somebody came with.
    token: Option<String>,
    /// The token is asked for.
    asks_token: bool,
    /// What people call the identity provider, where they can sign in with it.
    provider: Option<String>,
}

/// On the way to an identity provider. By a link, because browsers hold where a form may lead against the page that has it.
#[derive(Template)]
#[template(path = "elsewhere.html")]
struct Elsewhere {
    provider: String,
    to: String,
}

async fn ask(
    Shared(service): Shared<Service>,
    Extension(stranger): Extension<Stranger>,
) -> Result<Response, PageError> {
    let mut form = sign_in_form();
    form.problems.extend(stranger.told);
    html(&Page::sign_in(&service, form))
}

async fn sign_in(
    Shared(service): Shared<Service>,
    Extension(stranger): Extension<Stranger>,
    typed: String,
) -> Result<Response, PageError> {
    let typed = Asked::new(Some(&typed));
    let mut form = sign_in_form();
    form.type_in(&typed);
    let password = typed.get("password").unwrap_or_default();
    let signed_in = service.sign_in(form.get("email"), password, stranger.peer);
    match signed_in.await {
        Ok(signed_in) => Ok(arrived(signed_in)),
        Err(error) => {
            let status = refuse(&mut form, error)?;
            answered(status, &Page::sign_in(&service, form))
        }
    }
}

/// A session is always a new one: what a browser had before is of no account.
fn arrived(signed_in: SignedIn) -> Response {
    (Extension(signed_in), Redirect::to("/")).into_response()
}

/// Says why nobody was let in.
fn refuse(form: &mut Form, error: ServiceError) -> Result<StatusCode, PageError> {
    match error {
        ServiceError::Unauthenticated(why) => {
            form.problems.push(why.to_owned());
            Ok(StatusCode::FORBIDDEN)
        }
        error @ ServiceError::Provider { .. } => {
            tracing::error!(error = sonde_core::chain(&error), "nobody can sign in");
            form.problems.push(error.to_string());
            Ok(StatusCode::BAD_GATEWAY)
        }
        other => form.refuse(other),
    }
}

fn sign_in_form() -> Form {
    form(vec![email(), password("current-password")])
}

fn form(fields: Vec<Field>) -> Form {
    Form::new(vec![Group::new("", fields)])
}

fn email() -> Field {
    let field = Field::line("email", "E-mail").of_type("email");
    field.with_attributes("autocomplete=\"username\" required autofocus")
}

fn name() -> Field {
    let attributes = "autocomplete=\"name\" maxlength=\"200\" required";
    Field::line("name", "Name").with_attributes(attributes)
}

fn password(autocomplete: &'static str) -> Field {
    let field = Field::line("password", "Password").of_type("password");
    if autocomplete == "current-password" {
        return field.with_attributes("autocomplete=\"current-password\" required");
    }
    let attributes = "autocomplete=\"new-password\" minlength=\"10\" required";
    field
        .hint("10 characters or more.")
        .with_attributes(attributes)
}

/// A link that lets somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    SetUp,
    Invitation,
}

impl Link {
    fn router(self) -> Router<Service> {
        let enter = move |service: Shared<Service>,
                          stranger: Extension<Stranger>,
                          typed: String| async move {
            let (Shared(service), Extension(stranger)) = (service, stranger);
            self.enter(&service, &stranger, &typed).await
        };
        let ask = move || async move { html(&self.asking(code_form())) };
        Router::new().route(self.path(), get(ask).merge(post(enter)))
    }

    const fn path(self) -> &'static str {
        match self {
            Self::SetUp => "/setup",
            Self::Invitation => "/invitation",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::SetUp => "Set up Sonde",
            Self::Invitation => "You are invited",
        }
    }

    fn form(self) -> Form {
        let newcomer = [name(), password("new-password")];
        match self {
            Self::SetUp => form([email()].into_iter().chain(newcomer).collect()),
            Self::Invitation => form(newcomer.into()),
        }
    }

    /// The page that a link leads to.
    fn asking(self, form: Form) -> Page {
        Page {
            title: self.title(),
            lead: String::new(),
            action: self.path(),
            form,
            button: "Continue",
            token: None,
            asks_token: true,
            provider: None,
        }
    }

    /// The page that follows, where the link is good.
    fn entering(self, form: Form) -> Page {
        Page {
            button: match self {
                Self::SetUp => "Create the account",
                Self::Invitation => "Accept",
            },
            asks_token: false,
            ..self.asking(form)
        }
    }

    async fn enter(
        self,
        service: &Service,
        stranger: &Stranger,
        typed: &str,
    ) -> Result<Response, PageError> {
        let typed = Asked::new(Some(typed));
        let code = typed.get("token").unwrap_or_default().trim();
        // The whole link says it too.
        let code = code.rsplit('#').next().unwrap_or_default();
        let token = Token::presented(code);
        let lead = match self.lead(service, &token, stranger).await {
            Ok(lead) => lead,
            Err(error) => {
                let mut form = code_form();
                let status = refuse(&mut form, error)?;
                return answered(status, &self.asking(form));
            }
        };
        let mut form = self.form();
        form.type_in(&typed);
        let status = match typed.get("do") {
            Some(LOOK) => StatusCode::OK,
            Some(ELSEWHERE) => match go_elsewhere(service, stranger, &token).await {
                Ok(response) => return response,
                Err(error) => refuse(&mut form, error)?,
            },
            _ => {
                let password = typed.get("password").unwrap_or_default().to_owned();
                match self
                    .let_in(service, stranger, &token, &form, password)
                    .await
                {
                    Ok(signed_in) => return Ok(arrived(signed_in)),
                    Err(error) => refuse(&mut form, error)?,
                }
            }
        };
        let page = Page {
            lead,
            token: Some(code.to_owned()),
            provider: service.oidc_name().map(str::to_owned),
            ..self.entering(form)
        };
        answered(status, &page)
    }

    /// What the link is for, where it is good for anything.
    async fn lead(
        self,
        service: &Service,
        token: &Token,
        stranger: &Stranger,
    ) -> Result<String, ServiceError> {
        if self == Self::SetUp {
            service.look_at_set_up(token, stranger.peer).await?;
            return Ok("You become the first owner. Everybody else is invited by you.".to_owned());
        }
        let (workspace, invitation) = service.invitation_of(token, stranger.peer).await?;
        Ok(format!(
            "{} invites {} to the workspace {workspace} as {}. Choose a password. If your address has an account already, use its password.",
            invitation.invited_by, invitation.email, invitation.role
        ))
    }

    async fn let_in(
        self,
        service: &Service,
        stranger: &Stranger,
        token: &Token,
        form: &Form,
        password: String,
    ) -> Result<SignedIn, ServiceError> {
        let newcomer = Newcomer {
            name: form.get("name").to_owned(),
            password,
        };
        let peer = stranger.peer;
        match self {
            Self::SetUp => {
                let workspace = WorkspaceId::local();
                let email = form.get("email");
                service
                    .set_up(token, email, &newcomer, workspace, peer)
                    .await
            }
            Self::Invitation => service.accept_invitation(token, &newcomer, peer).await,
        }
    }
}

fn code_form() -> Form {
    let code = Field::line("token", "Code").hint("What stands behind # in your link.");
    form(vec![code.with_attributes(
        "autocomplete=\"off\" spellcheck=\"false\" required autofocus",
    )])
}

async fn go_elsewhere(
    service: &Service,
    stranger: &Stranger,
    token: &Token,
) -> Result<Result<Response, PageError>, ServiceError> {
    let Some(back) = &stranger.back else {
        let message = "the public URL takes no path".to_owned();
        return Err(ServiceError::Refused(message));
    };
    let departure = service.oidc_start(back, Some(token)).await?;
    let page = Elsewhere {
        provider: service.oidc_name().unwrap_or_default().to_owned(),
        to: departure.provider.to_string(),
    };
    Ok(html(&page).map(|page| (Extension(departure), page).into_response()))
}

impl Page {
    fn sign_in(service: &Service, form: Form) -> Self {
        Self {
            title: "Sign in",
            lead: String::new(),
            action: "/sign-in",
            form,
            button: "Sign in",
            token: None,
            asks_token: false,
            provider: service.oidc_name().map(str::to_owned),
        }
    }
}
