//! `http`: a URL, or a mapping with everything that a request can have.

use percent_encoding::percent_decode_str;
use sonde_core::{Auth, HttpSpec, HttpVersion, NetworkOptions};
use url::Url;

use super::{body, network, tls_options};
use crate::decode::Item;
use crate::fields::Fields;

pub(crate) const VERSIONS: [(&str, HttpVersion); 3] = [
    ("auto", HttpVersion::Auto),
    ("1.1", HttpVersion::Http1),
    ("2", HttpVersion::Http2),
];

pub(super) fn decode(item: &Item<'_>, defaults: &NetworkOptions) -> Option<HttpSpec> {
    if item.is_map() {
        return item
            .fields("http", |fields| long(fields, defaults))
            .flatten();
    }
    let (url, auth) = item.parse(parse_url)?;
    Some(HttpSpec {
        auth,
        network: defaults.clone(),
        ..HttpSpec::get(url)
    })
}

fn long(fields: &mut Fields<'_>, defaults: &NetworkOptions) -> Option<HttpSpec> {
    let target = fields
        .required("url")
        .and_then(|item| item.parse(parse_url));
    let method = fields
        .take("method")
        .and_then(|item| item.parse(parse_method));
    let mut headers = fields
        .take("headers")
        .map(|item| headers(&item))
        .unwrap_or_default();
    let body = fields.take("body").and_then(|item| body::decode(&item));
    let auth_item = fields.take("auth");
    let auth = auth_item
        .as_ref()
        .and_then(|item| item.fields("auth", auth))
        .flatten();
    let tls = fields
        .take("tls")
        .and_then(|item| item.fields("tls_options", tls_options::decode));
    let proxy = fields
        .take("proxy")
        .and_then(|item| item.parse(parse_proxy));
    let version = fields
        .take("http_version")
        .and_then(|item| item.choice(&VERSIONS));
    let max_redirects = redirects(fields);
    let compression = fields.take("compression").and_then(|item| item.boolean());
    let network = network(fields, defaults);
    let (url, url_auth) = target?;
    if let (Some(item), true) = (&auth_item, url_auth.is_some()) {
        item.problem("the URL already has a user name and password");
    }
    let (body, content_type) = body.unwrap_or_default();
    headers.extend(implied(&headers, content_type));
    let standard = HttpSpec::get(url);
    Some(HttpSpec {
        method: method.unwrap_or(standard.method),
        headers,
        body,
        auth: auth.or(url_auth),
        tls: tls.unwrap_or_default(),
        proxy,
        version: version.unwrap_or_default(),
        max_redirects: max_redirects.unwrap_or(standard.max_redirects),
        compression: compression.unwrap_or(standard.compression),
        network,
        url: standard.url,
    })
}

/// The content type that goes with the body, where no header says another.
fn implied(headers: &[(String, String)], content_type: Option<&str>) -> Option<(String, String)> {
    let given = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    content_type
        .filter(|_| !given)
        .map(|value| ("content-type".to_owned(), value.to_owned()))
}

/// The URL without its user name and password, and these.
pub(crate) fn parse_url(text: &str) -> Result<(Url, Option<Auth>), String> {
    let mut url = web_url(text, &["http", "https"])?;
    let auth = (!url.username().is_empty() || url.password().is_some()).then(|| {
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        Auth::Basic {
            username: decode(url.username()),
            password: decode(url.password().unwrap_or_default()),
        }
    });
    // Fails only for URLs without a host, which are refused above.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    Ok((url, auth))
}

/// Errors never repeat the text: it may hold a password.
pub(crate) fn web_url(text: &str, schemes: &[&str]) -> Result<Url, String> {
    let wanted = schemes.join(":// or ");
    // Which the parser would leave out.
    if text.trim().contains(char::is_control) {
        return Err("a URL contains no line breaks or other control characters".to_owned());
    }
    if !text.contains("://") {
        return Err(format!("a URL begins with {wanted}://"));
    }
    let url = Url::parse(text).map_err(|error| format!("not a valid URL: {error}"))?;
    if !schemes.contains(&url.scheme()) {
        return Err(format!(
            "a URL begins with {wanted}://, not {}://",
            url.scheme()
        ));
    }
    Ok(url)
}

pub(super) fn parse_proxy(text: &str) -> Result<Url, String> {
    let url = web_url(text, &["http"])?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("a proxy is `http://[user:password@]host:port`, without a path".to_owned());
    }
    Ok(url)
}

/// Any method but CONNECT, which is the proxy's; in capitals, as servers expect it.
fn parse_method(text: &str) -> Result<String, String> {
    let method = text.to_ascii_uppercase();
    if !is_token(&method) {
        return Err(format!("\"{text}\" is not an HTTP method"));
    }
    if method == "CONNECT" {
        return Err("CONNECT is for proxies; set `proxy` instead".to_owned());
    }
    Ok(method)
}

/// RFC 9110's token, which methods and header names are.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A mapping from name to value or values, or a list of `{name, value}` where the order matters.
pub(crate) fn headers(item: &Item<'_>) -> Vec<(String, String)> {
    if item.is_list() {
        let list = item.list_of(|item| {
            item.fields("header", |fields| {
                let name = fields
                    .required("name")
                    .and_then(|item| header_name(&item, item.filled()?));
                let value = fields
                    .required("value")
                    .and_then(|item| header_value(&item));
                name.zip(value)
            })
        });
        return list.unwrap_or_default().into_iter().flatten().collect();
    }
    let mut headers = Vec::new();
    for (name, item) in item.entries().unwrap_or_default() {
        let name = header_name(&item, name);
        let values = if item.is_list() {
            item.list_of(|item| header_value(&item)).unwrap_or_default()
        } else {
            header_value(&item).into_iter().collect()
        };
        headers.extend(
            values
                .into_iter()
                .filter_map(|value| Some((name.clone()?, value))),
        );
    }
    headers
}

fn header_name(item: &Item<'_>, name: &str) -> Option<String> {
    if !is_token(name) {
        item.problem(format!("\"{name}\" is not a header name"));
        return None;
    }
    if ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str()) {
        item.problem("follows from the body and cannot be set");
        return None;
    }
    Some(name.to_owned())
}

fn header_value(item: &Item<'_>) -> Option<String> {
    as_header_value(item, item.scalar()?)
}

fn as_header_value(item: &Item<'_>, value: &str) -> Option<String> {
    if value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        item.problem("a header value cannot contain line breaks or other control characters");
        return None;
    }
    Some(value.to_owned())
}

fn auth(fields: &mut Fields<'_>) -> Option<Auth> {
    let Some((name, item)) = fields.one_of(&["basic", "bearer"]) else {
        fields.item.problem("`basic` or `bearer` is missing");
        return None;
    };
    if name == "bearer" {
        return Some(Auth::Bearer {
            token: as_header_value(&item, item.filled()?)?,
        });
    }
    item.fields("basic", |fields| {
        let username = fields.required("username").and_then(|item| item.text());
        let password = fields.required("password").and_then(|item| item.text());
        Some(Auth::Basic {
            username: username?.to_owned(),
            password: password?.to_owned(),
        })
    })
    .flatten()
}

/// `max_redirects`, or zero by `follow_redirects: false`.
fn redirects(fields: &mut Fields<'_>) -> Option<u8> {
    let (name, item) = fields.one_of(&["max_redirects", "follow_redirects"])?;
    if name == "max_redirects" {
        return item.integer(0, 50);
    }
    (!item.boolean()?).then_some(0)
}
