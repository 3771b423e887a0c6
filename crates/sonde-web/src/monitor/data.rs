//! What the page of a monitor shows, read all at once.

use sonde_core::{MonitorId, Region, Scope, Timestamp};
use sonde_results::{
    ChartBucket, ChartQuery, HeatCell, PhaseBucket, ReasonCount, Summary, TimeRange,
};
use sonde_service::{
    Access, CertificateHistory, Comparison, MonitorView, PageQuery, ServiceError, usual_step,
};
use sonde_store::{Incident, IncidentQuery};
use std::time::Duration;

use super::IncidentRow;
use super::compare::Compared;
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
    pub(super) totals: Vec<(Region, Summary)>,
    pub(super) phases: Vec<PhaseBucket>,
    pub(super) heat: Vec<HeatCell>,
    pub(super) reasons: Vec<ReasonCount>,
    pub(super) certificates: CertificateHistory,
    pub(super) incidents: Vec<Incident>,
    pub(super) bands: Vec<Band>,
    pub(super) compared: Compared,
    /// What it can be compared with.
    pub(super) others: Vec<(MonitorId, String)>,
    newest_incident: Option<Incident>,
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
        let viewed = async {
            let view = access.monitor_view(id).await?;
            let maintained = access.maintained(&view.monitor, range).await?;
            Ok((view, maintained))
        };
        let region = asked.region();
        let all = PageQuery {
            after: None,
            limit: MOST_OTHERS,
        };
        let of_region = query(access, id, region.clone(), range);
        let (
            (view, maintained),
            (comparison, charts),
            phases,
            reasons,
            certificates,
            compared,
            (incidents, newest_incident),
            others,
        ) = tokio::try_join!(
            viewed,
            access.charts(of_region.clone()),
            access.phases(of_region.clone()),
            access.reasons(id, range, region.as_ref()),
            access.certificates(of_region),
            Compared::read(access, id, asked, range),
            incidents(access, id, range),
            access.monitors(&all),
        )?;
        let others = others.items.into_iter();
        let others = others.map(|it| (it.value.id, it.value.name));
        let others: Vec<_> = others.filter(|(other, _)| other != id).collect();
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
        for (seen, _) in &charts.regions {
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
            buckets: charts.buckets,
            buckets_by_region: charts.by_region,
            totals: charts.regions,
            phases,
            heat: charts.heat,
            reasons,
            certificates,
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
