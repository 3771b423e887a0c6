//! Handshakes with servers whose certificates are right and wrong in every way.

use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, crypto::ring};
use sonde_core::{HttpSpec, HttpVersion, NetworkOptions, Reason, TlsOptions, TlsSpec};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use crate::Egress;
use crate::observe::{Failure, Observation};
use crate::testing::{Stub, environment, head, observation};
use crate::{http, tls_kind};

/// A certificate authority that only this test knows.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn options(&self) -> TlsOptions {
        TlsOptions {
            ca: Some(self.pem.clone()),
            ..TlsOptions::default()
        }
    }

    fn sign(&self, params: &CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        server(leaf, &key)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

fn server(leaf: rcgen::Certificate, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.into()], key)
        .unwrap()
}

/// Shakes hands, then waits for the other side to go.
async fn stub(config: ServerConfig) -> Stub {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Stub::new(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        }
    })
    .await
}

async fn shake(stub: &Stub, tls: TlsOptions) -> (Result<(), Failure>, Observation) {
    let spec = TlsSpec {
        host: "127.0.0.1".to_owned(),
        port: stub.address.port(),
        tls,
        starttls: None,
        network: NetworkOptions::default(),
    };
    let mut seen = observation();
    let result = tls_kind::probe(&environment(Egress::open()), &spec, &mut seen).await;
    (result, seen)
}

#[track_caller]
fn refused(result: Result<(), Failure>, reason: Reason, said: &str) {
    let failure = result.unwrap_err();
    assert_eq!(failure.reason, reason, "{}", failure.message);
    assert!(failure.message.contains(said), "{}", failure.message);
}

#[tokio::test]
async fn a_good_certificate_is_described() {
    let authority = Authority::new();
    let stub = stub(authority.sign(&params(&["127.0.0.1", "shop.example"]))).await;
    let (result, seen) = shake(&stub, authority.options()).await;
    assert_eq!(result, Ok(()));
    let tls = seen.tls.unwrap();
    assert_eq!(tls.version.as_deref(), Some("1.3"));
    assert_eq!(tls.cipher.as_deref(), Some("TLS13_AES_256_GCM_SHA384"));
    let leaf = &tls.certificates[0];
    assert_eq!(leaf.san, ["127.0.0.1", "shop.example"]);
    assert_eq!(
        (leaf.sha256.len(), &*leaf.subject),
        (64, "CN=rcgen self signed cert")
    );
    assert!(leaf.not_after > leaf.not_before);
    assert!(seen.phases.tls.is_some() && seen.evidence.certificate_subject.is_none());
}

#[tokio::test]
async fn bad_certificates_are_refused_each_for_its_reason_and_described_all_the_same() {
    let authority = Authority::new();
    let mut expired = params(&["127.0.0.1"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut early = params(&["127.0.0.1"]);
    early.not_before = date_time_ymd(3000, 1, 1);
    let elsewhere = params(&["shop.example"]);
    for (params, reason, said) in [
        (expired, Reason::TlsExpired, "days ago, at 2021-01-01"),
        (early, Reason::TlsNotYetValid, "from 3000-01-01"),
        (
            elsewhere,
            Reason::TlsHostnameMismatch,
            "`127.0.0.1`, but for shop.example",
        ),
    ] {
        let stub = stub(authority.sign(&params)).await;
        let (result, seen) = shake(&stub, authority.options()).await;
        refused(result, reason, said);
        let tls = seen.tls.unwrap();
        assert_eq!(
            (tls.version.as_deref(), tls.certificates.len()),
            (Some("1.3"), 1)
        );
        assert!(seen.evidence.certificate_subject.is_some());

        let mut options = authority.options();
        options.skip_verify = true;
        let (result, seen) = shake(&stub, options).await;
        assert_eq!((result, seen.tls.unwrap().certificates.len()), (Ok(()), 1));
    }
}

#[tokio::test]
async fn an_unknown_issuer_is_told_from_a_self_signed_certificate_that_the_user_may_trust() {
    let stub_of_stranger = stub(Authority::new().sign(&params(&["127.0.0.1"]))).await;
    let (result, _) = shake(&stub_of_stranger, Authority::new().options()).await;
    refused(result, Reason::TlsUnknownIssuer, "not trusted");

    // As `openssl req -x509` makes them: a certificate authority that is its own server.
    let mut own = params(&["127.0.0.1"]);
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let leaf = own.self_signed(&key).unwrap();
    let mut options = TlsOptions {
        ca: Some(leaf.pem()),
        ..TlsOptions::default()
    };
    let stub = stub(server(leaf, &key)).await;
    let (result, _) = shake(&stub, TlsOptions::default()).await;
    refused(result, Reason::TlsUnknownIssuer, "self-signed");
    assert_eq!(shake(&stub, options.clone()).await.0, Ok(()));
    options.server_name = Some("shop.example".to_owned());
    let (result, _) = shake(&stub, options).await;
    refused(result, Reason::TlsHostnameMismatch, "127.0.0.1");
}

#[tokio::test]
async fn what_is_not_current_tls_is_explained() {
    // A TLS 1.0 server's alert `protocol_version`, and one's `handshake_failure` (RFC 8446 §6).
    for alert in [70, 40] {
        let stub = Stub::new(move |mut stream| async move {
            stream.write_all(&[21, 3, 1, 0, 2, 2, alert]).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let (result, _) = shake(&stub, TlsOptions::default()).await;
        refused(result, Reason::TlsLegacy, "no longer safe");
    }
    let plain = Stub::new(|mut stream| async move {
        let bad = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        stream.write_all(bad).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let (result, _) = shake(&plain, TlsOptions::default()).await;
    refused(result, Reason::TlsHandshake, "plain HTTP");
    let closed = Stub::new(|stream| async { drop(stream) }).await;
    let (result, _) = shake(&closed, TlsOptions::default()).await;
    assert!(matches!(
        result.unwrap_err().reason,
        Reason::TlsHandshake | Reason::ConnectReset
    ));
    let options = TlsOptions {
        ca: Some("no PEM".to_owned()),
        ..TlsOptions::default()
    };
    let (result, _) = shake(&closed, options).await;
    refused(result, Reason::TlsHandshake, "no certificate in the PEM");
}

/// A server that speaks HTTP/2 where ALPN agrees on it, and says so in its answer.
async fn https(alpn: &[&[u8]]) -> (Stub, HttpSpec) {
    let authority = Authority::new();
    let mut config = authority.sign(&params(&["127.0.0.1"]));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let stub = Stub::new(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let answer = service_fn(async |request: hyper::Request<hyper::body::Incoming>| {
                let body = http_body_util::BodyExt::collect(request.into_body()).await;
                let body = body.map(|body| http_body_util::Full::new(body.to_bytes()));
                body.map(hyper::Response::new)
            });
            let io = TokioIo::new(stream);
            let _ = if h2 {
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                server.serve_connection(io, answer).await
            } else {
                let server = hyper::server::conn::http1::Builder::new();
                server.serve_connection(io, answer).await
            };
        }
    })
    .await;
    let mut spec = HttpSpec::get(format!("https://{}/", stub.address).parse().unwrap());
    spec.tls = authority.options();
    (stub, spec)
}

async fn request(spec: &HttpSpec) -> (Result<(), Failure>, Observation) {
    let mut seen = observation();
    let result = http::probe(&environment(Egress::open()), spec, &mut seen).await;
    (result, seen)
}

#[tokio::test]
async fn http2_is_spoken_where_alpn_agrees_on_it_with_bodies_larger_than_its_window() {
    let (_stub, mut spec) = https(&[b"h2", b"http/1.1"]).await;
    spec.method = "POST".to_owned();
    spec.body = Some(vec![b'x'; 300_000]);
    for (version, expected) in [
        (HttpVersion::Auto, "2"),
        (HttpVersion::Http2, "2"),
        (HttpVersion::Http1, "1.1"),
    ] {
        spec.version = version;
        let (result, seen) = request(&spec).await;
        assert_eq!(result, Ok(()));
        assert_eq!(
            (&*seen.http.unwrap().version, seen.size),
            (expected, Some(300_000))
        );
        let phases = seen.phases;
        assert!(phases.tls.is_some() && phases.send.is_some() && phases.receive.is_some());
    }
}

#[tokio::test]
async fn a_server_without_http2_fails_a_check_that_needs_it() {
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let (_stub, mut spec) = https(alpn).await;
        spec.version = HttpVersion::Http2;
        let failure = request(&spec).await.0.unwrap_err();
        assert_eq!(failure.reason, Reason::HttpVersion, "{}", failure.message);
        spec.version = HttpVersion::Auto;
        assert_eq!(request(&spec).await.0, Ok(()));
    }
}

#[tokio::test]
async fn https_goes_through_a_proxys_tunnel() {
    let (stub, mut spec) = https(&[b"http/1.1"]).await;
    let target = stub.address;
    let proxy = Stub::new(move |mut client| async move {
        let head = head(&mut client).await;
        assert!(
            head.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")),
            "{head}"
        );
        let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    })
    .await;
    spec.proxy = Some(format!("http://{}", proxy.address).parse().unwrap());
    let (result, seen) = request(&spec).await;
    assert_eq!((result, seen.http.unwrap().status), (Ok(()), 200));
    assert_eq!(seen.remote_address, Some(proxy.address.to_string()));
}
