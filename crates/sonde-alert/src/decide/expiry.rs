//! Certificates and domains that come to their end: told once for each threshold, until they are renewed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{CheckResult, IncidentCause, Kind, Monitor, Region, Spec, Timestamp};
use uuid::Uuid;

const DAY: Duration = Duration::from_hours(24);
/// The names of these incidents, which never are those of another kind.
const NAMESPACE: Uuid = Uuid::from_u128(0x2c41_7f0e_93ab_4d15_8c6a_55d0_1e7b_a904);

/// What is known of the end of a monitor's certificates, or of its domain.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    /// Of the last slot in which a region had an answer.
    shown: BTreeMap<Region, Shown>,
    open: Option<Expiring>,
}

/// What a region was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    slot: Timestamp,
    cause: IncidentCause,
    /// When it ends, if there is such a thing.
    pub ends: Option<Timestamp>,
    /// With whom a domain is registered.
    pub registrar: Option<String>,
}

/// What comes to its end, and people were told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiring {
    pub id: Uuid,
    #[serde(default = "before_domains")]
    pub cause: IncidentCause,
    pub opened_at: Timestamp,
    /// The threshold that was told last, in days.
    pub days: u16,
    /// When it ends.
    pub ends: Timestamp,
}

/// Of what was kept when only certificates were told of.
fn before_domains() -> IncidentCause {
    IncidentCause::CertificateExpiring
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    Opened(Expiring),
    /// Another threshold is reached.
    Nearer(Expiring),
    Renewed(Expiring),
}

impl Shown {
    fn of(result: &CheckResult) -> Self {
        let (slot, cause) = (result.slot, cause(result.kind));
        if cause == IncidentCause::DomainExpiring {
            let domain = result.domain.as_ref();
            return Self {
                slot,
                cause,
                ends: domain.and_then(|domain| domain.expires_at),
                registrar: domain.and_then(|domain| domain.registrar.clone()),
            };
        }
        let mut certificates = result.tls.iter().flat_map(|tls| &tls.certificates);
        Self {
            slot,
            cause,
            ends: certificates.next().map(|leaf| leaf.not_after),
            registrar: None,
        }
    }
}

impl Ends {
    pub(super) fn restored(open: Option<Expiring>) -> Self {
        let shown = BTreeMap::new();
        Self { shown, open }
    }

    pub(super) fn open(&self) -> Option<&Expiring> {
        self.open.as_ref()
    }

    pub(super) fn take(&mut self) -> Option<Expiring> {
        self.open.take()
    }

    pub(super) fn shown(&self, region: &Region) -> Option<&Shown> {
        self.shown.get(region)
    }

    pub(super) fn observe(&mut self, result: &CheckResult) {
        let shown = Shown::of(result);
        // Who did not come so far saw none, whatever there is.
        if result.suspect || (shown.ends.is_none() && !result.outcome.is_up()) {
            return;
        }
        let known = self.shown.get(&result.region);
        if known.is_none_or(|known| known.slot <= shown.slot) {
            self.shown.insert(result.region.clone(), shown);
        }
    }

    pub(super) fn decide(&mut self, monitor: &Monitor, now: Timestamp) -> Option<Expiry> {
        let cause = cause(monitor.spec.kind());
        self.shown
            .retain(|region, shown| monitor.regions.contains(region) && shown.cause == cause);
        // It was a monitor of another kind: of what that one looked at nothing will be heard any more.
        if let Some(open) = self.open.take_if(|open| open.cause != cause) {
            return Some(Expiry::Renewed(open));
        }
        let first = self.shown.values().filter_map(|shown| shown.ends).min();
        let reached = first.and_then(|ends| Some((ends, reached(monitor, ends, now)?)));
        let (expiry, open) = match (self.open.take(), reached) {
            (None, None) => return None,
            (None, Some((ends, days))) => {
                let open = Expiring::new(monitor, days, ends, now);
                (Some(Expiry::Opened(open.clone())), Some(open))
            }
            (Some(open), Some((ends, days))) => {
                let is_nearer = days < open.days;
                let open = Expiring { days, ends, ..open };
                let nearer = is_nearer.then(|| Expiry::Nearer(open.clone()));
                (nearer, Some(open))
            }
            (Some(open), None) if self.is_over(monitor) => (Some(Expiry::Renewed(open)), None),
            (open, None) => (None, open),
        };
        self.open = open;
        expiry
    }

    /// No region may still be shown the old one.
    fn is_over(&self, monitor: &Monitor) -> bool {
        let is_known = |region| self.shown.contains_key(region);
        !is_watched(monitor) || monitor.regions.iter().all(is_known)
    }
}

impl Expiring {
    fn new(monitor: &Monitor, days: u16, ends: Timestamp, now: Timestamp) -> Self {
        let (ended, at) = (ends.as_micros(), now.as_micros());
        let name = format!("{}/{}/{ended}/{at}", monitor.workspace, monitor.id);
        Self {
            id: Uuid::new_v5(&NAMESPACE, name.as_bytes()),
            cause: cause(monitor.spec.kind()),
            opened_at: now,
            days,
            ends,
        }
    }
}

/// The smallest threshold that is reached, if one is.
fn reached(monitor: &Monitor, ends: Timestamp, now: Timestamp) -> Option<u16> {
    if !is_watched(monitor) {
        return None;
    }
    let left = ends.since(now);
    let thresholds = monitor.alert.expiry.iter().copied();
    thresholds
        .filter(|days| left <= DAY * u32::from(*days))
        .min()
}

/// Of what a kind of check sees the end.
fn cause(kind: Kind) -> IncidentCause {
    match kind {
        Kind::Domain => IncidentCause::DomainExpiring,
        _ => IncidentCause::CertificateExpiring,
    }
}

/// Who accepts any certificate is not told of its end.
fn is_watched(monitor: &Monitor) -> bool {
    let tls = match &monitor.spec {
        Spec::Domain(_) => return !monitor.alert.expiry.is_empty(),
        Spec::Http(spec) => Some(&spec.tls),
        Spec::Tls(spec) => Some(&spec.tls),
        Spec::Tcp(spec) => spec.tls.as_ref(),
        Spec::Dns(_) | Spec::Icmp(_) | Spec::Exec(_) | Spec::Heartbeat(_) => None,
    };
    tls.is_some_and(|tls| !tls.skip_verify) && !monitor.alert.expiry.is_empty()
}

#[cfg(test)]
mod tests {
    use sonde_core::{CertificateDetail, DomainDetail, DomainSpec, Outcome, TlsDetail};

    use super::*;

    fn day(n: u32) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000) + DAY * n
    }

    fn shown(from: &str, at: u32, ends: u32) -> CheckResult {
        let mut result = CheckResult::sample_executed(Outcome::Ok, Duration::ZERO);
        result.region = Region::new(from).unwrap();
        result.slot = day(at);
        result.tls = Some(TlsDetail {
            version: None,
            cipher: None,
            alpn: None,
            certificates: vec![CertificateDetail {
                subject: String::new(),
                issuer: String::new(),
                san: Vec::new(),
                not_before: day(0),
                not_after: day(ends),
                sha256: String::new(),
            }],
        });
        result
    }

    fn monitor() -> Monitor {
        let mut monitor = Monitor::sample();
        monitor.regions = ["fra", "iad"]
            .map(|name| Region::new(name).unwrap())
            .to_vec();
        monitor
    }

    /// What is told from day to day, in words; everything is kept and read again in between.
    fn story(
        monitor: &Monitor,
        days: std::ops::Range<u32>,
        ends: impl Fn(u32) -> [u32; 2],
    ) -> Vec<String> {
        let mut state = Ends::default();
        let mut told = Vec::new();
        for n in days {
            for (from, ends) in ["fra", "iad"].into_iter().zip(ends(n)) {
                state.observe(&shown(from, n, ends));
                told.extend(state.decide(monitor, day(n)).map(|expiry| match expiry {
                    Expiry::Opened(it) => format!("{n}: opened at {}", it.days),
                    Expiry::Nearer(it) => format!("{n}: nearer at {}", it.days),
                    Expiry::Renewed(_) => format!("{n}: renewed"),
                }));
            }
            let kept = serde_json::to_string(&state.take()).unwrap();
            state = Ends::restored(serde_json::from_str(&kept).unwrap());
        }
        told
    }

    #[test]
    fn each_threshold_is_told_once_and_so_is_the_renewal() {
        let told = story(&monitor(), 0..102, |n| {
            if n < 98 { [100, 100] } else { [190, 190] }
        });
        let thresholds = [
            "70: opened at 30",
            "86: nearer at 14",
            "93: nearer at 7",
            "97: nearer at 3",
        ];
        assert_eq!(told, [&thresholds[..], &["98: renewed"]].concat());
    }

    #[test]
    fn it_is_renewed_once_no_region_is_shown_the_old_one() {
        let told = story(&monitor(), 90..100, |n| {
            [
                if n < 92 { 100 } else { 190 },
                if n < 95 { 100 } else { 190 },
            ]
        });
        assert_eq!(told, ["90: opened at 14", "93: nearer at 7", "95: renewed"]);
    }

    #[test]
    fn a_failure_says_nothing_of_a_certificate_and_an_answer_without_one_ends_it() {
        let mut state = Ends::default();
        let monitor = monitor();
        for from in ["fra", "iad"] {
            state.observe(&shown(from, 0, 2));
        }
        assert!(matches!(
            state.decide(&monitor, day(0)),
            Some(Expiry::Opened(_))
        ));
        let mut refused = shown("fra", 1, 2);
        refused.tls = None;
        refused.outcome = Outcome::Failed;
        state.observe(&refused);
        assert_eq!(state.decide(&monitor, day(0)), None);
        for from in ["fra", "iad"] {
            let mut plain = shown(from, 2, 2);
            plain.tls = None;
            state.observe(&plain);
        }
        assert!(matches!(
            state.decide(&monitor, day(0)),
            Some(Expiry::Renewed(_))
        ));
    }

    #[test]
    fn what_is_turned_off_or_accepted_as_it_is_tells_nothing() {
        let mut off = monitor();
        off.alert.expiry.clear();
        assert!(story(&off, 0..120, |_| [100, 100]).is_empty());
        let mut any = monitor();
        if let Spec::Http(spec) = &mut any.spec {
            spec.tls.skip_verify = true;
        }
        assert!(story(&any, 0..120, |_| [100, 100]).is_empty());
        let mut own = monitor();
        own.alert.expiry = vec![1];
        assert_eq!(story(&own, 0..120, |_| [100, 100]), ["99: opened at 1"]);
    }

    fn domain(from: &str, at: u32, ends: Option<u32>) -> CheckResult {
        let mut result = shown(from, at, 0);
        // That of the registry's server, which is no business of the domain's.
        result.kind = Kind::Domain;
        result.domain = Some(DomainDetail {
            expires_at: ends.map(day),
            registered_at: None,
            registrar: None,
            status: Vec::new(),
            server: String::new(),
        });
        result
    }

    fn domain_monitor() -> Monitor {
        let spec = DomainSpec::of("shop.example".to_owned());
        Monitor {
            spec: Spec::Domain(Box::new(spec)),
            regions: vec![Region::new("fra").unwrap()],
            ..monitor()
        }
    }

    #[test]
    fn a_domain_is_told_of_as_a_certificate_is() {
        let mut state = Ends::default();
        let monitor = domain_monitor();
        let mut told = Vec::new();
        for n in 60..105 {
            let mut result = domain("fra", n, Some(if n < 103 { 100 } else { 465 }));
            // It has ended: that the check fails for it changes nothing.
            if (100..103).contains(&n) {
                result.outcome = Outcome::Failed;
            }
            state.observe(&result);
            told.extend(state.decide(&monitor, day(n)).map(|expiry| match expiry {
                Expiry::Opened(it) | Expiry::Nearer(it) => (n, it.days, it.cause),
                Expiry::Renewed(it) => (n, 0, it.cause),
            }));
        }
        let days = [(70, 30), (86, 14), (93, 7), (97, 3), (99, 1), (103, 0)];
        let expected = days.map(|(n, days)| (n, days, IncidentCause::DomainExpiring));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_registry_that_tells_no_date_opens_nothing_and_one_that_is_not_there_ends_nothing() {
        let mut state = Ends::default();
        let monitor = domain_monitor();
        state.observe(&domain("fra", 0, None));
        assert_eq!(state.decide(&monitor, day(0)), None);
        state.observe(&domain("fra", 1, Some(5)));
        assert!(matches!(
            state.decide(&monitor, day(1)),
            Some(Expiry::Opened(_))
        ));
        let mut away = domain("fra", 2, None);
        (away.domain, away.outcome) = (None, Outcome::Failed);
        state.observe(&away);
        assert_eq!(state.decide(&monitor, day(1)), None);
    }

    #[test]
    fn a_monitor_that_becomes_one_of_another_kind_is_told_of_anew() {
        let mut state = Ends::default();
        state.observe(&shown("fra", 0, 20));
        let site = Monitor {
            spec: monitor().spec,
            ..domain_monitor()
        };
        assert!(matches!(
            state.decide(&site, day(0)),
            Some(Expiry::Opened(_))
        ));
        let domain_monitor = domain_monitor();
        assert!(matches!(
            state.decide(&domain_monitor, day(0)),
            Some(Expiry::Renewed(it)) if it.cause == IncidentCause::CertificateExpiring
        ));
        assert_eq!(state.decide(&domain_monitor, day(0)), None);
        state.observe(&domain("fra", 1, Some(20)));
        assert!(matches!(
            state.decide(&domain_monitor, day(1)),
            Some(Expiry::Opened(it)) if it.cause == IncidentCause::DomainExpiring
        ));
    }

    #[test]
    fn what_was_kept_before_domains_were_told_of_is_about_a_certificate() {
        let kept = r#"{"id":"67e55044-10b1-426f-9247-bb680e5fe0c8","opened_at":"2026-11-20T00:00:00Z","days":14,
            "ends":"2026-12-01T00:00:00Z"}"#;
        let read: Expiring = serde_json::from_str(kept).unwrap();
        assert_eq!(read.cause, IncidentCause::CertificateExpiring);
    }
}
