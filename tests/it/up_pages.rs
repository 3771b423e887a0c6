//! The pages with which people change things, as a browser without a script uses them: what is typed is read by what the API
//! reads with, what is wrong stands beside its field, and nobody gets further than their scopes.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sonde_tests::api::{self, Caller};
use sonde_tests::pages::{Browser, EVIL, between, borrowed, form, text};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::{hook, http, wait_until};
use url::form_urlencoded;

const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn up() -> (Running, Caller, Browser, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let text = "monitors:\n  kept: { tcp: '127.0.0.1:9', interval: 1h, paused: true }\n";
    std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
    let running = Sonde::up(folder.path()).serve().await;
    let caller = Caller::of(running.url(""));
    let browser = Browser::of(&running, &caller);
    (running, caller, browser, folder)
}

#[tokio::test]
async fn a_monitor_is_tried_made_changed_paused_and_removed() {
    let target = HttpStub::start([("/", Reply::status(503))]).await;
    let (running, up, browser, _folder) = up().await;
    let (url, new) = (target.url("/"), "/new/monitor?kind=http");
    let mut fields = vec![
        ("name", EVIL),
        ("id", "shop"),
        ("http.url", &url),
        ("interval", "1h"),
        ("timeout", "2s"),
        ("retries", "0"),
        ("tags", "prod, a b"),
    ];
    assert!(browser.page(new).await.contains("Test before saving"));
    fields.push(("do", "test"));
    let tried = browser.post(new, &fields).await;
    assert_eq!(tried.status, 200, "{}", tried.page);
    assert!(tried.page.contains("failed 503"), "{}", tried.page);
    assert!(tried.page.contains(&format!("value=\"{url}\"")) && !tried.page.contains(EVIL));
    assert_eq!(up.get("/v1/monitors/shop").await.0, 404);
    fields.pop();

    let foreign = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&fields)
        .finish();
    let evil = "https://evil.example";
    let foreign = browser.send(Method::POST, new, Some(foreign), evil).await;
    assert_eq!(foreign.status, 403);
    browser.goes(new, &fields, "/monitors/shop").await;
    let again = browser.refused(new, &fields, 409).await;
    assert!(between(&again, "id=\"id-problem\"", "</div>").contains("there already"));
    assert!(browser.page("/").await.contains("&#60;script&#62;"));
    let (_, made) = up.get("/v1/monitors/shop").await;
    assert_eq!(made["config"]["tags"], json!(["prod", "a b"]));

    let edit = "/monitors/shop/edit";
    let shown = form(&browser.page(edit).await);
    let mut wrong = shown.clone();
    for (name, value) in &mut wrong {
        match name.as_str() {
            "expect" => *value = format!("status == 503\r\nstatus === {EVIL}"),
            "timeout" => "soon".clone_into(value),
            _ => {}
        }
    }
    let page = browser.refused(edit, &borrowed(&wrong), 422).await;
    assert!(between(&page, "id=\"expect-problem\"", "</div>").contains("line 2: "));
    assert!(page.contains("name=\"timeout\" type=\"text\" value=\"soon\" aria-describedby=\"timeout-problem timeout-hint\" aria-invalid=\"true\""));
    assert!(page.contains("2 fields are not right") && page.contains("status == 503\nstatus ==="));
    assert_eq!(up.get("/v1/monitors/shop").await.1["version"], 1);

    let mut right = shown.clone();
    right.retain(|(name, _)| name != "expect");
    right.push(("expect".to_owned(), "status == 503".to_owned()));
    browser
        .goes(edit, &borrowed(&right), "/monitors/shop")
        .await;
    let (_, changed) = up.get("/v1/monitors/shop").await;
    assert_eq!(changed["config"]["expect"], json!(["status == 503"]));
    let conflict = browser.refused(edit, &borrowed(&shown), 409).await;
    assert!(
        conflict.contains("Somebody else changed this"),
        "{conflict}"
    );

    for (paused, expected) in [("true", true), ("false", false)] {
        let pause = [("paused", paused)];
        browser
            .goes("/monitors/shop/pause", &pause, "/monitors/shop")
            .await;
        assert_eq!(up.get("/v1/monitors/shop").await.1["paused"], expected);
    }
    let page = browser.page("/monitors/shop/delete").await;
    assert!(page.contains(&url), "{page}");
    let delete = "/monitors/shop/delete";
    browser.refused(delete, &[("version", "1")], 409).await;
    let sent = form(&page);
    browser.goes(delete, &borrowed(&sent), "/").await;
    assert_eq!(browser.get(edit).await.status, 404);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn what_nobody_touches_stays_as_it_is_and_a_file_keeps_its_own() {
    let (running, up, browser, _folder) = up().await;
    let all = json!({
        "name": "All <of> it & \"more\"",
        "http": { "url": "https://user:hunter2@shop.example/a?b=c&d", "method": "POST",
            "headers": [{ "name": "authorization", "value": "hunter2" }, { "name": "x-a", "value": "b: c" }],
            "body": { "text": "\n{\"a\": \"<b>\"}\n" }, "max_redirects": 3, "proxy": "http://u:hunter2@proxy.example:3128" },
        "interval": "1h", "timeout": "1m 30s", "regions": ["local"],
        "expect": ["status in 200..299", "json $.database == \"up\"", "body not contains \"<script>\""],
        "degraded": ["latency > 400ms"], "retries": 1, "retry_backoff": { "initial": "1s", "jitter": 0.25 },
        "alert": { "fail_after": 3, "within": 5, "expiry": [14, 3] },
        "tags": ["prod"], "depends_on": ["kept"], "paused": true,
    });
    let others = [
        (
            "dns",
            json!({ "name": "shop.example", "type": "TYPE65", "class": "CH" }),
        ),
        (
            "tcp",
            json!({ "host": "shop.example", "port": 25, "dialogue": [{ "expect": "^220" }, "starttls"] }),
        ),
        (
            "tls",
            json!({ "host": "shop.example", "port": 25, "starttls": "smtp" }),
        ),
        ("icmp", json!({ "host": "shop.example", "packets": 3 })),
        ("heartbeat", json!({ "grace": "5m" })),
    ];
    let others =
        others.map(|(kind, spec)| json!({ (kind): spec, "interval": "1h", "paused": true }));
    for (n, config) in [all].into_iter().chain(others).enumerate() {
        let path = format!("/v1/monitors/m{n}");
        let (status, made) = up.call(Method::PUT, &path, Some(&config)).await;
        assert_eq!(status, 201, "{made}");
        let edit = format!("/monitors/m{n}/edit");
        let page = browser.page(&edit).await;
        assert!(!page.contains("hunter2"));
        let sent = form(&page);
        let answer = browser.post(&edit, &borrowed(&sent)).await;
        assert_eq!(answer.status, 303, "{}", answer.page);
        let (_, after) = up.get(&path).await;
        assert_eq!(after["config"], made["config"]);
        // Also what was masked is what it was: with another secret it would be another version.
        assert_eq!(after["version"], 1);
    }

    let page = browser.page("/monitors/kept/edit").await;
    assert!(
        page.contains("sonde.yaml") && page.contains("fieldset class=\"group fields \" disabled")
    );
    assert!(!page.contains("Save</button>"));
    let sent = form(&page);
    let page = browser
        .refused("/monitors/kept/edit", &borrowed(&sent), 409)
        .await;
    assert!(page.contains("is kept in the file"), "{page}");
    assert_eq!(browser.get("/new/monitor?kind=exec").await.status, 404);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_heartbeat_shows_its_address_and_gets_another_one() {
    let (running, up, browser, _folder) = up().await;
    let fields = [("name", "Nightly backup"), ("interval", "1h")];
    let new = "/new/monitor?kind=heartbeat";
    let edit = "/monitors/nightly-backup/edit";
    browser
        .goes(new, &fields, &format!("{edit}#heartbeat"))
        .await;
    let address = |page: &str| text(between(page, "aria-label=\"The address\">", "</pre>"));
    let first = address(&browser.page(edit).await);
    assert!(
        first.starts_with(&running.url("/v1/heartbeats/sonde_beat_")),
        "{first}"
    );
    let ping = async |address: &str| http::get(address).await.unwrap().status().as_u16();
    assert_eq!(ping(&first).await, 204);
    let to = format!("{edit}#heartbeat");
    browser
        .goes("/monitors/nightly-backup/rotate", &[], &to)
        .await;
    let second = address(&browser.page(edit).await);
    assert_eq!((ping(&first).await, ping(&second).await), (404, 204));
    assert_eq!(up.get("/v1/monitors/nightly-backup").await.0, 200);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_channel_is_made_tested_changed_and_removed() {
    let receiver = hook::receiver().await;
    let (running, up, browser, _folder) = up().await;
    assert!(
        browser
            .page("/channels")
            .await
            .contains("Nobody is told yet")
    );
    let (new, url) = ("/new/channel?kind=webhook", receiver.url("/hook"));
    let secret = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0";
    let mut fields = vec![
        ("id", "ops"),
        ("send.webhook.url", EVIL),
        ("send.webhook.secret", secret),
        ("send.webhook.headers", "x-key: hunter2"),
        ("causes", "down"),
        ("causes", "degraded"),
        ("repeat", "5s"),
        ("hours.weekly", "whenever"),
        ("hours.timezone", "UTC"),
    ];
    let page = browser.refused(new, &fields, 422).await;
    for (place, message) in [
        ("send.webhook.url", "must be a URL"),
        ("repeat", "must be 1m"),
        ("hours.weekly", "is not like"),
    ] {
        let problem = between(&page, &format!("id=\"{place}-problem\""), "</div>");
        assert!(problem.contains(message), "{problem}");
    }
    fields[1].1 = &url;
    fields[6].1 = "soon";
    let page = browser.refused(new, &fields, 422).await;
    assert!(page.contains("id=\"repeat-problem\""), "{page}");
    fields.truncate(6);
    browser.goes(new, &fields, "/channels/ops").await;
    let again = browser.refused(new, &fields, 409).await;
    assert!(again.contains("id=\"id-problem\""), "{again}");
    browser
        .goes("/channels/ops/test", &[], "/channels/ops#log")
        .await;
    wait_until(PATIENCE, async || {
        browser
            .page("/channels/ops")
            .await
            .contains("</span>sent</td>")
    })
    .await;
    let told = hook::notices(&receiver);
    assert_eq!(told[0]["event"], "test");
    let headers = &receiver.requests()[0].headers;
    assert!(headers.contains_key("webhook-signature") && headers["x-key"] == "hunter2");

    let page = browser.page("/channels/ops").await;
    assert!(!page.contains("hunter2") && !page.contains(secret));
    let sent = form(&page);
    browser
        .goes("/channels/ops", &borrowed(&sent), "/channels/ops")
        .await;
    let (_, after) = up.get("/v1/channels/ops").await;
    assert_eq!(after["version"], 1);
    let mut changed = sent.clone();
    changed.retain(|(name, _)| name != "repeat");
    changed.push(("repeat".to_owned(), "30m".to_owned()));
    browser
        .goes("/channels/ops", &borrowed(&changed), "/channels/ops")
        .await;
    let (_, after) = up.get("/v1/channels/ops").await;
    assert_eq!(after["config"]["repeat"], "30m");
    assert_eq!(after["config"]["causes"], json!(["down", "degraded"]));
    browser
        .refused("/channels/ops", &borrowed(&sent), 409)
        .await;
    let list = browser.page("/channels").await;
    assert!(list.contains("Webhook") && list.contains("sent "), "{list}");

    let page = browser.page("/channels/ops/delete").await;
    browser
        .goes("/channels/ops/delete", &borrowed(&form(&page)), "/channels")
        .await;
    assert_eq!(up.get("/v1/channels").await.1["channels"], json!([]));
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_report_is_made_and_missed_when_its_channel_goes() {
    let (running, up, browser, _folder) = up().await;
    let page = browser.page("/settings/reports").await;
    assert!(page.contains("href=\"/new/channel\""), "{page}");
    let body = json!({ "send": { "webhook": { "url": "https://a.example/x" } } });
    let put = up.call(Method::PUT, "/v1/channels/ops", Some(&body));
    assert_eq!(put.await.0, 201);
    let report = [
        ("id", "weekly"),
        ("channel", "ops"),
        ("every", "week"),
        ("at", "soon"),
        ("zone", "UTC"),
    ];
    let page = browser.refused("/settings/reports", &report, 422).await;
    assert!(between(&page, "id=\"at-problem\"", "</div>").contains("mon 09:00"));
    let mut report = report;
    report[3].1 = "mon 09:00";
    browser
        .goes("/settings/reports", &report, "/settings/reports")
        .await;
    let page = browser.page("/channels/ops/delete").await;
    assert!(page.contains("nowhere to go: weekly"), "{page}");
    let delete = "/settings/reports/weekly/delete";
    let sent = form(&browser.page(delete).await);
    browser
        .goes(delete, &borrowed(&sent), "/settings/reports")
        .await;
    assert_eq!(up.get("/v1/reports").await.1["reports"], json!([]));
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn maintenance_is_shown_before_it_is_planned_also_when_the_clocks_change() {
    let (running, up, browser, _folder) = up().await;
    let new = "/new/maintenance?zone=Europe/Berlin";
    // On the night in which the clocks go forward, whenever this runs.
    let rule = "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU";
    let mut fields = vec![
        ("title", EVIL),
        ("which", "ids"),
        ("monitors", "kept"),
        ("mode", "recurring"),
        ("every", "rule"),
        ("schedule.recurring.rrule", rule),
        ("schedule.recurring.starts_at", "2020-03-01T02:30"),
        ("schedule.recurring.duration", "30m"),
        ("schedule.recurring.timezone", "Europe/Berlin"),
        ("do", "preview"),
    ];
    let shown = browser.post(new, &fields).await;
    assert_eq!(shown.status, 200, "{}", shown.page);
    assert!(shown.page.contains("03:30 CEST – 04:00 CEST") && !shown.page.contains(EVIL));
    assert!(shown.page.contains("<span>03:30–04:00</span>"));
    assert_eq!(up.get("/v1/maintenance").await.1["maintenance"], json!([]));
    fields.pop();
    fields[2].1 = "kept, nobody";
    fields[5].1 = "FREQ=SOMETIMES";
    let page = browser.refused(new, &fields, 422).await;
    assert!(
        page.contains("id=\"schedule.recurring.rrule-problem\""),
        "{page}"
    );
    fields[5].1 = rule;
    let page = browser.refused(new, &fields, 422).await;
    assert!(between(&page, "id=\"monitors-problem\"", "</div>").contains("nobody"));
    fields[2].1 = "kept";
    let made = browser.post(new, &fields).await;
    assert_eq!(made.status, 303, "{}", made.page);
    let path = made.location;
    let (_, before) = up.get(&format!("/v1{path}")).await;
    let sent = form(&browser.page(&format!("{path}?zone=Asia/Kolkata")).await);
    browser.goes(&path, &borrowed(&sent), &path).await;
    let (_, after) = up.get(&format!("/v1{path}")).await;
    assert_eq!(after, before);
    let mut changed = sent.clone();
    changed.retain(|(name, _)| name != "schedule.recurring.duration");
    let longer = ("schedule.recurring.duration", "45m");
    changed.push((longer.0.to_owned(), longer.1.to_owned()));
    browser.goes(&path, &borrowed(&changed), &path).await;
    let (_, after) = up.get(&format!("/v1{path}")).await;
    assert_eq!(after["schedule"]["recurring"]["duration"], "45m");
    browser.refused(&path, &borrowed(&sent), 409).await;

    let once = [
        ("title", "move"),
        ("which", "all"),
        ("mode", "once"),
        ("schedule.once.from", "2100-01-01T10:00"),
        ("schedule.once.to", "2100-01-01T09:00"),
    ];
    let page = browser.refused(new, &once, 422).await;
    assert!(page.contains("id=\"schedule.once.to-problem\""), "{page}");
    let mut once = once;
    once[4].1 = "2100-01-01T11:00";
    let made = browser.post(new, &once).await.location;
    let (_, stored) = up.get(&format!("/v1{made}")).await;
    let from = &stored["schedule"]["once"]["from"];
    assert_eq!(from, &json!("2100-01-01T09:00:00.000000Z"));
    let list = browser.page("/maintenance").await;
    assert!(list.contains("none within a year") && list.contains("&#60;script&#62;"));
    for path in [path, made] {
        let delete = format!("{path}/delete");
        let sent = form(&browser.page(&delete).await);
        browser
            .goes(&delete, &borrowed(&sent), "/maintenance")
            .await;
    }
    assert_eq!(up.get("/v1/maintenance").await.1["maintenance"], json!([]));
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_viewer_is_shown_no_forms_and_gets_nowhere_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let (running, owner) = api::owned(folder.path()).await;
    let body = json!({ "send": { "webhook": { "url": "https://a.example/x" } } });
    let put = owner.call(Method::PUT, "/v1/channels/ops", Some(&body));
    assert_eq!(put.await.0, 201);
    let (_, made) = owner
        .post(
            "/v1/maintenance",
            &json!({ "title": "t", "monitors": "all", "schedule": { "once": {
            "from": "2100-01-01T00:00:00Z", "to": "2100-01-02T00:00:00Z" } } }),
        )
        .await;
    let maintenance = format!("/maintenance/{}", made["id"].as_str().unwrap());
    let viewer = owner.member("vi@example.org", "viewer", None).await;
    let viewer = Browser::of(&running, &viewer);
    for path in [
        "/",
        "/channels",
        "/channels/ops",
        "/maintenance",
        &maintenance,
        "/settings",
    ] {
        let page = viewer.page(path).await;
        for button in [
            "class=\"button\"",
            "Save</button>",
            "Delete …",
            "Send a test",
            "Pause</button>",
        ] {
            assert!(!page.contains(button), "{path} shows {button}");
        }
    }
    let paths = [
        "/new/monitor",
        "/monitors/shop/edit",
        "/monitors/shop/delete",
        "/new/channel",
        "/channels/ops/delete",
        "/new/maintenance",
        "/settings/members",
        "/settings/keys",
        "/settings/audit",
    ];
    for path in paths {
        assert_eq!(viewer.get(path).await.status, 403, "{path}");
    }
    let paths = [
        "/new/monitor",
        "/monitors/shop/edit",
        "/monitors/shop/delete",
        "/monitors/shop/pause",
        "/new/channel",
        "/channels/ops",
        "/channels/ops/test",
        "/channels/ops/delete",
        "/new/maintenance",
        &maintenance,
        "/settings/members",
        "/settings/keys",
        "/settings/keys/x/rotate",
        "/settings/keys/x/revoke",
        "/settings/members/x/role",
        "/settings/members/x/remove",
        "/settings/invitations/x/remove",
        "/settings/reports",
        "/settings/reports/x",
        "/settings/reports/x/delete",
    ];
    for path in paths {
        assert_eq!(viewer.post(path, &[]).await.status, 403, "{path}");
    }
    assert_eq!(owner.get("/v1/channels/ops").await.1["version"], 1);
    assert!(running.terminate().await.success());
}
