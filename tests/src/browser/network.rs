//! What a browser fetched, out of chromedriver's performance log: events of the DevTools protocol's `Network`.

use serde_json::Value;

/// One request; where an answer leads on there is another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    pub url: String,
    /// As the DevTools protocol names it: `Document`, `Stylesheet`, `Image`, `Fetch`, …
    pub kind: String,
    /// None while there was no answer.
    pub status: Option<u64>,
    /// As they came over the network, headers too; 0 while the answer goes on.
    pub bytes: u64,
    id: String,
}

impl Request {
    /// Whether it went over the network at all.
    pub fn is_remote(&self) -> bool {
        !["data:", "blob:", "about:"]
            .iter()
            .any(|scheme| self.url.starts_with(scheme))
    }
}

pub(super) fn requests(log: &[Value]) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    for entry in log {
        let text = entry["message"].as_str().unwrap_or_default();
        let event: Value = serde_json::from_str(text).unwrap_or_default();
        let event = &event["message"];
        let parameters = &event["params"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&parameters["requestId"]);
        let method = event["method"].as_str().unwrap_or_default();
        if method == "Network.requestWillBeSent" {
            // Where it led on, the answer comes with the request that followed.
            let led_on = parameters["redirectResponse"]["status"].as_u64();
            if let Some(before) = requests.iter_mut().rfind(|it| it.id == id) {
                before.status = led_on;
            }
            requests.push(Request {
                url: text(&parameters["request"]["url"]),
                kind: text(&parameters["type"]),
                id,
                ..Request::default()
            });
        } else if let Some(request) = requests.iter_mut().rfind(|it| it.id == id) {
            match method {
                "Network.responseReceived" => {
                    request.status = parameters["response"]["status"].as_u64();
                }
                "Network.loadingFinished" => request.bytes = bytes(parameters),
                _ => {}
            }
        }
    }
    requests
}

/// The protocol has them as a number that may have a fraction.
fn bytes(parameters: &Value) -> u64 {
    let length = &parameters["encodedDataLength"];
    let whole = length.to_string();
    let whole = whole.split('.').next().unwrap_or_default();
    whole.parse().unwrap_or_default()
}
