//! Probes by HTTP.

use sonde_core::{Assertion, Auth, Comparator, HttpSpec, HttpVersion, Source, Spec, Unit, Value};

use super::super::lenient::{self, NO_EQUIVALENT, plain, with_pattern};
use super::super::targets::Target;
use super::Probe;
use crate::decode::Item;
use crate::fields::Fields;
use crate::kind;

const LEFT_OUT: [&str; 15] = [
    "body_size_limit",
    "fail_if_body_json_matches_cel",
    "fail_if_body_json_not_matches_cel",
    "oauth2",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "use_proxy_dns",
    "skip_resolve_phase_with_proxy",
    "enable_http3",
    "http_headers",
    "body_file",
    "bearer_token_file",
    "source_ip_address",
    "hostname",
];

pub(super) fn read(fields: &mut Fields<'_>, target: &Target<'_>) -> Option<Probe> {
    let network = super::network(fields);
    let tls = super::tls(fields);
    lenient::leave_out(fields, &LEFT_OUT);
    let method = lenient::text(fields.take("method"));
    let headers = fields.take("headers").map(|item| kind::headers(&item));
    let mut headers = headers.unwrap_or_default();
    let body = lenient::text(fields.take("body"));
    let auth = auth(fields, &mut headers);
    let proxy = fields.take("proxy_url").as_ref().and_then(lenient::proxy);
    let follows = follows(fields);
    let compression = lenient::text(fields.take("compression"));
    let http2 = lenient::flag(fields.take("enable_http2")).unwrap_or(true);
    let expect = expectations(fields);
    let address = target.address;
    let url = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let (url, url_auth) = target.item.parse(|_| kind::parse_url(&url))?;
    let standard = HttpSpec::get(url);
    let spec = HttpSpec {
        method: method.map_or_else(|| standard.method.clone(), str::to_owned),
        headers,
        body: body.map(|body| body.as_bytes().to_vec()),
        auth: auth.or(url_auth),
        tls,
        proxy,
        version: if http2 {
            HttpVersion::Auto
        } else {
            HttpVersion::Http1
        },
        max_redirects: if follows { standard.max_redirects } else { 0 },
        compression: compression != Some("identity"),
        network,
        ..standard
    };
    Some(Probe {
        spec: Spec::Http(Box::new(spec)),
        expect,
    })
}

/// By the key of today or by that of old, which is stronger.
fn follows(fields: &mut Fields<'_>) -> bool {
    let follow = lenient::flag(fields.take("follow_redirects"));
    match lenient::flag(fields.take("no_follow_redirects")) {
        Some(not) => !not,
        None => follow.unwrap_or(true),
    }
}

/// `basic_auth`, `bearer_token` or `authorization`. What is of another type becomes a header.
fn auth(fields: &mut Fields<'_>, headers: &mut Vec<(String, String)>) -> Option<Auth> {
    let basic = fields.take("basic_auth").and_then(|item| {
        item.fields("basic_auth", |fields| {
            lenient::leave_out(fields, &["password_file", "username_file"]);
            let username = lenient::text(fields.take("username")).unwrap_or_default();
            let password = lenient::text(fields.take("password")).unwrap_or_default();
            Auth::Basic {
                username: username.to_owned(),
                password: password.to_owned(),
            }
        })
    });
    let token = lenient::text(fields.take("bearer_token")).map(bearer);
    let authorization = fields.take("authorization").and_then(|item| {
        item.fields("authorization", |fields| {
            lenient::leave_out(fields, &["credentials_file"]);
            let kind = lenient::text(fields.take("type")).unwrap_or("Bearer");
            Some((kind, lenient::text(fields.take("credentials"))?))
        })
    });
    let authorization = match authorization.flatten() {
        Some((kind, credentials)) if kind.eq_ignore_ascii_case("bearer") => {
            Some(bearer(credentials))
        }
        Some((kind, credentials)) => {
            let value = format!("{} {}", kind.trim(), credentials.trim());
            headers.push(("authorization".to_owned(), value));
            None
        }
        None => None,
    };
    basic.or(token).or(authorization)
}

fn bearer(token: &str) -> Auth {
    Auth::Bearer {
        token: token.trim().to_owned(),
    }
}

/// Any 2xx, unless other codes are named; and all that must not fail.
fn expectations(fields: &mut Fields<'_>) -> Vec<Assertion> {
    let mut expect = Vec::new();
    expect.extend(
        fields
            .take("valid_status_codes")
            .and_then(|item| statuses(&item)),
    );
    expect.extend(
        fields
            .take("valid_http_versions")
            .and_then(|item| versions(&item)),
    );
    if lenient::flag(fields.take("fail_if_ssl")) == Some(true) {
        expect.push(plain(Source::TlsVersion, Comparator::IsEmpty));
    }
    if lenient::flag(fields.take("fail_if_not_ssl")) == Some(true) {
        expect.push(plain(Source::TlsVersion, Comparator::IsNotEmpty));
    }
    for (key, comparator) in [
        ("fail_if_body_matches_regexp", Comparator::NotMatches),
        ("fail_if_body_not_matches_regexp", Comparator::Matches),
    ] {
        let patterns = fields.take(key).and_then(|item| item.list());
        let assertion =
            |item: Item<'_>| item.parse(|text| with_pattern(Source::Body, comparator, text));
        expect.extend(patterns.into_iter().flatten().filter_map(assertion));
    }
    for (key, must_match) in [
        ("fail_if_header_matches", false),
        ("fail_if_header_not_matches", true),
        // So they were called once.
        ("fail_if_header_matches_regexp", false),
        ("fail_if_header_not_matches_regexp", true),
    ] {
        let headers = fields.take(key).and_then(|item| item.list());
        let headers = headers.into_iter().flatten();
        expect.extend(headers.flat_map(|item| header(&item, must_match)));
    }
    expect
}

fn statuses(item: &Item<'_>) -> Option<Assertion> {
    let mut codes: Vec<u16> = item.list_of(|item| item.integer(100, 999))?;
    codes.sort_unstable();
    codes.dedup();
    let number = |code: &u16| Value::Number((*code).into(), Unit::None);
    let (comparator, value) = match &codes[..] {
        [] => return None,
        [code] => (Comparator::Equal, number(code)),
        codes => (
            Comparator::In,
            Value::List(codes.iter().map(number).collect()),
        ),
    };
    Some(Assertion {
        source: Source::Status,
        comparator,
        value,
    })
}

/// `HTTP/1.1` and `HTTP/2.0` are `1.1` and `2` here; `HTTP/3.0` is not spoken.
fn versions(item: &Item<'_>) -> Option<Assertion> {
    let versions = item.list_of(|item| {
        let text = item.filled()?;
        let version = match text.strip_prefix("HTTP/").unwrap_or(text) {
            "3.0" => {
                item.warning(NO_EQUIVALENT);
                return None;
            }
            "2.0" => "2",
            version => version,
        };
        Some(Value::Text(version.to_owned()))
    })?;
    (!versions.is_empty()).then_some(Assertion {
        source: Source::HttpVersion,
        comparator: Comparator::In,
        value: Value::List(versions),
    })
}

/// A header that is missing fails, too, unless that is allowed.
fn header(item: &Item<'_>, must_match: bool) -> Vec<Assertion> {
    let assertions = item.fields("a header", |fields| {
        let name = fields.required("header").and_then(|item| item.filled());
        let pattern = fields.required("regexp");
        let allow_missing = lenient::flag(fields.take("allow_missing")).unwrap_or(false);
        let source = Source::new("header", Some(name?)).ok()?;
        if must_match && allow_missing {
            item.warning(format!(
                "a header that may be missing but must match {NO_EQUIVALENT}"
            ));
            return None;
        }
        let comparator = if must_match {
            Comparator::Matches
        } else {
            Comparator::NotMatches
        };
        let assertion = |text| with_pattern(source.clone(), comparator, text);
        let mut assertions = vec![pattern?.parse(assertion)?];
        if !must_match && !allow_missing {
            assertions.extend(with_pattern(source.clone(), Comparator::Matches, "^"));
        }
        Some(assertions)
    });
    assertions.flatten().unwrap_or_default()
}
