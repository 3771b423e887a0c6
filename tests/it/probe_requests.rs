//! What is sent: methods, headers, bodies, credentials, versions. The stub sends it back.

use std::time::Duration;

use sonde_core::{Auth, HttpSpec, HttpVersion};
use sonde_tests::checks::{Trial, http, stories, told};
use sonde_tests::stub::http::{HttpStub, Received, Reply};
use sonde_tests::stub::tcp;

async fn echoing() -> HttpStub {
    HttpStub::start([("/", Reply::echo())]).await
}

/// What arrives when `change` is made to a plain GET, which has to pass.
async fn received(change: impl FnOnce(&mut HttpSpec)) -> Received {
    let stub = echoing().await;
    let result = http(stub.url("/")).with(change).run().await;
    assert_eq!(told(&result), "ok");
    stub.requests().pop().unwrap()
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    let value = received.headers.get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_method_arrives_and_a_body_only_where_one_was_given() {
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE",
    ];
    for method in methods {
        let request = received(|spec| spec.method = method.to_owned()).await;
        assert_eq!((request.method.as_str(), request.body.len()), (method, 0));
    }
    let request = received(|spec| {
        spec.method = "POST".to_owned();
        spec.body = Some(vec![0, 255, b'x']);
    })
    .await;
    assert_eq!(&request.body[..], [0, 255, b'x']);
    assert_eq!(header(&request, "content-length"), "3");
}

#[tokio::test]
async fn the_answer_to_head_has_no_body_whatever_its_length_says() {
    let stub = HttpStub::start([("/", Reply::text("hello"))]).await;
    let head = http(stub.url("/")).with(|spec| spec.method = "HEAD".to_owned());
    let result = head
        .expecting("size == 0B")
        .expecting("header content-length == 5");
    assert_eq!(told(&result.run().await), "ok");
}

#[tokio::test]
async fn headers_arrive_as_given_and_replace_the_usual_ones() {
    let request = received(|_| {}).await;
    assert!(header(&request, "user-agent").starts_with("sonde/"));
    assert!(header(&request, "host").starts_with("localhost:"));
    assert_eq!(header(&request, "accept"), "*/*");

    let request = received(|spec| {
        for (name, value) in [
            ("Host", "shop.test"),
            ("User-Agent", "me"),
            ("X-Twice", "a"),
            ("x-twice", "b"),
        ] {
            spec.headers.push((name.to_owned(), value.to_owned()));
        }
    })
    .await;
    assert_eq!(header(&request, "host"), "shop.test");
    assert_eq!(header(&request, "user-agent"), "me");
    let twice: Vec<_> = request.headers.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["a", "b"]);
}

#[tokio::test]
async fn credentials_are_sent_as_basic_or_bearer() {
    let authorization = async |change: fn(&mut HttpSpec)| {
        header(&received(change).await, "authorization").to_owned()
    };
    let basic = authorization(|spec| {
        spec.auth = Some(Auth::Basic {
            username: "ann".to_owned(),
            password: "söß".to_owned(),
        });
    });
    assert_eq!(basic.await, "Basic YW5uOnPDtsOf");
    let bearer = authorization(|spec| {
        spec.auth = Some(Auth::Bearer {
            token: "t0ken".to_owned(),
        });
    });
    assert_eq!(bearer.await, "Bearer t0ken");
    let url = authorization(|spec| {
        spec.url.set_username("ann").unwrap();
        spec.url.set_password(Some("p@ss")).unwrap();
    });
    assert_eq!(url.await, "Basic YW5uOnBAc3M=");
}

#[tokio::test]
async fn a_secret_that_the_server_echoes_does_not_reach_the_result() {
    let stub = HttpStub::start([("/", Reply::echo())]).await;
    let trial = http(stub.url("/"))
        .with(|spec| {
            spec.auth = Some(Auth::Bearer {
                token: "hunter2".to_owned(),
            });
        })
        .expecting("body contains elephants");
    let result = trial.run().await;
    let json = serde_json::to_string(&result).unwrap();
    assert!(
        json.contains("[redacted]") && !json.contains("hunter2"),
        "{json}"
    );
}

#[tokio::test]
async fn http2_is_spoken_without_tls_where_it_is_asked_for() {
    let stub = echoing().await;
    let asking = |url: String| http(url).with(|spec| spec.version = HttpVersion::Http2);
    let old = tcp::answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let silent = tcp::greeting("").await;
    let posting = asking(stub.url("/"))
        .with(|spec| {
            spec.method = "POST".to_owned();
            spec.body = Some(vec![b'x'; 300_000]);
        })
        .expecting("http.version == 2");
    let lines = stories([
        ("spoken", posting),
        ("not spoken", asking(format!("http://{}/", old.address()))),
        (
            "not answered",
            asking(format!("http://{}/", silent.address())).timeout(Duration::from_secs(2)),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    spoken => ok
    not spoken => http_version: `127.0.0.1:PORT` does not speak HTTP/2 without TLS
    not answered => wait_timeout: `127.0.0.1:PORT`: no first byte in time
    ");
    let request = &stub.requests()[0];
    assert_eq!(request.body.len(), 300_000);
    assert_eq!(header(request, "connection"), "");
}

#[tokio::test]
async fn what_http_cannot_carry_is_not_sent() {
    let stub = echoing().await;
    let with = |change: fn(&mut HttpSpec)| -> Trial<HttpSpec> { http(stub.url("/")).with(change) };
    let lines = stories([
        ("a method", with(|spec| spec.method = "GET /".to_owned())),
        (
            "a header's name",
            with(|spec| spec.headers.push(("x y".to_owned(), String::new()))),
        ),
        (
            "a header's value",
            with(|spec| spec.headers.push(("x".to_owned(), "a\r\nb: c".to_owned()))),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    a method => unsupported: the method `GET /` cannot be sent in HTTP
    a header's name => unsupported: the header `x y` cannot be sent in HTTP
    a header's value => unsupported: the value of the header `x` cannot be sent in HTTP
    ");
    assert!(stub.requests().is_empty());
}
