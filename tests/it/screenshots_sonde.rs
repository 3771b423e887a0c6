//! Screenshots as people get them: on the page and in the API of `sonde up`, in later notices, and by a fleet's
//! screenshotter in a bucket.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_core::WorkspaceId;
use sonde_seal::SealingKeys;
use sonde_store::libsql::LibsqlStore;
use sonde_tests::api::Caller;
use sonde_tests::hook;
use sonde_tests::services;
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

use crate::screenshots::{COLOUR, PAGE, bucket, incident, look_at, page_with_status};
use crate::store_harness::primary;

const PATIENCE: Duration = Duration::from_mins(1);

/// A shop that is down, and a receiver of webhooks.
struct Scene {
    target: HttpStub,
    receiver: HttpStub,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let target = HttpStub::start([("/", page_with_status(503, PAGE))]).await;
        let receiver = hook::receiver().await;
        let folder = tempfile::tempdir().unwrap();
        let defaults = "defaults: { interval: 5s, timeout: 2s, retries: 0, alert: { fail_after: 1, recover_after: 1 } }";
        let url = target.url("/");
        let text = format!("{defaults}\nmonitors:\n  shop: {{ http: \"{url}\", paused: true }}\n");
        std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
        Self {
            target,
            receiver,
            folder,
        }
    }

    /// Tells the receiver of what happens to the shop from now on.
    async fn begin(&self, running: &Running) -> Caller {
        let up = Caller::of(running.url(""));
        hook::channel(&up, &self.receiver, json!({})).await;
        let file = self.folder.path().join("sonde.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(", paused: true", "")).unwrap();
        running.reload();
        wait_until(PATIENCE, async || self.told().len() == 1).await;
        up
    }

    fn told(&self) -> Vec<Value> {
        hook::notices(&self.receiver)
    }

    async fn recover(&self) {
        self.target.set("/", Reply::text("fine"));
        wait_until(PATIENCE, async || self.told().len() == 2).await;
    }
}

async fn the_incident(up: &Caller) -> String {
    let (_, page) = up.get("/v1/incidents").await;
    let id = page["incidents"][0]["id"].as_str();
    id.unwrap_or_else(|| panic!("{page:#}")).to_owned()
}

#[tokio::test]
async fn an_incident_has_a_picture_which_later_notices_lead_to() {
    let Some(chromium) = services::chromium() else {
        return;
    };
    let scene = Scene::new().await;
    let running = Sonde::up_with_screenshots(scene.folder.path())
        .env("SONDE_CHROMIUM", chromium)
        .env("SONDE_PUBLIC_URL", "https://sonde.example/");
    let running = running.serve().await;
    let up = scene.begin(&running).await;
    let id = the_incident(&up).await;
    let path = format!("/v1/incidents/{id}");
    let shown = async || up.get(&path).await.1["screenshot"].clone();
    wait_until(PATIENCE, async || shown().await != Value::Null).await;
    let screenshot = shown().await;
    assert_eq!(screenshot["url"], format!("{path}/screenshot"));

    let picture = up
        .send(Method::GET, &format!("{path}/screenshot"), None)
        .await;
    assert_eq!(picture.status(), 200);
    let header = |name| picture.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "image/png");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").contains("default-src 'none'"));
    let png = picture.bytes().await.unwrap();
    assert_eq!(look_at(&png), (1280, 800, COLOUR));
    assert_eq!(screenshot["size"], png.len());
    let file = format!("data/screenshots/{}/{id}.png", WorkspaceId::local());
    assert!(scene.folder.path().join(file).exists());

    let page = up
        .send(Method::GET, &format!("/incidents/{id}"), None)
        .await;
    let page = page.text().await.unwrap();
    let image = format!("<img src=\"{path}/screenshot\"");
    assert!(page.contains(&image), "{page}");
    let alt = format!("alt=\"Screenshot of {}", scene.target.url("/"));
    assert!(page.contains(&alt), "{page}");

    scene.recover().await;
    let told = scene.told();
    assert_eq!(told[0]["incident"]["screenshot"], Value::Null);
    let place = format!("https://sonde.example/incidents/{id}#screenshot");
    assert_eq!(told[1]["incident"]["screenshot"], place, "{:#}", told[1]);
    let missing = up
        .get("/v1/incidents/00000000-0000-0000-0000-000000000000/screenshot")
        .await;
    assert_eq!(missing.0, 404, "{}", missing.1);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn without_chromium_all_else_works() {
    let scene = Scene::new().await;
    let running = Sonde::up_with_screenshots(scene.folder.path()).env("PATH", "/nowhere");
    let running = running.serve().await;
    let up = scene.begin(&running).await;
    let id = the_incident(&up).await;
    scene.recover().await;
    let (_, incident) = up.get(&format!("/v1/incidents/{id}")).await;
    assert_eq!(incident["screenshot"], Value::Null);
    let (status, problem) = up.get(&format!("/v1/incidents/{id}/screenshot")).await;
    assert_eq!(status, 404, "{problem}");
    let page = up
        .send(Method::GET, &format!("/incidents/{id}"), None)
        .await;
    assert!(!page.text().await.unwrap().contains("screenshot"));
    let log = running.log();
    assert_eq!(log.matches("Chromium").count(), 1, "{log}");
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_browser_that_is_none_is_an_error_with_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let up = Sonde::up_with_screenshots(folder.path()).env("SONDE_CHROMIUM", "/nowhere/chromium");
    let output = up.run().await;
    assert_eq!(output.code, Some(2), "{output:?}");
    let why = "/nowhere/chromium is not a program";
    assert!(output.stderr.contains(why), "{output:?}");
    let up = Sonde::up_with_screenshots(folder.path())
        .argument("--screenshots-url=https://sonde.example");
    let output = up.run().await;
    assert_eq!(output.code, Some(2), "{output:?}");
    let why = "--screenshots-url `https://sonde.example` is neither a folder nor a bucket";
    assert!(output.stderr.contains(why), "{output:?}");
}

#[tokio::test]
async fn a_fleet_has_screenshotters_of_its_own() {
    let Some(chromium) = services::chromium() else {
        return;
    };
    let Some(amqp) = services::amqp("screenshots").await else {
        return;
    };
    let (Some(libsql), Some(s3)) = (services::libsql().await, services::s3("sonde").await) else {
        return;
    };
    let stub = HttpStub::start([("/", page_with_status(503, PAGE))]).await;
    let folder = tempfile::tempdir().unwrap();
    let sonde = |arguments: &[&str]| {
        Sonde::new(arguments)
            .directory(folder.path())
            .env("SONDE_AMQP_URL", &amqp.url)
            .env("SONDE_LIBSQL_URL", &libsql.url)
            .env("SONDE_CHROMIUM", &chromium)
            .env("SONDE_SCREENSHOTS_URL", "s3://sonde/a/b")
            .env("AWS_ENDPOINT_URL", &s3.url)
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .patience(PATIENCE)
    };
    for arguments in [&["migrate"][..], &["queues", "apply", "--regions", "fra"]] {
        let output = sonde(arguments).run().await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    let role = ["run", "--role", "screenshotter", "--egress", "open"];
    let role = sonde(&role).argument("--checker-listen=127.0.0.1:0");
    let running = role.serve().await;
    let keys = SealingKeys::none();
    let store = LibsqlStore::remote(&primary(&libsql), keys).await.unwrap();
    let id = incident(&store, &stub.url("/")).await;
    let (pictures, local) = (bucket(&s3.url, "sonde"), WorkspaceId::local());
    let picture = async || pictures.get(&local, id).await.unwrap();
    wait_until(PATIENCE, async || picture().await.is_some()).await;
    assert_eq!(look_at(&picture().await.unwrap()).2, COLOUR);
    assert!(
        !Path::new(folder.path())
            .join("sonde-data/screenshots")
            .exists()
    );
    assert!(running.terminate().await.success());
}
