//! Checks of the stubs, run at once by a prober of their own: one line names the target, each method changes one thing.
//!
//! Whatever comes of a check, [`Trial::run`] holds it against what is true of every result.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sonde_core::{
    AlertRule, Assertion, Check, CheckResult, Clock, DnsClass, DnsSpec, DnsTransport, DomainSpec,
    ExecSpec, Frequency, HttpSpec, IcmpSpec, Kind, Monitor, MonitorId, NetworkOptions, Outcome,
    Region, RetryPolicy, RunId, Spec, SystemClock, TcpSpec, TlsOptions, TlsSpec, Trigger,
    WorkspaceId,
};
use sonde_probe::{Egress, Prober, Settings};

/// Of one attempt, when a test says nothing else: nobody waits for it unless something is broken.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a check may take beyond its deadline on a machine that is busy with other things.
const SLACK: Duration = Duration::from_secs(2);

/// A check being put together.
pub struct Trial<S> {
    spec: S,
    kind: fn(S) -> Spec,
    settings: Settings,
    timeout: Duration,
    retries: u32,
    deadline: Option<Duration>,
    expect: Vec<Assertion>,
    degraded: Vec<Assertion>,
}

pub fn http(url: impl AsRef<str>) -> Trial<HttpSpec> {
    let url = url.as_ref().parse().expect("tests name valid URLs");
    Trial::new(HttpSpec::get(url), |spec| Spec::Http(Box::new(spec)))
}

/// Only connects.
pub fn tcp(target: SocketAddr) -> Trial<TcpSpec> {
    let spec = TcpSpec {
        host: target.ip().to_string(),
        port: target.port(),
        tls: None,
        dialogue: Vec::new(),
        network: NetworkOptions::default(),
    };
    Trial::new(spec, |spec| Spec::Tcp(Box::new(spec)))
}

/// By the name `localhost`.
pub fn tls(port: u16) -> Trial<TlsSpec> {
    let spec = TlsSpec {
        host: "localhost".to_owned(),
        port,
        tls: TlsOptions::default(),
        starttls: None,
        network: NetworkOptions::default(),
    };
    Trial::new(spec, |spec| Spec::Tls(Box::new(spec)))
}

/// One question over UDP.
pub fn dns(server: SocketAddr, name: &str, record_type: &str) -> Trial<DnsSpec> {
    let spec = DnsSpec {
        name: name.to_owned(),
        record_type: record_type.to_owned(),
        class: DnsClass::In,
        server: Some(server.to_string()),
        transport: DnsTransport::Udp,
        recursion: true,
        tls: TlsOptions::default(),
        network: NetworkOptions::default(),
    };
    Trial::new(spec, |spec| Spec::Dns(Box::new(spec)))
}

/// Two packets.
pub fn icmp(host: &str) -> Trial<IcmpSpec> {
    let spec = IcmpSpec {
        host: host.to_owned(),
        packets: 2,
        payload_size: 56,
        ttl: None,
        network: NetworkOptions::default(),
    };
    Trial::new(spec, Spec::Icmp)
}

/// Asked about where the list at `bootstrap` says.
pub fn domain(name: &str, bootstrap: &str) -> Trial<DomainSpec> {
    let spec = DomainSpec::of(name.to_owned());
    let mut trial = Trial::new(spec, |spec| Spec::Domain(Box::new(spec)));
    let url = bootstrap.parse().expect("tests name valid URLs");
    trial.settings.rdap_bootstrap = Some(url);
    trial
}

/// A shell script, on a checker that allows such checks.
pub fn exec(script: &str) -> Trial<ExecSpec> {
    let spec = ExecSpec {
        command: "/bin/sh".to_owned(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: BTreeMap::new(),
        warn_only: false,
    };
    let mut trial = Trial::new(spec, Spec::Exec);
    trial.settings.allow_exec = true;
    trial
}

impl<S> Trial<S> {
    fn new(spec: S, kind: fn(S) -> Spec) -> Self {
        Self {
            spec,
            kind,
            settings: Settings {
                egress: Egress::open(),
                resolver: None,
                allow_exec: false,
                rdap_bootstrap: None,
                checker_id: "trial".to_owned(),
            },
            timeout: TIMEOUT,
            retries: 0,
            deadline: None,
            expect: Vec::new(),
            degraded: Vec::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut S)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Of one attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Attempts after the first, 50 ms after each other.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Of all attempts together, so long from now; else there is time for all of them.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Adds an assertion.
    #[must_use]
    pub fn expecting(mut self, assertion: &str) -> Self {
        self.expect.push(parsed(assertion));
        self
    }

    /// Adds a condition under which the check is degraded.
    #[must_use]
    pub fn degraded_when(mut self, condition: &str) -> Self {
        self.degraded.push(parsed(condition));
        self
    }

    #[must_use]
    pub fn egress(mut self, egress: Egress) -> Self {
        self.settings.egress = egress;
        self
    }

    /// The checker's own name server, instead of the machine's.
    #[must_use]
    pub fn resolver(mut self, server: SocketAddr) -> Self {
        self.settings.resolver = Some(server);
        self
    }

    #[must_use]
    pub fn allow_exec(mut self, allow: bool) -> Self {
        self.settings.allow_exec = allow;
        self
    }

    /// Panics unless the check ends in time, with a result as all results have to be.
    pub async fn run(self) -> CheckResult {
        let prober = Prober::new(self.settings.clone()).expect("the resolver can be set up");
        let own_deadline = self.deadline;
        let monitor = self.into_monitor();
        let longest = own_deadline.unwrap_or_else(|| monitor.longest_execution());
        let now = SystemClock.now();
        let check = Check {
            monitor: Arc::new(monitor),
            region: Region::local(),
            slot: now,
            run_id: RunId::from_u64(1),
            trigger: Trigger::OnDemand,
            frequency: Frequency::new("1m").expect("a slug"),
            deadline: now + longest,
            dispatched_at: now,
            in_maintenance: false,
        };
        let begin = Instant::now();
        let result = prober.run(&check, &SystemClock).await;
        let took = begin.elapsed();
        assert!(took <= longest + SLACK, "it took {took:?}: {result:#?}");
        assert_sound(&result);
        result
    }

    fn into_monitor(self) -> Monitor {
        Monitor {
            workspace: WorkspaceId::local(),
            id: MonitorId::new("trial").expect("a slug"),
            name: "Trial".to_owned(),
            spec: (self.kind)(self.spec),
            interval: Duration::from_mins(1),
            timeout: self.timeout,
            retry: RetryPolicy {
                retries: self.retries,
                initial: Duration::from_millis(50),
                factor: 1.0,
                max: Duration::from_millis(50),
                jitter: 0.0,
            },
            regions: vec![Region::local()],
            expect: self.expect,
            degraded: self.degraded,
            alert: AlertRule::default(),
            depends_on: Vec::new(),
            tags: Vec::new(),
            paused: false,
        }
    }
}

fn parsed(assertion: &str) -> Assertion {
    assertion.parse().expect("tests write valid assertions")
}

/// Reason and sentence go with whatever is not ok, and phases are parts of the whole.
#[track_caller]
fn assert_sound(result: &CheckResult) {
    let good = result.outcome == Outcome::Ok;
    let message = result.message.as_deref().unwrap_or_default();
    assert_eq!(result.reason.is_none(), good, "{result:#?}");
    // Only of a domain there may be something to say that is not wrong.
    let silent = message.is_empty() || result.kind == Kind::Domain;
    assert!(
        if good { silent } else { !message.is_empty() },
        "{result:#?}"
    );
    let program_text = ["Error", "Some(", "Kind", "{ "];
    let readable =
        !message.contains('\n') && !program_text.iter().any(|text| message.contains(text));
    assert!(readable, "not a sentence for people: {message}");
    // Its phase is the mean of packets that are under way together.
    if result.kind != Kind::Icmp {
        let phases: u64 = result.phases_us.iter().map(|(_, micros)| micros).sum();
        assert!(phases <= result.total_us.unwrap_or(0), "{result:#?}");
    }
}

/// `ok`, or reason and sentence with PORT and N for what differs from run to run.
pub fn told(result: &CheckResult) -> String {
    let reason = result.reason.map_or("ok", |reason| reason.as_str());
    let message = result.message.as_deref().unwrap_or_default();
    let message = without_ports(message);
    format!("{reason}: {message}")
        .trim_end_matches(": ")
        .to_owned()
}

/// Runs all at once and lists what came of them, one line each.
pub async fn stories<S>(trials: impl IntoIterator<Item = (&str, Trial<S>)>) -> String {
    let stories = trials
        .into_iter()
        .map(|(name, trial)| async move { format!("{name} => {}", told(&trial.run().await)) });
    join_all(stories).await.join("\n")
}

/// Ports are what follows a colon and has four digits or more; ages are in days.
fn without_ports(text: &str) -> String {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|c: char| !c.is_ascii_digit());
        let (number, after) = number.split_at(end.unwrap_or(number.len()));
        redacted.push_str(before);
        redacted.push_str(if before.ends_with(':') && number.len() >= 4 {
            "PORT"
        } else if after.starts_with(" days") {
            "N"
        } else {
            number
        });
        rest = after;
    }
    redacted + rest
}
