//! Reports: how a period went, told to a channel. What they say is added up in `sonde-alert`.

use sonde_core::{InvalidReport, Report, ReportBody, Scope};
use sonde_notify::ChannelConfig;
use sonde_store::{Expected, ResourceKind};

use crate::access::{Access, Permit};
use crate::entries::{Body, Entry, Page, PageQuery, put};
use crate::error::{noted, refuse_any, taken};
use crate::{FieldProblem, Result, ServiceError, channels};

/// Each of them looks at every monitor.
pub(crate) const MOST: u32 = 50;

impl Body for Report {
    const KIND: ResourceKind = ResourceKind::Report;
    const WHAT: &'static str = "report";
}

impl Access {
    pub async fn reports(&self, query: &PageQuery) -> Result<Page<Entry<Report>>> {
        self.whole(Scope::AlertsRead)?.entries(query).await
    }

    pub async fn report(&self, id: &str) -> Result<Entry<Report>> {
        self.whole(Scope::AlertsRead)?.entry(id).await
    }

    /// Whether a report would be taken, a new one or as a change of what is there. Nothing is written.
    pub async fn check_report(&self, id: &str, body: ReportBody, is_new: bool) -> Result<()> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let mut problems = Vec::new();
        if is_new {
            let kind = ResourceKind::Report;
            let stored = permit.store().resource(permit.workspace(), kind, id);
            problems.extend(stored.await?.map(|_| taken("report", id)));
            noted(channels::refuse_id(id), &mut problems)?;
        }
        noted(validated(permit, body).await, &mut problems)?;
        refuse_any(problems)
    }

    /// Makes it, or makes it so. True when it is new.
    pub async fn put_report(
        &self,
        id: &str,
        body: ReportBody,
        expected: Expected,
    ) -> Result<(Entry<Report>, bool)> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let kind = ResourceKind::Report;
        let stored = permit
            .store()
            .resource(permit.workspace(), kind, id)
            .await?;
        let is_new = stored.is_none();
        if is_new {
            channels::refuse_id(id)?;
            let why = format!("a workspace has {MOST} reports at most");
            permit.refuse_more_than::<Report>(MOST, &why).await?;
        }
        let report = validated(permit, body).await?;
        let mut change = permit.change();
        change.puts.push(put(id, &report).expecting(expected));
        permit.commit(change).await?;
        Ok((permit.entry(id).await?, is_new))
    }

    pub async fn remove_report(&self, id: &str, expected: Expected) -> Result<()> {
        let permit = self.whole(Scope::AlertsWrite)?;
        permit.entry::<Report>(id).await?;
        permit.remove::<Report>(id, expected).await
    }
}

async fn validated(permit: Permit<'_>, body: ReportBody) -> Result<Report> {
    let report = Report::new(body).map_err(|InvalidReport(problems)| {
        let problems = problems.into_iter();
        let problems = problems.map(|problem| FieldProblem::new(problem.path, problem.message));
        ServiceError::Invalid(problems.collect())
    })?;
    let channel = &report.body().channel;
    match permit.entry::<ChannelConfig>(channel).await {
        Ok(found) if found.value.send.takes_reports() => Ok(report),
        Ok(found) => {
            let kind = found.value.send.kind();
            let message =
                format!("`{channel}` is a channel of the kind `{kind}`, which is for alerts alone");
            Err(ServiceError::invalid("channel", message))
        }
        Err(ServiceError::NotFound { .. }) => {
            let message = format!("there is no channel `{channel}`");
            Err(ServiceError::invalid("channel", message))
        }
        Err(error) => Err(error),
    }
}
