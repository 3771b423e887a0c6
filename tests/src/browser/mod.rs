//! A real browser, driven by WebDriver: a session with a profile of its own, what it fetched and what its console said.
//!
//! Whatever fails here panics: there is nothing that a test could do about it.

mod network;
mod soundness;

use std::iter;
use std::time::Duration;

use fantoccini::actions::{
    InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction,
};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::services::{self, Chromedriver};
use crate::wait::comes_within;

pub use fantoccini::key::Key;
pub use network::Request;
pub use soundness::{Fault, Soundness};

/// How many there are at once in one process: each takes some 600 MB and a processor. Nextest, which gives each test a
/// process, is told the same.
static PLACES: Semaphore = Semaphore::const_new(2);

/// For one command: the machine may be busy, and the largest script takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What keeps it from doing anything that no test asked for.
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--no-first-run",
    "--no-pings",
    "--hide-scrollbars",
];

/// How pages are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

impl Look {
    /// A desk.
    pub const fn wide(dark: bool) -> Self {
        Self {
            width: 1440,
            height: 900,
            dark,
        }
    }

    /// A telephone.
    pub const fn narrow(dark: bool) -> Self {
        Self {
            width: 390,
            height: 844,
            dark,
        }
    }
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.dark { "dark" } else { "light" };
        write!(f, "{}×{} {scheme}", self.width, self.height)
    }
}

/// A browser with one page. It ends, and its profile is deleted, when dropped.
pub struct Browser {
    client: Client,
    driver: Chromedriver,
    _profile: TempDir,
    _place: SemaphorePermit<'static>,
}

impl Browser {
    /// Waits until there is a place for it.
    pub async fn start() -> Option<Self> {
        let place = PLACES.acquire().await.expect("it is never closed");
        let driver = services::chromedriver().await?;
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut flags = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "binary": driver.chromium, "args": flags },
        });
        let capabilities = capabilities.as_object().cloned().unwrap_or_default();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver.url)
            .await
            .unwrap_or_else(|error| unreachable!("no session with Chromium: {error}"));
        let browser = Self {
            client,
            driver,
            _profile: profile,
            _place: place,
        };
        let cold = json!({ "cacheDisabled": true });
        browser.devtools("Network.setCacheDisabled", cold).await;
        browser.set_look(Look::wide(false)).await;
        Some(browser)
    }

    /// What WebDriver can do beside what is here.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The group of its processes.
    pub fn group(&self) -> i32 {
        self.driver.group()
    }

    /// From the next page on.
    pub async fn set_look(&self, look: Look) {
        let size = json!({
            "width": look.width,
            "height": look.height,
            "deviceScaleFactor": 1,
            "mobile": false,
        });
        let size = self.devtools("Emulation.setDeviceMetricsOverride", size);
        size.await;
        let scheme = if look.dark { "dark" } else { "light" };
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Whether pages may run scripts.
    pub async fn allow_scripts(&self, allowed: bool) {
        let value = json!({ "value": !allowed });
        self.devtools("Emulation.setScriptExecutionDisabled", value)
            .await;
    }

    /// Opens a page and waits until all that it names is there.
    pub async fn open(&self, url: &str) {
        let what = format!("open {url}");
        self.ask(&what, self.client.goto(url)).await;
        // On a busy machine the driver comes back before the stylesheet is there.
        let ready = "return document.readyState === 'complete'";
        let is_ready = async || self.run(ready, Vec::new()).await == true;
        assert!(comes_within(PATIENCE, is_ready).await, "{what}");
    }

    /// The path of what is shown.
    pub async fn path(&self) -> String {
        let url = self.ask("tell the address", self.client.current_url());
        url.await.path().to_owned()
    }

    /// What a script that runs in the page returns, or what its promise comes to.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let what = format!("run {}", script.lines().next().unwrap_or_default());
        self.ask(&what, self.client.execute(script, arguments))
            .await
    }

    /// Waits for an element.
    pub async fn find(&self, css: &str) -> Element {
        let element = self.client.wait().at_most(PATIENCE);
        let element = element.for_element(Locator::Css(css));
        self.ask(&format!("find {css}"), element).await
    }

    /// Writes into a field, in place of what is there.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        let what = format!("fill {css}");
        self.ask(&what, field.clear()).await;
        self.ask(&what, field.send_keys(text)).await;
    }

    /// Clicks the button that says so.
    pub async fn click(&self, button: &str) {
        let xpath = format!("//button[normalize-space()='{button}']");
        let element = self.client.wait().at_most(PATIENCE);
        let element = element.for_element(Locator::XPath(&xpath));
        let what = format!("click {button}");
        let element = self.ask(&what, element).await;
        self.ask(&what, element.click()).await;
    }

    /// All that can be read of the page.
    pub async fn text(&self) -> String {
        let text = self.run("return document.body?.innerText", Vec::new());
        text.await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page says so.
    pub async fn shows(&self, text: &str) {
        let mut shown = String::new();
        let comes = comes_within(PATIENCE, async || {
            shown = self.text().await;
            shown.contains(text)
        });
        assert!(comes.await, "`{text}` does not come; there is:\n{shown}");
    }

    /// Waits until the page at this path is shown.
    pub async fn arrives(&self, path: &str) {
        let mut shown = String::new();
        let comes = comes_within(PATIENCE, async || {
            shown = self.path().await;
            shown == path
        });
        assert!(comes.await, "{shown} is shown, not {path}");
    }

    /// Presses a key so often, while another one is held.
    pub async fn press(&self, held: Option<Key>, key: Key, times: usize) {
        let held = held.map(char::from);
        let value = char::from(key);
        let stroke = [KeyAction::Down { value }, KeyAction::Up { value }];
        let begin = held.map(|value| KeyAction::Down { value });
        let end = held.map(|value| KeyAction::Up { value });
        let strokes = iter::repeat_n(stroke, times).flatten();
        let keys = KeyActions::new("keyboard".to_owned());
        let keys = begin
            .into_iter()
            .chain(strokes)
            .chain(end)
            .fold(keys, KeyActions::then);
        self.ask("press keys", self.client.perform_actions(keys))
            .await;
    }

    /// Moves the mouse to a place in the window.
    pub async fn point(&self, (x, y): (f64, f64)) {
        let mouse = MouseActions::new("mouse".to_owned()).then(to((x, y)));
        let moved = self.client.perform_actions(mouse);
        self.ask("move the mouse", moved).await;
    }

    /// Presses the mouse at a place in the window, and lets it go at another one.
    pub async fn drag(&self, from: (f64, f64), until: (f64, f64)) {
        let button = MOUSE_BUTTON_LEFT;
        let mouse = MouseActions::new("mouse".to_owned())
            .then(to(from))
            .then(PointerAction::Down { button })
            .then(to(until))
            .then(PointerAction::Up { button });
        let dragged = self.client.perform_actions(mouse);
        self.ask("drag the mouse", dragged).await;
    }

    /// What is in the window, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        self.ask("take a picture", self.client.screenshot()).await
    }

    /// Has a script run in every page before the page's own.
    pub async fn prepend(&self, script: &str) {
        let source = json!({ "source": script });
        self.devtools("Page.addScriptToEvaluateOnNewDocument", source)
            .await;
    }

    /// Everything that was fetched since the last time.
    pub async fn requests(&self) -> Vec<Request> {
        network::requests(&self.log("performance").await)
    }

    /// The console's warnings and errors since the last time.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.log("browser").await.into_iter();
        let entries = entries
            .filter(|entry| matches!(entry["level"].as_str(), Some("WARNING" | "SEVERE")))
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned());
        entries.collect()
    }

    async fn log(&self, name: &str) -> Vec<Value> {
        let entries = self.issue("se/log", json!({ "type": name })).await;
        entries.as_array().cloned().unwrap_or_default()
    }

    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": method, "params": parameters });
        self.issue("goog/cdp/execute", body).await
    }

    async fn issue(&self, path: &'static str, body: Value) -> Value {
        let what = format!("{path} {body:.200}");
        self.ask(&what, self.client.issue_cmd(Extension { path, body }))
            .await
    }

    async fn ask<T, E: std::fmt::Display>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, E>>,
    ) -> T {
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => unreachable!("the browser cannot {what}: {error}"),
            Err(_) => unreachable!("the browser cannot {what} within {PATIENCE:?}"),
        }
    }
}

fn to((x, y): (f64, f64)) -> PointerAction {
    let duration = Some(Duration::ZERO);
    PointerAction::MoveTo { duration, x, y }
}

/// A command that only chromedriver knows.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base_url: &url::Url,
        session_id: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session_id.unwrap_or_default();
        base_url.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
