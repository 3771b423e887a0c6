//! Why checks were not ok, the most frequent first, each with a way to those checks.

use std::collections::BTreeMap;

use sonde_core::{Outcome, Reason, Region, Timestamp};

use super::data::Data;
use crate::format;

pub(super) struct ReasonRow {
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
    pub(super) sentence: &'static str,
    pub(super) count: String,
    pub(super) regions: String,
    pub(super) last: String,
    /// Of the log.
    pub(super) link: String,
}

#[derive(Default)]
struct Sum {
    count: u64,
    regions: Vec<(Region, u64)>,
    last: Option<Timestamp>,
}

pub(super) fn rows(data: &Data, now: Timestamp) -> Vec<ReasonRow> {
    let mut sums: BTreeMap<(Outcome, Option<&str>), Sum> = BTreeMap::new();
    for found in &data.reasons {
        let name = found.reason.map(Reason::as_str);
        let sum = sums.entry((found.outcome, name)).or_default();
        sum.count += found.count;
        sum.regions.push((found.region.clone(), found.count));
        sum.last = sum.last.max(Some(found.last));
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.count));
    let (from, to) = (data.range.from, data.range.to);
    let rows = sums.into_iter().map(|((outcome, name), sum)| {
        let reason = name.and_then(Reason::from_name);
        let regions = sum.regions.iter();
        let regions = regions.map(|(region, count)| format!("{region} {}", format::count(*count)));
        let regions: Vec<String> = regions.collect();
        let of_reason = name.map_or_else(String::new, |it| format!("&reason={it}"));
        ReasonRow {
            outcome: outcome.as_str(),
            reason: reason.map_or("", Reason::as_str),
            sentence: reason.map_or("", Reason::sentence),
            count: format::count(sum.count),
            regions: regions.join(", "),
            last: sum
                .last
                .map_or_else(String::new, |last| format::ago(now, last)),
            link: format!(
                "/monitors/{}/checks?from={from}&to={to}&outcome={outcome}{of_reason}",
                data.view.monitor.id
            ),
        }
    });
    rows.collect()
}
