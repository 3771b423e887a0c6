//! Redirects: each hop is a connection and a record of its own, and takes along only what belongs there.

use sonde_core::{Auth, HttpSpec, Phase};
use sonde_tests::checks::{http, stories, told};
use sonde_tests::stub::http::{HttpStub, Received, Reply};
use sonde_tests::stub::tcp;

#[tokio::test]
async fn every_hop_is_recorded_with_phases_that_add_up() {
    let end = HttpStub::start([("/e", Reply::text("here"))]).await;
    let by_address = format!("//127.0.0.1:{}/e", end.server().port());
    let stub = HttpStub::start([
        ("/a/b", Reply::redirect(301, "c?x=1")),
        ("/a/c", Reply::redirect(302, "/d#part")),
        ("/d", Reply::redirect(308, &by_address)),
    ])
    .await;
    let result = http(stub.url("/a/b"))
        .expecting("body == here")
        .expecting("redirects == 3")
        .run()
        .await;
    assert_eq!(told(&result), "ok");
    assert_eq!(stub.server().connections(), 3);

    let hops = result.http.unwrap().redirects;
    let followed: Vec<_> = hops
        .iter()
        .map(|hop| (hop.status, hop.url.clone(), hop.location.clone()))
        .collect();
    let expected = [
        (301, stub.url("/a/b"), stub.url("/a/c?x=1")),
        (302, stub.url("/a/c?x=1"), stub.url("/d#part")),
        (308, stub.url("/d#part"), format!("http:{by_address}#part")),
    ];
    assert_eq!(followed, expected);
    for hop in &hops {
        assert_eq!(hop.address, stub.server().address().to_string());
    }
    for phase in [Phase::Connect, Phase::Send, Phase::Wait] {
        let hops: u64 = hops.iter().filter_map(|hop| hop.phases_us.get(phase)).sum();
        let all = result.phases_us.get(phase).unwrap();
        assert!(0 < hops && hops < all, "{phase:?}: {hops} of {all}");
    }
}

fn with_secrets(spec: &mut HttpSpec) {
    spec.auth = Some(Auth::Bearer {
        token: "hunter2".to_owned(),
    });
    for (name, value) in [("Cookie", "id=7"), ("X-Api-Key", "k"), ("Accept", "text/x")] {
        spec.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// Those of the headers above that a request has.
fn carried(request: &Received) -> Vec<&'static str> {
    ["authorization", "cookie", "x-api-key", "accept"]
        .into_iter()
        .filter(|name| request.headers.contains_key(*name))
        .collect()
}

#[tokio::test]
async fn credentials_stay_within_their_origin() {
    let other = HttpStub::start([("/", Reply::echo())]).await;
    let away = other.url("/");
    let stub = HttpStub::start([
        ("/", Reply::redirect(307, "/same")),
        ("/same", Reply::redirect(307, &away)),
    ])
    .await;
    let result = http(stub.url("/")).with(with_secrets).run().await;
    assert_eq!(told(&result), "ok");
    for request in stub.requests() {
        let all = ["authorization", "cookie", "x-api-key", "accept"];
        assert_eq!(carried(&request), all, "{}", request.path);
    }
    assert_eq!(carried(&other.requests()[0]), ["accept"]);
}

#[tokio::test]
async fn who_left_the_origin_comes_back_without_credentials() {
    // Two names of one server: another name is another origin.
    let away = HttpStub::start([("/back", Reply::echo())]).await;
    let back = away.url("/back");
    let between = HttpStub::start([("/", Reply::redirect(302, &back))]).await;
    let out = between.url("/");
    let stub = HttpStub::start([("/", Reply::redirect(302, &out))]).await;
    let trial = http(stub.url("/")).with(with_secrets);
    assert_eq!(told(&trial.run().await), "ok");
    assert_eq!(carried(&away.requests()[0]), ["accept"]);

    let userinfo = http(stub.url("/")).with(|spec| spec.url.set_username("ann").unwrap());
    assert_eq!(told(&userinfo.run().await), "ok");
    assert_eq!(carried(&stub.requests()[1]), ["authorization", "accept"]);
    assert_eq!(carried(&between.requests()[1]), ["accept"]);
}

#[tokio::test]
async fn the_method_and_the_body_go_along_where_the_status_says_so() {
    for (status, method, body) in [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", "data"),
        (308, "POST", "data"),
    ] {
        let stub = HttpStub::start([
            ("/", Reply::redirect(status, "/end")),
            ("/end", Reply::echo()),
        ])
        .await;
        let trial = http(stub.url("/")).with(|spec| {
            spec.method = "POST".to_owned();
            spec.body = Some(b"data".to_vec());
            let kind = ("content-type".to_owned(), "text/plain".to_owned());
            spec.headers.push(kind);
        });
        assert_eq!(told(&trial.run().await), "ok");
        let end = stub.requests().pop().unwrap();
        assert_eq!(
            (end.method.as_str(), &end.body[..]),
            (method, body.as_bytes())
        );
        let described = end.headers.contains_key("content-type");
        assert_eq!(described, !body.is_empty(), "{status}");
    }
}

#[tokio::test]
async fn redirects_that_lead_nowhere_end_the_check() {
    let closed = tcp::Refusing::new();
    let closed = format!("http://{}/", closed.address());
    let stub = HttpStub::start([
        ("/loop", Reply::redirect(302, "/loop")),
        ("/one", Reply::redirect(302, "/end")),
        ("/end", Reply::text("hello")),
        ("/file", Reply::redirect(302, "file:///etc/passwd")),
        ("/mail", Reply::redirect(302, "mailto:a@shop.test")),
        ("/broken", Reply::redirect(302, "http://[")),
        ("/none", Reply::status(302)),
        ("/gone", Reply::redirect(302, &closed)),
        ("/cached", Reply::status(304)),
    ])
    .await;
    let at = |path| http(stub.url(path));
    let limited = |path, limit| at(path).with(move |spec| spec.max_redirects = limit);
    let lines = stories([
        ("for ever", at("/loop")),
        ("one of one", limited("/one", 1)),
        ("one of none", limited("/one", 0)),
        (
            "one of none, as it is",
            limited("/one", 0).expecting("status == 302"),
        ),
        ("to a file", at("/file")),
        ("to mail", at("/mail")),
        ("to what is no URL", at("/broken")),
        ("to nowhere", at("/none")),
        ("to a closed port", at("/gone")),
        ("not a redirect", at("/cached")),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    for ever => redirect_limit: more than 10 redirects; the next one leads to http://localhost:PORT/loop
    one of one => ok
    one of none => http_status: got 302, expected 2xx
    one of none, as it is => ok
    to a file => redirect_refused: http://localhost:PORT/file redirects to `file:///etc/passwd`, which is neither http nor https
    to mail => redirect_refused: http://localhost:PORT/mail redirects to `mailto:a@shop.test`, which is neither http nor https
    to what is no URL => redirect_refused: http://localhost:PORT/broken redirects to `http://[`, which is not a URL
    to nowhere => http_status: got 302, expected 2xx
    to a closed port => connect_refused: after a redirect to http://127.0.0.1:PORT/: 127.0.0.1:PORT: connection refused
    not a redirect => http_status: got 304, expected 2xx
    ");
    let hops = at("/loop").run().await.http.unwrap().redirects;
    assert_eq!(
        hops.len(),
        11,
        "ten that were followed, and the one that was not"
    );
}
