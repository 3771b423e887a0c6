//! Servers that misbehave: each way has its own reason, and a sentence that a person understands.

use std::net::SocketAddr;
use std::time::Duration;

use sonde_core::HttpSpec;
use sonde_tests::certificates::Authority;
use sonde_tests::checks::{Trial, http, stories};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tcp;
use sonde_tests::stub::tls::{TlsServer, handshaking};

/// For what hangs: long enough that a busy machine comes as far as the hanging.
const SOON: Duration = Duration::from_secs(2);
const NEVER: Duration = Duration::from_hours(1);

fn at(server: SocketAddr) -> Trial<HttpSpec> {
    http(format!("http://{server}/"))
}

fn hanging(server: SocketAddr) -> Trial<HttpSpec> {
    at(server).timeout(SOON)
}

#[tokio::test]
async fn connections_that_break_say_when_and_how() {
    let refusing = tcp::Refusing::new();
    let resetting = tcp::resetting().await;
    let after_request = tcp::resetting_after_request().await;
    let closing = tcp::answering("").await;
    let half_a_head = tcp::answering("HTTP/1.1 200 OK\r\ncontent-le").await;
    let half_a_body = tcp::answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    let half_a_chunk =
        tcp::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf").await;
    let lines = stories([
        ("refuses", at(refusing.address())),
        ("resets at once", at(resetting.address())),
        ("resets after the request", at(after_request.address())),
        ("closes without a word", at(closing.address())),
        ("closes in the head", at(half_a_head.address())),
        ("closes in the body", at(half_a_body.address())),
        ("closes in a chunk", at(half_a_chunk.address())),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    refuses => connect_refused: 127.0.0.1:PORT: connection refused
    resets at once => connect_reset: `127.0.0.1:PORT` reset the connection without an answer
    resets after the request => connect_reset: `127.0.0.1:PORT` reset the connection without an answer
    closes without a word => connect_reset: `127.0.0.1:PORT` closed the connection without an answer
    closes in the head => http_protocol: `127.0.0.1:PORT` closed the connection in the middle of its answer
    closes in the body => http_protocol: `127.0.0.1:PORT` closed the connection in the middle of its answer
    closes in a chunk => http_protocol: `127.0.0.1:PORT` closed the connection in the middle of its answer
    ");
}

#[tokio::test]
async fn what_hangs_ends_at_the_deadline_in_the_phase_that_it_hangs_in() {
    let unreachable = tcp::Unreachable::new().await;
    let (deaf, silent) = (tcp::deaf().await, tcp::silent().await);
    let pause = Duration::from_millis(100);
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1000));
    let slow_head = tcp::dripping(head, 1, pause).await;
    let stub = HttpStub::start([
        ("/wait", Reply::text("late").after(NEVER)),
        ("/head", Reply::text("late").pausing(NEVER)),
        ("/drip", Reply::dripping("x", 100_000, pause)),
    ])
    .await;
    let large = vec![b'x'; 64 * 1024 * 1024];
    let url = |path| http(stub.url(path)).timeout(SOON);
    let sending = hanging(deaf.address()).with(|spec| spec.body = Some(large));
    let tls = http(format!("https://{}/", silent.address())).timeout(SOON);
    let lines = stories([
        ("drops packets", hanging(unreachable.address())),
        ("does not shake hands", tls),
        ("does not read", sending),
        ("does not answer", hanging(silent.address())),
        ("answers too late", url("/wait")),
        ("drips its head", hanging(slow_head.address())),
        ("stops after the head", url("/head")),
        ("drips its body", url("/drip")),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    drops packets => connect_timeout: no connection to 127.0.0.1:PORT in time
    does not shake hands => tls_timeout: the TLS handshake with `127.0.0.1` did not finish in time
    does not read => send_timeout: `127.0.0.1:PORT`: the request could not be sent in time
    does not answer => wait_timeout: `127.0.0.1:PORT`: no first byte in time
    answers too late => wait_timeout: `localhost:PORT`: no first byte in time
    drips its head => receive_timeout: `127.0.0.1:PORT`: the answer began but did not end in time
    stops after the head => receive_timeout: `localhost:PORT`: the answer began but did not end in time
    drips its body => receive_timeout: `localhost:PORT`: the answer began but did not end in time
    ");
}

#[tokio::test]
async fn what_is_not_http_is_called_so() {
    let garbage = tcp::answering(tcp::garbage()).await;
    let mail = tcp::greeting("220 mail.test ESMTP\r\n").await;
    let many_headers = "x: y\r\n".repeat(200_000);
    let endless_head = tcp::answering(format!("HTTP/1.1 200 OK\r\n{many_headers}")).await;
    let length = tcp::answering("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n").await;
    let chunk =
        tcp::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nmany\r\n").await;
    let authority = Authority::new("stub root");
    let secure = handshaking(TlsServer::new(&authority.localhost())).await;
    let lines = stories([
        ("garbage", at(garbage.address())),
        ("a mail server", at(mail.address())),
        ("a head without end", at(endless_head.address())),
        ("a length that is none", at(length.address())),
        ("a chunk that is none", at(chunk.address())),
        ("TLS", at(secure.address())),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    garbage => http_protocol: the answer of `127.0.0.1:PORT` is not valid HTTP: invalid HTTP version parsed
    a mail server => http_protocol: the answer of `127.0.0.1:PORT` is not valid HTTP: invalid HTTP version parsed
    a head without end => http_protocol: the answer of `127.0.0.1:PORT` is not valid HTTP: message head is too large
    a length that is none => http_protocol: the answer of `127.0.0.1:PORT` is not valid HTTP: invalid content-length parsed
    a chunk that is none => http_protocol: the answer of `127.0.0.1:PORT` is not valid HTTP: Invalid chunk size line: missing size digit
    TLS => http_protocol: `127.0.0.1:PORT` answers with TLS: that port may want https
    ");
}

#[tokio::test]
async fn answers_that_real_servers_give_are_taken() {
    let sloppy = "HTTP/1.1 200 OK\r\nX-Space : a\r\nX-Folded: b\r\n c\r\nBad Header: d\r\ncontent-length: 2\r\n\r\nok";
    let sloppy = tcp::answering(sloppy).await;
    let old = tcp::answering("HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
    let continued =
        tcp::answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").await;
    let lines = stories([
        ("sloppy", at(sloppy.address()).expecting("body == ok")),
        (
            "old",
            at(old.address()).expecting("body == \"until the end\""),
        ),
        (
            "old says so",
            at(old.address()).expecting("http.version == 1.0"),
        ),
        (
            "continued",
            at(continued.address()).expecting("status == 204"),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    sloppy => ok
    old => ok
    old says so => ok
    continued => ok
    ");
}

#[tokio::test]
async fn an_answer_that_is_no_success_fails_with_its_evidence() {
    let stub = HttpStub::start([(
        "/",
        Reply::status(503)
            .header("x-why", "tired")
            .body("come back later"),
    )])
    .await;
    let result = http(stub.url("/")).run().await;
    assert_eq!(result.message.unwrap(), "got 503, expected 2xx");
    let evidence = result.evidence.unwrap();
    let head = evidence.response_head.unwrap();
    assert!(
        head.starts_with("HTTP/1.1 503") && head.contains("x-why: tired"),
        "{head}"
    );
    assert_eq!(evidence.body.unwrap(), "come back later");
    assert_eq!(evidence.addresses[0], "127.0.0.1");

    let lines = stories([
        ("expected", http(stub.url("/")).expecting("status == 503")),
        (
            "otherwise",
            http(stub.url("/")).expecting("status in [200, 204]"),
        ),
        (
            "degraded",
            http(stub.url("/"))
                .expecting("status >= 500")
                .degraded_when("body contains later"),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r#"
    expected => ok
    otherwise => assertion_status: status was 503, expected in [200, 204]
    degraded => assertion_body: body was come back later: degraded when body contains "later"
    "#);
}
