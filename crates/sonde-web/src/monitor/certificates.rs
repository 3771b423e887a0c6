//! Certificates: those that the last checks saw, which ones were in use over the range, and what time they had left.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use sonde_core::{CertificateDetail, Timestamp};
use sonde_results::CertificateSample;
use sonde_service::{Served, days_left};

use super::charts::{COLOURS, Charts};
use super::data::Data;
use crate::chart::{Figure, Key, Line, Plot, Table, axis, lines};
use crate::format;

/// Changes that are listed, the newest ones.
const MOST_RENEWALS: usize = 20;
const DATE: &str = "%Y-%m-%d";

/// One that is in use now.
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) issuer: String,
    /// In percent of its time.
    pub(super) used: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) left: String,
    pub(super) class: &'static str,
    pub(super) regions: String,
}

/// One that was seen in the range.
pub(super) struct CertificateRow {
    pub(super) subject: String,
    pub(super) sha256: String,
    /// The beginning of that.
    pub(super) short: String,
    pub(super) issuer: String,
    pub(super) valid: String,
    pub(super) seen: String,
    pub(super) regions: String,
    pub(super) left: String,
}

/// Those of the last checks, each once.
pub(super) fn current(data: &Data, zone: Tz, now: Timestamp) -> Vec<Certificate> {
    let mut shown = BTreeMap::new();
    for result in &data.view.latest {
        let leaf = result.tls.iter().flat_map(|tls| &tls.certificates).next();
        if let Some(leaf) = leaf {
            let known = shown.entry(&leaf.sha256).or_insert((leaf, Vec::new()));
            known.1.push(result.region.as_str());
        }
    }
    let shown = shown.into_values().map(|(leaf, regions)| {
        let left = leaf.not_after.since(now);
        let whole = leaf.not_after.since(leaf.not_before).as_secs().max(1);
        let used = now.since(leaf.not_before).as_secs().min(whole) * 100 / whole;
        Certificate {
            subject: leaf.subject.clone(),
            issuer: leaf.issuer.clone(),
            used: used.to_string(),
            from: format::written(leaf.not_before, zone, DATE),
            to: format::written(leaf.not_after, zone, DATE),
            left: if left.is_zero() {
                "expired".to_owned()
            } else {
                format!("{} left", format::span(left))
            },
            class: match days_left(leaf, now) {
                ..7 => "failed",
                7..30 => "degraded",
                _ => "ok",
            },
            regions: regions.join(", "),
        }
    });
    shown.collect()
}

pub(super) fn rows(data: &Data, zone: Tz) -> Vec<CertificateRow> {
    let rows = data.certificates.served().into_iter().map(|it| {
        let leaf = it.leaf;
        let date = |at| format::written(at, zone, DATE);
        let moment = |at| format::short_moment(at, zone);
        let regions: Vec<&str> = it.regions.iter().map(|region| region.as_str()).collect();
        CertificateRow {
            subject: leaf.subject.clone(),
            sha256: leaf.sha256.clone(),
            short: short(leaf).to_owned(),
            issuer: leaf.issuer.clone(),
            valid: format!("{} to {}", date(leaf.not_before), date(leaf.not_after)),
            seen: format!("{} to {}", moment(it.first_seen), moment(it.last_seen)),
            regions: regions.join(", "),
            left: days(days_left(leaf, it.last_seen)),
        }
    });
    rows.collect()
}

/// When one took the place of another, newest first: regions that saw the same change are told of together.
pub(super) fn renewals(data: &Data, zone: Tz) -> Vec<String> {
    struct Change<'a> {
        names: (&'a str, &'a str),
        between: (Timestamp, Timestamp),
        regions: Vec<&'a str>,
    }
    let mut changes: Vec<Change<'_>> = Vec::new();
    for it in data.certificates.renewals() {
        let (before, after) = (it.before, it.after);
        let names = (short(&before.leaf), short(&after.leaf));
        let region = after.region.as_str();
        let same =
            |known: &&mut Change<'_>| known.names == names && !known.regions.contains(&region);
        match changes.iter_mut().rev().find(same) {
            Some(known) => {
                let (from, to) = known.between;
                known.between = (from.min(before.slot), to.max(after.slot));
                known.regions.push(region);
            }
            None => changes.push(Change {
                names,
                between: (before.slot, after.slot),
                regions: vec![region],
            }),
        }
    }
    let told = changes.iter().rev().take(MOST_RENEWALS).map(|it| {
        let (old, new) = it.names;
        let moment = |at| format::short_moment(at, zone);
        let (from, to) = (moment(it.between.0), moment(it.between.1));
        format!(
            "{old} gave way to {new} between {from} and {to}, seen from {}",
            it.regions.join(", ")
        )
    });
    told.collect()
}

impl Charts<'_> {
    /// None where no certificate was seen.
    pub(super) fn certificates(&self) -> Option<Figure> {
        let history = &self.data.certificates;
        let served = history.served();
        let shown = served.get(served.len().saturating_sub(COLOURS)..)?;
        if shown.is_empty() {
            return None;
        }
        let class = |place: usize| format!("c{place} d{}", place % 5);
        let series: Vec<Vec<&CertificateSample>> = shown
            .iter()
            .map(|it| newest(&history.samples, it))
            .collect();
        let drawn = series.iter().enumerate().map(|(place, samples)| {
            let points = samples.iter().map(|it| (self.middle(it.start), left(it)));
            Line {
                class: class(place),
                points: points.collect(),
            }
        });
        let drawn: Vec<Line> = drawn.collect();
        let plot = self.days_plot(&drawn);
        let mut legend: Vec<Key> = (0..)
            .zip(shown)
            .map(|(place, it)| Key::line(class(place), name(it.leaf)))
            .collect();
        let expiry = &self.data.view.monitor.alert.expiry;
        if !plot.thresholds.is_empty() {
            let expiry: Vec<String> = expiry.iter().map(ToString::to_string).collect();
            let name = format!("its alert rule's {} days", expiry.join(", "));
            legend.push(Key::new("line-key threshold", name));
        }
        Some(Figure {
            id: "certificate-days",
            title: "Days left of certificates".to_owned(),
            note: format!(
                "Of the target's own certificate, as the last check of each {} saw it.",
                self.step()
            ),
            svg: plot.draw(&lines(&plot, self.data.step, &drawn)),
            legend,
            table: self.days_table(shown, &series),
        })
    }

    fn days_plot(&self, drawn: &[Line]) -> Plot<'_> {
        let values = drawn.iter().flat_map(|line| &line.points);
        let highest = values.map(|(_, value)| *value).fold(1.0, f64::max);
        let heights = axis::heights(highest);
        let top = heights.last().copied().unwrap_or(highest);
        let expiry = self.data.view.monitor.alert.expiry.iter().copied();
        let thresholds = expiry.map(|days| {
            (
                f64::from(days),
                if days == 1 {
                    "1 day".to_owned()
                } else {
                    format!("{days} days")
                },
            )
        });
        Plot {
            heights: heights
                .into_iter()
                .map(|it| (it, format!("{it} d")))
                .collect(),
            thresholds: thresholds.filter(|(days, _)| *days <= top).collect(),
            ..self.plot("Days left of certificates over time")
        }
    }

    /// A column for each certificate.
    fn days_table(&self, shown: &[Served<'_>], series: &[Vec<&CertificateSample>]) -> Table {
        let mut starts: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
        for (place, samples) in series.iter().enumerate() {
            for sample in samples {
                let nothing = || vec![format::NOTHING.to_owned(); series.len()];
                let row = starts.entry(sample.start).or_insert_with(nothing);
                if let Some(cell) = row.get_mut(place) {
                    *cell = days(days_left(&sample.leaf, sample.slot));
                }
            }
        }
        let rows = starts.into_iter();
        Table {
            columns: shown.iter().map(|it| name(it.leaf)).collect(),
            rows: rows
                .map(|(start, values)| self.row(start, values))
                .collect(),
        }
    }
}

/// What the newest check of each step says of one certificate, wherever it was seen.
fn newest<'a>(samples: &'a [CertificateSample], of: &Served<'_>) -> Vec<&'a CertificateSample> {
    let mut newest: BTreeMap<Timestamp, &CertificateSample> = BTreeMap::new();
    let these = samples.iter().filter(|it| it.leaf.sha256 == of.leaf.sha256);
    for sample in these {
        let known = newest.entry(sample.start).or_insert(sample);
        if known.slot < sample.slot {
            *known = sample;
        }
    }
    newest.into_values().collect()
}

/// In days; nothing when it has ended.
#[expect(clippy::cast_precision_loss, reason = "a height on a screen")]
fn left(sample: &CertificateSample) -> f64 {
    sample.leaf.not_after.since(sample.slot).as_secs() as f64 / 86_400.0
}

fn days(days: i64) -> String {
    match days {
        ..0 => "expired".to_owned(),
        days => format!("{days} d"),
    }
}

fn name(leaf: &CertificateDetail) -> String {
    format!("{} {}", leaf.subject, short(leaf))
}

/// As much of its fingerprint as tells it from others.
fn short(leaf: &CertificateDetail) -> &str {
    leaf.sha256.get(..8).unwrap_or(&leaf.sha256)
}
