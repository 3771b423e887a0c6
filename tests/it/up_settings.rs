//! The pages of people, keys and sessions, as a browser without a script uses them.

use reqwest::Method;
use serde_json::{Value, json};
use sonde_tests::api::{self, Caller, PASSWORD};
use sonde_tests::hook;
use sonde_tests::pages::{Browser, EVIL, between, text};

#[tokio::test]
async fn people_are_invited_keys_are_shown_once_and_all_of_it_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let (running, owner) = api::owned(folder.path()).await;
    let browser = Browser::of(&running, &owner);
    let invite = [("email", EVIL), ("role", "editor")];
    let page = browser.refused("/settings/members", &invite, 422).await;
    assert!(page.contains("id=\"email-problem\""), "{page}");
    let invite = [("email", "ed@example.org"), ("role", "editor")];
    let invited = browser.post("/settings/members", &invite).await;
    assert_eq!(invited.status, 201, "{}", invited.page);
    let link = text(between(&invited.page, "aria-label=\"The link\">", "</pre>"));
    let begin = running.url("/invitation#");
    let token = link.strip_prefix(&begin).expect("it leads here");
    let body = json!({ "token": token, "name": EVIL, "password": PASSWORD });
    let nobody = Caller::of(running.url(""));
    let editor = nobody.session("/v1/invitations/accept", &body).await;
    let page = browser.page("/settings/members").await;
    assert!(page.contains("&#60;script&#62;") && page.contains("ed@example.org"));
    let (_, members) = owner.get("/v1/members").await;
    let editors = members["members"].as_array().unwrap().iter();
    let id = editors
        .filter(|it| it["role"] == "editor")
        .map(|it| hook::text(&it["id"]))
        .next()
        .unwrap();
    let of = |what: &str| format!("/settings/members/{id}/{what}");
    let viewer = [("role", "viewer")];
    browser
        .goes(&of("role"), &viewer, "/settings/members")
        .await;
    assert_eq!(editor.post("/v1/monitors", &json!({})).await.0, 403);
    browser.page(&of("remove")).await;
    browser.goes(&of("remove"), &[], "/settings/members").await;
    assert_eq!(editor.get("/v1/monitors").await.0, 403);

    let keys = "/settings/keys";
    let page = browser.refused(keys, &[("name", "ci")], 422).await;
    assert!(between(&page, "id=\"scopes-problem\"", "</div>").contains("at least one scope"));
    let key = [
        ("name", "ci"),
        ("scopes", "monitors:read"),
        ("expires_at", "2100-01-01"),
    ];
    let made = browser.post(keys, &key).await;
    let secret = |page: &str| text(between(page, "aria-label=\"The secret\">", "</pre>"));
    let first = secret(&made.page);
    assert_eq!(nobody.key(&first).get("/v1/monitors").await.0, 200);
    assert!(!browser.page(keys).await.contains(&first));
    let (_, list) = owner.get("/v1/keys").await;
    let id = list["keys"][0]["id"].as_str().unwrap();
    let rotated = browser.post(&format!("{keys}/{id}/rotate"), &[]).await;
    let second = secret(&rotated.page);
    assert_eq!(nobody.key(&first).get("/v1/monitors").await.0, 401);
    browser.page(&format!("{keys}/{id}/revoke")).await;
    browser
        .goes(&format!("{keys}/{id}/revoke"), &[], keys)
        .await;
    assert_eq!(nobody.key(&second).get("/v1/monitors").await.0, 401);

    let audit = browser.page("/settings/audit?kind=api_key").await;
    assert!(audit.contains("made api_key") && audit.contains("removed api_key"));
    assert!(!audit.contains(&first) && audit.contains("ada@example.org"));
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn people_go_and_all_their_sessions_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let (running, ada) = api::owned(folder.path()).await;
    let sign_in = json!({ "email": "ada@example.org", "password": PASSWORD });
    let nobody = Caller::of(running.url(""));
    let session = async || nobody.session("/v1/session", &sign_in).await;
    let (one, two) = (session().await, session().await);
    let here = Browser::of(&running, &one);
    let wrong = [("current", "not this one"), ("new", "short")];
    let page = here.refused("/settings/password", &wrong, 422).await;
    assert!(page.contains("id=\"new-problem\"") && !page.contains("not this one"));
    let right = [("current", PASSWORD), ("new", "another horse battery")];
    let to = "/settings?done=password";
    here.goes("/settings/password", &right, to).await;
    assert!(here.page(to).await.contains("another one now"));
    let ends = async |caller: &Caller| caller.get("/v1/session").await.0;
    assert_eq!(
        (ends(&one).await, ends(&two).await, ends(&ada).await),
        (200, 401, 401)
    );

    let sign_in: Value = json!({ "email": "ada@example.org", "password": "another horse battery" });
    let other = nobody.session("/v1/session", &sign_in).await;
    let third = nobody.session("/v1/session", &sign_in).await;
    let evil = "https://evil.example";
    let foreign = here
        .send(Method::POST, "/sign-out", Some(String::new()), evil)
        .await;
    assert_eq!((foreign.status, ends(&one).await), (403, 200));
    here.goes("/sign-out", &[], "/sign-in").await;
    assert_eq!((ends(&one).await, ends(&other).await), (401, 200));
    here.goes("/sign-out", &[], "/sign-in").await;

    let there = Browser::of(&running, &other);
    let workspace = json!({ "name": "second" });
    assert_eq!(other.post("/v1/workspaces", &workspace).await.0, 201);
    // Of two, the first is shown until another one is chosen.
    assert!(
        there
            .page("/settings")
            .await
            .contains("<b>default</b> <span class=\"muted\">as owner; you are here")
    );
    there
        .goes("/workspace", &[("workspace", "second")], "/")
        .await;
    assert_eq!(
        there
            .post("/workspace", &[("workspace", "third")])
            .await
            .status,
        403
    );
    let mut chosen = Browser::of(&running, &other);
    let cookie = chosen.cookie.unwrap_or_default();
    chosen.cookie = Some(format!("{cookie}; sonde_workspace=second"));
    assert!(
        chosen
            .page("/settings")
            .await
            .contains("<b>second</b> <span class=\"muted\">as owner; you are here")
    );

    there.goes("/sign-out/everywhere", &[], "/sign-in").await;
    assert_eq!((ends(&other).await, ends(&third).await), (401, 401));
    assert!(running.terminate().await.success());
}
