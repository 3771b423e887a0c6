//! The stubs do what they say: a test that relies on one must not pass because the stub is broken.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use sonde_tests::certificates::{Authority, Identity, Validity};
use sonde_tests::stub::dns::{Answer, DnsStub};
use sonde_tests::stub::encoding::Encoding;
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::proxy::{Policy, ProxyStub};
use sonde_tests::stub::tls::{LEGACY_ALERT, TlsServer, handshaking, legacy_hello};
use sonde_tests::stub::{Server, tcp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

async fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_refusing_port_refuses() {
    let refusing = tcp::Refusing::new();
    let error = TcpStream::connect(refusing.address()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn resets_come_at_once_or_after_the_request() {
    for server in [tcp::resetting().await, tcp::resetting_after_request().await] {
        let error = exchange(server.address(), b"hello").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_silent_server_keeps_the_connection() {
    let server = tcp::silent().await;
    let answer = timeout(SECOND / 5, exchange(server.address(), b"hello")).await;
    assert!(answer.is_err());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_full_queue_takes_no_connection_until_it_opens() {
    let unreachable = tcp::Unreachable::new().await;
    let address = unreachable.address();
    let connecting = TcpStream::connect(address);
    tokio::pin!(connecting);
    assert!(timeout(SECOND / 5, &mut connecting).await.is_err());

    let _server = unreachable.open("");
    // The kernel doubles its pause each time: 1 s, then 3 s after the first try.
    timeout(4 * SECOND, connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_drips_arrives_whole_and_late() {
    let pause = Duration::from_millis(30);
    let server = tcp::dripping("abc", 1, pause).await;
    let begin = Instant::now();
    assert_eq!(exchange(server.address(), b"hello").await.unwrap(), b"abc");
    assert!(begin.elapsed() >= 3 * pause);
}

#[tokio::test]
async fn replies_arrive_as_scripted() {
    let pause = Duration::from_millis(100);
    let stub = HttpStub::start([
        ("/", Reply::text("hello").after(pause)),
        ("/body", Reply::text("hello").pausing(pause)),
        ("/echo", Reply::echo()),
        ("/cut", Reply::truncated("hello")),
        ("/drip", Reply::dripping("ab", 3, Duration::ZERO)),
    ])
    .await;
    let client = sonde_tests::http::client();

    let begin = Instant::now();
    let response = client.get(stub.url("/")).send().await.unwrap();
    assert!(begin.elapsed() >= pause);
    assert_eq!(response.text().await.unwrap(), "hello");

    let response = client.get(stub.url("/body")).send().await.unwrap();
    let begin = Instant::now();
    assert_eq!(response.text().await.unwrap(), "hello");
    assert!(begin.elapsed() >= pause / 2);

    let request = client.put(stub.url("/echo?x=1")).header("x-a", "b");
    let echo = request.body("data").send().await.unwrap();
    let echo: serde_json::Value = echo.json().await.unwrap();
    assert_eq!(echo["method"], "PUT");
    assert_eq!(echo["headers"]["x-a"], "b");
    assert_eq!(echo["body"], "data");
    assert_eq!(stub.requests().last().unwrap().body, "data");

    let response = client.get(stub.url("/drip")).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "ababab");
    let response = client.get(stub.url("/cut")).send().await.unwrap();
    assert!(response.text().await.is_err());
    let response = client.get(stub.url("/other")).send().await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn an_endless_body_is_sent_until_the_client_has_enough() {
    let stub = HttpStub::start([("/", Reply::endless())]).await;
    let mut response = sonde_tests::http::get(stub.url("/")).await.unwrap();
    let mut received = 0;
    while received < 20 * 1024 * 1024 {
        received += response.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn bombs_are_small_on_the_wire_and_encodings_decode() {
    for encoding in Encoding::ALL {
        assert!(encoding.bomb().await.len() < 1024 * 1024, "{encoding:?}");
        assert!(!encoding.encode(b"hello").await.is_empty());
    }
}

/// The error that a client trusting `authority` gets when it connects to `server` as `localhost`.
async fn handshake(server: &Server, authority: &Authority) -> Option<TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = match connector.connect(name, stream).await {
        Ok(stream) => stream,
        Err(error) => return Some(tls_error(error)),
    };
    // In TLS 1.3 a server that misses the client's certificate says so after the client is done.
    let verdict = timeout(SECOND / 5, stream.read(&mut [0; 1])).await;
    verdict.ok().and_then(Result::err).map(tls_error)
}

fn tls_error(error: std::io::Error) -> TlsError {
    *error.into_inner().unwrap().downcast().unwrap()
}

#[tokio::test]
async fn each_certificate_is_wrong_in_its_own_way() {
    let authority = Authority::new("stub root");
    let names = &["localhost"];
    let intermediate = authority.intermediate("stub intermediate");
    let cases = [
        (authority.localhost(), ""),
        (intermediate.localhost(), ""),
        (authority.issue(names, Validity::Left(86_400 * SECOND)), ""),
        (authority.issue(names, Validity::Expired), "ExpiredContext"),
        (
            authority.issue(names, Validity::Future),
            "NotValidYetContext",
        ),
        (
            authority.issue(&["a.test"], Validity::Long),
            "NotValidForNameContext",
        ),
        (Identity::self_signed(names), "UnknownIssuer"),
    ];
    for (identity, expected) in cases {
        let server = handshaking(TlsServer::new(&identity)).await;
        let error = handshake(&server, &authority).await;
        let seen = match error {
            None => String::new(),
            Some(TlsError::InvalidCertificate(error)) => variant(&error),
            Some(other) => other.to_string(),
        };
        assert_eq!(seen, expected);
    }
}

fn variant(error: &CertificateError) -> String {
    let text = format!("{error:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

#[tokio::test]
async fn tls_servers_insist_on_what_they_want() {
    let authority = Authority::new("stub root");
    let identity = authority.localhost();
    let old = handshaking(TlsServer::tls12_only(&identity)).await;
    assert_eq!(handshake(&old, &authority).await, None);
    let http2 = handshaking(TlsServer::http2(&identity)).await;
    assert_eq!(handshake(&http2, &authority).await, None);
    let strict = handshaking(TlsServer::requiring_client(&identity, &authority)).await;
    let error = handshake(&strict, &authority).await;
    assert!(
        matches!(error, Some(TlsError::AlertReceived(_))),
        "{error:?}"
    );

    let begin = Instant::now();
    let slow = handshaking(TlsServer::new(&identity).delayed(SECOND / 10)).await;
    assert_eq!(handshake(&slow, &authority).await, None);
    assert!(begin.elapsed() >= SECOND / 10);
}

#[tokio::test]
async fn legacy_servers_are_not_understood() {
    let authority = Authority::new("stub root");
    let alerting = tcp::answering(LEGACY_ALERT).await;
    let error = handshake(&alerting, &authority).await;
    assert!(
        matches!(error, Some(TlsError::AlertReceived(_))),
        "{error:?}"
    );
    let choosing = tcp::answering(legacy_hello()).await;
    let error = handshake(&choosing, &authority).await;
    assert!(
        matches!(error, Some(TlsError::PeerIncompatible(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_mail_server_switches_to_tls() {
    let authority = Authority::new("stub root");
    let script = tcp::smtp(TlsServer::new(&authority.localhost()));
    let server = tcp::dialogue(script).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let mut heard = [0; 512];
    for (say, expected) in [
        ("", "220 mail.test"),
        ("EHLO me\r\n", "250-mail.test"),
        ("STARTTLS\r\n", "220 go"),
    ] {
        stream.write_all(say.as_bytes()).await.unwrap();
        let length = stream.read(&mut heard).await.unwrap();
        assert!(heard[..length].starts_with(expected.as_bytes()));
    }
    // A TLS server answers nonsense with an alert.
    stream.write_all(b"nonsense").await.unwrap();
    stream.read_exact(&mut heard[..1]).await.unwrap();
    assert_eq!(heard[0], 21);
}

#[tokio::test]
async fn the_proxy_forwards_tunnels_and_refuses() {
    let stub = HttpStub::start([("/", Reply::text("hello"))]).await;
    let port = stub.server().port();
    let absolute =
        format!("GET http://any.test:{port}/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
    let proxy = ProxyStub::start(Policy::Forward).await;
    let answer = exchange(
        proxy.server().address(),
        format!("{absolute}\r\n").as_bytes(),
    )
    .await;
    assert!(answer.unwrap().ends_with(b"hello"));

    let origin = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let tunnel = format!("CONNECT any.test:{port} HTTP/1.1\r\n\r\n{origin}");
    let answer = exchange(proxy.server().address(), tunnel.as_bytes()).await;
    assert!(answer.unwrap().ends_with(b"hello"));
    assert_eq!(proxy.targets()[1], format!("any.test:{port}"));

    let guarded = ProxyStub::start(Policy::Credentials {
        username: "user".to_owned(),
        password: "secret".to_owned(),
    })
    .await;
    let address = guarded.server().address();
    let answer = exchange(address, format!("{absolute}\r\n").as_bytes()).await;
    assert!(answer.unwrap().starts_with(b"HTTP/1.1 407"));
    let request = format!("{absolute}Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n");
    let answer = exchange(address, request.as_bytes()).await;
    assert!(answer.unwrap().ends_with(b"hello"));
    assert!(
        !stub
            .requests()
            .last()
            .unwrap()
            .headers
            .contains_key("proxy-authorization")
    );

    let refusing = ProxyStub::start(Policy::Refuse(403)).await;
    let answer = exchange(refusing.server().address(), tunnel.as_bytes()).await;
    assert!(answer.unwrap().starts_with(b"HTTP/1.1 403"));
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

/// Nothing when no answer comes.
async fn ask_udp(stub: &DnsStub, name: &str, kind: RecordType) -> Option<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let question = query(name, kind);
    socket.send_to(&question, stub.address()).await.unwrap();
    let mut buffer = [0; 4096];
    let answer = timeout(SECOND / 5, socket.recv(&mut buffer)).await;
    Some(Message::from_vec(&buffer[..answer.ok()?.unwrap()]).unwrap())
}

async fn ask_tcp(stub: &DnsStub, name: &str) -> Message {
    let question = query(name, RecordType::A);
    let mut stream = TcpStream::connect(stub.address()).await.unwrap();
    let length = u16::try_from(question.len()).unwrap();
    stream.write_u16(length).await.unwrap();
    stream.write_all(&question).await.unwrap();
    let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

#[tokio::test]
async fn the_name_server_answers_as_told() {
    let stub = DnsStub::start([
        ("ok.test", Answer::loopback()),
        ("long.test", Answer::loopback().truncated()),
        ("fail.test", Answer::code(ResponseCode::ServFail)),
        ("silent.test", Answer::silence()),
        ("late.test", Answer::loopback().after(SECOND / 10)),
    ])
    .await;
    let answer = ask_udp(&stub, "ok.test.", RecordType::A).await.unwrap();
    assert_eq!(answer.answers.len(), 1);
    let answer = ask_udp(&stub, "ok.test.", RecordType::AAAA).await.unwrap();
    assert!(answer.answers.is_empty());
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);

    let answer = ask_udp(&stub, "long.test.", RecordType::A).await.unwrap();
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    assert_eq!(ask_tcp(&stub, "long.test.").await.answers.len(), 1);

    let answer = ask_udp(&stub, "fail.test.", RecordType::A).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let answer = ask_udp(&stub, "no.test.", RecordType::A).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert!(
        ask_udp(&stub, "silent.test.", RecordType::A)
            .await
            .is_none()
    );
    let begin = Instant::now();
    assert!(ask_udp(&stub, "late.test.", RecordType::A).await.is_some());
    assert!(begin.elapsed() >= SECOND / 10);
    assert_eq!((stub.queries(), stub.connections()), (8, 1));
}
