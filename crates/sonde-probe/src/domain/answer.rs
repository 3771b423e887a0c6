//! What is read out of an answer about a domain (RFC 9083 §5.3). Pure, and lenient: registries differ in what they send.

use serde_json::Value;
use sonde_core::{DomainDetail, Timestamp};
use url::Url;

/// More than a registry has names for (RFC 8056); whoever sends more wants to fill our store.
const MOST_STATUS: usize = 24;
const LONGEST_TEXT: usize = 200;

/// `Err` says what it is instead.
pub(super) fn read(body: &[u8], name: &str, server: &Url) -> Result<DomainDetail, String> {
    let answer: Value =
        serde_json::from_slice(body).map_err(|error| format!("it is not JSON ({error})"))?;
    is_about(&answer, name)?;
    let dates = |action| events(&answer, action);
    let status = list(&answer, "status").iter().filter_map(Value::as_str);
    Ok(DomainDetail {
        // A renewal may be told beside what was before it.
        expires_at: dates("expiration")
            .max()
            .or_else(|| dates("registrar expiration").max()),
        registered_at: dates("registration").min(),
        registrar: registrar(&answer),
        status: status.take(MOST_STATUS).map(short).collect(),
        server: server.to_string(),
    })
}

fn is_about(answer: &Value, name: &str) -> Result<(), String> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    let told = text("ldhName").map(|told| told.trim_end_matches('.').to_ascii_lowercase());
    match (text("objectClassName"), &told) {
        (Some(class), _) if !class.eq_ignore_ascii_case("domain") => {
            return Err(format!("it is about an object `{}`", short(class)));
        }
        (None, None) => return Err("it names no domain".to_owned()),
        _ => {}
    }
    match told {
        // Some write the name in its own script there.
        Some(told) if told.is_ascii() && told != name => {
            Err(format!("it is about `{}`", short(&told)))
        }
        _ => Ok(()),
    }
}

/// When something happened, or will.
fn events<'a>(answer: &'a Value, action: &'a str) -> impl Iterator<Item = Timestamp> + 'a {
    let events = list(answer, "events").iter();
    let text = |event: &'a Value, key: &str| event.get(key).and_then(Value::as_str);
    events.filter_map(move |event| {
        let is_it = text(event, "eventAction")?.eq_ignore_ascii_case(action);
        is_it.then(|| text(event, "eventDate").and_then(date))?
    })
}

/// RFC 3339, and what is sent instead of it: without an offset, or the day alone.
fn date(text: &str) -> Option<Timestamp> {
    let forms = [
        text.to_owned(),
        format!("{text}Z"),
        format!("{text}T00:00:00Z"),
    ];
    forms.iter().find_map(|text| text.parse().ok())
}

fn registrar(answer: &Value) -> Option<String> {
    let is_registrar = |entity: &&Value| {
        let mut roles = list(entity, "roles").iter().filter_map(Value::as_str);
        roles.any(|role| role.eq_ignore_ascii_case("registrar"))
    };
    let entity = list(answer, "entities").iter().find(is_registrar)?;
    // A jCard (RFC 7095): ["vcard", [[name, parameters, type, value], …]].
    let card = entity.get("vcardArray").and_then(|card| card.get(1));
    let properties = card
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let property = |name: &str| {
        let is_it = |property: &&Value| property.get(0).and_then(Value::as_str) == Some(name);
        let mut found = properties.iter().filter(is_it);
        found.find_map(|property| first_text(property.get(3)?))
    };
    let handle = || entity.get("handle").and_then(first_text);
    property("fn")
        .or_else(|| property("org"))
        .or_else(handle)
        .map(short)
}

fn first_text(value: &Value) -> Option<&str> {
    let texts = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut texts = texts.iter().filter_map(Value::as_str).map(str::trim);
    texts.find(|text| !text.is_empty())
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_json(answer: &Value) -> Result<DomainDetail, String> {
        let server = "https://rdap.example/v1/".parse().unwrap();
        read(answer.to_string().as_bytes(), "shop.example", &server)
    }

    fn detail(answer: &Value) -> Value {
        serde_json::to_value(read_json(answer).unwrap()).unwrap()
    }

    /// As Verisign answers, shortened.
    fn full() -> Value {
        json!({
            "objectClassName": "domain",
            "handle": "2336799_DOMAIN_COM-VRSN",
            "ldhName": "SHOP.EXAMPLE",
            "status": ["client delete prohibited", "client transfer prohibited"],
            "entities": [
                { "objectClassName": "entity", "roles": ["technical"], "handle": "T" },
                {
                    "objectClassName": "entity", "handle": "376", "roles": ["registrar"],
                    "vcardArray": ["vcard", [
                        ["version", {}, "text", "4.0"],
                        ["fn", {}, "text", "Example Registrar, Inc."],
                    ]],
                    "entities": [{ "roles": ["abuse"], "vcardArray": ["vcard", []] }],
                },
            ],
            "events": [
                { "eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z" },
                { "eventAction": "expiration", "eventDate": "2027-08-13T04:00:00Z" },
                { "eventAction": "last changed", "eventDate": "2026-08-14T07:01:34Z" },
            ],
            "secureDNS": { "delegationSigned": true },
        })
    }

    #[test]
    fn all_that_is_told_is_read() {
        let expected = json!({
            "expires_at": "2027-08-13T04:00:00.000000Z",
            "registered_at": "1995-08-14T04:00:00.000000Z",
            "registrar": "Example Registrar, Inc.",
            "status": ["client delete prohibited", "client transfer prohibited"],
            "server": "https://rdap.example/v1/",
        });
        assert_eq!(detail(&full()), expected);
    }

    #[test]
    fn what_a_registry_does_not_tell_is_absent() {
        let bare = json!({ "objectClassName": "domain", "ldhName": "shop.example." });
        assert_eq!(
            detail(&bare),
            json!({ "server": "https://rdap.example/v1/" })
        );
        // No class, and nothing of the right type.
        let strange = json!({
            "ldhName": "shop.example", "events": {}, "status": "active", "entities": [1, { "roles": "registrar" }],
        });
        assert_eq!(
            detail(&strange),
            json!({ "server": "https://rdap.example/v1/" })
        );
    }

    #[track_caller]
    fn check_expiration(events: &[(&str, &str)], expected: Option<&str>) {
        let events = events.iter();
        let events: Vec<Value> = events
            .map(|(action, date)| json!({ "eventAction": action, "eventDate": date }))
            .collect();
        let answer = json!({ "objectClassName": "domain", "events": events });
        let expires_at = read_json(&answer).unwrap().expires_at;
        assert_eq!(
            expires_at,
            expected.map(|at| at.parse().unwrap()),
            "{answer}"
        );
    }

    #[test]
    fn dates_are_read_in_every_form_that_is_sent() {
        let at = |date| check_expiration(&[("expiration", date)], Some("2027-01-31T22:00:00Z"));
        at("2027-01-31T22:00:00Z");
        at("2027-02-01T00:00:00+02:00");
        at("2027-01-31T22:00:00.000Z");
        at("2027-01-31T22:00:00");
        let midnight = Some("2027-01-31T00:00:00Z");
        check_expiration(&[("Expiration", "2027-01-31")], midnight);
        check_expiration(&[("expiration", "never")], None);
    }

    #[test]
    fn of_several_dates_the_last_counts_and_the_registrys_before_the_registrars() {
        let (old, new) = ("2026-01-31T00:00:00Z", "2027-01-31T00:00:00Z");
        check_expiration(&[("expiration", new), ("expiration", old)], Some(new));
        check_expiration(
            &[("registrar expiration", new), ("expiration", old)],
            Some(old),
        );
        check_expiration(&[("registrar expiration", new)], Some(new));
        check_expiration(&[("last changed", new)], None);
    }

    #[test]
    fn a_registrar_without_a_name_is_known_by_its_organisation_or_its_handle() {
        let with = |entity: Value| {
            let answer = json!({ "objectClassName": "domain", "entities": [entity] });
            read_json(&answer).unwrap().registrar
        };
        let card = |properties: Value| {
            let card = json!(["vcard", properties]);
            with(json!({ "roles": ["Registrar"], "handle": "376", "vcardArray": card }))
        };
        let named = card(json!([
            ["org", {}, "text", "Org"],
            ["fn", {}, "text", "Name"]
        ]));
        assert_eq!(named.as_deref(), Some("Name"));
        let org = card(json!([
            ["fn", {}, "text", " "],
            ["org", {}, "text", ["Org", "Unit"]]
        ]));
        assert_eq!(org.as_deref(), Some("Org"));
        assert_eq!(card(json!([])).as_deref(), Some("376"));
        assert_eq!(with(json!({ "roles": ["registrar"] })), None);
    }

    #[test]
    fn what_is_about_something_else_is_told_apart() {
        let refused = |answer: &Value| read_json(answer).unwrap_err();
        let errors = [
            refused(&json!({ "errorCode": 500, "title": "sorry" })),
            refused(&json!({ "objectClassName": "nameserver", "ldhName": "shop.example" })),
            refused(&json!({ "objectClassName": "domain", "ldhName": "example" })),
            refused(&json!([])),
            read(b"<html>", "shop.example", &"http://a/".parse().unwrap()).unwrap_err(),
        ];
        let expected = [
            "it names no domain",
            "it is about an object `nameserver`",
            "it is about `example`",
            "it names no domain",
            "it is not JSON (expected value at line 1 column 1)",
        ];
        assert_eq!(errors, expected);
    }

    #[test]
    fn an_answer_cannot_fill_the_store() {
        let long = "x".repeat(10_000);
        let status = vec![long.clone(); 1000];
        let answer = json!({ "objectClassName": "domain", "status": status });
        let detail = read_json(&answer).unwrap();
        assert_eq!(detail.status.len(), MOST_STATUS);
        assert_eq!(detail.status[0].len(), LONGEST_TEXT);
    }
}
