//! Which certificates a target showed: from when to when, and when one took the place of another.

use std::collections::{BTreeMap, BTreeSet};

use sonde_core::{CertificateDetail, Region, Timestamp};
use sonde_results::{CertificateSample, ChartQuery};

use crate::Result;
use crate::access::Access;

const DAY_US: i64 = 86_400_000_000;

/// A range, looked at once per step and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateHistory {
    /// Oldest first; a step in which a region saw none has no sample.
    pub samples: Vec<CertificateSample>,
}

/// A certificate, and where and when it was seen. Before, between and after that others may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served<'a> {
    pub leaf: &'a CertificateDetail,
    pub regions: BTreeSet<&'a Region>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

/// Where a region saw another certificate than the time before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal<'a> {
    /// With the one that was seen until then.
    pub before: &'a CertificateSample,
    pub after: &'a CertificateSample,
}

impl CertificateHistory {
    /// Each certificate once, in the order in which they were first seen.
    pub fn served(&self) -> Vec<Served<'_>> {
        let mut served: Vec<Served<'_>> = Vec::new();
        for sample in &self.samples {
            let same = |it: &&mut Served<'_>| it.leaf.sha256 == sample.leaf.sha256;
            match served.iter_mut().find(same) {
                Some(known) => {
                    known.regions.insert(&sample.region);
                    known.first_seen = known.first_seen.min(sample.slot);
                    known.last_seen = known.last_seen.max(sample.slot);
                }
                None => served.push(Served {
                    leaf: &sample.leaf,
                    regions: BTreeSet::from([&sample.region]),
                    first_seen: sample.slot,
                    last_seen: sample.slot,
                }),
            }
        }
        served.sort_by_key(|it| it.first_seen);
        served
    }

    /// Oldest first.
    pub fn renewals(&self) -> Vec<Renewal<'_>> {
        let mut last: BTreeMap<&Region, &CertificateSample> = BTreeMap::new();
        let mut renewals = Vec::new();
        for after in &self.samples {
            let before = last.insert(&after.region, after);
            let other = before.filter(|it| it.leaf.sha256 != after.leaf.sha256);
            renewals.extend(other.map(|before| Renewal { before, after }));
        }
        renewals
    }
}

/// Whole days until a certificate ends, negative when it has: what `tls.days_left` is.
pub fn days_left(leaf: &CertificateDetail, at: Timestamp) -> i64 {
    let left = leaf.not_after.as_micros() - at.as_micros();
    left.div_euclid(DAY_US)
}

impl Access {
    /// Which certificates a monitor's target showed, by region; `query.workspace` is ours.
    pub async fn certificates(&self, query: ChartQuery) -> Result<CertificateHistory> {
        let (permit, query) = self.charted(query).await?;
        Ok(CertificateHistory {
            samples: permit.results().certificates(&query).await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(hour: i64, region: &str, name: &str) -> CertificateSample {
        let at = |hour: i64| Timestamp::from_micros(hour * 3_600_000_000);
        CertificateSample {
            start: at(hour),
            region: Region::new(region).unwrap(),
            slot: at(hour),
            leaf: CertificateDetail {
                subject: "CN=a.test".to_owned(),
                issuer: "CN=b.test".to_owned(),
                san: Vec::new(),
                not_before: at(0),
                not_after: at(48),
                sha256: name.to_owned(),
            },
        }
    }

    #[test]
    fn what_is_renewed_in_one_region_is_still_the_old_in_another() {
        let history = CertificateHistory {
            samples: vec![
                sample(0, "fra", "old"),
                sample(0, "iad", "old"),
                sample(1, "fra", "new"),
                sample(1, "iad", "old"),
                sample(5, "fra", "new"),
                sample(5, "iad", "new"),
            ],
        };
        let hour = |at: Timestamp| at.as_micros() / 3_600_000_000;
        let served = history.served().into_iter().map(|it| {
            let regions: Vec<_> = it.regions.iter().map(|region| region.as_str()).collect();
            let (first, last) = (hour(it.first_seen), hour(it.last_seen));
            format!("{} {first} to {last} {}", it.leaf.sha256, regions.join(" "))
        });
        let served: Vec<String> = served.collect();
        assert_eq!(served, ["old 0 to 1 fra iad", "new 1 to 5 fra iad"]);
        let renewals = history.renewals().into_iter().map(|it| {
            let (before, after) = (hour(it.before.slot), hour(it.after.slot));
            format!("{} {before} to {after}", it.after.region)
        });
        let renewals: Vec<String> = renewals.collect();
        assert_eq!(renewals, ["fra 0 to 1", "iad 1 to 5"]);
    }

    #[test]
    fn days_that_are_left_are_whole_and_below_zero_when_it_has_ended() {
        let leaf = sample(0, "fra", "a").leaf;
        let left = |hour: i64| days_left(&leaf, Timestamp::from_micros(hour * 3_600_000_000));
        assert_eq!([0, 1, 24, 47, 48, 49].map(left), [2, 1, 1, 0, 0, -1]);
    }
}
