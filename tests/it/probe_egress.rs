//! The egress guard: whatever the way, a guarded checker does not reach what is not public. Nothing arrives at the stubs.

use std::net::SocketAddr;

use sonde_core::{HttpSpec, Reason};
use sonde_probe::Egress;
use sonde_tests::checks::{Trial, dns, http, icmp, stories, tcp, tls, told};
use sonde_tests::stub::dns::{Answer, DnsStub};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::proxy::{Policy, ProxyStub};

fn guarded() -> Egress {
    Egress::guarded(Vec::new())
}

/// Lets through `127.0.0.1` alone, so that the rest of loopback stands for what is forbidden.
fn home() -> Egress {
    Egress::guarded(vec!["127.0.0.1/32".parse().unwrap()])
}

async fn stub() -> HttpStub {
    HttpStub::start([("/", Reply::text("hello"))]).await
}

#[tokio::test]
async fn literal_addresses_are_refused_in_every_spelling() {
    let stub = stub().await;
    let port = stub.server().port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00::1]",
        "[fe80::1]",
        "localhost",
        "a.localhost",
    ] {
        let trial = http(format!("http://{host}:{port}/")).egress(guarded());
        let result = trial.run().await;
        assert_eq!(
            result.reason,
            Some(Reason::BlockedTarget),
            "{host}: {result:?}"
        );
        assert_eq!(result.phases_us.connect, None, "{host}");
    }
    assert_eq!(stub.server().connections(), 0);
}

#[tokio::test]
async fn every_kind_and_every_helper_is_guarded() {
    let names = DnsStub::start([("inner.test", Answer::loopback())]).await;
    let stub = stub().await;
    let address = stub.server().address();
    let inner = |spec: &mut HttpSpec| spec.url.set_host(Some("inner.test")).unwrap();
    let named = http(stub.url("/")).with(inner).resolver(names.address());
    let server = names.address();
    let own = http("http://shop.test/").with(|spec| spec.network.resolver = Some(server));
    let lines = [
        story("a name that leads inside", named).await,
        story("tcp", tcp(address)).await,
        story("tls", tls(address.port())).await,
        story("icmp", icmp("127.0.0.1")).await,
    ];
    assert_eq!(names.queries(), 2, "both families of one name");
    let lines = lines.into_iter().chain([
        story("dns", dns(server, "inner.test", "A")).await,
        story("the monitor's own name server", own).await,
    ]);
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    a name that leads inside => blocked_target: 127.0.0.1 may not be checked from here: it is loopback (the egress guard)
    tcp => blocked_target: 127.0.0.1 may not be checked from here: it is loopback (the egress guard)
    tls => blocked_target: 127.0.0.1 may not be checked from here: it is loopback (the egress guard)
    icmp => blocked_target: 127.0.0.1 may not be checked from here: it is loopback (the egress guard)
    dns => blocked_target: 127.0.0.1 may not be checked from here: it is loopback (the egress guard)
    the monitor's own name server => blocked_target: 127.0.0.1 may not be checked from here: it is loopback (the egress guard)
    ");
    assert_eq!((stub.server().connections(), names.queries()), (0, 2));
}

async fn story<S>(name: &str, trial: Trial<S>) -> String {
    stories([(name, trial.egress(guarded()))]).await
}

#[tokio::test]
async fn a_proxy_is_no_way_around() {
    let stub = stub().await;
    let proxy = ProxyStub::start(Policy::Forward).await;
    let port = stub.server().port();
    let through = |url: String, egress: Egress| {
        let proxy = proxy.url().parse().unwrap();
        http(url)
            .with(|spec| spec.proxy = Some(proxy))
            .egress(egress)
    };
    let forbidden = |scheme: &str| format!("{scheme}://127.0.0.2:{port}/");
    let lines = stories([
        (
            "the proxy itself",
            through("http://1.1.1.1/".to_owned(), guarded()),
        ),
        ("what is behind it", through(forbidden("http"), home())),
        (
            "what is at the tunnel's end",
            through(forbidden("https"), home()),
        ),
        (
            "what is allowed",
            through(format!("http://127.0.0.1:{port}/"), home()),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    the proxy itself => blocked_target: the proxy 127.0.0.1:PORT: 127.0.0.1 may not be checked from here: it is loopback (the egress guard)
    what is behind it => blocked_target: 127.0.0.2 may not be checked from here: it is loopback (the egress guard)
    what is at the tunnel's end => blocked_target: 127.0.0.2 may not be checked from here: it is loopback (the egress guard)
    what is allowed => ok
    ");
    assert_eq!(proxy.targets(), [format!("http://127.0.0.1:{port}/")]);
}

#[tokio::test]
async fn a_redirect_is_no_way_around() {
    let inside = stub().await;
    let port = inside.server().port();
    let names = DnsStub::start([("inner.test", Answer::addresses([[127, 0, 0, 2].into()]))]).await;
    let literal = format!("http://127.0.0.2:{port}/");
    let named = format!("http://inner.test:{port}/");
    let outside = HttpStub::start([
        ("/literal", Reply::redirect(302, &literal)),
        ("/named", Reply::redirect(302, &named)),
        (
            "/cloud",
            Reply::redirect(302, "http://169.254.169.254/latest"),
        ),
    ])
    .await;
    let visit = |path| {
        let trial = http(outside.url(path)).egress(home());
        trial.resolver(names.address())
    };
    let lines = stories([
        ("literal", visit("/literal")),
        ("named", visit("/named")),
        ("cloud", visit("/cloud")),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    literal => redirect_refused: after a redirect to http://127.0.0.2:PORT/: 127.0.0.2 may not be checked from here: it is loopback (the egress guard)
    named => redirect_refused: after a redirect to http://inner.test:PORT/: 127.0.0.2 may not be checked from here: it is loopback (the egress guard)
    cloud => redirect_refused: after a redirect to http://169.254.169.254/latest: 169.254.169.254 may not be checked from here: it is link-local or a cloud's metadata service (the egress guard)
    ");
    assert_eq!(inside.server().connections(), 0);
}

#[tokio::test]
async fn an_allowed_range_is_open_to_every_kind() {
    let names = DnsStub::start([("inner.test", Answer::loopback())]).await;
    let stub = stub().await;
    let address: SocketAddr = stub.server().address();
    assert_eq!(told(&http(stub.url("/")).egress(home()).run().await), "ok");
    assert_eq!(told(&tcp(address).egress(home()).run().await), "ok");
    let question = dns(names.address(), "inner.test", "A").egress(home());
    assert_eq!(told(&question.run().await), "ok");

    // Of several addresses the allowed ones are used.
    let both = [[127, 0, 0, 2], [127, 0, 0, 1]].map(Into::into);
    let names = DnsStub::start([("both.test", Answer::addresses(both))]).await;
    let trial = http(format!("http://both.test:{}/", address.port()));
    let result = trial.egress(home()).resolver(names.address()).run().await;
    assert_eq!(told(&result), "ok");
    assert_eq!(result.remote_address.unwrap(), address.to_string());
}
