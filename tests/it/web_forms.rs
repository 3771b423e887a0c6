//! What people do on pages, with their hands: set up, come in and go, look after an incident; the latter without a script
//! too.

use std::time::Duration;

use serde_json::json;
use sonde_tests::api::{self, Caller, PASSWORD, set_up_token};
use sonde_tests::browser::{Browser, Look, Soundness};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;

use crate::web_scene::{self, Scene};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn who_follows_the_link_of_the_first_start_owns_the_machine() {
    let Some(sound) = Soundness::start().await else {
        return;
    };
    let browser = sound.browser();
    let (up, _folder) = web_scene::empty().await;
    wait_until(PATIENCE, async || up.log().contains("sonde_setup_")).await;
    let token = set_up_token(&up.log());
    let link = up.url(&format!("/setup#{token}"));
    assert!(up.log().contains(&link), "{}", up.log());

    // Of two links, the one that was never given out is told apart.
    browser.open(&format!("{link}x")).await;
    browser
        .shows("this link was used already, or has expired")
        .await;
    assert_sound(&sound).await;
    // Where the page of a link is shown already, nothing would be loaded.
    browser.open(&link).await;
    browser.find("[name=email]").await;
    assert_sound(&sound).await;
    browser.fill("[name=email]", "ada@example.org").await;
    browser.fill("[name=name]", "Ada").await;
    browser.fill("[name=password]", PASSWORD).await;
    browser.click("Create the account").await;
    browser.arrives("/").await;
    browser.shows("Nothing is watched yet").await;
    assert_eq!(who(browser).await, "ada@example.org");

    // What the link is good for does not stay in the history.
    browser.open(&link).await;
    browser.shows("this link was used already").await;
    assert_eq!(address(browser).await, up.url("/setup"));

    browser.open(&up.url("/")).await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    browser.open(&up.url("/incidents")).await;
    browser.arrives("/sign-in").await;
    browser.fill("[name=email]", "ada@example.org").await;
    browser.fill("[name=password]", "a wrong guess").await;
    browser.click("Sign in").await;
    browser
        .shows("no account has this e-mail address and password")
        .await;
    assert_sound(&sound).await;
    assert_eq!(browser.path().await, "/sign-in");
    browser.fill("[name=password]", PASSWORD).await;
    browser.click("Sign in").await;
    browser.arrives("/").await;
    assert_eq!(who(browser).await, "ada@example.org");
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn who_follows_the_link_of_an_invitation_becomes_a_member() {
    let Some(sound) = Soundness::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (up, owner) = api::owned(folder.path()).await;
    let body = json!({ "email": "ed@example.org", "role": "editor" });
    let (_, invitation) = owner.post("/v1/invitations", &body).await;
    let token = invitation["token"].as_str().unwrap();

    let browser = sound.browser();
    let link = up.url(&format!("/invitation#{token}"));
    browser.open(&link).await;
    browser
        .shows("ada@example.org invites ed@example.org to the workspace default as editor.")
        .await;
    assert_sound(&sound).await;
    browser.fill("[name=name]", "Ed").await;
    browser.fill("[name=password]", PASSWORD).await;
    browser.click("Accept").await;
    browser.arrives("/").await;
    assert_eq!(who(browser).await, "ed@example.org");
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn an_incident_is_looked_after_by_clicking_with_and_without_scripts() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let scene = Scene::new().await;
    for (scripts, incident) in [(true, &scene.incident), (false, &scene.degraded)] {
        browser.allow_scripts(scripts).await;
        let page = format!("/incidents/{incident}");
        browser.open(&scene.up.url("/incidents")).await;
        let link = browser.find(&format!("a[href='{page}']")).await;
        link.click().await.unwrap();
        browser.arrives(&page).await;
        browser.click("Acknowledge").await;
        browser.shows("acknowledged by this machine").await;
        let text = browser.text().await;
        assert!(!text.contains("You look after it"), "{text}");

        let said = "It was the <disk>,\nas always.";
        browser.fill("textarea", said).await;
        browser.click("Add the comment").await;
        browser.shows("comment by this machine").await;
        browser.shows(said).await;

        browser.click("Resolve").await;
        browser.shows("resolved by this machine").await;
        assert_eq!(browser.path().await, page);
    }
    assert!(scene.up.terminate().await.success());
}

#[tokio::test]
async fn from_nothing_to_an_incident_that_is_over() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let target = HttpStub::start([("/", Reply::status(503))]).await;
    let (up, _folder) = web_scene::empty().await;
    wait_until(PATIENCE, async || up.log().contains("sonde_setup_")).await;
    let token = set_up_token(&up.log());
    browser.open(&up.url(&format!("/setup#{token}"))).await;
    browser.fill("[name=email]", "ada@example.org").await;
    browser.fill("[name=name]", "Ada").await;
    browser.fill("[name=password]", PASSWORD).await;
    browser.click("Create the account").await;
    browser.arrives("/").await;

    browser.open(&up.url("/new/monitor")).await;
    for (field, value) in [
        ("name", "Shop"),
        ("http.url", target.url("/").as_str()),
        ("interval", "soon"),
        ("timeout", "2s"),
        ("retries", "0"),
        ("alert.fail_after", "1"),
        ("alert.recover_after", "1"),
    ] {
        browser.fill(&format!("[name='{field}']"), value).await;
    }
    browser.click("Create the monitor").await;
    browser.shows("not a duration").await;
    browser.fill("[name='interval']", "5s").await;
    browser.click("Test before saving").await;
    browser.shows("got 503, expected 2xx").await;
    browser.click("Create the monitor").await;
    browser.arrives("/monitors/shop").await;

    browser.open(&up.url("/")).await;
    browser.shows("DOWN: Shop").await;
    browser
        .find("a[href^='/incidents/']")
        .await
        .click()
        .await
        .unwrap();
    browser.click("Acknowledge").await;
    browser.shows("acknowledged by ada@example.org").await;
    target.set("/", Reply::text("fine"));
    browser.open(&up.url("/monitors/shop")).await;
    wait_until(PATIENCE, async || {
        browser.open(&up.url("/incidents?status=resolved")).await;
        browser.text().await.contains("RECOVERED: Shop")
    })
    .await;
    browser.open(&up.url("/monitors/shop")).await;
    browser.shows("up for").await;
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn what_is_wrong_is_said_while_it_is_typed_and_goes_when_it_is_right() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let (up, _folder) = web_scene::empty().await;
    browser.open(&up.url("/new/monitor")).await;
    browser.fill("[name='http.url']", "shop").await;
    let told = browser.find("[id='http.url-problem']").await;
    let told = told.text().await.unwrap();
    assert!(told.contains("URL"), "{told}");
    let state = "const url = document.querySelector(\"[name='http.url']\");
        return [url.value, url.ariaInvalid, url.getAttribute('aria-describedby'), url === document.activeElement,
            [...document.querySelectorAll('.edit .problem')].length, document.querySelector('.edit [role=status]').textContent]";
    assert_eq!(
        browser.run(state, Vec::new()).await,
        json!([
            "shop",
            "true",
            "http.url-problem http.url-hint",
            true,
            1,
            format!("URL: {told}")
        ]),
        "of nothing else it is told that it is missing"
    );

    browser.fill("[name=interval]", "soon").await;
    browser.find("#interval-problem").await;
    browser
        .fill("[name='http.url']", "https://shop.example/")
        .await;
    let is_right = "return !document.getElementById('http.url-problem')";
    wait_until(PATIENCE, async || {
        browser.run(is_right, Vec::new()).await == true
    })
    .await;
    browser.find("#interval-problem").await;
    assert_eq!(
        browser.run(state, Vec::new()).await,
        json!(["https://shop.example/", null, "http.url-hint", true, 1, ""])
    );

    assert_eq!(browser.complaints().await, Vec::<String>::new());

    // What was refused is told of until it is right, and what is told on top with it.
    browser.fill("[name=name]", "Shop").await;
    browser.click("Create the monitor").await;
    browser.shows("One field is not right").await;
    browser.fill("[name=interval]", "5m").await;
    browser.shows("No field is wrong any more").await;
    browser.fill("[name=timeout]", "never").await;
    browser.shows("One field is not right").await;
    let (_, page) = Caller::of(up.url("")).get("/v1/monitors").await;
    assert_eq!(page["monitors"], json!([]));
    assert!(up.terminate().await.success());
}

/// A page that only a form leads to, on every screen.
async fn assert_sound(sound: &Soundness) {
    for dark in [false, true] {
        for look in [Look::narrow(dark), Look::wide(dark)] {
            sound.browser().set_look(look).await;
            let faults = sound.faults_here().await;
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            assert!(faults.is_empty(), "{faults:#?}");
        }
    }
}

/// Whose session the browser has.
async fn who(browser: &Browser) -> String {
    let script = "return fetch('/v1/session').then((answer) => answer.json())";
    let session = browser.run(script, Vec::new()).await;
    let name = session["name"].as_str();
    name.unwrap_or_else(|| panic!("{session}")).to_owned()
}

async fn address(browser: &Browser) -> String {
    let address = browser.run("return location.href", Vec::new()).await;
    address.as_str().unwrap().to_owned()
}
