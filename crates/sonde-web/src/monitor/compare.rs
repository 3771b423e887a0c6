//! Other monitors over the same time, beside the one that is looked at.

use std::collections::BTreeMap;

use sonde_core::{MonitorId, Region, Timestamp};
use sonde_results::{ChartBucket, Summary, TimeRange};
use sonde_service::{Access, ServiceError};

use super::charts::Charts;
use super::data::{self, Data};
use crate::asked::Asked;
use crate::chart::{Figure, Key, Line, Table, lines};
use crate::format;

/// More lines than these and its own are not told apart.
pub(super) const MOST: usize = 4;

/// What was asked for, as far as there is such a thing.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) others: Vec<Other>,
    /// What is wrong with the rest.
    pub(super) problems: Vec<String>,
}

/// Another monitor.
pub(super) struct Other {
    pub(super) id: MonitorId,
    pub(super) name: String,
    summary: Summary,
    buckets: Vec<ChartBucket>,
}

/// One of those that are compared, over the whole range.
pub(super) struct ComparedRow {
    pub(super) link: String,
    pub(super) name: String,
    pub(super) checks: String,
    pub(super) uptime: String,
    pub(super) p50: String,
    pub(super) p95: String,
    pub(super) p99: String,
}

impl Compared {
    /// `compare` names others, more than once or with commas. Of those that the viewer may not see nothing is said but that
    /// there are none.
    pub(super) async fn read(
        access: &Access,
        own: &MonitorId,
        asked: &Asked,
        range: TimeRange,
    ) -> sonde_service::Result<Self> {
        let mut compared = Self::default();
        for name in names(asked) {
            let Ok(id) = name.parse::<MonitorId>() else {
                let problem = format!("`{name}` is not the id of a monitor to compare with");
                compared.problems.push(problem);
                continue;
            };
            if id == *own {
                let problem =
                    format!("`{id}` is the monitor of this page: compare it with another");
                compared.problems.push(problem);
                continue;
            }
            if compared.others.len() == MOST {
                let problem = format!("compared are {MOST} others at most: `{id}` is left out");
                compared.problems.push(problem);
                continue;
            }
            match access.monitor(&id).await {
                Ok(stored) => {
                    let region = asked.region();
                    let other = Other::read(access, id, stored.value.name, region, range);
                    compared.others.push(other.await?);
                }
                Err(ServiceError::NotFound { .. } | ServiceError::Limited) => {
                    let problem = format!("there is no monitor `{id}` to compare with");
                    compared.problems.push(problem);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(compared)
    }

    /// None where nothing is compared.
    pub(super) fn rows(&self, data: &Data, asked: &Asked) -> Vec<ComparedRow> {
        if self.others.is_empty() {
            return Vec::new();
        }
        let own = &data.view.monitor;
        let query = asked.with(&[("compare", "")]);
        let row = |id: &MonitorId, name: &str, summary: &Summary| {
            let checks = summary.ok + summary.degraded + summary.failed + summary.missed;
            ComparedRow {
                link: format!("/monitors/{id}{query}"),
                name: name.to_owned(),
                checks: format::count(checks),
                uptime: format::percent(summary.uptime),
                p50: format::latency_or_nothing(summary.p50_us),
                p95: format::latency_or_nothing(summary.p95_us),
                p99: format::latency_or_nothing(summary.p99_us),
            }
        };
        let mut rows = vec![row(&own.id, &own.name, &data.comparison.summary)];
        let others = self.others.iter();
        rows.extend(others.map(|it| row(&it.id, &it.name, &it.summary)));
        rows
    }
}

/// Each once, in the order in which they are named.
fn names(asked: &Asked) -> Vec<&str> {
    let mut names = Vec::new();
    let named = asked.all("compare").flat_map(|text| text.split(','));
    for name in named.map(str::trim).filter(|name| !name.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl Other {
    async fn read(
        access: &Access,
        id: MonitorId,
        name: String,
        region: Option<Region>,
        range: TimeRange,
    ) -> sonde_service::Result<Self> {
        let (comparison, buckets) = tokio::try_join!(
            access.summary(&id, region.as_ref(), range),
            data::series(access, &id, region.clone(), range)
        )?;
        Ok(Self {
            id,
            name,
            summary: comparison.summary,
            buckets,
        })
    }
}

impl Charts<'_> {
    /// None where nothing is compared.
    pub(super) fn compared(&self) -> Option<Figure> {
        let others = &self.data.compared.others;
        if others.is_empty() {
            return None;
        }
        let own = (&*self.data.view.monitor.name, &self.data.buckets);
        let all = others.iter().map(|it| (&*it.name, &it.buckets));
        let all: Vec<(&str, &Vec<ChartBucket>)> = std::iter::once(own).chain(all).collect();
        let class = |place: usize| format!("c{place} d{place}");
        let drawn = all.iter().enumerate();
        let drawn: Vec<Line> = drawn
            .map(|(place, (_, buckets))| self.line(class(place), buckets, |it| it.p50_us))
            .collect();
        let legend = all.iter().enumerate();
        let legend = legend.map(|(place, (name, _))| Key::line(class(place), *name));
        let mut medians: BTreeMap<Timestamp, Vec<Option<u64>>> = BTreeMap::new();
        for (place, (_, buckets)) in all.iter().enumerate() {
            for bucket in *buckets {
                let row = medians.entry(bucket.start);
                let row = row.or_insert_with(|| vec![None; all.len()]);
                if let Some(cell) = row.get_mut(place) {
                    *cell = bucket.summary.p50_us;
                }
            }
        }
        let rows = medians.into_iter().map(|(start, medians)| {
            let values = medians.into_iter().map(format::latency_or_nothing);
            self.row(start, values.collect())
        });
        let from = self.data.region.as_ref();
        let from = from.map_or_else(|| "all regions".to_owned(), ToString::to_string);
        let plot = self.latency_plot("Median latency of several monitors over time", &drawn, None);
        Some(Figure {
            id: "compared-latency",
            title: "Median latency compared".to_owned(),
            note: format!("Median per {}, from {from}.", self.step()),
            svg: plot.draw(&lines(&plot, self.data.step, &drawn)),
            legend: legend.collect(),
            table: Table {
                columns: all.iter().map(|(name, _)| (*name).to_owned()).collect(),
                rows: rows.collect(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_named_once_each_or_all_at_once() {
        let of = |query: &'static str| {
            let asked = Asked::new(Some(query));
            names(&asked).join(" ")
        };
        assert_eq!(of("compare=a&compare=b&compare="), "a b");
        assert_eq!(of("compare=a,b%2C+c,&compare=b"), "a b c");
        assert_eq!(of("region=fra"), "");
    }
}
