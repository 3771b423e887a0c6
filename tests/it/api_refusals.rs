//! Nobody gets in where they don't belong: every route of the served document, for everybody who must be refused.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_core::Scope;
use sonde_tests::api::{Caller, PASSWORD, owned};

/// A route that is not public.
struct Route {
    method: Method,
    path: String,
    /// What it takes, where one scope says it.
    scope: Option<String>,
    has_body: bool,
}

/// Every route of the document, with `shop` and an id that names nothing in the place of parameters.
async fn routes(caller: &Caller) -> Vec<Route> {
    let (status, document) = caller.get("/v1/openapi.json").await;
    assert_eq!(status, 200);
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_public = operation["security"] == json!([{}]);
            let is_session = operation["security"] == json!([{ "session": [] }]);
            if is_public || is_session {
                continue;
            }
            let id = if path.starts_with("/v1/monitors") {
                "shop"
            } else {
                "b4a2b3a0-0000-4000-8000-000000000000"
            };
            routes.push(Route {
                method: method.to_uppercase().parse().unwrap(),
                path: path.replace("{id}", id),
                scope: operation["x-required-scope"].as_str().map(str::to_owned),
                has_body: operation["requestBody"].is_object(),
            });
        }
    }
    assert!(routes.len() > 25, "{} routes", routes.len());
    routes
}

impl Route {
    /// The status of a request that is well formed, whatever it is about.
    async fn status(&self, caller: &Caller) -> (u16, String) {
        let body = self.has_body.then(|| json!({}));
        let answer = caller
            .send(self.method.clone(), &self.path, body.as_ref())
            .await;
        let status = answer.status().as_u16();
        // A stream has no end to wait for.
        let code = if status < 400 {
            String::new()
        } else {
            let problem: Value = answer.json().await.unwrap();
            problem["code"].as_str().unwrap().to_owned()
        };
        (status, code)
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

#[tokio::test]
async fn every_route_refuses_who_is_nobody_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (server, owner) = owned(folder.path()).await;
    let nobody = Caller::of(server.url(""));
    let removed = owner.new_key(&["monitors:read"], None).await;
    let (_, keys) = owner.get("/v1/keys").await;
    let id = keys["keys"][0]["id"].as_str().unwrap();
    assert_eq!(owner.delete(&format!("/v1/keys/{id}")).await.0, 204);
    let soon = sonde_core::SystemClock;
    let expires = sonde_core::Clock::now(&soon) + std::time::Duration::from_millis(1500);
    let body = json!({ "name": "brief", "scopes": Scope::ALL, "expires_at": expires.to_string() });
    let (status, brief) = owner.post("/v1/keys", &body).await;
    assert_eq!(status, 201, "{brief}");
    let expired = nobody.key(brief["secret"].as_str().unwrap());
    sonde_tests::wait_until(std::time::Duration::from_secs(20), async || {
        expired.get("/v1/session").await.0 == 401
    })
    .await;
    let left = owner.member("eve@example.org", "admin", None).await;
    let (_, members) = owner.get("/v1/members").await;
    let members = members["members"].as_array().unwrap();
    let eve = members
        .iter()
        .find(|it| it["email"] == "eve@example.org")
        .unwrap();
    let path = format!("/v1/members/{}", eve["id"].as_str().unwrap());
    assert_eq!(owner.delete(&path).await.0, 204);
    for route in routes(&owner).await {
        let name = route.name();
        for (who, caller) in [
            ("nobody", &nobody),
            ("a removed key", &removed),
            ("an expired key", &expired),
        ] {
            let (status, _) = route.status(caller).await;
            // Whoever guesses often has to wait.
            assert!(
                [401, 429].contains(&status),
                "{name} answers {who} with {status}"
            );
        }
        let (status, code) = route.status(&left).await;
        assert_eq!(
            (status, code.as_str()),
            (403, "refused"),
            "{name} for a member who left"
        );
    }
}

#[tokio::test]
async fn every_route_takes_its_scope_and_no_other_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, owner) = owned(folder.path()).await;
    let routes = routes(&owner).await;
    let known: BTreeSet<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    for scope in &known {
        let others: Vec<&str> = known.iter().filter(|it| *it != scope).copied().collect();
        let without = owner.new_key(&others, None).await;
        let with = owner.new_key(&[scope], None).await;
        for route in routes
            .iter()
            .filter(|it| it.scope.as_deref() == Some(scope))
        {
            let name = route.name();
            let (status, code) = route.status(&without).await;
            assert_eq!((status, code.as_str()), (403, "missing_scope"), "{name}");
            let (status, code) = route.status(&with).await;
            assert!(
                ![401, 403].contains(&status),
                "{name} with its scope: {status} {code}"
            );
        }
    }
    for route in &routes {
        let scope = route.scope.as_deref();
        let told = scope.is_some_and(|scope| known.contains(scope));
        assert!(
            told || route.path == "/v1/session",
            "{} tells no scope",
            route.name()
        );
    }
}

#[tokio::test]
async fn every_route_refuses_strangers_viewers_and_who_is_limited_to_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, owner) = owned(folder.path()).await;
    let monitor = json!({ "id": "other", "tcp": "127.0.0.1:9", "interval": "1h" });
    assert_eq!(owner.post("/v1/monitors", &monitor).await.0, 201);
    let viewer = owner.member("vi@example.org", "viewer", None).await;
    let limited = owner
        .member("li@example.org", "editor", Some(&["other"]))
        .await;
    let limited_key = owner
        .new_key(&Scope::ALL.map(Scope::as_str), Some(&["other"]))
        .await;
    // An owner of another workspace, who names this one.
    let stranger = owner.member("st@example.org", "viewer", None).await;
    let (status, made) = stranger
        .post("/v1/workspaces", &json!({ "name": "elsewhere" }))
        .await;
    assert_eq!(status, 201, "{made}");
    let (_, members) = owner.get("/v1/members").await;
    let members = members["members"].as_array().unwrap();
    let it = members
        .iter()
        .find(|it| it["email"] == "st@example.org")
        .unwrap();
    let path = format!("/v1/members/{}", it["id"].as_str().unwrap());
    assert_eq!(owner.delete(&path).await.0, 204);
    let stranger_here = stranger.header("sonde-workspace", "default");
    let stranger_key = stranger.new_key(&Scope::ALL.map(Scope::as_str), None).await;
    let stranger_key_here = stranger_key.header("sonde-workspace", "default");

    for route in routes(&owner).await.iter().filter(|it| it.scope.is_some()) {
        let name = route.name();
        for caller in [&stranger_here, &stranger_key_here] {
            let (status, code) = route.status(caller).await;
            assert_eq!(
                (status, code.as_str()),
                (403, "refused"),
                "{name} for a stranger"
            );
        }
        let scope = Scope::from_name(route.scope.as_deref().unwrap()).unwrap();
        let may_view = sonde_core::Role::Viewer.allows(scope);
        let (status, code) = route.status(&viewer).await;
        assert_eq!(
            status == 403,
            !may_view,
            "{name} for a viewer: {status} {code}"
        );
        // Listings and the stream show what they may see; everything else is refused.
        let shows_a_part = ["/v1/monitors", "/v1/outcomes", "/v1/summaries"]
            .contains(&&*route.path)
            && route.method == Method::GET;
        for caller in [&limited, &limited_key] {
            let (status, code) = route.status(caller).await;
            let expected = if shows_a_part {
                200
            } else if route.path == "/v1/monitors" {
                // Its body names no monitor yet.
                422
            } else {
                403
            };
            assert_eq!(
                status, expected,
                "{name} for who is limited to another: {code}"
            );
        }
    }
    // Nothing of this workspace from the other one.
    let (_, seen) = stranger_key.get("/v1/monitors").await;
    assert_eq!(seen["monitors"], json!([]));
    let (_, seen) = limited.get("/v1/monitors").await;
    let ids: Vec<_> = seen["monitors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(ids, ["other"]);
}

#[tokio::test]
async fn guessing_is_slowed_and_a_page_of_another_site_can_do_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, owner) = owned(folder.path()).await;
    let nobody = Caller::of(server.url(""));
    let body = json!({ "email": "ada@example.org", "password": "wrong horse battery" });
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(nobody.post("/v1/session", &body).await.0);
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    let answer = nobody.send(Method::POST, "/v1/session", Some(&body)).await;
    if answer.status() == 429 {
        assert!(answer.headers().contains_key("retry-after"));
    }
    let right = json!({ "email": "ada@example.org", "password": PASSWORD });
    sonde_tests::wait_until(std::time::Duration::from_secs(30), async || {
        nobody.post("/v1/session", &right).await.0 == 200
    })
    .await;

    let theirs = owner.new_key(&["monitors:read"], None).await;
    let key = nobody.key("sonde_key_guess");
    let mut statuses = BTreeSet::new();
    for _ in 0..8 {
        statuses.insert(key.get("/v1/monitors").await.0);
    }
    assert_eq!(statuses, BTreeSet::from([401, 429]));
    // From the same address.
    assert_eq!(theirs.get("/v1/monitors").await.0, 200);

    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
    ] {
        let page = owner.header(name, value);
        let (status, problem) = page.delete("/v1/monitors/shop").await;
        assert_eq!((status, &problem["code"]), (403, &json!("cross_site")));
        assert_eq!(page.get("/v1/monitors").await.0, 200);
    }
    let answer = owner.send(Method::OPTIONS, "/v1/monitors", None).await;
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}
