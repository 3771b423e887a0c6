//! Signing in with an identity provider: from an invitation to a session, over HTTP, as a browser does.

use reqwest::header::{ACCEPT, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sonde_tests::api::{self, Caller};
use sonde_tests::http;
use sonde_tests::pages::{self, Browser, between};
use sonde_tests::services::{self, OidcProvider};
use sonde_tests::sonde::{Running, Sonde};
use tempfile::TempDir;

/// With any port.
const CALLBACK: &str = "http://127.0.0.1/v1/session/oidc/callback";

struct Fixture {
    provider: OidcProvider,
    up: Running,
    http: Client,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Option<Self> {
        let provider = services::oidc_provider(&[CALLBACK]).await?;
        let folder = tempfile::tempdir().unwrap();
        let up = Sonde::up(folder.path())
            .env("SONDE_OIDC_ISSUER", &provider.issuer)
            .env("SONDE_OIDC_CLIENT_ID", OidcProvider::CLIENT_ID)
            .env("SONDE_OIDC_CLIENT_SECRET", OidcProvider::CLIENT_SECRET);
        let up = up.serve().await;
        Some(Self {
            provider,
            up,
            http: http::client_that_stays(),
            _folder: folder,
        })
    }

    /// The token of an invitation.
    async fn invite(&self, owner: &Caller, email: &str) -> String {
        let body = json!({ "email": email, "role": "editor" });
        let (status, invited) = owner.post("/v1/invitations", &body).await;
        assert_eq!(status, 201, "{invited}");
        let link = invited["link"].as_str().unwrap();
        link.split_once('#').unwrap().1.to_owned()
    }

    /// A browser leaves; what it keeps, and where it goes.
    async fn leave(&self, invitation: Option<&str>) -> (String, String) {
        let path = "/v1/session/oidc/start";
        let Some(token) = invitation else {
            let answer = self.get(path, "").await;
            assert_eq!(answer.status(), StatusCode::FOUND);
            let there = answer.headers()[LOCATION].to_str().unwrap().to_owned();
            return (cookie(&answer, "sonde_oidc").unwrap(), there);
        };
        let request = self.http.post(self.up.url(path));
        let request = request.json(&json!({ "token": token }));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let kept = cookie(&answer, "sonde_oidc").unwrap();
        let told: Value = answer.json().await.unwrap();
        (kept, told["location"].as_str().unwrap().to_owned())
    }

    async fn get(&self, path: &str, cookie: &str) -> Response {
        self.fetch(&self.up.url(path), cookie).await
    }

    async fn fetch(&self, url: &str, cookie: &str) -> Response {
        let request = self.http.get(url).header(COOKIE, cookie);
        let request = request.header(ACCEPT, "text/html,*/*;q=0.8");
        request.send().await.unwrap()
    }

    /// There and back.
    async fn sign_in(&self, login: &str, invitation: Option<&str>) -> Response {
        let (kept, there) = self.leave(invitation).await;
        let back = self.provider.sign_in(&there, login).await;
        self.fetch(&back, &kept).await
    }

    /// Why somebody is sent back, as they are told: once.
    async fn told(&self, answer: &Response) -> String {
        assert_eq!(location(answer), "/sign-in");
        let told = cookie(answer, "sonde_told").unwrap();
        let page = self.get("/sign-in", &told).await;
        assert_eq!(cookie(&page, "sonde_told").unwrap(), "sonde_told=");
        let page = page.text().await.unwrap();
        pages::text(between(&page, "role=\"alert\">", "</p>"))
    }

    /// Who the session is of.
    async fn who(&self, answer: &Response) -> Value {
        assert_eq!(location(answer), "/");
        let session = cookie(answer, "sonde_session").unwrap();
        let answer = self.get("/v1/session", &session).await;
        answer.json().await.unwrap()
    }
}

fn location(answer: &Response) -> &str {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()[LOCATION].to_str().unwrap()
}

/// As it is sent back; its attributes are looked at.
fn cookie(answer: &Response, name: &str) -> Option<String> {
    let cookies = answer.headers().get_all(SET_COOKIE).iter();
    let mut cookies = cookies.map(|cookie| cookie.to_str().unwrap());
    let found = cookies.find(|cookie| cookie.starts_with(&format!("{name}=")))?;
    assert!(found.contains("HttpOnly; SameSite=Lax"), "{found}");
    Some(found.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn who_is_invited_signs_in_with_the_provider_and_stays_the_same_person() {
    let Some(it) = Fixture::new().await else {
        return;
    };
    let methods = it.get("/v1/session/methods", "").await;
    let methods: Value = methods.json().await.unwrap();
    let expected = json!({ "password": true, "oidc": { "name": "127.0.0.1" } });
    assert_eq!(methods, expected);
    let owner = api::set_up(&it.up).await;
    let link = it.invite(&owner, "ann@shop.test").await;

    let first = it.sign_in("ann@shop.test", Some(&link)).await;
    let first = it.who(&first).await;
    assert_eq!(first["kind"], "user");
    assert_eq!(first["name"], "ann@shop.test");
    let again = it.sign_in("ann@shop.test", None).await;
    assert_eq!(it.who(&again).await, first);
    // An account with a password, and the verified address of it.
    let linked = it.sign_in("ada@example.org", None).await;
    let linked = it.who(&linked).await;
    assert_eq!(linked["name"], "ada@example.org");
}

#[tokio::test]
async fn the_pages_lead_to_the_provider_without_a_script() {
    let Some(it) = Fixture::new().await else {
        return;
    };
    let owner = api::set_up(&it.up).await;
    let link = it.invite(&owner, "ann@shop.test").await;
    let browser = Browser::of(&it.up, &Caller::of(it.up.url("")));
    let page = browser.page("/sign-in").await;
    assert!(page.contains("href=\"/v1/session/oidc/start\">Sign in with 127.0.0.1</a>"));
    let fields = [("token", link.as_str()), ("do", "elsewhere")];
    let left = browser.post("/invitation", &fields).await;
    assert_eq!(left.status, 200, "{}", left.page);
    let there = pages::text(between(&left.page, "content=\"0; url=", "\">"));
    let kept = &left.cookies[0];
    assert!(kept.starts_with("sonde_oidc="), "{kept}");
    let back = it.provider.sign_in(&there, "ann@shop.test").await;
    let back = it.fetch(&back, kept).await;
    assert_eq!(it.who(&back).await["name"], "ann@shop.test");
}

#[tokio::test]
async fn nobody_else_gets_in_and_is_told_why() {
    let Some(it) = Fixture::new().await else {
        return;
    };
    let owner = api::set_up(&it.up).await;
    let refused = it.sign_in("eve@shop.test", None).await;
    assert_eq!(it.told(&refused).await, "nobody has invited eve@shop.test");
    assert_eq!(cookie(&refused, "sonde_session"), None);
    let link = it.invite(&owner, "unverified@shop.test").await;
    let refused = it.sign_in("unverified@shop.test", Some(&link)).await;
    assert!(it.told(&refused).await.contains("really yours"));
    assert_eq!(cookie(&refused, "sonde_session"), None);
}

#[tokio::test]
async fn an_answer_is_good_once_and_in_the_browser_that_asked() {
    let Some(it) = Fixture::new().await else {
        return;
    };
    api::set_up(&it.up).await;
    let (kept, there) = it.leave(None).await;
    let back = it.provider.sign_in(&there, "ada@example.org").await;
    for other in ["", &it.leave(None).await.0] {
        let refused = it.fetch(&back, other).await;
        assert!(it.told(&refused).await.contains("not begun"), "{refused:?}");
    }
    let signed_in = it.fetch(&back, &kept).await;
    assert_eq!(location(&signed_in), "/");
    assert_eq!(cookie(&signed_in, "sonde_oidc").unwrap(), "sonde_oidc=");
    let again = it.fetch(&back, &kept).await;
    assert!(
        it.told(&again).await.contains("finished already"),
        "{again:?}"
    );

    let (kept, there) = it.leave(None).await;
    let back = it.provider.refuse(&there).await;
    let refused = it.fetch(&back, &kept).await;
    assert!(
        it.told(&refused).await.contains("access_denied"),
        "{refused:?}"
    );
}
