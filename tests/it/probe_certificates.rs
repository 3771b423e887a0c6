//! TLS: certificates that are wrong each in their own way, handshakes that come to nothing, and what is right.

use std::time::Duration;

use sonde_core::{ClientCertificate, HttpSpec, HttpVersion};
use sonde_tests::certificates::{Authority, Identity, Validity};
use sonde_tests::checks::{Trial, http, stories, told};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tls::{LEGACY_ALERT, TlsServer, legacy_hello};
use sonde_tests::stub::{Server, tcp};

const NAMES: &[&str] = &["localhost"];

async fn serving(tls: TlsServer) -> HttpStub {
    HttpStub::start_tls(tls, [("/", Reply::text("hello"))]).await
}

/// Trusts `authority` alone.
fn visit(stub: &HttpStub, authority: &Authority) -> Trial<HttpSpec> {
    let root = authority.pem();
    http(stub.url("/")).with(|spec| spec.tls.ca = Some(root))
}

#[tokio::test]
async fn a_certificate_that_is_wrong_says_what_is_wrong() {
    let authority = Authority::new("stub root");
    let stranger = Authority::new("stranger");
    let cases = [
        ("expired", authority.issue(NAMES, Validity::Expired)),
        ("not yet valid", authority.issue(NAMES, Validity::Future)),
        ("self-signed", Identity::self_signed(NAMES)),
        ("unknown issuer", stranger.localhost()),
        (
            "wrong name",
            authority.issue(&["a.test", "b.test"], Validity::Long),
        ),
        // A stranger's, out of its time: the clock is what one looks at first.
        (
            "expired and unknown",
            stranger.issue(NAMES, Validity::Expired),
        ),
    ];
    let mut stubs = Vec::new();
    for (name, identity) in cases {
        stubs.push((name, serving(TlsServer::new(&identity)).await));
    }
    let trials = stubs
        .iter()
        .map(|(name, stub)| (*name, visit(stub, &authority)));
    insta::assert_snapshot!(stories(trials).await, @r"
    expired => tls_expired: the certificate of CN=localhost expired N days ago, at 2021-01-01T00:00:00.000000Z
    not yet valid => tls_not_yet_valid: the certificate of CN=localhost is valid in N days only, from 2120-01-01T00:00:00.000000Z
    self-signed => tls_unknown_issuer: `localhost` shows a self-signed certificate, which nobody vouches for (CN=localhost)
    unknown issuer => tls_unknown_issuer: the certificate of `localhost` was issued by one who is not trusted: CN=stranger
    wrong name => tls_hostname_mismatch: the certificate is not for `localhost`, but for a.test, b.test
    expired and unknown => tls_expired: the certificate of CN=localhost expired N days ago, at 2021-01-01T00:00:00.000000Z
    ");
    for (name, stub) in &stubs {
        assert!(stub.requests().is_empty(), "{name}: no request is sent");
        let details = visit(stub, &authority).run().await;
        let certificates = details.tls.unwrap().certificates;
        assert_eq!(certificates.len(), 1, "{name}: what was shown is recorded");
        let trial = visit(stub, &authority).with(|spec| {
            spec.tls.ca = None;
            spec.tls.skip_verify = true;
        });
        assert_eq!(
            told(&trial.run().await),
            "ok",
            "{name}: unless told not to look"
        );
    }
}

#[tokio::test]
async fn handshakes_that_come_to_nothing_say_why() {
    let authority = Authority::new("stub root");
    let alert = tcp::answering(LEGACY_ALERT).await;
    let hello = tcp::answering(legacy_hello()).await;
    let plain = tcp::answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let garbage = tcp::answering(tcp::garbage()).await;
    let closing = tcp::answering("").await;
    let resetting = tcp::resetting_after_request().await;
    let at = |server: &Server| http(format!("https://{}/", server.address()));
    let strict = TlsServer::requiring_client(&authority.localhost(), &authority);
    let strict = serving(strict).await;
    let lines = stories([
        ("alerts that TLS 1.2 is too new", at(&alert)),
        ("chooses TLS 1.0", at(&hello)),
        ("speaks plain HTTP", at(&plain)),
        ("speaks garbage", at(&garbage)),
        ("closes", at(&closing)),
        ("resets", at(&resetting)),
        ("wants a client certificate", visit(&strict, &authority)),
        (
            "is not asked for by a name",
            visit(&strict, &authority).with(|spec| spec.tls.server_name = Some("a b".to_owned())),
        ),
        (
            "nonsense as root",
            visit(&strict, &authority).with(|spec| spec.tls.ca = Some("PEM".to_owned())),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    alerts that TLS 1.2 is too new => tls_legacy: `127.0.0.1` offers only TLS versions or ciphers that are no longer safe; TLS 1.2 is the oldest accepted (received fatal alert: ProtocolVersion)
    chooses TLS 1.0 => tls_legacy: `127.0.0.1` offers only TLS versions or ciphers that are no longer safe; TLS 1.2 is the oldest accepted (peer is incompatible: ServerDoesNotSupportTls12Or13)
    speaks plain HTTP => tls_handshake: `127.0.0.1` does not answer with TLS: that port may speak plain HTTP, or another protocol that needs STARTTLS
    speaks garbage => tls_handshake: `127.0.0.1` does not answer with TLS: that port may speak plain HTTP, or another protocol that needs STARTTLS
    closes => tls_handshake: `127.0.0.1` closed the connection during the TLS handshake
    resets => connect_reset: `127.0.0.1` reset the connection during the TLS handshake
    wants a client certificate => tls_handshake: `localhost:PORT` ended the TLS handshake: it wants a client certificate, or another one (received fatal alert: CertificateRequired)
    is not asked for by a name => tls_handshake: `a b` is not a name that a TLS server can have
    nonsense as root => tls_handshake: the TLS options cannot be used: ca: no certificate in the PEM
    ");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks_for_it() {
    let authority = Authority::new("stub root");
    let clients = Authority::new("clients");
    let strict = TlsServer::requiring_client(&authority.localhost(), &clients);
    let strict = serving(strict).await;
    let with = |client: Identity| {
        let certificate = client.certificate_pem().to_owned();
        let key = client.key_pem();
        visit(&strict, &authority)
            .with(|spec| spec.tls.client_certificate = Some(ClientCertificate { certificate, key }))
    };
    let lines = stories([
        ("theirs", with(clients.issue(&["me"], Validity::Long))),
        ("expired", with(clients.issue(&["me"], Validity::Expired))),
        ("another's", with(authority.issue(&["me"], Validity::Long))),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    theirs => ok
    expired => tls_handshake: `localhost:PORT` ended the TLS handshake: it wants a client certificate, or another one (received fatal alert: CertificateExpired)
    another's => tls_handshake: `localhost:PORT` ended the TLS handshake: it wants a client certificate, or another one (received fatal alert: UnknownCA)
    ");
}

#[tokio::test]
async fn what_is_right_passes_with_its_details() {
    let authority = Authority::new("stub root");
    let intermediate = authority.intermediate("stub intermediate");
    let left = Duration::from_hours(24 * 10 + 12);
    let identity = intermediate.issue(&["localhost", "127.0.0.1"], Validity::Left(left));
    let stub = serving(TlsServer::new(&identity)).await;
    let trial = visit(&stub, &authority)
        .expecting("tls.days_left == 10")
        .expecting("tls.version == 1.3")
        .expecting("tls.issuer contains \"stub intermediate\"")
        .expecting("tls.san contains localhost");
    let result = trial.run().await;
    assert_eq!(told(&result), "ok");
    let tls = result.tls.unwrap();
    assert_eq!(tls.version.as_deref(), Some("1.3"));
    assert_eq!(tls.alpn.as_deref(), Some("http/1.1"));
    assert!(tls.cipher.unwrap().starts_with("TLS13_"));
    let subjects: Vec<_> = tls.certificates.iter().map(|one| &one.subject).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    assert_eq!(tls.certificates[0].san, ["localhost", "127.0.0.1"]);
    assert_eq!(tls.certificates[0].sha256.len(), 64);

    let by_address =
        visit(&stub, &authority).with(|spec| spec.url.set_host(Some("127.0.0.1")).unwrap());
    let lines = stories([
        ("by address", by_address),
        (
            "soon over",
            visit(&stub, &authority).degraded_when("tls.days_left < 14"),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    by address => ok
    soon over => assertion_tls: tls.days_left was 10: degraded when tls.days_left < 14
    ");
}

#[tokio::test]
async fn the_server_name_is_what_is_sent_and_verified() {
    let authority = Authority::new("stub root");
    let stub = serving(TlsServer::new(
        &authority.issue(&["a.test"], Validity::Long),
    ))
    .await;
    let named = |name: &str| {
        let name = Some(name.to_owned());
        visit(&stub, &authority).with(|spec| spec.tls.server_name = name)
    };
    let lines = stories([("its own", named("a.test")), ("another", named("c.test"))]).await;
    insta::assert_snapshot!(lines, @r"
    its own => ok
    another => tls_hostname_mismatch: the certificate is not for `c.test`, but for a.test
    ");
}

#[tokio::test]
async fn the_http_version_is_agreed_on_by_alpn() {
    let authority = Authority::new("stub root");
    let identity = authority.localhost();
    let new = serving(TlsServer::http2(&identity)).await;
    let old = serving(TlsServer::tls12_only(&identity)).await;
    let speak = |stub: &HttpStub, version: HttpVersion, expected: &str| {
        visit(stub, &authority)
            .with(|spec| spec.version = version)
            .expecting(&format!("http.version == {expected}"))
    };
    let lines = stories([
        ("new, any", speak(&new, HttpVersion::Auto, "2")),
        ("new, 1.1", speak(&new, HttpVersion::Http1, "1.1")),
        ("new, 2", speak(&new, HttpVersion::Http2, "2")),
        ("old, any", speak(&old, HttpVersion::Auto, "1.1")),
        ("old, 2", speak(&old, HttpVersion::Http2, "2")),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    new, any => ok
    new, 1.1 => ok
    new, 2 => ok
    old, any => ok
    old, 2 => http_version: `localhost` speaks none of the protocols offered to it (ALPN)
    ");
    let old = visit(&old, &authority).expecting("tls.version == 1.2");
    assert_eq!(told(&old.run().await), "ok");
}
