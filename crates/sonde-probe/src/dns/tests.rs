//! Questions to name servers of the tests' own, and what is made of their answers.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, MX, TXT};
use hickory_proto::rr::{Name, RData, Record};
use sonde_core::{DnsClass, NetworkOptions, TlsOptions};
use tokio::net::TcpListener;

use super::*;
use crate::{Egress, Settings};

fn environment() -> Environment {
    Environment::new(Settings {
        egress: Egress::open(),
        resolver: None,
        allow_exec: false,
        rdap_bootstrap: None,
        checker_id: String::new(),
    })
    .unwrap()
}

fn spec(record_type: &str, transport: DnsTransport) -> DnsSpec {
    DnsSpec {
        name: "shop.example".to_owned(),
        record_type: record_type.to_owned(),
        class: DnsClass::In,
        server: None,
        transport,
        recursion: true,
        tls: TlsOptions::default(),
        network: NetworkOptions::default(),
    }
}

/// What a server makes of a question over UDP (`false`) or TCP; nothing is silence.
type Answer = fn(&Message, bool) -> Vec<u8>;

/// Answers over UDP and TCP on one port of loopback, as long as the future is polled.
async fn serve(udp: UdpSocket, tcp: TcpListener, answer: Answer) {
    let over_udp = async {
        let mut buffer = [0; 1500];
        loop {
            let (size, peer) = udp.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..size]).unwrap();
            let bytes = answer(&question, false);
            if !bytes.is_empty() {
                udp.send_to(&bytes, peer).await.unwrap();
            }
        }
    };
    let over_tcp = async {
        loop {
            let (stream, _) = tcp.accept().await.unwrap();
            serve_stream(stream, answer).await;
        }
    };
    tokio::join!(over_udp, over_tcp);
}

async fn serve_stream(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    // A client that refuses the certificate asks nothing.
    let Ok(size) = stream.read_u16().await else {
        return;
    };
    let mut buffer = vec![0; size.into()];
    stream.read_exact(&mut buffer).await.unwrap();
    let question = Message::from_vec(&buffer).unwrap();
    let bytes = answer(&question, true);
    if !bytes.is_empty() {
        let size = u16::try_from(bytes.len()).unwrap();
        stream.write_u16(size).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    }
}

/// Another test may hold the TCP side of the port that UDP got: then another port is tried.
async fn one_port_for_both() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn ask(
    mut spec: DnsSpec,
    answer: Answer,
    timeout: Duration,
) -> (Result<(), Failure>, Observation) {
    let (udp, tcp) = one_port_for_both().await;
    spec.server = Some(udp.local_addr().unwrap().to_string());
    let environment = environment();
    let mut seen = Observation::until(Instant::now() + timeout);
    let done = tokio::select! {
        done = probe(&environment, &spec, &mut seen) => done,
        () = serve(udp, tcp, answer) => unreachable!("a server does not end"),
    };
    (done, seen)
}

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(150);

fn reply(question: &Message) -> Message {
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.authoritative = true;
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.add_query(question.queries[0].clone());
    reply
}

fn record(data: RData) -> Record {
    Record::from_rdata(Name::from_ascii("shop.example.").unwrap(), 300, data)
}

fn good(question: &Message, _: bool) -> Vec<u8> {
    let mut reply = reply(question);
    reply.add_answer(record(RData::A(A::new(192, 0, 2, 10))));
    reply.add_authority(record(RData::TXT(TXT::new(vec!["v=1".to_owned()]))));
    let mx = MX::new(10, Name::from_ascii("mail.example.").unwrap());
    reply.add_additional(record(RData::MX(mx)));
    reply.to_vec().unwrap()
}

#[tokio::test]
async fn an_answer_is_kept_section_by_section() {
    let (done, seen) = ask(spec("A", DnsTransport::Udp), good, LONG).await;
    assert_eq!(done, Ok(()));
    let detail = seen.dns.unwrap();
    assert_eq!(
        (detail.rcode.as_str(), detail.transport.as_str()),
        ("NOERROR", "udp")
    );
    assert!(detail.authoritative);
    assert_eq!(Some(detail.server), seen.remote_address);
    let shown = |records: &[DnsRecord]| {
        let one = records.first().unwrap();
        format!("{} {} {} {}", one.name, one.ttl, one.record_type, one.data)
    };
    assert_eq!(shown(&detail.answer), "shop.example. 300 A 192.0.2.10");
    assert_eq!(shown(&detail.authority), "shop.example. 300 TXT v=1");
    assert_eq!(
        shown(&detail.additional),
        "shop.example. 300 MX 10 mail.example."
    );
    let phases: Vec<_> = seen.phases.iter().map(|(phase, _)| phase).collect();
    assert_eq!(phases, [Phase::Wait]);
}

#[tokio::test]
async fn tcp_has_a_connect_phase() {
    let (done, seen) = ask(spec("A", DnsTransport::Tcp), good, LONG).await;
    assert_eq!(done, Ok(()));
    assert_eq!(seen.dns.unwrap().transport, "tcp");
    let phases: Vec<_> = seen.phases.iter().map(|(phase, _)| phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::Wait]);
}

/// Accepts one TLS connection, with a certificate that nobody knows.
async fn serve_tls(tcp: TcpListener) {
    let names = vec!["dns.example".to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let (stream, _) = tcp.accept().await.unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    if let Ok(mut stream) = acceptor.accept(stream).await {
        serve_stream(&mut stream, good).await;
    }
}

#[tokio::test]
async fn tls_is_verified_and_has_its_own_phase() {
    for skip_verify in [true, false] {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut spec = spec("A", DnsTransport::Tls);
        spec.server = Some(tcp.local_addr().unwrap().to_string());
        spec.tls.skip_verify = skip_verify;
        let mut seen = Observation::until(Instant::now() + LONG);
        let environment = environment();
        let asking = probe(&environment, &spec, &mut seen);
        let (done, ()) = tokio::join!(asking, serve_tls(tcp));
        if skip_verify {
            assert_eq!(done, Ok(()));
            assert_eq!(seen.dns.unwrap().transport, "tls");
            let phases: Vec<_> = seen.phases.iter().map(|(phase, _)| phase).collect();
            assert_eq!(phases, [Phase::Connect, Phase::Tls, Phase::Wait]);
        } else {
            assert_eq!(done.unwrap_err().reason, Reason::TlsUnknownIssuer);
        }
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    fn truncated(question: &Message, tcp: bool) -> Vec<u8> {
        let mut bytes = good(question, tcp);
        if !tcp {
            bytes[2] |= 2;
            bytes.truncate(30);
        }
        bytes
    }
    let (done, seen) = ask(spec("A", DnsTransport::Udp), truncated, LONG).await;
    assert_eq!(done, Ok(()));
    let detail = seen.dns.unwrap();
    assert_eq!((detail.transport.as_str(), detail.answer.len()), ("tcp", 1));
}

#[tokio::test]
async fn type_class_flag_and_payload_size_reach_the_server() {
    fn only_as_asked(question: &Message, _: bool) -> Vec<u8> {
        let query = &question.queries[0];
        assert_eq!(query.to_string(), "version.bind. CH TXT");
        assert!(!question.metadata.recursion_desired);
        assert_eq!(question.metadata.message_type, MessageType::Query);
        assert_eq!(question.max_payload(), message::UDP_SIZE);
        reply(question).to_vec().unwrap()
    }
    let mut spec = spec("TYPE16", DnsTransport::Udp);
    spec.name = "version.bind".to_owned();
    spec.class = DnsClass::Ch;
    spec.recursion = false;
    let (done, seen) = ask(spec, only_as_asked, LONG).await;
    assert_eq!(done, Ok(()));
    assert_eq!(seen.dns.unwrap().rcode, "NOERROR");
}

#[tokio::test]
async fn a_code_is_an_answer() {
    fn refuses(question: &Message, _: bool) -> Vec<u8> {
        let mut reply = reply(question);
        reply.metadata.response_code = ResponseCode::NXDomain;
        reply.to_vec().unwrap()
    }
    let (done, seen) = ask(spec("A", DnsTransport::Udp), refuses, LONG).await;
    assert_eq!(done, Ok(()));
    assert_eq!(seen.dns.unwrap().rcode, "NXDOMAIN");
}

#[track_caller]
fn check_failure(failure: &Failure, reason: Reason, text: &str) {
    assert_eq!(failure.reason, reason, "{failure:?}");
    assert!(failure.message.contains(text), "{failure:?}");
}

#[tokio::test]
async fn silence_is_a_timeout_of_dns() {
    let (done, seen) = ask(spec("A", DnsTransport::Udp), |_, _| Vec::new(), SHORT).await;
    check_failure(
        &done.unwrap_err(),
        Reason::DnsTimeout,
        "did not answer in time",
    );
    assert!(seen.phases.wait.is_some());
    let (done, _) = ask(spec("A", DnsTransport::Tcp), |_, _| Vec::new(), SHORT).await;
    check_failure(&done.unwrap_err(), Reason::ConnectReset, "127.0.0.1:");
}

#[tokio::test]
async fn an_answer_to_another_question_is_left_alone() {
    fn forged(question: &Message, tcp: bool) -> Vec<u8> {
        let mut question = question.clone();
        question.metadata.id = question.metadata.id.wrapping_add(1);
        good(&question, tcp)
    }
    let (done, _) = ask(spec("A", DnsTransport::Udp), forged, SHORT).await;
    check_failure(&done.unwrap_err(), Reason::DnsTimeout, "");
    let (done, _) = ask(spec("A", DnsTransport::Tcp), forged, LONG).await;
    check_failure(&done.unwrap_err(), Reason::DnsRcode, "another question");
}

#[tokio::test]
async fn what_is_no_dns_message_is_said_to_be_none() {
    for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
        let (done, _) = ask(spec("A", transport), |_, _| b"hello".to_vec(), LONG).await;
        check_failure(&done.unwrap_err(), Reason::DnsRcode, "is not a DNS message");
    }
}

#[tokio::test]
async fn a_port_where_nothing_listens_refuses() {
    for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut spec = spec("A", transport);
        spec.server = Some(socket.local_addr().unwrap().to_string());
        drop(socket);
        let mut seen = Observation::until(Instant::now() + LONG);
        let done = probe(&environment(), &spec, &mut seen).await;
        check_failure(&done.unwrap_err(), Reason::ConnectRefused, "127.0.0.1:");
    }
}

#[tokio::test]
async fn a_lost_question_is_sent_again() {
    fn second_only(question: &Message, tcp: bool) -> Vec<u8> {
        use std::sync::atomic::{AtomicBool, Ordering};
        static ASKED: AtomicBool = AtomicBool::new(false);
        let asked_before = ASKED.swap(true, Ordering::Relaxed);
        if asked_before {
            good(question, tcp)
        } else {
            Vec::new()
        }
    }
    let timeout = Duration::from_millis(900);
    let (done, seen) = ask(spec("A", DnsTransport::Udp), second_only, timeout).await;
    assert_eq!(done, Ok(()));
    // A third of the time, less what a busy machine took before the first question.
    assert!(seen.phases.wait.unwrap() >= 100_000);
}

#[test]
fn a_server_is_a_host_with_or_without_a_port() {
    let check = |server: &str, host: &str, port| {
        assert_eq!(host_and_port(server, 53), (host.to_owned(), port));
    };
    check("ns.example", "ns.example", 53);
    check("ns.example:5353", "ns.example", 5353);
    check("192.0.2.53", "192.0.2.53", 53);
    check("192.0.2.53:5353", "192.0.2.53", 5353);
    check("2001:db8::53", "2001:db8::53", 53);
    check("[2001:db8::53]", "2001:db8::53", 53);
    check("[2001:db8::53]:5353", "2001:db8::53", 5353);
}

#[test]
fn types_are_known_by_name_and_number() {
    assert_eq!(message::record_type("mx"), message::record_type("TYPE15"));
    assert!(message::record_type("TYPE65400").is_some());
    assert!(message::record_type("NOSUCH").is_none());
}
