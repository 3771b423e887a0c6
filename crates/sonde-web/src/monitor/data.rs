//! What the page of a monitor shows, read all at once.

use sonde_core::{MonitorId, Region, Scope, Timestamp};
use sonde_results::{ChartBucket, ChartQuery, HeatCell, PhaseBucket, ReasonCount, TimeRange};
use sonde_service::{Access, Comparison, MonitorView, PageQuery, ServiceError, usual_step};
use sonde_store::{Incident, IncidentQuery};
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Certificate, IncidentRow};
use crate::asked::Asked;
use crate::chart::{Band, BandKind};
use crate::viewer::Viewer;
use crate::{PageError, format, incident};

/// Incidents of a range that are drawn and listed.
const MOST_INCIDENTS: u32 = 100;
/// Among so many is one that says where the monitor stands.
const NEWEST: u32 = 10;
/// Monitors to compare with.
const MOST_OTHERS: u32 = 500;
const DAY: Duration = Duration::from_hours(24);

pub(super) struct Data {
    pub(super) view: MonitorView,
    pub(super) range: TimeRange,
    /// Of the buckets.
    pub(super) step: Duration,
    /// Those that it has, and then those that it had in this range.
    pub(super) regions: Vec<Region>,
    /// The only one that is looked at, if one is.
    pub(super) region: Option<Region>,
    pub(super) comparison: Comparison,
    pub(super) buckets: Vec<ChartBucket>,
    pub(super) buckets_by_region: Vec<ChartBucket>,
    /// Each region over the whole range.
    pub(super) totals: Vec<ChartBucket>,
    pub(super) phases: Vec<PhaseBucket>,
    pub(super) heat: Vec<HeatCell>,
    pub(super) reasons: Vec<ReasonCount>,
    pub(super) incidents: Vec<Incident>,
    pub(super) bands: Vec<Band>,
    pub(super) compared: Option<Compared>,
    /// What it can be compared with.
    pub(super) others: Vec<(MonitorId, String)>,
    newest_incident: Option<Incident>,
}

/// Another monitor over the same time.
pub(super) struct Compared {
    pub(super) id: MonitorId,
    pub(super) name: String,
    pub(super) buckets: Vec<ChartBucket>,
}

/// One monitor over a range, in steps that a chart can show.
pub(super) async fn series(
    access: &Access,
    id: &MonitorId,
    region: Option<Region>,
    range: TimeRange,
) -> sonde_service::Result<Vec<ChartBucket>> {
    access.chart(query(access, id, region, range)).await
}

fn query(access: &Access, id: &MonitorId, region: Option<Region>, range: TimeRange) -> ChartQuery {
    ChartQuery {
        workspace: access.workspace().clone(),
        monitor: id.clone(),
        region,
        by_region: false,
        range,
        step: usual_step(range),
    }
}

impl Data {
    pub(super) async fn read(
        access: &Access,
        id: &MonitorId,
        asked: &Asked,
        range: TimeRange,
    ) -> Result<Self, PageError> {
        let view = access.monitor_view(id).await?;
        let region = asked.region();
        let by_region = ChartQuery {
            by_region: true,
            ..query(access, id, None, range)
        };
        let all = PageQuery {
            after: None,
            limit: MOST_OTHERS,
        };
        let of_region = query(access, id, region.clone(), range);
        let (
            comparison,
            buckets,
            buckets_by_region,
            totals,
            phases,
            heat,
            reasons,
            maintained,
            others,
        ) = tokio::try_join!(
            access.summary(id, region.as_ref(), range),
            access.chart(of_region.clone()),
            access.chart(by_region),
            access.by_region(id, range),
            access.phases(of_region.clone()),
            access.heat(of_region),
            access.reasons(id, range, region.as_ref()),
            access.maintained(&view.monitor, range),
            access.monitors(&all),
        )?;
        let others = others
            .items
            .into_iter()
            .map(|it| (it.value.id, it.value.name));
        let others: Vec<_> = others.filter(|(other, _)| other != id).collect();
        let compared = compared(access, asked, &others, range).await?;
        let (incidents, newest_incident) = incidents(access, id, range).await?;
        let drawn = incidents.iter().filter(|it| incident::is_of_state(it));
        let drawn = drawn.map(|it| band(access, it, range));
        let mut bands = drawn.collect::<Result<Vec<Band>, _>>()?;
        bands.extend(maintained.into_iter().map(|(title, window)| Band {
            kind: BandKind::Maintenance,
            from: window.from,
            to: window.to,
            title,
        }));
        let mut regions = view.monitor.regions.clone();
        for seen in totals.iter().filter_map(|it| it.region.as_ref()) {
            if !regions.contains(seen) {
                regions.push(seen.clone());
            }
        }
        Ok(Self {
            view,
            range,
            step: usual_step(range),
            regions,
            region,
            comparison,
            buckets,
            buckets_by_region,
            totals,
            phases,
            heat,
            reasons,
            incidents,
            bands,
            compared,
            others,
            newest_incident,
        })
    }

    /// Since when it is what it is, as far as incidents tell.
    pub(super) fn since(&self) -> Option<Timestamp> {
        incident::since(&self.view, self.newest_incident.as_ref())
    }

    /// Those of the last checks, each once.
    pub(super) fn certificates(&self, viewer: &Viewer, now: Timestamp) -> Vec<Certificate> {
        let mut shown = BTreeMap::new();
        for result in &self.view.latest {
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
                from: format::written(leaf.not_before, viewer.zone, "%Y-%m-%d"),
                to: format::written(leaf.not_after, viewer.zone, "%Y-%m-%d"),
                left: if left.is_zero() {
                    "expired".to_owned()
                } else {
                    format!("{} left", format::span(left))
                },
                class: match left.as_secs() / DAY.as_secs() {
                    0..7 => "failed",
                    7..30 => "degraded",
                    _ => "ok",
                },
                regions: regions.join(", "),
            }
        });
        shown.collect()
    }

    pub(super) fn incident_rows(&self, viewer: &Viewer) -> Result<Vec<IncidentRow>, PageError> {
        let rows = self.incidents.iter().map(|it| {
            let begins = format::short_moment(it.opened_at, viewer.zone);
            Ok(IncidentRow {
                id: it.id,
                state: incident::state(it),
                headline: incident::notice(&viewer.access, it)?.headline(),
                when: match it.resolved_at {
                    Some(ended) => {
                        format!("{begins}, {}", format::span(ended.since(it.opened_at)))
                    }
                    None => format!("since {begins}"),
                },
            })
        });
        rows.collect()
    }

    pub(super) fn maintenance_rows(&self, viewer: &Viewer) -> Vec<String> {
        let bands = self.bands.iter();
        let windows = bands.filter(|band| band.kind == BandKind::Maintenance);
        let rows = windows.map(|band| {
            let (from, to) = (band.from, band.to);
            format!(
                "{}: {} to {}",
                band.title,
                format::short_moment(from, viewer.zone),
                format::short_moment(to, viewer.zone)
            )
        });
        rows.collect()
    }
}

async fn compared(
    access: &Access,
    asked: &Asked,
    others: &[(MonitorId, String)],
    range: TimeRange,
) -> sonde_service::Result<Option<Compared>> {
    let wanted = asked.monitor("compare");
    let Some((id, name)) = others.iter().find(|(id, _)| Some(id) == wanted.as_ref()) else {
        return Ok(None);
    };
    Ok(Some(Compared {
        id: id.clone(),
        name: name.clone(),
        buckets: series(access, id, None, range).await?,
    }))
}

/// Those of the range, and the newest of all; none for who may not see them.
async fn incidents(
    access: &Access,
    id: &MonitorId,
    range: TimeRange,
) -> sonde_service::Result<(Vec<Incident>, Option<Incident>)> {
    let grant = access.grant();
    if !grant.scopes.contains(&Scope::AlertsRead) || grant.only.is_some() {
        return Ok((Vec::new(), None));
    }
    let of_range = IncidentQuery {
        monitor: Some(id.clone()),
        during: Some((range.from, range.to)),
        limit: MOST_INCIDENTS,
        ..IncidentQuery::default()
    };
    let newest = IncidentQuery {
        during: None,
        limit: NEWEST,
        ..of_range.clone()
    };
    let found = tokio::try_join!(access.incidents(of_range), access.incidents(newest));
    match found {
        Ok((of_range, newest)) => {
            let mut newest = newest.items.into_iter();
            Ok((of_range.items, newest.find(incident::is_of_state)))
        }
        // The charts are worth seeing without them.
        Err(ServiceError::Store(error)) => {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, "cannot read incidents for a page");
            Ok((Vec::new(), None))
        }
        Err(error) => Err(error),
    }
}

fn band(access: &Access, incident: &Incident, range: TimeRange) -> Result<Band, PageError> {
    Ok(Band {
        kind: BandKind::Incident,
        from: incident.opened_at,
        to: incident.resolved_at.unwrap_or(range.to),
        title: incident::notice(access, incident)?.headline(),
    })
}
