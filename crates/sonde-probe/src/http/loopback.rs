//! The http kind against raw servers that misbehave on purpose.

use std::time::Duration;

use sonde_core::{HttpSpec, HttpVersion, Reason};
use tokio::io::AsyncWriteExt;

use super::probe;
use crate::Egress;
use crate::observe::{Failure, Observation};
use crate::testing::{Stub, environment, head, observation, within};

fn spec(stub: &Stub) -> HttpSpec {
    HttpSpec::get(format!("http://{}/", stub.address).parse().unwrap())
}

async fn run(spec: &HttpSpec) -> (Result<(), Failure>, Observation) {
    let mut seen = observation();
    let result = probe(&environment(Egress::open()), spec, &mut seen).await;
    (result, seen)
}

/// The reason of a check of a server that answers every request with these bytes.
async fn reason(answer: &[u8]) -> Option<Reason> {
    let answer = answer.to_vec();
    let stub = Stub::http(move |_| answer.clone()).await;
    let (result, seen) = run(&spec(&stub)).await;
    assert!(seen.phases.connect.is_some() && seen.phases.dns.is_none());
    result.err().map(|failure| failure.reason)
}

#[tokio::test]
async fn an_answer_is_read_with_everything_that_assertions_look_at() {
    let stub = Stub::http(|head| {
        let agent = head.contains("user-agent: sonde/") && head.starts_with("GET / HTTP/1.1\r\n");
        format!("HTTP/1.1 200 OK\r\nX-Ok: {agent}\r\nContent-Length: 5\r\n\r\nhello").into_bytes()
    })
    .await;
    let (result, seen) = run(&spec(&stub)).await;
    assert_eq!(result, Ok(()));
    let http = seen.http.unwrap();
    assert_eq!((http.status, &*http.version, http.bytes), (200, "1.1", 5));
    assert_eq!(seen.headers["x-ok"], "true");
    assert_eq!((seen.body.unwrap(), seen.size), ("hello".into(), Some(5)));
    assert_eq!(seen.remote_address, Some(stub.address.to_string()));
    let phases = seen.phases;
    assert!(phases.send.is_some() && phases.wait.is_some() && phases.receive.is_some());
}

#[tokio::test]
async fn what_is_not_http_has_its_own_reason() {
    for (answer, expected) in [
        (&b""[..], Reason::ConnectReset),
        (b"SSH-2.0-OpenSSH\r\n", Reason::HttpProtocol),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Reason::HttpProtocol),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            Reason::HttpProtocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Reason::HttpProtocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nplain text",
            Reason::BodyDecode,
        ),
    ] {
        let text = String::from_utf8_lossy(answer);
        assert_eq!(reason(answer).await, Some(expected), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_not_taken_for_one_that_hangs_up() {
    let stub = Stub::new(|mut stream| async move {
        stream
            .write_all(b"220 mail.example ESMTP\r\n")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let (result, _) = run(&spec(&stub)).await;
    assert_eq!(result.unwrap_err().reason, Reason::HttpProtocol);
}

#[tokio::test]
async fn sloppy_heads_and_empty_bodies_are_forgiven() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nX : y\r\nFold: a\r\n b\r\n\r\n"[..],
        b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Encoding: br\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: unheard-of\r\n\r\nx",
    ] {
        let text = String::from_utf8_lossy(answer);
        assert_eq!(reason(answer).await, None, "{text}");
    }
}

#[tokio::test]
async fn a_bomb_in_every_coding_ends_at_the_limit() {
    use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
    macro_rules! bomb {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(&vec![0; 12 << 20]).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    for (coding, bomb) in [
        ("gzip", bomb!(GzipEncoder)),
        ("deflate", bomb!(ZlibEncoder)),
        ("br", bomb!(BrotliEncoder)),
        ("zstd", bomb!(ZstdEncoder)),
    ] {
        assert!(bomb.len() < 1 << 20);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n");
        let answer = [head.as_bytes(), &bomb].concat();
        assert_eq!(
            reason(&answer).await,
            Some(Reason::BodyTooLarge),
            "{coding}"
        );
    }
}

#[tokio::test]
async fn an_endless_body_ends_at_the_limit_and_a_long_one_is_kept_in_part() {
    let stub = Stub::new(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 16384]).await.is_ok() {}
    })
    .await;
    let (result, _) = run(&spec(&stub)).await;
    assert_eq!(result.unwrap_err().reason, Reason::BodyTooLarge);
    let stub =
        Stub::http(|_| [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b'x'; 3 << 20]].concat()).await;
    let (result, seen) = run(&spec(&stub)).await;
    assert_eq!((result, seen.size), (Ok(()), Some(3 << 20)));
    assert_eq!(seen.body.unwrap().len(), 1 << 20);
    assert_eq!(seen.evidence.body.unwrap().len(), 4096);
}

#[tokio::test]
async fn silence_is_cut_off_in_the_phase_that_it_happens_in() {
    for (said, expected) in [
        ("", Reason::WaitTimeout),
        ("HTTP/1.1 2", Reason::ReceiveTimeout),
        ("HTTP/1.1 200 OK\r\n\r\nsome", Reason::ReceiveTimeout),
    ] {
        let stub = Stub::new(move |mut stream| async move {
            head(&mut stream).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let mut seen = within(Duration::from_secs(1));
        let result = probe(&environment(Egress::open()), &spec(&stub), &mut seen).await;
        assert_eq!(result.unwrap_err().reason, expected, "{said}");
        let phases = seen.phases;
        let cut = if said.is_empty() {
            phases.wait
        } else {
            phases.receive
        };
        assert!(cut.unwrap() > 500_000, "{said}: {phases:?}");
        assert!(phases.send.unwrap() < 400_000, "{said}: {phases:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_up_to_their_limit_and_each_is_recorded() {
    let stub = Stub::http(|head| {
        let n: u32 = head[5..].split(' ').next().unwrap().parse().unwrap_or(0);
        let answer = if n == 3 {
            "200 OK".to_owned()
        } else {
            format!("302 F\r\nLocation: /{}", n + 1)
        };
        format!("HTTP/1.1 {answer}\r\n\r\n").into_bytes()
    })
    .await;
    let mut spec = spec(&stub);
    let (result, seen) = run(&spec).await;
    assert_eq!(result, Ok(()));
    let http = seen.http.unwrap();
    assert_eq!((http.status, http.redirects.len()), (200, 3));
    let hop = &http.redirects[1];
    assert_eq!(hop.url, format!("http://{}/1", stub.address));
    assert_eq!(hop.location, format!("http://{}/2", stub.address));
    let sum: u64 = http
        .redirects
        .iter()
        .filter_map(|hop| hop.phases_us.connect)
        .sum();
    assert!(sum > 0 && sum < seen.phases.connect.unwrap());

    spec.max_redirects = 2;
    let (result, seen) = run(&spec).await;
    assert_eq!(result.unwrap_err().reason, Reason::RedirectLimit);
    assert_eq!(seen.http.unwrap().redirects.len(), 3);

    spec.max_redirects = 0;
    let (result, seen) = run(&spec).await;
    assert_eq!((result, seen.http.unwrap().status), (Ok(()), 302));
}

#[tokio::test]
async fn a_guarded_process_dials_neither_targets_nor_redirects_inside() {
    let stub =
        Stub::http(|_| b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.2/\r\n\r\n".to_vec()).await;
    let mut seen = observation();
    let guarded = environment(Egress::guarded(Vec::new()));
    let result = probe(&guarded, &spec(&stub), &mut seen).await;
    assert_eq!(result.unwrap_err().reason, Reason::BlockedTarget);
    let allowed = vec!["127.0.0.1/32".parse().unwrap()];
    let result = probe(
        &environment(Egress::guarded(allowed)),
        &spec(&stub),
        &mut seen,
    )
    .await;
    let failure = result.unwrap_err();
    assert_eq!(failure.reason, Reason::RedirectRefused);
    assert!(failure.message.contains("127.0.0.2"), "{}", failure.message);
}

#[tokio::test]
async fn http2_without_tls_is_spoken_only_to_servers_that_know_it() {
    let stub = Stub::http(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let mut spec = spec(&stub);
    spec.version = HttpVersion::Http2;
    let (result, _) = run(&spec).await;
    assert_eq!(result.unwrap_err().reason, Reason::HttpVersion);
}

#[tokio::test]
async fn a_proxy_gets_the_absolute_url_and_its_credentials() {
    let proxy = Stub::http(|head| {
        let good = head.starts_with("GET http://shop.invalid/x?y HTTP/1.1\r\n")
            && head.contains("proxy-authorization: Basic dTpw\r\n")
            && head.contains("host: shop.invalid\r\n");
        format!("HTTP/1.1 {} X\r\n\r\n", if good { 200 } else { 400 }).into_bytes()
    })
    .await;
    let mut spec = HttpSpec::get("http://shop.invalid/x?y".parse().unwrap());
    spec.proxy = Some(format!("http://u:p@{}", proxy.address).parse().unwrap());
    let (result, seen) = run(&spec).await;
    assert_eq!((result, seen.http.unwrap().status), (Ok(()), 200));

    let proxy = Stub::http(|_| b"HTTP/1.1 407 No\r\n\r\n".to_vec()).await;
    spec.proxy = Some(format!("http://{}", proxy.address).parse().unwrap());
    let (result, _) = run(&spec).await;
    assert_eq!(result.unwrap_err().reason, Reason::ProxyAuth);
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_named() {
    let proxy = Stub::http(|head| {
        assert!(head.starts_with("CONNECT shop.invalid:443 HTTP/1.1\r\n"));
        b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec()
    })
    .await;
    let mut spec = HttpSpec::get("https://shop.invalid/".parse().unwrap());
    spec.proxy = Some(format!("http://{}", proxy.address).parse().unwrap());
    let (result, _) = run(&spec).await;
    assert_eq!(result.unwrap_err().reason, Reason::ProxyRefused);
}
