//! A webhook of one's own, signed as Standard Webhooks has it: JSON of the notice, or of a template.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sonde_core::Timestamp;
use standardwebhooks::Webhook as Signer;

use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at};
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, NoticeEvent, ReportNotice, Secret, SecretUrl};

/// Set by whoever sends, or by the signature.
const RESERVED_HEADERS: [&str; 8] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Of Standard Webhooks: 192 to 512 bits.
const SIGNING_KEY_BYTES: RangeInclusive<usize> = 24..=64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    pub url: SecretUrl,
    /// `whsec_` and 24 to 64 bytes in base64: signs each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// JSON in whose texts `{{incident.name}}` stands for what the notice's JSON has there, `{{headline}}` for its
    /// headline and `{{text}}` for all of it in words. A text that is one placeholder becomes the value itself.
    /// No secrets: it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

impl Settings for Webhook {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_secret_url("url", &self.url);
        if let Some(secret) = &self.secret
            && signer(secret).is_none()
        {
            problems.add("secret", "must be `whsec_` and 24 to 64 bytes in base64");
        }
        for (name, value) in &self.headers {
            let path = format!("headers.{name}");
            problems.look_at_header(&path, name, value);
            if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                problems.add(&path, "is set by Sonde");
            }
        }
        if let Some(template) = &self.body {
            let known = values(&Notice::sample(NoticeEvent::Opened));
            let mut unknown = BTreeSet::new();
            filled(template, &mut |name| {
                let found = find(&known, name);
                if found.is_none() {
                    unknown.insert(name.to_owned());
                }
                found
            });
            for name in unknown {
                problems.add("body", format!("a notice has no `{name}`"));
            }
        }
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        let mut secrets = vec![at("url", &mut self.url)];
        secrets.extend(self.secret.iter_mut().map(|secret| at("secret", secret)));
        let headers = self.headers.iter_mut();
        secrets.extend(headers.map(|(name, value)| {
            let place = format!("headers.{}", name.to_ascii_lowercase());
            at(place, value)
        }));
        secrets
    }

    fn receiver(&self) -> String {
        self.url.origin()
    }

    fn message(&self, notice: &Notice, at: Timestamp) -> Message {
        self.post(notice, at)
    }

    fn report(&self, report: &ReportNotice, at: Timestamp) -> Option<Message> {
        Some(self.post(report, at))
    }
}

impl Webhook {
    fn post(&self, notice: &(impl Words + Serialize), at: Timestamp) -> Message {
        let mut request = match &self.body {
            Some(template) => {
                let values = values(notice);
                let body = filled(template, &mut |name| find(&values, name));
                HttpRequest::json(&self.url.0, &body)
            }
            None => HttpRequest::json(&self.url.0, notice),
        };
        for (name, value) in &self.headers {
            request = request.header(name, &value.0);
        }
        let id = notice.id().to_string();
        let seconds = at.as_micros().div_euclid(1_000_000);
        if let Some(signer) = self.secret.as_ref().and_then(signer) {
            let signature = signer
                .sign(&id, seconds, request.body.as_bytes())
                .expect("a body is UTF-8");
            request = request.header("webhook-signature", signature);
        }
        request
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .into()
    }
}

fn signer(secret: &Secret) -> Option<Signer> {
    let encoded = secret.0.strip_prefix("whsec_")?;
    let key = STANDARD.decode(encoded).ok()?;
    let valid = SIGNING_KEY_BYTES.contains(&key.len());
    valid.then(|| Signer::from_bytes(key).ok())?
}

/// What placeholders may name.
fn values(notice: &(impl Words + Serialize)) -> Value {
    let mut values = serde_json::to_value(notice).expect("a notice is JSON");
    values["headline"] = notice.headline().into();
    values["text"] = notice.plain(usize::MAX).into();
    values
}

fn find(values: &Value, name: &str) -> Option<Value> {
    values
        .pointer(&format!("/{}", name.replace('.', "/")))
        .cloned()
}

/// The template with its placeholders filled in. It is filled as JSON and not as text, so nothing can break out of it.
fn filled(template: &Value, find: &mut impl FnMut(&str) -> Option<Value>) -> Value {
    match template {
        Value::String(text) => filled_text(text, find),
        Value::Array(items) => items.iter().map(|item| filled(item, find)).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), filled(value, find)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn filled_text(text: &str, find: &mut impl FnMut(&str) -> Option<Value>) -> Value {
    if let Some(("", name, "")) = placeholder(text) {
        return find(name).unwrap_or_default();
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, name, after)) = placeholder(rest) {
        result.push_str(before);
        match find(name).unwrap_or_default() {
            Value::Null => {}
            Value::String(text) => result.push_str(&text),
            other => result.push_str(&other.to_string()),
        }
        rest = after;
    }
    Value::String(result + rest)
}

/// What stands before the first placeholder, its name, and what stands after it.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name.trim(), after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::{channel, http, samples};

    #[test]
    fn a_webhook_is_signed_as_others_compute_it() {
        let channel = &samples()[0];
        let request = http(channel, &Notice::sample(NoticeEvent::Opened));
        let header = |name: &str| {
            let mut headers = request.headers.iter();
            headers
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
                .unwrap()
        };
        assert_eq!(header("webhook-id"), "00000000-0000-0000-0000-0000000005a0");
        assert_eq!(header("webhook-timestamp"), "1795781525");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hunter2hunter2hunter2hunter2");
        let signed = format!(
            "{}.{}.{}",
            header("webhook-id"),
            header("webhook-timestamp"),
            request.body
        );
        let expected = STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes()));
        assert_eq!(header("webhook-signature"), format!("v1,{expected}"));
    }

    #[test]
    fn a_template_is_filled_as_json() {
        let channel = channel(json!({ "webhook": {
            "url": "https://a.example",
            "body": {
                "text": "{{headline}} ({{ incident.acknowledged_by }}{{incident.flapping}})",
                "regions": "{{incident.regions}}",
                "first": "{{incident.regions.0.region}}",
                "fixed": [1, "{{", null],
            },
        } }));
        let mut notice = Notice::sample(NoticeEvent::Opened);
        notice.incident.name = "\"}, {{incident.id}} \\".to_owned();
        let body: Value = serde_json::from_str(&http(&channel, &notice).body).unwrap();
        let expected = json!({
            "text": "DOWN: \"}, {{incident.id}} \\ (false)",
            "regions": notice.incident.regions,
            "first": "eu-west",
            "fixed": [1, "{{", null],
        });
        assert_eq!(body, expected);
    }
}
