//! The API role: REST and pages, over the configuration and the results.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::HeaderValue;
use sonde_api::{Api, ApiOptions};
use sonde_config::settings::Settings;
use sonde_core::WorkspaceId;
use sonde_probe::Targets;
use sonde_service::{OidcProvider, Parts, Service};
use sonde_store::libsql::Fallback;
use tokio::net::TcpListener;
use url::Url;

use super::configuration::Configuration;
use super::{Process, egress};
use crate::commands::up;
use crate::exit::Error;
use crate::roles::{Roles, Stage};
use crate::{listen, outcomes, pictures, services};

/// Between two tries of a store that is away.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Role {
    listener: TcpListener,
    api: Api,
    /// Where people reach it.
    pub(super) url: Url,
}

impl Role {
    pub(super) async fn new(
        process: &Process,
        configuration: &Configuration,
    ) -> Result<Self, Error> {
        let settings = &process.settings;
        let listener = listen::bind("SONDE_LISTEN", settings.run.listen).await?;
        let address = listener.local_addr().context("no local address")?;
        let url = match &settings.api.public_url {
            Some(url) => url.expose().clone(),
            None => up::own_url(address)?,
        };
        let service = service(process, configuration, &url)?;
        Ok(Self {
            listener,
            api: Api::new(service, options(settings, url.clone())),
            url,
        })
    }

    pub(super) fn start(self, roles: &mut Roles) {
        let service = self.api.service().clone();
        roles.spawn(Stage::Inflow, "outcomes", |stop| {
            outcomes::hear(service, stop)
        });
        let api = self.api.clone();
        roles.spawn(Stage::Inflow, "set up", |stop| async move {
            stop.run_until_cancelled(tell_how_to_set_up(&api)).await;
            // Nothing is left to do, which is no reason to end.
            stop.cancelled().await;
            Ok(())
        });
        let router: Router = up::main_router(&self.api);
        roles.serve(self.listener, router);
    }
}

fn service(
    process: &Process,
    configuration: &Configuration,
    public_url: &Url,
) -> Result<Service, Error> {
    let settings = &process.settings;
    let replica = Arc::clone(&configuration.replica);
    let store = Arc::new(Fallback::new(replica, Arc::clone(&process.clock)));
    let targets = Targets::new(egress(settings), settings.checker.resolver)
        .context("cannot look at targets")?;
    let oidc = settings.api.oidc.clone().map(OidcProvider::new);
    let oidc = oidc
        .transpose()
        .context("cannot ask the identity provider")?;
    Ok(Service::new(Parts {
        store: Arc::clone(&store) as _,
        accounts: store,
        alerts: Arc::new(configuration.replica.primary().clone()),
        pictures: pictures::open(&settings.screenshots, &settings.run.data)?,
        results: Arc::new(services::clickhouse(settings)?),
        queue: Arc::new(process.broker.clone()),
        bus: Arc::new(process.broker.clone()),
        clock: Arc::clone(&process.clock),
        queues: process.queues.clone(),
        partitions: process.queues.partitions,
        task_keys: process.keys.clone(),
        reading: sonde_config::Options {
            check_interval: None,
            allow_exec: settings.api.allow_exec,
            default_region: None,
        },
        targets,
        open_until_set_up: false,
        oidc,
        public_url: Some(public_url.clone()),
    }))
}

fn options(settings: &Settings, public_url: Url) -> ApiOptions {
    let api = &settings.api;
    let origins = api.allowed_origins.iter();
    let origins = origins.filter_map(|origin| HeaderValue::from_str(origin).ok());
    ApiOptions {
        requests_per_minute: api.requests_per_minute,
        allowed_origins: origins.collect(),
        trust_forwarded_for: api.trust_forwarded_for,
        ..ApiOptions::new(public_url)
    }
}

/// Once the primary can be asked whether somebody has.
async fn tell_how_to_set_up(api: &Api) {
    loop {
        match api.service().set_up_token().await {
            Ok(Some(token)) => {
                let link = api.link("setup", &token);
                let workspace = WorkspaceId::local();
                anstream::eprintln!(
                    "  set up   {link}\n           opens once, for a day, and makes the first owner of workspace {workspace}"
                );
                return;
            }
            Ok(None) => return,
            Err(error) => {
                let error = sonde_core::chain(&error);
                tracing::debug!(error, "cannot ask yet whether somebody has an account");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
