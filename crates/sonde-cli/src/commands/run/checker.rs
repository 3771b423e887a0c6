//! The checker role: one region's tasks, by the broker and by HTTP.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use axum::Router;
use prometheus_client::registry::Registry;
use sonde_api::{TaskRefused, Tasks, task_router};
use sonde_checker::{Checker, CheckerMetrics, CheckerOptions, CheckerParts, TaskError, TaskHandle};
use sonde_config::settings::{CheckerSettings, EgressSetting};
use sonde_core::CheckResult;
use sonde_probe::{Egress, Prober};

use super::Process;
use crate::exit::Error;
use crate::readiness::Readiness;
use crate::roles::{Roles, Stage};
use crate::services;

pub(super) struct Role(Checker);

impl Role {
    pub(super) fn new(
        process: &Process,
        registry: &mut Registry,
        readiness: &mut Readiness,
    ) -> Result<Self, Error> {
        let settings = &process.settings.checker;
        let region = settings.region.clone().ok_or_else(|| {
            services::missing(
                "the checker's region",
                "--region",
                "SONDE_REGION or FLY_REGION",
                "`region` in [checker]",
            )
        })?;
        if settings.allow_exec && process.keys.is_empty() {
            return Err(Error::usage(
                "a checker that runs commands needs SONDE_TASK_KEY, or `key` in [tasks] of sonde.toml, the same as the \
                 dispatchers': without it whoever can publish to the broker could run commands here",
            ));
        }
        let metrics = CheckerMetrics::register(registry);
        // Series of single monitors belong to those who own them, not to who runs checkers for everybody.
        metrics.watch_only(HashSet::new());
        let checker = Checker::new(CheckerParts {
            queue: Arc::new(process.broker.clone()),
            bus: Arc::new(process.broker.clone()),
            keys: process.keys.clone(),
            id: process.id.clone(),
            prober: prober(settings, &process.id)?,
            clock: Arc::clone(&process.clock),
            region,
            frequencies: process.queues.frequencies.clone(),
            partitions: process.queues.partitions,
            options: CheckerOptions {
                idle: settings.exit_when_idle,
                canary: settings.canary.clone(),
                asks_time: true,
            },
            metrics,
        });
        let ready = checker.ready();
        readiness.require("checker", move || {
            (!ready.is_cancelled()).then(|| "it takes no tasks yet".to_owned())
        });
        Ok(Self(checker))
    }

    /// `/task`, where there is a token for it.
    pub(super) fn router(&self, process: &Process) -> Option<Router> {
        let token = process.settings.checker.task_token.as_ref()?;
        let tasks = HandedIn(self.0.tasks());
        Some(task_router(Arc::new(tasks), token.expose().into()))
    }

    pub(super) fn start(self, roles: &mut Roles) {
        roles.spawn(Stage::Checks, "checker", |stop| async {
            self.0.run(stop).await.map_err(Into::into)
        });
    }
}

fn prober(settings: &CheckerSettings, id: &str) -> anyhow::Result<Prober> {
    let egress = match settings.egress {
        EgressSetting::Open => Egress::open(),
        EgressSetting::Guarded => Egress::guarded(settings.egress_allow.clone()),
    };
    let settings = sonde_probe::Settings {
        egress,
        resolver: settings.resolver,
        allow_exec: settings.allow_exec,
        rdap_bootstrap: settings.rdap_bootstrap.clone(),
        checker_id: id.to_owned(),
    };
    Prober::new(settings).context("cannot start probing")
}

/// Tasks that come by HTTP.
struct HandedIn(TaskHandle);

#[async_trait]
impl Tasks for HandedIn {
    async fn execute(&self, payload: &[u8]) -> Result<CheckResult, TaskRefused> {
        self.0.execute(payload).await.map_err(|error| {
            let text = sonde_core::chain(&error);
            match error {
                TaskError::Unreadable(_) | TaskError::OtherRegion { .. } => {
                    TaskRefused::Unreadable(text)
                }
                _ => TaskRefused::NotNow(text),
            }
        })
    }
}
