//! People's hands on the incidents of `sonde up`: what they end is told once, and does not come back as the same.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sonde_tests::api::Caller;
use sonde_tests::hook::{self, text};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);

/// A machine that watches `shop`, which is down, and a receiver of webhooks.
struct Fixture {
    target: HttpStub,
    receiver: HttpStub,
    folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let target = HttpStub::start([("/", Reply::status(503))]).await;
        let receiver = hook::receiver().await;
        let folder = tempfile::tempdir().unwrap();
        let alert = "alert: { fail_after: 2, recover_after: 1 }";
        let defaults = format!("defaults: {{ interval: 5s, timeout: 2s, retries: 0, {alert} }}");
        let text = format!(
            "{defaults}\nmonitors:\n  shop: {{ http: {} }}\n",
            target.url("/")
        );
        std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
        Self {
            target,
            receiver,
            folder,
        }
    }

    async fn up(&self) -> (Running, Caller) {
        let running = Sonde::up(self.folder.path()).serve().await;
        let caller = Caller::of(running.url(""));
        (running, caller)
    }

    async fn channel(&self, up: &Caller) {
        hook::channel(up, &self.receiver, json!({ "repeat": "1m" })).await;
    }

    /// The events that were told, in order.
    fn told(&self) -> Vec<String> {
        let notices = hook::notices(&self.receiver).into_iter();
        notices.map(|notice| text(&notice["event"])).collect()
    }
}

async fn open_incident(up: &Caller) -> String {
    let (_, page) = up.get("/v1/incidents?status=open").await;
    let incidents = page["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{page:#}");
    incidents[0]["id"].as_str().unwrap().to_owned()
}

/// What a form of a page is answered with.
async fn press(up: &Running, path: &str, text: &str, from: &str) -> (u16, String, String) {
    let client = reqwest::Client::builder();
    let client = client.redirect(reqwest::redirect::Policy::none()).build();
    let request = client.unwrap().post(up.url(path));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let request = request.header("origin", from).body(format!("text={text}"));
    let answer = request.send().await.unwrap();
    let location = answer.headers().get("location");
    let location = location.map_or("", |location| location.to_str().unwrap());
    let location = location.to_owned();
    (
        answer.status().as_u16(),
        location,
        answer.text().await.unwrap(),
    )
}

#[tokio::test]
async fn the_pages_list_incidents_and_take_what_people_do() {
    let it = Fixture::new().await;
    let (running, up) = it.up().await;
    it.channel(&up).await;
    wait_until(PATIENCE, async || it.told() == ["opened"]).await;
    let id = open_incident(&up).await;
    let page = format!("/incidents/{id}");
    let text = async |path: &str| {
        let shown = up.send(Method::GET, path, None).await;
        assert_eq!(shown.status(), 200, "{path}");
        shown.text().await.unwrap()
    };
    let list = text("/incidents").await;
    assert!(
        list.contains(&page) && list.contains("DOWN: shop"),
        "{list}"
    );
    let shown = text(&page).await;
    assert!(shown.contains("Acknowledge</button>") && shown.contains("Resolve</button>"));

    let own = running.url("");
    let own = own.trim_end_matches('/');
    let (acknowledge, resolve, comments) = (
        format!("{page}/acknowledge"),
        format!("{page}/resolve"),
        format!("{page}/comments"),
    );
    let foreign = press(&running, &resolve, "", "https://evil.example").await;
    assert_eq!(foreign.0, 403, "{}", foreign.2);
    let empty = press(&running, &comments, "+", own).await;
    assert!(
        empty.0 == 422 && empty.2.contains("role=\"alert\""),
        "{}",
        empty.2
    );
    let said = press(&running, &comments, "%3Cb%3Ethe+disk", own).await;
    assert_eq!((said.0, said.1.as_str()), (303, page.as_str()));
    for path in [&acknowledge, &acknowledge, &resolve] {
        let pressed = press(&running, path, "", own).await;
        assert_eq!(
            (pressed.0, pressed.1.as_str()),
            (303, page.as_str()),
            "{path}"
        );
    }
    let shown = text(&page).await;
    assert!(shown.contains("RECOVERED: shop"), "{shown}");
    assert!(shown.contains("resolved by this machine") && shown.contains("the disk"));
    assert!(!shown.contains("<b>the disk"), "what people say is text");
    assert!(!shown.contains("Resolve</button>") && shown.contains("Add the comment"));
    let list = text("/incidents?status=resolved&monitor=shop").await;
    assert!(
        list.contains(&page) && list.contains("RECOVERED: shop"),
        "{list}"
    );
    assert_eq!(up.get("/incidents?cursor=none").await.0, 404);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn what_a_person_ends_is_told_once_and_what_goes_on_is_another_incident() {
    let it = Fixture::new().await;
    let (mut running, mut up) = it.up().await;
    it.channel(&up).await;
    let mut expected = vec!["opened"];
    let mut ids = Vec::new();
    // Once while the alerter runs, and once while it is dead.
    for dies in [false, true] {
        wait_until(PATIENCE, async || it.told() == expected).await;
        let id = open_incident(&up).await;
        let path = format!("/v1/incidents/{id}");
        let (status, resolved) = up.post(&format!("{path}/resolve"), &json!({})).await;
        assert_eq!(status, 200, "{resolved}");
        assert_eq!(resolved["status"], "resolved");
        let last = resolved["events"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["kind"], &last["by"]),
            (&json!("resolved"), &json!("this machine"))
        );
        if dies {
            running.kill().await;
            (running, up) = it.up().await;
        }
        let (status, again) = up.post(&format!("{path}/resolve"), &json!({})).await;
        assert_eq!(status, 403, "{again}");
        ids.push(id);
        expected.extend(["resolved", "opened"]);
    }
    wait_until(PATIENCE, async || it.told() == expected).await;
    ids.push(open_incident(&up).await);
    it.target.set("/", Reply::text("fine"));
    expected.push("resolved");
    wait_until(PATIENCE, async || it.told() == expected).await;

    let notices = hook::notices(&it.receiver);
    let told = notices.iter().map(|notice| &notice["incident"]["id"]);
    let expected: Vec<&String> = ids.iter().flat_map(|id| [id, id]).collect();
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let recovery = &notices[1];
    let link = recovery["link"].as_str().unwrap();
    assert!(link.ends_with(&format!("/incidents/{}", ids[0])), "{link}");
    let (_, all) = up.get("/v1/incidents").await;
    assert_eq!(all["incidents"].as_array().unwrap().len(), ids.len());
    assert!(running.terminate().await.success());
}

/// As pages write it, so much later.
fn moment(at: &str, later: Duration) -> String {
    let at = at.parse::<sonde_core::Timestamp>().unwrap() + later;
    let text = at.to_string().replace('T', " ");
    text.split_once('.').unwrap().0.to_owned()
}

#[tokio::test]
async fn times_on_the_pages_of_incidents_are_the_viewers() {
    let it = Fixture::new().await;
    let (running, up) = it.up().await;
    wait_until(PATIENCE, async || {
        let (_, page) = up.get("/v1/incidents?status=open").await;
        !page["incidents"].as_array().unwrap().is_empty()
    })
    .await;
    let id = open_incident(&up).await;
    let (_, incident) = up.get(&format!("/v1/incidents/{id}")).await;
    let since = incident["detail"]["regions"][0]["since"].as_str().unwrap();
    let opened = incident["opened_at"].as_str().unwrap();
    let text = async |path: &str| {
        let shown = up.send(Method::GET, path, None).await;
        shown.text().await.unwrap()
    };
    for (zone, minutes) in [("Asia/Kolkata", 330), ("UTC", 0)] {
        let later = Duration::from_mins(minutes);
        let (since, opened) = (moment(since, later), moment(opened, later));
        let shown = text(&format!("/incidents/{id}?zone={zone}")).await;
        for expected in [
            format!("<dt>Since</dt><dd>{opened}</dd>"),
            format!("failed since {since}: "),
            format!("<time>{opened}</time> <b>opened</b>"),
        ] {
            assert!(shown.contains(&expected), "{expected} in {shown}");
        }
        assert!(
            !shown.contains(" UTC:") && !shown.contains(" UTC</dd>"),
            "{shown}"
        );
        let list = text(&format!("/incidents?zone={zone}")).await;
        assert!(list.contains(&format!(">{opened}</time>")), "{list}");
    }
    assert!(running.terminate().await.success());
}
