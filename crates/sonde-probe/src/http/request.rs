//! What is sent: the request of a hop, and how it changes across redirects. Pure.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use sonde_core::{Auth, HttpSpec, Reason, TlsOptions, without_userinfo};
use url::{Origin, Position, Url};

use super::route::Opened;
use crate::observe::Failure;

/// How checks show themselves to servers.
const AGENT: &str = concat!("sonde/", env!("CARGO_PKG_VERSION"));

/// Headers of the user's that another origin may see. All others may hold what is meant for the target alone.
const HARMLESS: &[HeaderName] = &[
    ACCEPT,
    ACCEPT_ENCODING,
    http::header::ACCEPT_LANGUAGE,
    http::header::CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    http::header::PRAGMA,
    USER_AGENT,
];

/// Headers that describe a body, and go with it.
const ABOUT_BODY: &[HeaderName] = &[
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
];

/// The request of the current hop.
pub(super) struct Outgoing<'a> {
    spec: &'a HttpSpec,
    /// Without userinfo.
    pub(super) url: Url,
    pub(super) tls: Cow<'a, TlsOptions>,
    method: Cow<'a, str>,
    /// A redirect can take the body away.
    with_body: bool,
    /// Still at the origin that the user named; it never comes back once left.
    at_home: bool,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(spec: &'a HttpSpec) -> Self {
        Self {
            spec,
            url: without_userinfo(spec.url.clone()),
            tls: Cow::Borrowed(&spec.tls),
            method: Cow::Borrowed(&spec.method),
            with_body: true,
            at_home: true,
        }
    }

    /// Turns to the target of a redirect (RFC 9110 §15.4): what was meant for one origin is not sent to another.
    pub(super) fn follow(&mut self, next: Url, status: u16) {
        let becomes_get = match status {
            303 => self.method != "HEAD",
            301 | 302 => self.method == "POST",
            _ => false,
        };
        if becomes_get {
            self.method = Cow::Borrowed("GET");
            self.with_body = false;
        }
        if origin(&next) != origin(&self.url) {
            self.at_home = false;
            let tls = self.tls.to_mut();
            tls.client_certificate = None;
            tls.server_name = None;
        }
        self.url = next;
    }

    /// The request as the connection needs it: its version and its way decide on the target's form.
    pub(super) fn build(&self, opened: &Opened) -> Result<Request<Full<Bytes>>, Failure> {
        let mut headers = self.headers()?;
        let target = if opened.h2 || opened.through_proxy {
            Cow::Owned(self.absolute(opened, &mut headers))
        } else {
            Cow::Borrowed(&self.url[Position::BeforePath..Position::AfterQuery])
        };
        if !opened.h2 {
            headers
                .entry(CONNECTION)
                .or_insert(HeaderValue::from_static("close"));
        }
        let body = self.body();
        if body.is_empty() && matches!(&*self.method, "POST" | "PUT" | "PATCH") {
            // Some servers answer 411 without it.
            headers
                .entry(CONTENT_LENGTH)
                .or_insert(HeaderValue::from_static("0"));
        }
        if let Some(authorization) = &opened.proxy_authorization {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let uri: Uri = target.parse().map_err(|_| cannot("the URL", &target))?;
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| cannot("the method", &self.method))?;
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = uri;
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn body(&self) -> Bytes {
        let body = self.spec.body.as_ref().filter(|_| self.with_body);
        body.map_or_else(Bytes::new, |body| Bytes::copy_from_slice(body))
    }

    /// With scheme and authority. In HTTP/2 the authority is what `Host` is in HTTP/1.1.
    fn absolute(&self, opened: &Opened, headers: &mut HeaderMap) -> String {
        let mut authority = authority(&self.url);
        if opened.h2
            && let Some(host) = headers.remove(HOST)
            && let Ok(host) = host.to_str()
        {
            host.clone_into(&mut authority);
        }
        let rest = &self.url[Position::BeforePath..Position::AfterQuery];
        format!("{}://{authority}{rest}", self.url.scheme())
    }

    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::with_capacity(self.spec.headers.len() + 6);
        let host = authority(&self.url);
        headers.insert(HOST, value("host", &host)?);
        let mut host_given = false;
        for (name, text) in &self.spec.headers {
            let header: HeaderName = name.parse().map_err(|_| cannot("the header", name))?;
            if self.drops(&header) {
                continue;
            }
            let value = value(name, text)?;
            if header == HOST && !host_given {
                host_given = true;
                headers.insert(HOST, value);
            } else {
                headers.append(header, value);
            }
        }
        let mut default = |name, text| {
            let entry = headers.entry(name);
            entry.or_insert(HeaderValue::from_static(text));
        };
        default(USER_AGENT, AGENT);
        default(ACCEPT, "*/*");
        if self.spec.compression {
            default(ACCEPT_ENCODING, "gzip, br, deflate, zstd");
        }
        if self.at_home
            && !headers.contains_key(AUTHORIZATION)
            && let Some(authorization) = self.authorization()
        {
            headers.insert(AUTHORIZATION, secret("the credentials", &authorization)?);
        }
        Ok(headers)
    }

    fn drops(&self, header: &HeaderName) -> bool {
        (!self.at_home && !HARMLESS.contains(header))
            || (!self.with_body && ABOUT_BODY.contains(header))
    }

    fn authorization(&self) -> Option<String> {
        match &self.spec.auth {
            Some(Auth::Basic { username, password }) => Some(basic(username, password)),
            Some(Auth::Bearer { token }) => Some(format!("Bearer {token}")),
            None => userinfo(&self.spec.url),
        }
    }
}

/// Scheme, host and port.
fn origin(url: &Url) -> Origin {
    url.origin()
}

/// Host, and port where it is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// `Basic …` from a URL's user name and password, if it has any.
pub(super) fn userinfo(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text| percent_decode_str(text).decode_utf8_lossy();
    let password = decode(url.password().unwrap_or_default());
    Some(basic(&decode(url.username()), &password))
}

fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    )
}

fn value(name: &str, text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| cannot("the value of the header", name))
}

/// Marked so that it is neither logged nor put into HTTP/2's compression table.
pub(super) fn secret(what: &str, text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        Failure::new(
            Reason::Unsupported,
            format!("{what} cannot be sent in HTTP"),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn cannot(what: &str, name: &str) -> Failure {
    let message = format!("{what} `{name}` cannot be sent in HTTP");
    Failure::new(Reason::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> HttpSpec {
        let mut spec = HttpSpec::get("https://u:p%40@a.example:8443/b?c#d".parse().unwrap());
        spec.method = "POST".to_owned();
        spec.body = Some(b"body".to_vec());
        for (name, value) in [
            ("X-Key", "k"),
            ("Cookie", "c"),
            ("Content-Type", "text/plain"),
        ] {
            spec.headers.push((name.to_owned(), value.to_owned()));
        }
        spec
    }

    fn build(outgoing: &Outgoing<'_>, h2: bool, through_proxy: bool) -> Request<Full<Bytes>> {
        let opened = Opened {
            stream: Box::new(tokio::io::empty()),
            h2,
            secure: false,
            through_proxy,
            proxy_authorization: None,
        };
        outgoing.build(&opened).unwrap()
    }

    fn header<'a>(request: &'a Request<Full<Bytes>>, name: &str) -> Option<&'a str> {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_request_has_the_form_that_its_way_needs() {
        let spec = spec();
        let outgoing = Outgoing::new(&spec);
        let plain = build(&outgoing, false, false);
        assert_eq!(plain.uri(), "/b?c");
        assert_eq!(header(&plain, "host"), Some("a.example:8443"));
        assert_eq!(header(&plain, "authorization"), Some("Basic dTpwQA=="));
        assert_eq!(header(&plain, "connection"), Some("close"));
        assert_eq!(header(&plain, "user-agent"), Some(AGENT));
        assert_eq!(
            build(&outgoing, false, true).uri(),
            "https://a.example:8443/b?c"
        );
        let h2 = build(&outgoing, true, false);
        assert_eq!(h2.uri(), "https://a.example:8443/b?c");
        assert_eq!(
            (header(&h2, "host"), header(&h2, "connection")),
            (None, None)
        );
    }

    #[test]
    fn the_users_headers_replace_the_defaults() {
        let mut spec = spec();
        for name in [
            "Host",
            "User-Agent",
            "Accept",
            "Authorization",
            "Connection",
        ] {
            spec.headers.push((name.to_owned(), "own".to_owned()));
        }
        let request = build(&Outgoing::new(&spec), false, false);
        for name in [
            "host",
            "user-agent",
            "accept",
            "authorization",
            "connection",
        ] {
            assert_eq!(header(&request, name), Some("own"), "{name}");
            assert_eq!(request.headers().get_all(name).iter().count(), 1, "{name}");
        }
        assert_eq!(
            build(&Outgoing::new(&spec), true, false).uri().host(),
            Some("own")
        );
    }

    #[test]
    fn an_empty_body_has_a_length_where_one_is_due() {
        let mut spec = spec();
        spec.body = None;
        let length = |spec: &HttpSpec| {
            let request = build(&Outgoing::new(spec), false, false);
            header(&request, "content-length").map(str::to_owned)
        };
        assert_eq!(length(&spec).as_deref(), Some("0"));
        spec.method = "GET".to_owned();
        assert_eq!(length(&spec), None);
    }

    #[test]
    fn another_origin_sees_no_credentials() {
        let mut spec = spec();
        spec.tls.server_name = Some("inner".to_owned());
        let mut outgoing = Outgoing::new(&spec);
        outgoing.follow("https://a.example:8443/elsewhere".parse().unwrap(), 307);
        assert_eq!(header(&build(&outgoing, false, false), "x-key"), Some("k"));
        outgoing.follow("https://a.example/".parse().unwrap(), 307);
        let request = build(&outgoing, false, false);
        for name in ["x-key", "cookie", "authorization"] {
            assert_eq!(header(&request, name), None, "{name}");
        }
        assert_eq!(header(&request, "content-type"), Some("text/plain"));
        assert_eq!(outgoing.tls.server_name, None);
        outgoing.follow("https://a.example:8443/".parse().unwrap(), 307);
        assert_eq!(header(&build(&outgoing, false, false), "cookie"), None);
    }

    #[test]
    fn redirects_change_the_method_as_the_rfc_says() {
        for (status, method, expected) in [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (303, "POST", "GET"),
            (303, "DELETE", "GET"),
            (303, "HEAD", "HEAD"),
            (301, "PUT", "PUT"),
            (307, "POST", "POST"),
            (308, "POST", "POST"),
        ] {
            let mut spec = spec();
            spec.method = method.to_owned();
            let mut outgoing = Outgoing::new(&spec);
            outgoing.follow("https://a.example:8443/x".parse().unwrap(), status);
            let request = build(&outgoing, false, false);
            assert_eq!(request.method(), expected, "{status} {method}");
            let kept = method == expected;
            assert_eq!(outgoing.body().is_empty(), !kept, "{status} {method}");
            assert_eq!(
                header(&request, "content-type").is_some(),
                kept,
                "{status} {method}"
            );
        }
    }
}
