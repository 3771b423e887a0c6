//! The example service over real sockets.

use std::net::SocketAddr;

use axum::http::StatusCode;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UdpSocket};

use super::*;

async fn start(folder: &tempfile::TempDir) -> ExampleService {
    let any = "127.0.0.1:0".parse().unwrap();
    ExampleService::start(&Options {
        http: any,
        https: any,
        tcp: any,
        dns: any,
        notes: folder.path().join("notes.txt"),
    })
    .await
    .unwrap()
}

/// One request over its own connection: status and body.
async fn request(to: SocketAddr, method: &str, path: &str) -> (StatusCode, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

async fn ask(to: SocketAddr, name: &str) -> Message {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&query.to_vec().unwrap(), to).await.unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

#[tokio::test]
async fn health_is_as_it_is_told_to_be_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(&folder).await;
    let http = service.addresses().http;
    let (status, body) = request(http, "GET", "/health").await;
    assert_eq!(
        (status, body.as_str()),
        (
            StatusCode::OK,
            r#"{"service":"sonde-example","status":"up"}"#
        )
    );

    let (_, shown) = request(http, "POST", "/behave?fail=true&delay=30ms").await;
    assert_eq!(shown, r#"{"fail":true,"delay":"30ms","for":null}"#);
    let begin = std::time::Instant::now();
    let (status, _) = request(http, "GET", "/health").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(begin.elapsed().as_millis() >= 30);

    request(http, "POST", "/behave?fail=true&for=0s").await;
    let (status, _) = request(http, "GET", "/health").await;
    assert_eq!(status, StatusCode::OK);
    for bad in ["/behave?delay=1", "/behave?delay=2h", "/behave?colour=red"] {
        assert_eq!(
            request(http, "POST", bad).await.0,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn a_note_becomes_exactly_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(&folder).await;
    let http = service.addresses().http;
    request(http, "GET", "/notes?content=first%0Asecond").await;
    request(http, "GET", "/notes?content=third").await;
    let too_long = format!("/notes?content={}", "a".repeat(2000));
    assert_eq!(
        request(http, "GET", &too_long).await.0,
        StatusCode::BAD_REQUEST
    );
    let notes = std::fs::read_to_string(folder.path().join("notes.txt")).unwrap();
    assert_eq!(notes, "first\\nsecond\nthird\n");
    service.stop().await;
}

#[tokio::test]
async fn tcp_greets_and_echoes() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(&folder).await;
    let stream = TcpStream::connect(service.addresses().tcp).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    stream.write_all(b"hello\n").await.unwrap();
    stream.read_line(&mut line).await.unwrap();
    assert_eq!(line, "sonde example service ready\r\nhello\n");
    service.stop().await;
}

#[tokio::test]
async fn dns_knows_its_zone_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(&folder).await;
    let dns = service.addresses().dns;
    for name in [
        "example.example-corp.internal.",
        "www.Example.example-corp.internal.",
    ] {
        let answer = ask(dns, name).await;
        assert_eq!(answer.answers.len(), 1, "{name}");
        assert_eq!(answer.answers[0].data.to_string(), "127.0.0.1");
    }
    let answer = ask(dns, "example.org.").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    service.stop().await;
}

#[tokio::test]
async fn stopping_closes_what_is_open_and_frees_the_ports() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(&folder).await;
    let Addresses { http, tcp, .. } = service.addresses().clone();
    let mut stream = BufReader::new(TcpStream::connect(tcp).await.unwrap());
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();

    let stopped = tokio::time::timeout(GRACE, service.stop()).await;
    assert!(stopped.is_ok());
    assert_eq!(stream.read_line(&mut line).await.unwrap_or(0), 0);
    for address in [http, tcp] {
        assert!(TcpStream::connect(address).await.is_err(), "{address}");
    }
}

#[tokio::test]
async fn the_monitors_for_it_are_a_valid_configuration_of_every_network_kind() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(&folder).await;
    let text = monitors(service.addresses());
    let settings = crate::configuration::queue_settings(None).unwrap();
    let options = sonde_config::Options {
        check_interval: None,
        allow_exec: false,
        default_region: Some(sonde_core::Region::local()),
    };
    let loaded =
        crate::configuration::load_text("example", &text, folder.path(), &settings, options)
            .unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let kinds: std::collections::BTreeSet<_> = loaded
        .config
        .monitors
        .iter()
        .map(|monitor| monitor.spec.kind().as_str())
        .collect();
    assert_eq!(Vec::from_iter(kinds), ["dns", "http", "icmp", "tcp", "tls"]);
    service.stop().await;
}
