//! Bodies: decoded, bounded, and honest about their encoding.

use sonde_tests::checks::{http, stories, told};
use sonde_tests::stub::encoding::Encoding;
use sonde_tests::stub::http::{HttpStub, Reply};

const PLAIN: &str = "{\"state\": \"up\"}";
/// Bytes read of a body at most.
const LIMIT: usize = 10 * 1024 * 1024;

#[tokio::test]
async fn every_encoding_is_asked_for_and_decoded() {
    for encoding in Encoding::ALL {
        let stub = HttpStub::start([("/", Reply::encoded(encoding, PLAIN).await)]).await;
        let trial = http(stub.url("/"))
            .expecting("json $.state == \"up\"")
            .expecting(&format!("size == {}B", PLAIN.len()));
        let result = trial.run().await;
        assert_eq!(told(&result), "ok", "{encoding:?}");
        let wire = encoding.encode(PLAIN.as_bytes()).await.len();
        assert_eq!(result.http.unwrap().bytes, wire as u64, "{encoding:?}");
        let asked = &stub.requests()[0].headers["accept-encoding"];
        assert!(asked.to_str().unwrap().contains(encoding.as_str()));
    }
}

#[tokio::test]
async fn encodings_on_top_of_each_other_are_undone_in_turn() {
    let inner = Encoding::Gzip.encode(PLAIN.as_bytes()).await;
    let both = Encoding::Brotli.encode(&inner).await;
    let both = Reply::status(200)
        .header("content-encoding", "gzip, br")
        .body(both);
    let unknown = Reply::text(PLAIN).header("content-encoding", "rot13");
    let nothing = Reply::status(200).header("content-encoding", "gzip");
    let stub = HttpStub::start([("/both", both), ("/unknown", unknown), ("/none", nothing)]).await;
    let body = format!("body == {PLAIN:?}");
    let lines = stories([
        ("two", http(stub.url("/both")).expecting(&body)),
        (
            "one that nobody knows",
            http(stub.url("/unknown")).expecting(&body),
        ),
        (
            "of an empty body",
            http(stub.url("/none")).expecting("size == 0B"),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    two => ok
    one that nobody knows => ok
    of an empty body => ok
    ");
}

#[tokio::test]
async fn without_compression_none_is_asked_for() {
    let stub = HttpStub::start([("/", Reply::text(PLAIN))]).await;
    let trial = http(stub.url("/")).with(|spec| spec.compression = false);
    assert_eq!(told(&trial.run().await), "ok");
    assert!(!stub.requests()[0].headers.contains_key("accept-encoding"));
}

#[tokio::test]
async fn a_body_that_is_not_encoded_as_it_says_is_found_out() {
    for encoding in ["gzip", "br", "deflate", "zstd"] {
        let wrong = Reply::text("plainly not compressed").header("content-encoding", encoding);
        let stub = HttpStub::start([("/", wrong)]).await;
        let told = told(&http(stub.url("/")).run().await);
        let expected = format!("body_decode: the body is not {encoding}, as its headers say: ");
        assert!(told.starts_with(&expected), "{told}");
    }
    for encoding in Encoding::ALL {
        let whole = encoding.encode(&vec![b'x'; 100_000]).await;
        let half = Reply::status(200)
            .header("content-encoding", encoding.as_str())
            .body(whole.slice(..whole.len() / 2));
        let stub = HttpStub::start([("/", half)]).await;
        let told = told(&http(stub.url("/")).run().await);
        assert!(told.starts_with("body_decode: "), "{encoding:?}: {told}");
    }
}

#[tokio::test]
async fn bombs_and_endless_bodies_are_cut_at_the_limit() {
    let endless = HttpStub::start([("/", Reply::endless())]).await;
    let mut stubs = vec![("endless".to_owned(), endless)];
    for encoding in Encoding::ALL {
        let stub = HttpStub::start([("/", Reply::bomb(encoding).await)]).await;
        stubs.push((format!("{encoding:?}"), stub));
    }
    let trials = stubs
        .iter()
        .map(|(name, stub)| (name.as_str(), http(stub.url("/"))));
    insta::assert_snapshot!(stories(trials).await, @r"
    endless => body_too_large: the body is larger than 10 MiB
    Gzip => body_too_large: the body is larger than 10 MiB
    Brotli => body_too_large: the body is larger than 10 MiB
    Deflate => body_too_large: the body is larger than 10 MiB
    RawDeflate => body_too_large: the body is larger than 10 MiB
    Zstd => body_too_large: the body is larger than 10 MiB
    ");
}

#[tokio::test]
async fn a_body_at_the_limit_is_whole_and_one_above_is_not() {
    let at = Reply::text(vec![b'x'; LIMIT]);
    let above = Reply::text(vec![b'x'; LIMIT + 1]);
    let stub = HttpStub::start([("/at", at), ("/above", above)]).await;
    let lines = stories([
        ("at", http(stub.url("/at")).expecting("size == 10MiB")),
        ("above", http(stub.url("/above"))),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    at => ok
    above => body_too_large: the body is larger than 10 MiB
    ");
}
