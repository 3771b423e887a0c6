//! `/v1/monitors/{id}/certificates`: which certificates a target showed, and when it changed to another.

use axum::Json;
use serde::Serialize;
use sonde_core::{MonitorId, Region, Timestamp};
use sonde_results::{CertificateSample, ChartQuery};
use sonde_service::{Renewal, Served, days_left, usual_step};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::charts::micros;
use crate::extract::{Id, Query};
use crate::problem::ApiError;
use crate::results::{PlaceParameters, range};

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(certificates))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct CertificateList {
    #[schema(value_type = String)]
    monitor: MonitorId,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// How often each region is looked at: about a hundredth of the range.
    step_us: u64,
    /// In the order in which they were first seen.
    certificates: Vec<CertificateBody>,
    /// Oldest first.
    renewals: Vec<RenewalBody>,
    /// Oldest first: of each step and region the newest check that saw a certificate.
    samples: Vec<SampleBody>,
}

/// A target's own certificate, which stands first in its chain.
#[derive(Serialize, ToSchema)]
pub(crate) struct CertificateBody {
    /// Of the DER, lowercase hex.
    sha256: String,
    subject: String,
    issuer: String,
    san: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    #[schema(value_type = Vec<String>)]
    regions: Vec<Region>,
}

/// A region saw another certificate than before; the change was between the two times.
#[derive(Serialize, ToSchema)]
pub(crate) struct RenewalBody {
    #[schema(value_type = String)]
    region: Region,
    /// When the old one was last seen.
    #[schema(value_type = String, format = DateTime)]
    after: Timestamp,
    /// When the new one was first seen.
    #[schema(value_type = String, format = DateTime)]
    before: Timestamp,
    /// Its `sha256`.
    old: String,
    /// Its `sha256`.
    new: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SampleBody {
    /// Of the check.
    #[schema(value_type = String, format = DateTime)]
    slot: Timestamp,
    #[schema(value_type = String)]
    region: Region,
    sha256: String,
    /// Whole days until it ends, negative when it has.
    days_left: i64,
}

/// Which certificates a target showed over time, from when to when, and when it was renewed.
#[utoipa::path(get, path = "/v1/monitors/{id}/certificates", tag = "results",
    params(("id" = String, Path), PlaceParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = CertificateList)))]
async fn certificates(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<PlaceParameters>,
) -> Result<Json<CertificateList>, ApiError> {
    let range = range(&access, asked.from, asked.to)?;
    let step = usual_step(range);
    let query = ChartQuery {
        workspace: access.workspace().clone(),
        monitor: monitor.clone(),
        region: asked.region,
        by_region: true,
        range,
        step,
    };
    let history = access.certificates(query).await?;
    let served = history.served();
    let renewals = history.renewals();
    Ok(Json(CertificateList {
        monitor,
        from: range.from,
        to: range.to,
        step_us: micros(step),
        certificates: served.iter().map(CertificateBody::from).collect(),
        renewals: renewals.iter().map(RenewalBody::from).collect(),
        samples: history.samples.iter().map(SampleBody::from).collect(),
    }))
}

impl From<&Served<'_>> for CertificateBody {
    fn from(served: &Served<'_>) -> Self {
        let leaf = served.leaf;
        Self {
            sha256: leaf.sha256.clone(),
            subject: leaf.subject.clone(),
            issuer: leaf.issuer.clone(),
            san: leaf.san.clone(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            first_seen: served.first_seen,
            last_seen: served.last_seen,
            regions: served.regions.iter().map(|it| (*it).clone()).collect(),
        }
    }
}

impl From<&Renewal<'_>> for RenewalBody {
    fn from(Renewal { before, after }: &Renewal<'_>) -> Self {
        Self {
            region: after.region.clone(),
            after: before.slot,
            before: after.slot,
            old: before.leaf.sha256.clone(),
            new: after.leaf.sha256.clone(),
        }
    }
}

impl From<&CertificateSample> for SampleBody {
    fn from(sample: &CertificateSample) -> Self {
        Self {
            slot: sample.slot,
            region: sample.region.clone(),
            sha256: sample.leaf.sha256.clone(),
            days_left: days_left(&sample.leaf, sample.slot),
        }
    }
}
