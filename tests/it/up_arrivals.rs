//! The pages to come in by, as a browser without a script uses them: the first account, an invitation, signing in.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sonde_tests::api::{self, Caller, PASSWORD, set_up_token};
use sonde_tests::pages::{Answer, Browser, EVIL, between, text};
use sonde_tests::sonde::Running;
use sonde_tests::{hook, wait_until};
use url::form_urlencoded;

use crate::web_scene;

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: (&str, &str) = ("do", "look");

/// Somebody with nothing in their browser.
fn nobody(running: &Running) -> Browser {
    Browser::of(running, &Caller::of(running.url("")))
}

/// Whose session came with an answer that leads to the first page.
async fn who(running: &Running, answer: &Answer) -> String {
    let went = (answer.status, answer.location.as_str());
    assert_eq!(went, (303, "/"), "{}", answer.page);
    let caller = Caller::of(running.url("")).header("cookie", &*answer.cookies[0]);
    let (status, session) = caller.get("/v1/session").await;
    assert_eq!(status, 200, "{session}");
    hook::text(&session["name"])
}

#[tokio::test]
async fn the_first_account_is_made_with_the_printed_link() {
    let (running, _folder) = web_scene::empty().await;
    wait_until(PATIENCE, async || running.log().contains("sonde_setup_")).await;
    let token = set_up_token(&running.log());
    let browser = nobody(&running);
    let page = browser.page("/setup").await;
    assert!(page.contains("name=\"token\"") && !page.contains("name=\"email\""));
    let wrong = [("token", "sonde_setup_x"), LOOK];
    let page = browser.refused("/setup", &wrong, 403).await;
    assert!(page.contains("used already") && !page.contains("name=\"email\""));
    // The whole link is what people have at hand.
    let link = running.url(&format!("/setup#{token}"));
    let page = browser.post("/setup", &[("token", &link), LOOK]).await;
    assert_eq!(page.status, 200, "{}", page.page);
    let kept = between(&page.page, "name=\"token\" value=\"", "\"");
    assert_eq!(kept, token);

    let mut fields = [
        ("token", token.as_str()),
        ("email", "no address"),
        ("name", EVIL),
        ("password", "hunter2"),
    ];
    let page = browser.refused("/setup", &fields, 422).await;
    assert!(page.contains("id=\"email-problem\"") && page.contains("value=\"no address\""));
    fields[1].1 = "ada@example.org";
    let page = browser.refused("/setup", &fields, 422).await;
    assert!(page.contains("id=\"password-problem\"") && !page.contains("hunter2"));
    assert!(page.contains("value=\"ada@example.org\"") && page.contains("&#60;script&#62;"));
    fields[3].1 = PASSWORD;
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let evil = "https://evil.example";
    let foreign = browser.send(Method::POST, "/setup", Some(body), evil).await;
    assert_eq!((foreign.status, foreign.cookies.len()), (403, 0));
    let made = browser.post("/setup", &fields).await;
    assert_eq!(who(&running, &made).await, "ada@example.org");
    browser.refused("/setup", &fields, 403).await;
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn who_signs_in_gets_a_session_that_nobody_chose_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let (running, _) = api::owned(folder.path()).await;
    let mut browser = nobody(&running);
    assert_eq!(browser.get("/").await.location, "/sign-in");
    browser.page("/sign-in").await;
    let planted = "sonde_session=sonde_session_planted";
    browser.cookie = Some(planted.to_owned());
    let wrong = [("email", EVIL), ("password", "a wrong guess")];
    let page = browser.refused("/sign-in", &wrong, 403).await;
    assert!(page.contains("no account has this e-mail address and password"));
    assert!(page.contains("&#60;script&#62;") && !page.contains("a wrong guess"));

    let right = [("email", "Ada@Example.org"), ("password", PASSWORD)];
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(right)
        .finish();
    let evil = "https://evil.example";
    let foreign = browser.send(Method::POST, "/sign-in", Some(body), evil);
    let foreign = foreign.await;
    assert_eq!((foreign.status, foreign.cookies.len()), (403, 0));
    let (first, second) = (
        browser.post("/sign-in", &right).await,
        browser.post("/sign-in", &right).await,
    );
    assert_eq!(who(&running, &first).await, "ada@example.org");
    assert!(first.cookies[0] != planted && first.cookies != second.cookies);
    assert_eq!(browser.get("/").await.location, "/sign-in");

    // Who guesses waits, also with the right password.
    let wrong = [("email", "ada@example.org"), ("password", "a wrong guess")];
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(browser.post("/sign-in", &wrong).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    let page = browser.refused("/sign-in", &right, 429).await;
    assert!(page.contains("too many attempts"), "{page}");
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn who_is_invited_sees_by_whom_and_becomes_a_member() {
    let folder = tempfile::tempdir().unwrap();
    let (running, owner) = api::owned(folder.path()).await;
    let body = json!({ "email": "ed@example.org", "role": "editor" });
    let (_, invitation) = owner.post("/v1/invitations", &body).await;
    let token = invitation["token"].as_str().unwrap();
    let browser = nobody(&running);
    let path = "/invitation";
    assert!(!browser.page(path).await.contains("ada@example.org"));
    let looked = browser.post(path, &[("token", token), LOOK]).await;
    let lead = text(between(&looked.page, "class=\"lead\">", "</p>"));
    let expected = "ada@example.org invites ed@example.org to the workspace default as editor.";
    assert!(lead.starts_with(expected), "{lead}");
    let set_up = [("token", token), LOOK];
    browser.refused("/setup", &set_up, 403).await;
    let mut fields = [("token", token), ("name", "Ed"), ("password", "short")];
    let page = browser.refused(path, &fields, 422).await;
    assert!(page.contains("id=\"password-problem\"") && page.contains(expected));
    fields[2].1 = PASSWORD;
    let accepted = browser.post(path, &fields).await;
    assert_eq!(who(&running, &accepted).await, "ed@example.org");
    let page = browser.refused(path, &fields, 403).await;
    assert!(page.contains("used already"), "{page}");
    assert!(running.terminate().await.success());
}
