//! The dns kind: any question to any name server, over any transport, and the answer as it came.

use std::net::Ipv4Addr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{MX, NS, PTR, SOA, TXT};
use hickory_proto::rr::{Name, RData};
use sonde_core::{CheckResult, DnsClass, DnsRecord, DnsSpec, DnsTransport, TlsOptions};
use sonde_tests::certificates::Authority;
use sonde_tests::checks::{Trial, dns, stories, told};
use sonde_tests::stub::dns::{Answer, DnsStub};
use sonde_tests::stub::tcp;
use sonde_tests::stub::tls::TlsServer;

const SOON: Duration = Duration::from_secs(2);

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// One name with everything.
fn shop() -> Answer {
    Answer::records([
        RData::A(Ipv4Addr::new(192, 0, 2, 10).into()),
        RData::A(Ipv4Addr::new(192, 0, 2, 11).into()),
        RData::AAAA("2001:db8::1".parse().unwrap()),
        RData::MX(MX::new(10, name("mail.shop.test."))),
        RData::TXT(TXT::new(vec!["v=spf1 -all".to_owned()])),
    ])
}

async fn zone() -> DnsStub {
    let soa = SOA::new(name("ns.test."), name("admin.test."), 1, 2, 3, 4, 5);
    let delegated = Answer::records([RData::A(Ipv4Addr::new(192, 0, 2, 10).into())])
        .authority(RData::NS(NS(name("ns.test."))))
        .additional(RData::A(Ipv4Addr::new(192, 0, 2, 53).into()));
    DnsStub::start([
        ("shop.test", shop()),
        ("long.test", shop().truncated()),
        ("delegated.test", delegated),
        ("empty.test", Answer::records([]).authority(RData::SOA(soa))),
        (
            "10.2.0.192.in-addr.arpa",
            Answer::records([RData::PTR(PTR(name("shop.test.")))]),
        ),
        (
            "version.bind",
            Answer::records([RData::TXT(TXT::new(vec!["stub".to_owned()]))]),
        ),
        ("servfail.test", Answer::code(ResponseCode::ServFail)),
        ("refused.test", Answer::code(ResponseCode::Refused)),
        ("notimp.test", Answer::code(ResponseCode::NotImp)),
        ("silent.test", Answer::silence()),
    ])
    .await
}

/// The answer section as `TYPE data`.
fn answer(result: &CheckResult) -> Vec<String> {
    let records = &result.dns.as_ref().unwrap().answer;
    let line = |record: &DnsRecord| format!("{} {}", record.record_type, record.data);
    records.iter().map(line).collect()
}

#[tokio::test]
async fn every_type_is_asked_for_and_shown_as_text() {
    let zone = zone().await;
    for (asked, kind, expected) in [
        ("shop.test", "A", "A 192.0.2.10, A 192.0.2.11"),
        ("shop.test.", "aaaa", "AAAA 2001:db8::1"),
        ("SHOP.test", "MX", "MX 10 mail.shop.test."),
        ("shop.test", "TYPE16", "TXT v=spf1 -all"),
        ("192.0.2.10", "PTR", "PTR shop.test."),
    ] {
        let result = dns(zone.address(), asked, kind).run().await;
        assert_eq!(told(&result), "ok", "{asked} {kind}");
        assert_eq!(answer(&result).join(", "), expected);
    }
    let result = dns(zone.address(), "shop.test", "ANY").run().await;
    assert_eq!(answer(&result).len(), 5);
}

#[tokio::test]
async fn every_section_and_what_came_with_it_is_kept() {
    let zone = zone().await;
    let result = dns(zone.address(), "delegated.test", "A").run().await;
    let detail = result.dns.unwrap();
    assert_eq!(
        (detail.rcode.as_str(), detail.transport.as_str()),
        ("NOERROR", "udp")
    );
    assert_eq!(detail.server, zone.address().to_string());
    assert_eq!(detail.answer[0].name, "delegated.test.");
    assert_eq!(detail.answer[0].ttl, 60);
    assert_eq!(detail.authority[0].data, "ns.test.");
    assert_eq!(detail.additional[0].data, "192.0.2.53");
}

#[tokio::test]
async fn the_answer_comes_over_the_transport_asked_for_and_over_tcp_when_it_is_cut() {
    let zone = zone().await;
    let authority = Authority::new("stub root");
    let secure = zone.over_tls(TlsServer::new(&authority.localhost())).await;
    let ask = async |asked: &str, change: &dyn Fn(&mut DnsSpec)| {
        let result = dns(zone.address(), asked, "A").with(change).run().await;
        assert_eq!(told(&result), "ok");
        assert_eq!(answer(&result).len(), 2);
        result.dns.unwrap().transport
    };
    assert_eq!(ask("shop.test", &|_| {}).await, "udp");
    assert_eq!(zone.connections(), 0);
    assert_eq!(ask("long.test", &|_| {}).await, "tcp");
    assert_eq!(
        ask("shop.test", &|spec| spec.transport = DnsTransport::Tcp).await,
        "tcp"
    );
    assert_eq!(zone.connections(), 2);
    let over_tls = |spec: &mut DnsSpec| {
        spec.transport = DnsTransport::Tls;
        spec.server = Some(format!("localhost:{}", secure.port()));
        spec.tls = TlsOptions {
            ca: Some(authority.pem()),
            ..TlsOptions::default()
        };
    };
    assert_eq!(ask("shop.test", &over_tls).await, "tls");

    let untrusted = dns(zone.address(), "shop.test", "A")
        .with(over_tls)
        .with(|spec| spec.tls.ca = None);
    assert_eq!(
        untrusted.run().await.reason.unwrap().as_str(),
        "tls_unknown_issuer"
    );
}

#[tokio::test]
async fn another_class_is_asked_for_where_asked_for() {
    let zone = zone().await;
    let trial = dns(zone.address(), "version.bind", "TXT").with(|spec| spec.class = DnsClass::Ch);
    assert_eq!(
        told(&trial.expecting("dns.answer contains stub").run().await),
        "ok"
    );
}

#[tokio::test]
async fn an_answer_without_the_record_says_why() {
    let zone = zone().await;
    let ask = |asked: &str| dns(zone.address(), asked, "A");
    let lines = stories([
        ("unknown", ask("nowhere.test")),
        ("SERVFAIL", ask("servfail.test")),
        ("REFUSED", ask("refused.test")),
        ("NOTIMP", ask("notimp.test")),
        ("no such record", ask("empty.test")),
        ("silence", ask("silent.test").timeout(SOON)),
        ("no such type", dns(zone.address(), "shop.test", "NONSENSE")),
        (
            "unknown as expected",
            ask("nowhere.test").expecting("dns.rcode == NXDOMAIN"),
        ),
        (
            "another address",
            ask("shop.test").expecting("dns.answer contains 192.0.2.99"),
        ),
        ("too few", ask("shop.test").expecting("dns.count > 2")),
        (
            "short-lived",
            ask("shop.test").degraded_when("dns.ttl < 5m"),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r#"
    unknown => dns_nxdomain: 127.0.0.1:PORT answered NXDOMAIN when asked for nowhere.test A
    SERVFAIL => dns_servfail: 127.0.0.1:PORT answered SERVFAIL when asked for servfail.test A
    REFUSED => dns_refused: 127.0.0.1:PORT answered REFUSED when asked for refused.test A
    NOTIMP => dns_rcode: 127.0.0.1:PORT answered NOTIMP when asked for notimp.test A
    no such record => dns_no_address: 127.0.0.1:PORT has no A record for empty.test
    silence => dns_timeout: 127.0.0.1:PORT did not answer in time
    no such type => unsupported: `NONSENSE` is not a record type
    unknown as expected => ok
    another address => assertion_dns: dns.answer was 192.0.2.10, 192.0.2.11, expected contains "192.0.2.99"
    too few => assertion_dns: dns.count was 2, expected > 2
    short-lived => assertion_dns: dns.ttl was 1m: degraded when dns.ttl < 5m
    "#);
}

#[tokio::test]
async fn a_name_server_that_is_gone_or_is_none_says_so() {
    let closed = tcp::Refusing::new();
    let garbage = tcp::answering([&[0, 20][..], &[7; 20]].concat()).await;
    let closing = tcp::answering("").await;
    let silent = tcp::silent().await;
    let over_tcp = |server| -> Trial<DnsSpec> {
        dns(server, "shop.test", "A").with(|spec| spec.transport = DnsTransport::Tcp)
    };
    let lines = stories([
        ("closed", dns(closed.address(), "shop.test", "A")),
        ("closed, TCP", over_tcp(closed.address())),
        ("garbage, TCP", over_tcp(garbage.address())),
        ("closes, TCP", over_tcp(closing.address())),
        ("silent, TCP", over_tcp(silent.address()).timeout(SOON)),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    closed => connect_refused: nothing listens on 127.0.0.1:PORT (connection refused)
    closed, TCP => connect_refused: 127.0.0.1:PORT: connection refused
    garbage, TCP => dns_rcode: 127.0.0.1:PORT answered another question than the one it was asked
    closes, TCP => connect_reset: no whole answer came from 127.0.0.1:PORT (unexpected end of file)
    silent, TCP => dns_timeout: 127.0.0.1:PORT did not answer in time
    ");
}
