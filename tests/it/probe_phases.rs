//! The truth of the phases: a delay shows where it was put, and nowhere else.

use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use sonde_core::{CheckResult, Phase};
use sonde_tests::certificates::{Authority, Validity};
use sonde_tests::checks::{dns, http, told};
use sonde_tests::stub::dns::{Answer, DnsStub};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tcp::Unreachable;
use sonde_tests::stub::tls::TlsServer;

/// The kernel's own pause between two tries to connect, which is the one that cannot be chosen.
const DELAY: Duration = Duration::from_secs(1);
/// A busy machine may take this long for nothing, but not for long.
const NOISE: Duration = Duration::from_millis(500);
/// What timers and the first, lost packet may differ by.
const PRECISION: Duration = Duration::from_millis(50);

/// An HTTPS server that is late in one phase, found by a name server that can be so too.
async fn late_in(late: Phase) -> CheckResult {
    let delay = |phase| if phase == late { DELAY } else { Duration::ZERO };
    let authority = Authority::new("stub root");
    let identity = authority.issue(&["late.test"], Validity::Long);
    let reply = Reply::text("hello")
        .after(delay(Phase::Wait))
        .pausing(delay(Phase::Receive));
    let tls = TlsServer::new(&identity).delayed(delay(Phase::Tls));
    let stub = HttpStub::start_tls(tls, [("/", reply)]).await;
    let answer = Answer::loopback().after(delay(Phase::Dns));
    let names = DnsStub::start([("late.test", answer)]).await;
    http(format!("https://late.test:{}/", stub.server().port()))
        .with(|spec| spec.tls.ca = Some(authority.pem()))
        .resolver(names.address())
        .run()
        .await
}

/// Opens only once the check tries to connect: the first poll of its future gets it that far.
async fn late_to_connect() -> CheckResult {
    let target = Unreachable::new().await;
    let url = format!("http://{}/", target.address());
    let open = async {
        tokio::time::sleep(DELAY / 4).await;
        target.open("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    };
    let (result, _server) = tokio::join!(http(url).run(), open);
    result
}

async fn late_answer() -> CheckResult {
    let names = DnsStub::start([("late.test", Answer::loopback().after(DELAY))]).await;
    dns(names.address(), "late.test", "A").run().await
}

#[tokio::test]
async fn a_delay_shows_in_its_phase_and_in_no_other() {
    let visits: [(Phase, LocalBoxFuture<'_, CheckResult>); 6] = [
        (Phase::Dns, Box::pin(late_in(Phase::Dns))),
        (Phase::Connect, Box::pin(late_to_connect())),
        (Phase::Tls, Box::pin(late_in(Phase::Tls))),
        (Phase::Wait, Box::pin(late_in(Phase::Wait))),
        (Phase::Wait, Box::pin(late_answer())),
        (Phase::Receive, Box::pin(late_in(Phase::Receive))),
    ];
    let visits = visits
        .into_iter()
        .map(|(late, visit)| async move { (late, visit.await) });
    for (late, result) in join_all(visits).await {
        assert_eq!(told(&result), "ok");
        assert!(result.phases_us.get(late).is_some(), "{late:?}: {result:?}");
        for (phase, micros) in result.phases_us.iter() {
            let took = Duration::from_micros(micros);
            let expected = if phase == late { DELAY } else { Duration::ZERO };
            let least = expected.saturating_sub(PRECISION);
            assert!(
                least <= took && took <= expected + NOISE,
                "{phase:?} took {took:?} when {late:?} was late"
            );
        }
    }
}

#[tokio::test]
async fn phases_that_did_not_happen_are_absent() {
    let stub = HttpStub::start([("/", Reply::text("hello"))]).await;
    let by_address = format!("http://{}/", stub.server().address());
    let phases = |result: &CheckResult| {
        result
            .phases_us
            .iter()
            .map(|(phase, _)| phase)
            .collect::<Vec<_>>()
    };
    let result = http(by_address).run().await;
    assert_eq!(
        phases(&result),
        [Phase::Connect, Phase::Send, Phase::Wait, Phase::Receive]
    );
    let result = http(stub.url("/")).run().await;
    assert_eq!(phases(&result)[0], Phase::Dns);
    let names = DnsStub::start([]).await;
    let result = http("http://nowhere.test/")
        .resolver(names.address())
        .run()
        .await;
    assert_eq!(phases(&result), [Phase::Dns]);
}
