//! What the pages' forms do before they are saved: a draft is read as when it is saved, all that is wrong is told, and nothing
//! is written.

use reqwest::Method;
use serde_json::json;
use sonde_tests::api;
use sonde_tests::pages::{Browser, EVIL, between, borrowed, form};
use url::form_urlencoded;

use crate::up_pages::up;

const CHECK: (&str, &str) = ("do", "check");

/// What is told of a draft.
async fn told(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> String {
    let fields = [fields, &[CHECK]].concat();
    let answer = browser.post(path, &fields).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.page);
    assert!(!answer.page.contains(EVIL) && !answer.page.contains("<html"));
    answer.page
}

#[track_caller]
fn problem<'a>(page: &'a str, field: &str) -> &'a str {
    let begin = format!("id=\"{field}-problem\"");
    assert!(page.contains(&begin), "nothing is told of {field}: {page}");
    between(page, &begin, "</div>")
}

#[tokio::test]
async fn all_that_is_wrong_with_a_draft_is_told_and_nothing_is_written() {
    let (running, up, browser, _folder) = up().await;
    let new = "/new/monitor?kind=tcp";
    let mut fields = vec![
        ("id", "kept"),
        ("name", EVIL),
        ("tcp.host", "a.example"),
        ("tcp.port", "many"),
        ("interval", "soon"),
        ("timeout", "10s"),
        ("more", "{\"retry_backoff\": {\"factor\": \"x\"}}"),
    ];
    let page = told(&browser, new, &fields).await;
    assert!(problem(&page, "id").contains("monitor `kept` is there already"));
    assert!(problem(&page, "tcp.port").contains("whole number, got `many`"));
    assert!(!problem(&page, "tcp.port").contains("missing"), "{page}");
    assert!(problem(&page, "interval").contains("not a duration"));
    assert!(problem(&page, "more").contains("retry_backoff.factor: "));
    fields.truncate(2);
    fields[0].1 = "shop";
    fields.push(("tcp.port", "1"));
    let page = told(&browser, new, &fields).await;
    assert!(problem(&page, "tcp.host").contains("missing"));
    fields.push(("tcp.host", "a.example"));
    let page = told(&browser, new, &fields).await;
    assert!(!page.contains("-problem\""), "{page}");
    assert_eq!(up.get("/v1/monitors/shop").await.0, 404);

    browser.goes(new, &fields, "/monitors/shop").await;
    let edit = "/monitors/shop/edit";
    let mut sent = form(&browser.page(edit).await);
    for (name, value) in &mut sent {
        match name.as_str() {
            "interval" => "1m".clone_into(value),
            "timeout" => "5m".clone_into(value),
            _ => {}
        }
    }
    let page = told(&browser, edit, &borrowed(&sent)).await;
    problem(&page, "timeout");
    assert_eq!(up.get("/v1/monitors/shop").await.1["version"], 1);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn channels_and_maintenance_are_told_of_too() {
    let (running, up, browser, _folder) = up().await;
    let new = "/new/channel?kind=webhook";
    let wrong = [
        ("id", "No Id"),
        ("send.webhook.url", "nowhere"),
        ("repeat", "soon"),
        ("after", "later"),
    ];
    let page = told(&browser, new, &wrong).await;
    problem(&page, "id");
    problem(&page, "send.webhook.url");
    assert!(problem(&page, "repeat").contains("soon"));
    assert!(problem(&page, "after").contains("later"));
    let page = told(&browser, new, &[("id", "ops")]).await;
    assert!(problem(&page, "send.webhook.url").contains("missing"));
    let right = [("id", "ops"), ("send.webhook.url", "https://a.example/x")];
    let page = told(&browser, new, &right).await;
    assert!(!page.contains("-problem\""), "{page}");
    assert_eq!(up.get("/v1/channels").await.1["channels"], json!([]));

    let new = "/new/maintenance";
    let wrong = [
        ("which", "ids"),
        ("monitors", "kept, nobody"),
        ("mode", "once"),
        ("schedule.once.from", "soon"),
    ];
    let page = told(&browser, new, &wrong).await;
    problem(&page, "title");
    assert!(problem(&page, "monitors").contains("nobody"));
    assert!(problem(&page, "schedule.once.from").contains("soon"));
    let right = [
        ("title", "move"),
        ("mode", "once"),
        ("schedule.once.from", "2100-01-01T10:00"),
        ("schedule.once.to", "2100-01-01T11:00"),
    ];
    let page = told(&browser, new, &right).await;
    assert!(!page.contains("-problem\""), "{page}");
    assert_eq!(up.get("/v1/maintenance").await.1["maintenance"], json!([]));
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn what_is_called_new_has_its_pages_and_they_say_where_one_is() {
    let (running, up, browser, _folder) = up().await;
    let monitor =
        json!({ "name": "The new one", "tcp": "127.0.0.1:9", "interval": "1h", "paused": true });
    let webhook = json!({ "send": { "webhook": { "url": "https://a.example/x" } } });
    for (path, body) in [("/v1/monitors/new", monitor), ("/v1/channels/new", webhook)] {
        let (status, made) = up.call(Method::PUT, path, Some(&body)).await;
        assert_eq!(status, 201, "{made}");
    }
    for (path, here) in [
        ("/monitors/new", "Overview"),
        ("/monitors/new/checks", "Checks"),
        ("/monitors/new/edit", "Settings"),
    ] {
        let page = browser.page(path).await;
        assert!(page.contains("The new one"), "{path}");
        let tabs = between(&page, "aria-label=\"Of this monitor\">", "</nav>");
        let current: Vec<&str> = tabs.split(" aria-current=\"page\">").skip(1).collect();
        assert_eq!(current.len(), 1, "{tabs}");
        assert!(current[0].starts_with(here), "{tabs}");
    }
    let sent = form(&browser.page("/monitors/new/edit").await);
    browser
        .goes("/monitors/new/edit", &borrowed(&sent), "/monitors/new")
        .await;
    assert!(
        browser
            .page("/channels/new")
            .await
            .contains("https://a.example")
    );
    for path in ["/new/monitor", "/new/channel", "/new/maintenance"] {
        assert!(browser.page(path).await.contains("<h1>New "), "{path}");
    }
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_report_is_changed_and_nobody_elses_change_is_lost() {
    let (running, up, browser, _folder) = up().await;
    let webhook = json!({ "send": { "webhook": { "url": "https://a.example/x" } } });
    let put = up.call(Method::PUT, "/v1/channels/ops", Some(&webhook));
    assert_eq!(put.await.0, 201);
    let stored = json!({ "channel": "ops", "every": "week", "at": "mon 09:00", "zone": "Asia/Kolkata",
        "monitors": ["kept"], "tags": ["a", "b"] });
    let put = up.call(Method::PUT, "/v1/reports/weekly", Some(&stored));
    assert_eq!(put.await.0, 201);
    let (list, path) = ("/settings/reports", "/settings/reports/weekly");
    assert!(
        browser
            .page(list)
            .await
            .contains(&format!("href=\"{path}\""))
    );
    let before = up.get("/v1/reports/weekly").await.1;
    let sent = form(&browser.page(path).await);
    browser.goes(path, &borrowed(&sent), list).await;
    assert_eq!(up.get("/v1/reports/weekly").await.1, before);

    let changed = |at: &str| {
        let mut fields = sent.clone();
        fields.retain(|(name, _)| name != "at");
        fields.push(("at".to_owned(), at.to_owned()));
        fields
    };
    let page = told(&browser, path, &borrowed(&changed("soon"))).await;
    assert!(problem(&page, "at").contains("mon 09:00"));
    let page = browser
        .refused(path, &borrowed(&changed("soon")), 422)
        .await;
    problem(&page, "at");
    let tuesday = changed("tue 10:30");
    browser.goes(path, &borrowed(&tuesday), list).await;
    let (_, after) = up.get("/v1/reports/weekly").await;
    assert_eq!(
        (&after["config"]["at"], &after["config"]["zone"]),
        (&json!("tue 10:30"), &json!("Asia/Kolkata"))
    );
    let page = browser
        .refused(path, &borrowed(&changed("wed 11:00")), 409)
        .await;
    assert!(page.contains("Somebody else changed this") && page.contains("wed 11:00"));
    assert_eq!(up.get("/v1/reports/weekly").await.1, after);
    let new = [
        ("id", "weekly"),
        ("channel", "ops"),
        ("every", "day"),
        ("at", "9"),
    ];
    let page = told(&browser, list, &new).await;
    assert!(problem(&page, "id").contains("report `weekly` is there already"));
    problem(&page, "at");
    assert_eq!(browser.get("/settings/reports/nothing").await.status, 404);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn keys_and_invitations_are_told_of_and_who_may_not_save_is_told_nothing_of_a_draft() {
    let folder = tempfile::tempdir().unwrap();
    let (running, owner) = api::owned(folder.path()).await;
    let viewer = owner.member("vi@example.org", "viewer", None).await;
    let viewer = Browser::of(&running, &viewer);
    let keys = owner.clone();
    let owner = Browser::of(&running, &owner);
    let wrong = [("only", "No Id"), ("expires_at", "2001-01-01")];
    let page = told(&owner, "/settings/keys", &wrong).await;
    for field in ["name", "only", "scopes", "expires_at"] {
        problem(&page, field);
    }
    assert_eq!(keys.get("/v1/keys").await.1["keys"], json!([]));
    let wrong = [("email", "nobody"), ("only", "No Id")];
    let page = told(&owner, "/settings/members", &wrong).await;
    problem(&page, "email");
    problem(&page, "only");
    let right = [("email", "ed@example.org"), ("role", "editor")];
    told(&owner, "/settings/members", &right).await;
    let (_, invited) = keys.get("/v1/invitations").await;
    assert_eq!(invited["invitations"], json!([]));
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([CHECK])
        .finish();
    for path in [
        "/new/monitor",
        "/monitors/shop/edit",
        "/new/channel",
        "/new/maintenance",
        "/settings/reports",
        "/settings/keys",
        "/settings/members",
    ] {
        assert_eq!(viewer.post(path, &[CHECK]).await.status, 403, "{path}");
        let (evil, body) = ("https://evil.example", Some(body.clone()));
        let foreign = owner.send(Method::POST, path, body, evil).await;
        assert_eq!(foreign.status, 403, "{path}");
    }
    assert!(running.terminate().await.success());
}
