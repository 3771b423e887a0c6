//! A channel that leads to a stub, and what was told there.

use std::collections::{BTreeMap, HashSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Caller;
use crate::stub::http::{HttpStub, Reply};

const PATH: &str = "/hook";

/// Takes whatever it is told.
pub async fn receiver() -> HttpStub {
    HttpStub::start([(PATH, Reply::text(""))]).await
}

/// Has the webhook channel `hook` lead there; `rest` are its other settings.
pub async fn channel(caller: &Caller, receiver: &HttpStub, rest: Value) {
    let mut body = rest;
    body["send"] = json!({ "webhook": { "url": receiver.url(PATH) } });
    let put = caller.call(Method::PUT, "/v1/channels/hook", Some(&body));
    let (status, made) = put.await;
    assert_eq!(status, 201, "{made}");
}

/// Everything that came, in order.
pub fn notices(receiver: &HttpStub) -> Vec<Value> {
    let requests = receiver.requests().into_iter();
    let told = requests.filter(|request| request.path == PATH);
    told.map(|request| serde_json::from_slice(&request.body).unwrap_or_default())
        .collect()
}

/// The events that were told of each monitor, in order; what came again under the same id counts once.
pub fn told_once(receiver: &HttpStub) -> BTreeMap<String, Vec<String>> {
    let mut seen = HashSet::new();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for notice in notices(receiver) {
        if seen.insert(text(&notice["id"])) {
            let of = told.entry(text(&notice["incident"]["monitor"]));
            of.or_default().push(text(&notice["event"]));
        }
    }
    told
}

/// Of a value that should be one; empty otherwise.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
