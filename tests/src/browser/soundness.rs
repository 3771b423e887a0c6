//! What every page has to be: complete, quiet, light, within its window, and usable by whoever cannot see it or has no
//! pointer. `soundness.js` looks at it from inside.

use std::fmt;

use serde_json::{Value, json};

use super::{Browser, Key, Request};
use crate::services;

/// Of the document and all that it needs but pictures, as they come over the network.
const HEAVIEST: u64 = 150_000;
/// The sum of `layout-shift`s; 0.1 is what browsers call good.
const MOST_SHIFT: f64 = 0.01;
/// Elements that Tab is pressed for, on one page.
const MOST_TABS: usize = 60;
/// What axe-core looks for: WCAG 2.2 at level AA, and what is good for everybody.
const RULES: [&str; 6] = [
    "wcag2a",
    "wcag2aa",
    "wcag21a",
    "wcag21aa",
    "wcag22aa",
    "best-practice",
];

/// Something that is wrong with a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `status`, `console`, `origin`, `weight`, `overflow`, `shift`, `focus`, or the name of one of axe-core's rules.
    pub rule: String,
    /// The element and why.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// A browser that looks for faults.
pub struct Soundness {
    browser: Browser,
}

impl Soundness {
    pub async fn start() -> Option<Self> {
        let axe = services::axe()?;
        let browser = Browser::start().await?;
        let script = format!("{axe}\n{}", include_str!("soundness.js"));
        browser.prepend(&script).await;
        Some(Self { browser })
    }

    pub fn browser(&self) -> &Browser {
        &self.browser
    }

    /// Opens a page of the server at `origin` and tells all that is wrong with it.
    pub async fn faults(&self, origin: &str, path: &str, status: u64) -> Vec<Fault> {
        self.open(origin, path).await;
        let mut faults = self.faults_here().await;
        let shift = self.browser.run("return soundness.shift()", Vec::new());
        let shift = shift.await.as_f64().unwrap_or(f64::MAX);
        if shift >= MOST_SHIFT {
            faults.push(fault(
                "shift",
                format!("what was there moved by {shift:.3}"),
            ));
        }
        // Last, so that what the page fetched later is among them.
        let requests = self.browser.requests().await;
        let counted = requests.iter().filter(|request| request.kind != "Image");
        let weight: u64 = counted.map(|request| request.bytes).sum();
        if weight >= HEAVIEST {
            faults.push(fault("weight", format!("{weight} bytes")));
        }
        faults.extend(self.noise(&requests, origin, status).await);
        faults
    }

    /// Of the page that is shown, however it was come by: only what can be seen of it.
    pub async fn faults_here(&self) -> Vec<Fault> {
        let mut faults = self.accessibility().await;
        let overflow = self.strings("overflow", "return soundness.overflow()");
        faults.extend(overflow.await);
        faults.extend(self.focus().await);
        faults
    }

    /// Of a page that others wrote: only what it asks for and what its console says.
    pub async fn noise_of(&self, origin: &str, path: &str) -> Vec<Fault> {
        self.open(origin, path).await;
        let requests = self.browser.requests().await;
        self.noise(&requests, origin, 200).await
    }

    async fn open(&self, origin: &str, path: &str) {
        // To another fragment of the page that is shown nothing would be loaded.
        self.browser.open("about:blank").await;
        self.browser.requests().await;
        self.browser.complaints().await;
        let origin = origin.trim_end_matches('/');
        self.browser.open(&format!("{origin}{path}")).await;
    }

    async fn accessibility(&self) -> Vec<Fault> {
        let violations = self
            .browser
            .run("return soundness.axe(arguments[0])", vec![json!(RULES)]);
        let violations = violations.await;
        let violations = violations.as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        violations
            .map(|violation| fault(&text(&violation[0]), text(&violation[1])))
            .collect()
    }

    async fn focus(&self) -> Vec<Fault> {
        let begin = "return soundness.beginFocus(arguments[0])";
        let count = self.browser.run(begin, vec![json!(MOST_TABS)]).await;
        let times = usize::try_from(count.as_u64().unwrap_or_default()).unwrap_or(MOST_TABS);
        self.browser.press(None, Key::Tab, times).await;
        self.strings("focus", "return soundness.endFocus()").await
    }

    async fn noise(&self, requests: &[Request], origin: &str, status: u64) -> Vec<Fault> {
        let document = requests.iter().find(|request| request.kind == "Document");
        let seen = document.and_then(|request| request.status);
        let mut faults = Vec::new();
        if seen != Some(status) {
            faults.push(fault("status", format!("{seen:?} instead of {status}")));
        }
        let own = format!("{}/", origin.trim_end_matches('/'));
        let remote = requests.iter().filter(|request| request.is_remote());
        let foreign = remote.filter(|request| !request.url.starts_with(&own));
        faults.extend(foreign.map(|request| fault("origin", format!("asks {}", request.url))));
        // A page that says that it is not there is told of as any answer of that kind.
        let own_status = document.filter(|_| status != 200);
        let expected = own_status.map(|document| format!("{} - Failed to load", document.url));
        let complaints = self.browser.complaints().await.into_iter();
        let complaints = complaints.filter(|complaint| {
            let is_expected = |expected| complaint.starts_with(expected);
            !expected.as_deref().is_some_and(is_expected)
        });
        faults.extend(complaints.map(|complaint| fault("console", complaint)));
        faults
    }

    async fn strings(&self, rule: &str, script: &str) -> Vec<Fault> {
        let found = self.browser.run(script, Vec::new()).await;
        let found = found.as_array().into_iter().flatten();
        let found = found.filter_map(Value::as_str);
        found.map(|what| fault(rule, what.to_owned())).collect()
    }
}

fn fault(rule: &str, what: String) -> Fault {
    Fault {
        rule: rule.to_owned(),
        what,
    }
}
