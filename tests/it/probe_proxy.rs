//! HTTP proxies: asked in absolute form or for a tunnel, with credentials of their own, and blamed for what is their fault.

use std::net::SocketAddr;
use std::time::Duration;

use sonde_core::{Auth, HttpSpec};
use sonde_tests::certificates::{Authority, Validity};
use sonde_tests::checks::{Trial, http, stories, told};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::proxy::{Policy, ProxyStub};
use sonde_tests::stub::tcp;
use sonde_tests::stub::tls::TlsServer;

fn through(proxy: &str, url: &str) -> Trial<HttpSpec> {
    let proxy = proxy.parse().unwrap();
    http(url).with(|spec| spec.proxy = Some(proxy))
}

#[tokio::test]
async fn plain_requests_go_to_the_proxy_in_absolute_form() {
    let stub = HttpStub::start([("/x", Reply::echo())]).await;
    let proxy = ProxyStub::start(Policy::Forward).await;
    // Only the proxy knows the way to this name.
    let url = format!("http://shop.test:{}/x?y", stub.server().port());
    let result = through(&proxy.url(), &url).run().await;
    assert_eq!(told(&result), "ok");
    assert_eq!(proxy.targets(), [url]);
    let address = proxy.server().address().to_string();
    assert_eq!(result.remote_address.unwrap(), address);
    let request = &stub.requests()[0];
    assert_eq!(
        request.headers["host"],
        *format!("shop.test:{}", stub.server().port())
    );
}

#[tokio::test]
async fn secure_requests_go_through_a_tunnel_that_sees_nothing_of_them() {
    let authority = Authority::new("stub root");
    let tls = TlsServer::http2(&authority.issue(&["shop.test"], Validity::Long));
    let stub = HttpStub::start_tls(tls, [("/", Reply::echo())]).await;
    let policy = Policy::Credentials {
        username: "ann".to_owned(),
        password: "p@ss".to_owned(),
    };
    let proxy = ProxyStub::start(policy).await;
    let port = stub.server().port();
    let address = proxy.server().address();
    let trial = through(
        &format!("http://ann:p%40ss@{address}"),
        &format!("https://shop.test:{port}/"),
    );
    let trial = trial.with(|spec| {
        spec.tls.ca = Some(authority.pem());
        spec.auth = Some(Auth::Bearer {
            token: "hunter2".to_owned(),
        });
    });
    let result = trial.expecting("http.version == 2").run().await;
    assert_eq!(told(&result), "ok");
    assert_eq!(proxy.targets(), [format!("shop.test:{port}")]);
    let headers = &stub.requests()[0].headers;
    assert!(!headers.contains_key("proxy-authorization"));
    assert_eq!(headers["authorization"], "Bearer hunter2");
}

#[tokio::test]
async fn credentials_are_for_the_proxy_alone() {
    let stub = HttpStub::start([("/", Reply::echo())]).await;
    let policy = Policy::Credentials {
        username: "ann".to_owned(),
        password: "secret".to_owned(),
    };
    let proxy = ProxyStub::start(policy).await;
    let address = proxy.server().address();
    let url = format!("http://shop.test:{}/", stub.server().port());
    let trial = through(&format!("http://ann:secret@{address}"), &url);
    assert_eq!(told(&trial.run().await), "ok");
    assert!(
        !stub.requests()[0]
            .headers
            .contains_key("proxy-authorization")
    );
}

#[tokio::test]
async fn a_proxy_that_does_not_help_is_what_is_blamed() {
    let policy = Policy::Credentials {
        username: "ann".to_owned(),
        password: "secret".to_owned(),
    };
    let guarded = ProxyStub::start(policy).await;
    let refusing = ProxyStub::start(Policy::Refuse(403)).await;
    let forwarding = ProxyStub::start(Policy::Forward).await;
    let closed = tcp::Refusing::new();
    let gone = tcp::Refusing::new();
    let garbage = tcp::answering(tcp::garbage()).await;
    let closing = tcp::answering("").await;
    let silent = tcp::silent().await;
    let endless = tcp::answering("HTTP/1.1 200 OK\r\nx: ".to_owned() + &"y".repeat(1 << 20)).await;
    let port = gone.address().port();
    let tunnel = |proxy: SocketAddr| {
        through(
            &format!("http://{proxy}"),
            &format!("https://shop.test:{port}/"),
        )
    };
    let plain = |proxy: SocketAddr| {
        through(
            &format!("http://{proxy}"),
            &format!("http://shop.test:{port}/"),
        )
    };
    let lines = stories([
        ("asks for credentials", tunnel(guarded.server().address())),
        ("refuses", tunnel(refusing.server().address())),
        ("cannot connect", tunnel(forwarding.server().address())),
        ("is not there", tunnel(closed.address())),
        ("speaks garbage", tunnel(garbage.address())),
        ("closes", tunnel(closing.address())),
        ("does not end its head", tunnel(endless.address())),
        (
            "is silent",
            tunnel(silent.address()).timeout(Duration::from_secs(2)),
        ),
        (
            "asks for credentials, plain",
            plain(guarded.server().address()),
        ),
        ("refuses, plain", plain(refusing.server().address())),
        (
            "cannot connect, plain",
            plain(forwarding.server().address()),
        ),
        ("is not there, plain", plain(closed.address())),
        ("speaks garbage, plain", plain(garbage.address())),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    asks for credentials => proxy_auth: the proxy asks for other credentials (`HTTP/1.1 407 No`)
    refuses => proxy_refused: the proxy refused to connect to shop.test:PORT: `HTTP/1.1 403 No`
    cannot connect => proxy_refused: the proxy refused to connect to shop.test:PORT: `HTTP/1.1 502 No`
    is not there => connect_refused: the proxy 127.0.0.1:PORT: 127.0.0.1:PORT: connection refused
    speaks garbage => proxy_protocol: the proxy closed the connection in the middle of its answer
    closes => proxy_protocol: the proxy closed the connection without an answer
    does not end its head => proxy_protocol: the proxy's answer to CONNECT does not end
    is silent => connect_timeout: the proxy did not connect to shop.test:PORT in time
    asks for credentials, plain => proxy_auth: the proxy asks for other credentials (407)
    refuses, plain => http_status: got 403, expected 2xx
    cannot connect, plain => http_status: got 502, expected 2xx
    is not there, plain => connect_refused: the proxy 127.0.0.1:PORT: 127.0.0.1:PORT: connection refused
    speaks garbage, plain => http_protocol: the answer of `shop.test:PORT` is not valid HTTP: invalid HTTP version parsed
    ");
}
