//! Names that do not lead anywhere, and name servers that do not help.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use sonde_core::{IpPreference, Reason};
use sonde_tests::checks::{http, stories, told};
use sonde_tests::stub::dns::{Answer, DnsStub};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tcp;

const SOON: Duration = Duration::from_secs(2);

async fn names() -> DnsStub {
    let v6 = "::1".parse().unwrap();
    DnsStub::start([
        ("ok.test", Answer::loopback()),
        ("long.test", Answer::loopback().truncated()),
        ("late.test", Answer::loopback().after(SOON / 4)),
        ("servfail.test", Answer::code(ResponseCode::ServFail)),
        ("refused.test", Answer::code(ResponseCode::Refused)),
        ("formerr.test", Answer::code(ResponseCode::FormErr)),
        ("empty.test", Answer::records([])),
        ("v6.test", Answer::addresses([v6])),
        ("both.test", Answer::addresses([v6, [127, 0, 0, 1].into()])),
        ("silent.test", Answer::silence()),
    ])
    .await
}

#[tokio::test]
async fn a_name_without_an_address_says_why() {
    let names = names().await;
    let ask = |host: &str| {
        http(format!("http://{host}/"))
            .resolver(names.address())
            .timeout(SOON)
    };
    let lines = stories([
        ("unknown", ask("nowhere.test")),
        ("SERVFAIL", ask("servfail.test")),
        ("REFUSED", ask("refused.test")),
        ("FORMERR", ask("formerr.test")),
        ("no address", ask("empty.test")),
        (
            "of the other family",
            ask("v6.test").with(|spec| spec.network.ip = IpPreference::V4),
        ),
        ("silence", ask("silent.test")),
        ("not a name", ask(&format!("{}.test", "x".repeat(64)))),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    unknown => dns_nxdomain: the name `nowhere.test` does not exist (NXDOMAIN from 127.0.0.1:PORT)
    SERVFAIL => dns_servfail: the name server 127.0.0.1:PORT answers SERVFAIL about `servfail.test`
    REFUSED => dns_refused: the name server 127.0.0.1:PORT answers REFUSED about `refused.test`
    FORMERR => dns_rcode: the name server 127.0.0.1:PORT answers FORMERR about `formerr.test`
    no address => dns_no_address: the name `empty.test` exists but has no address
    of the other family => dns_no_address: the name `v6.test` exists but has no IPv4 address
    silence => dns_timeout: no answer about `silent.test` in time from the name server 127.0.0.1:PORT
    not a name => dns_nxdomain: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.test` is not a name that DNS can hold: decoding error: label bytes exceed 63: 64
    ");
}

#[tokio::test]
async fn a_name_server_that_is_gone_is_the_checkers_trouble_unless_the_monitor_named_it() {
    let closed = tcp::Refusing::new().address();
    let silent = DnsStub::start([("ok.test", Answer::silence())]).await;
    let (url, silent) = ("http://ok.test/", silent.address());
    let named =
        |server: SocketAddr| http(url).with(move |spec| spec.network.resolver = Some(server));
    let lines = stories([
        ("own, port closed", http(url).resolver(closed).timeout(SOON)),
        ("own, silent", http(url).resolver(silent).timeout(SOON)),
        ("named, port closed", named(closed).timeout(SOON)),
        ("named, silent", named(silent).timeout(SOON)),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    own, port closed => resolver_unavailable: this checker's name server 127.0.0.1:PORT cannot be reached: nothing listens there
    own, silent => dns_timeout: no answer about `ok.test` in time from the name server 127.0.0.1:PORT
    named, port closed => dns_timeout: `ok.test`: the name server 127.0.0.1:PORT cannot be reached: nothing listens there
    named, silent => dns_timeout: no answer about `ok.test` in time from the name server 127.0.0.1:PORT
    ");

    let result = http(url).resolver(closed).timeout(SOON).run().await;
    assert!(result.suspect, "it says nothing about the target");
}

#[tokio::test]
async fn names_are_asked_for_anew_and_over_tcp_where_the_answer_is_cut() {
    let names = names().await;
    let stub = HttpStub::start([("/", Reply::text("hello"))]).await;
    let port = stub.server().port();
    let visit = async |host: &str| {
        let trial = http(format!("http://{host}:{port}/")).resolver(names.address());
        let result = trial
            .with(|spec| spec.network.ip = IpPreference::V4)
            .run()
            .await;
        assert_eq!(told(&result), "ok", "{host}");
        assert_eq!(result.remote_address.unwrap(), format!("127.0.0.1:{port}"));
    };
    visit("ok.test").await;
    visit("ok.test").await;
    assert_eq!((names.queries(), names.connections()), (2, 0));
    visit("long.test").await;
    assert_eq!((names.queries(), names.connections()), (4, 1));
    visit("late.test").await;
}

#[tokio::test]
async fn where_the_preferred_family_does_not_connect_the_other_one_does() {
    let names = names().await;
    let stub = HttpStub::start([("/", Reply::text("hello"))]).await;
    let port = stub.server().port();
    let visit = async |ip: IpPreference| {
        let trial = http(format!("http://both.test:{port}/")).resolver(names.address());
        trial.with(|spec| spec.network.ip = ip).run().await
    };
    for ip in [
        IpPreference::PreferV4,
        IpPreference::PreferV6,
        IpPreference::V4,
    ] {
        let result = visit(ip).await;
        assert_eq!(told(&result), "ok", "{ip:?}");
        assert_eq!(result.remote_address.unwrap(), format!("127.0.0.1:{port}"));
    }
    let result = visit(IpPreference::V6).await;
    let reasons = [Reason::ConnectRefused, Reason::ConnectUnreachable];
    assert!(reasons.contains(&result.reason.unwrap()), "{result:?}");
}
