//! The tcp and tls kinds: connections, dialogues, and the way into TLS that protocols have.

use std::net::SocketAddr;
use std::time::Duration;

use sonde_core::{CheckResult, Pattern, StartTls, Step, TcpSpec, TlsOptions};
use sonde_tests::certificates::{Authority, Validity};
use sonde_tests::checks::{Trial, stories, tcp as connect, tls, told};
use sonde_tests::stub::tcp::{self, Line};
use sonde_tests::stub::tls::{TlsServer, handshaking};

const SOON: Duration = Duration::from_secs(2);

fn send(text: &str) -> Step {
    Step::Send(text.to_owned())
}

fn expect(pattern: &str) -> Step {
    Step::Expect(Pattern::new(pattern).unwrap())
}

fn talk(server: SocketAddr, dialogue: impl Into<Vec<Step>>) -> Trial<TcpSpec> {
    let dialogue = dialogue.into();
    connect(server).with(|spec| spec.dialogue = dialogue)
}

fn trusting(authority: &Authority) -> TlsOptions {
    TlsOptions {
        ca: Some(authority.pem()),
        server_name: Some("localhost".to_owned()),
        ..TlsOptions::default()
    }
}

#[tokio::test]
async fn a_connection_alone_is_enough() {
    let server = tcp::silent().await;
    let result = connect(server.address()).run().await;
    assert_eq!(told(&result), "ok");
    assert_eq!(result.remote_address.unwrap(), server.address().to_string());

    let refusing = tcp::Refusing::new();
    let unreachable = tcp::Unreachable::new().await;
    let lines = stories([
        ("refuses", connect(refusing.address())),
        (
            "drops packets",
            connect(unreachable.address()).timeout(SOON),
        ),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    refuses => connect_refused: 127.0.0.1:PORT: connection refused
    drops packets => connect_timeout: no connection to 127.0.0.1:PORT in time
    ");
}

#[tokio::test]
async fn what_was_heard_can_be_said_again() {
    let server = tcp::dialogue(vec![
        Line::Say("challenge 4711\r\n"),
        Line::Hear("answer 4711"),
        Line::Say("welcome\r\n"),
    ])
    .await;
    let result = talk(
        server.address(),
        [
            expect(r"challenge (?<code>\d+)"),
            send("answer ${code}\r\n"),
            expect("welcome"),
        ],
    )
    .expecting("tcp.reply contains welcome")
    .run()
    .await;
    assert_eq!(told(&result), "ok");
    assert_eq!(result.tcp.unwrap().reply, "challenge 4711\r\nwelcome\r\n");
}

#[tokio::test]
async fn a_dialogue_that_goes_wrong_shows_what_was_heard() {
    let greeting = tcp::greeting("500 go away\r\n").await;
    let silent = tcp::silent().await;
    let closing = tcp::answering("").await;
    let resetting = tcp::resetting_after_request().await;
    let endless = tcp::greeting(vec![b'x'; 1 << 20]).await;
    let deaf = tcp::deaf().await;
    let large = "x".repeat(64 * 1024 * 1024);
    let lines = stories([
        (
            "another greeting",
            talk(greeting.address(), [expect("^220 ")]).timeout(SOON),
        ),
        (
            "no greeting",
            talk(silent.address(), [expect("^220 ")]).timeout(SOON),
        ),
        (
            "closes",
            talk(closing.address(), [send("hello\r\n"), expect("^220 ")]),
        ),
        (
            "resets",
            talk(resetting.address(), [send("hello\r\n"), expect("^220 ")]),
        ),
        (
            "talks on and on",
            talk(endless.address(), [expect("^220 ")]),
        ),
        (
            "does not listen",
            talk(deaf.address(), [send(&large)]).timeout(SOON),
        ),
    ])
    .await;
    // The long one is quoted in part; how much of it had come when it was cut does not matter.
    insta::assert_snapshot!(lines.replace(&"x".repeat(200), "x…"), @r#"
    another greeting => receive_timeout: `127.0.0.1` said no more in time; nothing matches `^220 ` in "500 go away\r\n"
    no greeting => wait_timeout: `127.0.0.1` said no more in time without anything that matches `^220 `
    closes => assertion_tcp: `127.0.0.1` closed the connection without anything that matches `^220 `
    resets => connect_reset: the connection to `127.0.0.1` broke while listening: connection reset by the peer
    talks on and on => assertion_tcp: `127.0.0.1` went on and on; nothing matches `^220 ` in "x…"
    does not listen => send_timeout: 127.0.0.1:PORT: the request could not be sent in time
    "#);
}

#[tokio::test]
async fn tls_is_spoken_from_the_first_byte_on_where_asked_for() {
    let authority = Authority::new("stub root");
    let server = handshaking(TlsServer::new(&authority.localhost())).await;
    let tls = trusting(&authority);
    let trial = connect(server.address()).with(|spec| spec.tls = Some(tls));
    let result = trial.expecting("tls.version == 1.3").run().await;
    assert_eq!(told(&result), "ok");
    assert!(result.phases_us.tls.is_some());
}

/// What the tcp and the tls kind find at a mail server with a certificate of this validity.
async fn visit_mail(authority: &Authority, validity: Validity) -> (CheckResult, CheckResult) {
    let identity = authority.issue(&["localhost"], validity);
    let server = tcp::dialogue(tcp::smtp(TlsServer::new(&identity))).await;
    let options = trusting(authority);
    let dialogue = [
        StartTls::Smtp.steps(),
        vec![send("EHLO me\r\n"), expect("^250 ")],
    ]
    .concat();
    let by_tcp = talk(server.address(), dialogue).with(|spec| spec.tls = Some(trusting(authority)));
    let by_tls = tls(server.port()).with(|spec| {
        spec.starttls = Some(StartTls::Smtp);
        spec.tls = options;
    });
    (by_tcp.run().await, by_tls.run().await)
}

#[tokio::test]
async fn mail_servers_are_led_into_tls() {
    let authority = Authority::new("stub root");
    let (by_tcp, by_tls) = visit_mail(&authority, Validity::Long).await;
    assert_eq!(told(&by_tcp), "ok");
    assert!(by_tcp.tcp.unwrap().reply.contains("220 go ahead"));
    assert_eq!(told(&by_tls), "ok");
    assert_eq!(by_tls.tls.unwrap().certificates.len(), 1);
    let (by_tcp, by_tls) = visit_mail(&authority, Validity::Expired).await;
    assert_eq!(by_tcp.reason.unwrap().as_str(), "tls_expired");
    assert_eq!(by_tls.reason.unwrap().as_str(), "tls_expired");
}

#[tokio::test]
async fn every_protocol_knows_its_way_into_tls() {
    let authority = Authority::new("stub root");
    let tls_server = || TlsServer::new(&authority.localhost());
    let scripts = [
        (
            StartTls::Imap,
            vec![
                Line::Say("* OK ready\r\n"),
                Line::Hear("a STARTTLS"),
                Line::Say("a OK begin\r\n"),
            ],
        ),
        (
            StartTls::Pop3,
            vec![
                Line::Say("+OK ready\r\n"),
                Line::Hear("STLS"),
                Line::Say("+OK begin\r\n"),
            ],
        ),
        (
            StartTls::Ftp,
            vec![
                Line::Say("220-welcome\r\n220 ready\r\n"),
                Line::Hear("AUTH TLS"),
                Line::Say("234 begin\r\n"),
            ],
        ),
    ];
    for (protocol, mut script) in scripts {
        script.push(Line::StartTls(tls_server()));
        let server = tcp::dialogue(script).await;
        let trial = tls(server.port()).with(|spec| {
            spec.starttls = Some(protocol);
            spec.tls = trusting(&authority);
        });
        assert_eq!(told(&trial.run().await), "ok", "{protocol:?}");
    }
}

#[tokio::test]
async fn a_certificate_is_judged_by_its_chain_and_its_days() {
    let authority = Authority::new("stub root");
    let intermediate = authority.intermediate("stub intermediate");
    let left = Validity::Left(Duration::from_hours(24 * 10 + 12));
    let server = handshaking(TlsServer::tls12_only(
        &intermediate.issue(&["localhost"], left),
    ))
    .await;
    let visit = || tls(server.port()).with(|spec| spec.tls = trusting(&authority));
    let lines = stories([
        (
            "good",
            visit()
                .expecting("tls.days_left >= 10")
                .expecting("tls.version == 1.2"),
        ),
        ("soon over", visit().degraded_when("tls.days_left < 14")),
        ("too soon over", visit().expecting("tls.days_left > 14")),
        (
            "of another",
            visit().expecting("tls.issuer contains Encrypt"),
        ),
        (
            "for another",
            visit().expecting("tls.san contains shop.test"),
        ),
        ("not trusted", visit().with(|spec| spec.tls.ca = None)),
    ])
    .await;
    insta::assert_snapshot!(lines, @r#"
    good => ok
    soon over => assertion_tls: tls.days_left was 10: degraded when tls.days_left < 14
    too soon over => assertion_tls: tls.days_left was 10, expected > 14
    of another => assertion_tls: tls.issuer was CN=stub intermediate, expected contains "Encrypt"
    for another => assertion_tls: tls.san was localhost, expected contains "shop.test"
    not trusted => tls_unknown_issuer: the certificate of `localhost` was issued by one who is not trusted: CN=stub root
    "#);
    let tls = visit().run().await.tls.unwrap();
    let issuers: Vec<_> = tls
        .certificates
        .iter()
        .map(|one| one.issuer.as_str())
        .collect();
    assert_eq!(issuers.len(), 2, "{issuers:?}");
    assert!(issuers[0].contains("stub intermediate") && issuers[1].contains("stub root"));
}
