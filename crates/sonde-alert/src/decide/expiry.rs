//! Certificates that come to their end: told once for each threshold, until a later one is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{CheckResult, Monitor, Region, Spec, Timestamp};
use uuid::Uuid;

const DAY: Duration = Duration::from_hours(24);
/// The names of these incidents, which never are those of another kind.
const NAMESPACE: Uuid = Uuid::from_u128(0x2c41_7f0e_93ab_4d15_8c6a_55d0_1e7b_a904);

/// What is known of a monitor's certificates.
#[derive(Debug, Clone, Default)]
pub(super) struct Certificates {
    /// Of the last slot in which a region had an answer: when the certificate ends, if there was one.
    ends: BTreeMap<Region, (Timestamp, Option<Timestamp>)>,
    open: Option<Expiring>,
}

/// A certificate that comes to its end, of which people were told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiring {
    pub id: Uuid,
    pub opened_at: Timestamp,
    /// The threshold that was told last, in days.
    pub days: u16,
    /// When it ends.
    pub ends: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    Opened(Expiring),
    /// Another threshold is reached.
    Nearer(Expiring),
    Renewed(Expiring),
}

impl Certificates {
    pub(super) fn restored(open: Option<Expiring>) -> Self {
        let ends = BTreeMap::new();
        Self { ends, open }
    }

    pub(super) fn open(&self) -> Option<&Expiring> {
        self.open.as_ref()
    }

    pub(super) fn take(&mut self) -> Option<Expiring> {
        self.open.take()
    }

    pub(super) fn ends(&self, region: &Region) -> Option<Timestamp> {
        self.ends.get(region).and_then(|(_, ends)| *ends)
    }

    pub(super) fn observe(&mut self, result: &CheckResult) {
        let mut certificates = result.tls.iter().flat_map(|tls| &tls.certificates);
        let ends = certificates.next().map(|leaf| leaf.not_after);
        // Who did not come so far saw none, whatever there is.
        if result.suspect || (ends.is_none() && !result.outcome.is_up()) {
            return;
        }
        let shown = (result.slot, ends);
        let known = self.ends.entry(result.region.clone()).or_insert(shown);
        if known.0 <= shown.0 {
            *known = shown;
        }
    }

    pub(super) fn decide(&mut self, monitor: &Monitor, now: Timestamp) -> Option<Expiry> {
        self.ends
            .retain(|region, _| monitor.regions.contains(region));
        let first = self.ends.values().filter_map(|(_, ends)| *ends).min();
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
        let is_known = |region| self.ends.contains_key(region);
        !is_watched(monitor) || monitor.regions.iter().all(is_known)
    }
}

impl Expiring {
    fn new(monitor: &Monitor, days: u16, ends: Timestamp, now: Timestamp) -> Self {
        let (ended, at) = (ends.as_micros(), now.as_micros());
        let name = format!("{}/{}/{ended}/{at}", monitor.workspace, monitor.id);
        Self {
            id: Uuid::new_v5(&NAMESPACE, name.as_bytes()),
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

/// Who accepts any certificate is not told of its end.
fn is_watched(monitor: &Monitor) -> bool {
    let tls = match &monitor.spec {
        Spec::Http(spec) => Some(&spec.tls),
        Spec::Tls(spec) => Some(&spec.tls),
        Spec::Tcp(spec) => spec.tls.as_ref(),
        Spec::Dns(_) | Spec::Icmp(_) | Spec::Exec(_) | Spec::Heartbeat(_) => None,
    };
    tls.is_some_and(|tls| !tls.skip_verify) && !monitor.alert.expiry.is_empty()
}

#[cfg(test)]
mod tests {
    use sonde_core::{CertificateDetail, Outcome, TlsDetail};

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
        let mut state = Certificates::default();
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
            state = Certificates::restored(serde_json::from_str(&kept).unwrap());
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
        let mut state = Certificates::default();
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
}
