//! Domains: who is asked about one, what the answer means, and that neither the list nor a registry can hurt.

use std::time::Duration;

use serde_json::{Value, json};
use sonde_core::{Clock, DomainSpec, Outcome, Phase, Reason, SystemClock, Timestamp};
use sonde_probe::Egress;
use sonde_tests::checks::{Trial, domain, stories, told};
use sonde_tests::sonde::Sonde;
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::proxy::{Policy, ProxyStub};
use sonde_tests::stub::tcp;

const DAY: Duration = Duration::from_hours(24);
const SOON: Duration = Duration::from_secs(2);

fn in_days(days: u32) -> Timestamp {
    SystemClock.now() + DAY * days
}

fn answer(name: &str, expires_at: Option<Timestamp>) -> Value {
    let events = expires_at.map(|at| json!({ "eventAction": "expiration", "eventDate": at }));
    let registration =
        json!({ "eventAction": "registration", "eventDate": "1999-02-03T04:05:06+02:00" });
    json!({
        "objectClassName": "domain",
        "ldhName": name,
        "status": ["active"],
        "events": events.into_iter().chain([registration]).collect::<Vec<_>>(),
        "entities": [{
            "roles": ["registrar"],
            "vcardArray": ["vcard", [["fn", {}, "text", "Example Registrar"]]],
        }],
    })
}

fn registered(name: &str) -> Reply {
    Reply::json(&answer(name, Some(in_days(100))))
}

/// The registry of `test`, and the list that says so.
async fn registry<const N: usize>(replies: [(&str, Reply); N]) -> HttpStub {
    let stub = HttpStub::start([]).await;
    let server = stub.url("/v1/");
    let list = json!({ "version": "1.0", "services": [
        [["nowhere"], ["http://127.0.0.1:1/"]],
        [["test"], [server]],
    ] });
    stub.set("/dns.json", Reply::json(&list));
    for (name, reply) in replies {
        stub.set(&format!("/v1/domain/{name}.test"), reply);
    }
    stub
}

fn ask(registry: &HttpStub, name: &str) -> Trial<DomainSpec> {
    domain(name, &registry.url("/dns.json"))
}

#[tokio::test]
async fn the_registry_of_the_top_level_domain_is_asked_and_what_it_tells_is_in_the_result() {
    let registry = registry([("shop", registered("shop.test"))]).await;
    let trial = ask(&registry, "shop.test")
        .expecting("domain.days_left == 99")
        .expecting("domain.registrar == \"Example Registrar\"");
    let result = trial.run().await;
    assert_eq!(told(&result), "ok");
    let found = result.domain.unwrap();
    assert!(found.expires_at > Some(in_days(99)), "{found:?}");
    assert_eq!(
        found.registered_at,
        Some("1999-02-03T02:05:06Z".parse().unwrap())
    );
    assert_eq!(found.status, ["active"]);
    assert_eq!(found.server, registry.url("/v1/"));
    assert_eq!(result.target, "shop.test");
    assert!(result.phases_us.get(Phase::Wait).is_some() && result.tls.is_none());

    let requests = registry.requests();
    let paths: Vec<_> = requests.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["/dns.json", "/v1/domain/shop.test"]);
    assert_eq!(requests[1].headers["accept"], "application/rdap+json");
}

#[tokio::test]
async fn what_is_wrong_with_a_domain_or_its_registry_is_told_apart() {
    let expired = answer("old.test", Some("2020-01-31T00:00:00Z".parse().unwrap()));
    let large = vec![b' '; 2 * 1024 * 1024];
    let registry = registry([
        ("silent", Reply::json(&answer("silent.test", None))),
        ("old", Reply::json(&expired)),
        ("busy", Reply::status(429).header("retry-after", "3600")),
        ("limited", Reply::status(429)),
        ("down", Reply::status(503)),
        ("broken", Reply::text("{\"objectClassName\": \"domain\"")),
        ("page", Reply::text("<html>")),
        ("other", registered("another.test")),
        ("cut", Reply::truncated("{")),
        ("large", Reply::status(200).body(large)),
        ("endless", Reply::endless()),
        ("hanging", registered("hanging.test").after(DAY)),
        ("moved", Reply::redirect(302, "/v1/domain/silent.test")),
    ])
    .await;
    let at = |name: &str| ask(&registry, &format!("{name}.test"));
    let lines = stories([
        ("no date", at("silent")),
        (
            "no date, but asserted on",
            at("silent").expecting("domain.days_left > 30"),
        ),
        ("ended", at("old")),
        ("not registered", at("free")),
        ("too often", at("busy")),
        ("too often, no word of when", at("limited")),
        ("no service", at("down")),
        ("broken JSON", at("broken")),
        ("a page", at("page")),
        ("about another", at("other")),
        ("broken off", at("cut")),
        ("too large to look at", at("large")),
        ("too large to read", at("endless")),
        ("hanging", at("hanging").timeout(SOON)),
        ("elsewhere, about another", at("moved")),
        ("of no registry", ask(&registry, "shop.none")),
        ("of one that is down", ask(&registry, "shop.nowhere")),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    no date => ok: http://localhost:PORT/v1/ does not tell when the registration ends
    no date, but asserted on => assertion_domain: domain.days_left was nothing, expected > 30
    ended => domain_expired: the registration of old.test ended 2020-01-31T00:00:00.000000Z
    not registered => domain_unregistered: `localhost` has no domain `free.test` (404): it is not registered
    too often => rdap_rate_limited: `localhost` refuses to be asked so often (429); it may be asked again after 3600 s
    too often, no word of when => rdap_rate_limited: `localhost` refuses to be asked so often (429)
    no service => http_status: `localhost` answered 503 when asked for `down.test`
    broken JSON => rdap_answer: the answer of `localhost` about `broken.test` is not RDAP: it is not JSON (EOF while parsing an object at line 1 column 28)
    a page => rdap_answer: the answer of `localhost` about `page.test` is not RDAP: it is not JSON (expected value at line 1 column 1)
    about another => rdap_answer: the answer of `localhost` about `other.test` is not RDAP: it is about `another.test`
    broken off => http_protocol: `localhost:PORT` closed the connection in the middle of its answer
    too large to look at => body_too_large: the answer of `localhost` is larger than 1048576 bytes
    too large to read => body_too_large: the body is larger than 10 MiB
    hanging => wait_timeout: `localhost:PORT`: no first byte in time
    elsewhere, about another => rdap_answer: the answer of `localhost` about `moved.test` is not RDAP: it is about `silent.test`
    of no registry => rdap_no_server: no RDAP server is known for `shop.none`: its registry has none in http://localhost:PORT/dns.json, so name one with `server`
    of one that is down => connect_refused: 127.0.0.1:1: connection refused
    ");
}

#[tokio::test]
async fn a_registry_that_has_said_no_is_not_asked_again_at_once() {
    let expired = answer("old.test", Some(in_days(0)));
    let registry = registry([
        ("busy", Reply::status(429)),
        ("old", Reply::json(&expired)),
        ("down", Reply::status(503)),
    ])
    .await;
    for (name, attempts, reason) in [
        ("busy.test", 1, Reason::RdapRateLimited),
        ("old.test", 1, Reason::DomainExpired),
        ("free.test", 1, Reason::DomainUnregistered),
        ("shop.none", 1, Reason::RdapNoServer),
        ("down.test", 3, Reason::HttpStatus),
    ] {
        let result = ask(&registry, name).retries(2).run().await;
        assert_eq!(result.reason, Some(reason), "{name}");
        assert_eq!(result.outcome, Outcome::Failed, "{name}");
        assert_eq!(result.attempts.len(), attempts, "{name}");
    }
}

#[tokio::test]
async fn without_the_list_nothing_is_said_of_the_domain() {
    let closed = tcp::Refusing::new();
    let closed = format!("http://{}/dns.json", closed.address());
    let stub = HttpStub::start([
        ("/down", Reply::status(500)),
        ("/page", Reply::text("<html>")),
        ("/empty", Reply::json(&json!({ "services": [] }))),
        ("/hanging", Reply::text("").after(DAY)),
        ("/endless", Reply::endless()),
    ])
    .await;
    let at = |path: &str| domain("shop.test", &stub.url(path));
    let trials = || {
        [
            ("closed", domain("shop.test", &closed)),
            ("down", at("/down")),
            ("a page", at("/page")),
            ("empty", at("/empty")),
            ("hanging", at("/hanging").timeout(SOON)),
            ("endless", at("/endless")),
            ("guarded", at("/down").egress(Egress::guarded(Vec::new()))),
        ]
    };
    for (name, trial) in trials() {
        assert_eq!(trial.run().await.outcome, Outcome::Missed, "{name}");
    }
    insta::assert_snapshot!(stories(trials()).await, @r"
    closed => rdap_bootstrap: the list of RDAP servers at http://127.0.0.1:PORT/dns.json cannot be fetched: 127.0.0.1:PORT: connection refused
    down => rdap_bootstrap: the list of RDAP servers at http://localhost:PORT/down cannot be fetched: it answered 500
    a page => rdap_bootstrap: the list of RDAP servers at http://localhost:PORT/page cannot be fetched: it is no such list (RFC 9224): expected value at line 1 column 1
    empty => rdap_bootstrap: the list of RDAP servers at http://localhost:PORT/empty cannot be fetched: it names no server
    hanging => rdap_bootstrap: the list of RDAP servers at http://localhost:PORT/hanging cannot be fetched: `localhost:PORT`: no first byte in time
    endless => rdap_bootstrap: the list of RDAP servers at http://localhost:PORT/endless cannot be fetched: the body is larger than 10 MiB
    guarded => rdap_bootstrap: the list of RDAP servers at http://localhost:PORT/down cannot be fetched: 127.0.0.1 may not be checked from here: it is loopback (the egress guard)
    ");
}

#[tokio::test]
async fn a_registry_leads_a_guarded_checker_nowhere_private() {
    let registry = registry([]).await;
    let port = registry.server().port();
    let inside = format!("http://127.0.0.2:{port}/v1/domain/inside.test");
    registry.set("/v1/domain/moved.test", Reply::redirect(302, &inside));
    let list = json!({ "services": [
        [["test"], [registry.url("/v1/")]],
        [["inside"], [format!("http://127.0.0.2:{port}/v1/")]],
    ] });
    registry.set("/dns.json", Reply::json(&list));
    // Lets through `127.0.0.1` alone, so that the rest of loopback stands for what is forbidden.
    let home = || Egress::guarded(vec!["127.0.0.1/32".parse().unwrap()]);
    let at = |name| ask(&registry, name).egress(home());
    let named = at("inside.test").with(|spec| {
        spec.server = Some(format!("http://127.0.0.2:{port}/v1/").parse().unwrap());
    });
    let lines = stories([
        ("by a redirect", at("moved.test")),
        ("by the list", at("shop.inside")),
        ("by the monitor", named),
    ])
    .await;
    insta::assert_snapshot!(lines, @r"
    by a redirect => redirect_refused: after a redirect to http://127.0.0.2:PORT/v1/domain/inside.test: 127.0.0.2 may not be checked from here: it is loopback (the egress guard)
    by the list => blocked_target: 127.0.0.2 may not be checked from here: it is loopback (the egress guard)
    by the monitor => blocked_target: 127.0.0.2 may not be checked from here: it is loopback (the egress guard)
    ");
    let asked = registry.requests().into_iter();
    assert_eq!(asked.filter(|it| it.path.contains("inside")).count(), 0);
}

#[tokio::test]
async fn a_proxy_is_gone_through_but_never_for_a_list_that_nothing_protects() {
    let registry = registry([("shop", registered("shop.test"))]).await;
    let proxy = ProxyStub::start(Policy::Forward).await;
    let through = proxy.url().parse().unwrap();
    let trial = ask(&registry, "shop.test").with(|spec| spec.proxy = Some(through));
    assert_eq!(told(&trial.run().await), "ok");
    assert_eq!(proxy.targets(), [registry.url("/v1/domain/shop.test")]);
}

#[tokio::test]
async fn the_command_line_looks_at_a_domain() {
    let registry = registry([("shop", registered("shop.test"))]).await;
    let probe = async |target: &str| {
        let arguments = ["probe", target, "--expect", "domain.days_left > 30"];
        let sonde = Sonde::new(arguments).env("SONDE_RDAP_BOOTSTRAP", registry.url("/dns.json"));
        sonde.run().await
    };
    let seen = probe("domain://shop.test").await;
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert!(seen.stdout.contains("99 days left"), "{}", seen.stdout);
    assert!(
        seen.stdout.contains("by Example Registrar"),
        "{}",
        seen.stdout
    );
    assert_eq!(probe("domain://free.test").await.code, Some(1));
    let wrong = probe("domain://www.example.com").await;
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("domain://example.com"),
        "{}",
        wrong.stderr
    );
}
