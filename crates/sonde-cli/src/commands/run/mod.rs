//! `sonde run`: roles of a fleet in one process.

mod alerter;
mod api;
mod checker;
mod configuration;
mod dispatcher;
mod ingester;
mod options;
mod regions;
mod screenshotter;
mod topology;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use prometheus_client::registry::Registry;
use sonde_config::settings::{EgressSetting, Role, Settings};
use sonde_core::{Clock, QueueSettings, SystemClock};
use sonde_probe::Egress;
use sonde_queue::SealingKeys;
use sonde_queue::amqp::Amqp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::exit::{Error, Exit};
use crate::readiness::{self, Readiness};
use crate::roles::Roles;
use crate::{lifecycle, limits, listen, services};

pub(crate) use options::Options;

/// A broker that is away at the start is news so often.
const REMINDER: Duration = Duration::from_secs(30);

/// What the roles of a process share.
struct Process {
    settings: Settings,
    queues: QueueSettings,
    broker: Amqp,
    clock: Arc<dyn Clock>,
    keys: SealingKeys,
    /// Names this process in the fleet, in results and at the broker.
    id: String,
    apply_topology: bool,
    /// Cancelled when the process is asked to stop.
    stopping: CancellationToken,
}

/// The roles of a process, before anything of them runs.
#[derive(Default)]
struct Cast {
    configuration: Option<configuration::Configuration>,
    dispatcher: Option<dispatcher::Role>,
    checker: Option<checker::Role>,
    ingester: Option<ingester::Role>,
    api: Option<api::Role>,
    alerter: Option<alerter::Role>,
    screenshotter: Option<screenshotter::Role>,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    limits::raise_open_files();
    let process = Process::new(&options)?;
    let listener = listen::bind("--checker-listen", process.settings.checker.listen).await?;
    let address = listener.local_addr().context("no local address")?;

    let mut registry = listen::registry();
    let mut readiness = Readiness::until(process.stopping.clone());
    let (started, is_started) = watch::channel(false);
    let connected = process.broker.connected();
    readiness.require("broker", move || {
        (!*connected.borrow()).then(|| "not connected".to_owned())
    });
    readiness.require("roles", move || {
        (!*is_started.borrow()).then(|| "waiting for the broker and its queues".to_owned())
    });
    let cast = Cast::new(&process, &mut registry, &mut readiness).await?;
    let mut roles = Roles::default();
    process.serve(listener, &mut roles, &cast, readiness, registry);
    process.greet(address, &cast);

    let ended = process.play(cast, &mut roles, &started).await;
    process.stopping.cancel();
    let grace = process.settings.run.grace;
    let drained = lifecycle::or_second_signal(roles.drain(grace, || {})).await;
    process.broker.close().await;
    ended?;
    drained?;
    Ok(Exit::Ok)
}

impl Process {
    fn new(options: &Options) -> Result<Self, Error> {
        let settings = options.services.settings_with(options.overrides())?;
        if settings.run.roles.is_empty() {
            return Err(Error::usage(
                "there is nothing to do: name roles with --role, SONDE_ROLES, or `roles` in [run] of sonde.toml",
            ));
        }
        let queues = services::queue_settings(&settings)?;
        let id = process_id(&settings);
        Ok(Self {
            broker: services::amqp(&settings, &format!("sonde {id}"))?,
            keys: services::task_keys(&settings)?,
            queues,
            clock: Arc::new(SystemClock),
            apply_topology: options.apply_topology,
            stopping: CancellationToken::new(),
            settings,
            id,
        })
    }

    fn plays(&self, role: Role) -> bool {
        self.settings.run.roles.contains(&role)
    }

    /// Health and metrics from the beginning, so that whoever waits for readiness is told what is in the way.
    fn serve(
        &self,
        listener: TcpListener,
        roles: &mut Roles,
        cast: &Cast,
        readiness: Readiness,
        registry: Registry,
    ) {
        let mut router = readiness::router(Arc::new(readiness), Arc::new(registry));
        let extras: [Option<Router>; 2] = [
            cast.checker.as_ref().and_then(|role| role.router(self)),
            cast.dispatcher
                .as_ref()
                .and_then(|_| dispatcher::router(self)),
        ];
        for extra in extras.into_iter().flatten() {
            router = router.merge(extra);
        }
        roles.serve(listener, router);
    }

    /// Waits for what every role needs, however long that takes, and starts them; runs until asked to stop, or until
    /// something ends unasked, be it before that.
    async fn play(
        &self,
        cast: Cast,
        roles: &mut Roles,
        started: &watch::Sender<bool>,
    ) -> Result<(), Error> {
        let stop = lifecycle::stop_requested();
        tokio::pin!(stop);
        tokio::select! {
            biased;
            ended = self.until(roles, &mut stop) => return Ok(ended?),
            prepared = self.prepare() => prepared?,
        }
        self.start(cast, roles);
        started.send_replace(true);
        tracing::info!(process.id = self.id, "every role is started");
        let ended = self.until(roles, stop).await;
        ended.map_err(ingester::classify)
    }

    async fn prepare(&self) -> Result<(), Error> {
        self.connected().await;
        topology::ensure(self).await
    }

    /// What only one role needs that role waits for itself, so that the others go on without it.
    fn start(&self, cast: Cast, roles: &mut Roles) {
        let Cast {
            configuration,
            dispatcher,
            checker,
            ingester,
            api,
            alerter,
            screenshotter,
        } = cast;
        if let Some(configuration) = configuration {
            configuration.start(self, roles);
        }
        if let Some(ingester) = ingester {
            ingester.start(self, roles);
        }
        if let Some(checker) = checker {
            checker.start(roles);
        }
        if let Some(dispatcher) = dispatcher {
            dispatcher.start(self, roles);
        }
        if let Some(alerter) = alerter {
            alerter.start(roles);
        }
        if let Some(api) = api {
            api.start(roles);
        }
        if let Some(screenshotter) = screenshotter {
            screenshotter.start(roles);
        }
    }

    async fn connected(&self) {
        let mut connected = self.broker.connected();
        while tokio::time::timeout(REMINDER, connected.wait_for(|connected| *connected))
            .await
            .is_err()
        {
            tracing::warn!("still waiting for the broker");
        }
    }

    /// Runs until asked to stop; a checker that ends when it is idle ends the process well.
    async fn until(
        &self,
        roles: &mut Roles,
        stop: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        match roles.until(stop).await? {
            None => Ok(()),
            Some("checker") if self.settings.checker.exit_when_idle.is_some() => Ok(()),
            Some(name) => Err(anyhow::anyhow!("the {name} ended unasked")),
        }
    }

    fn greet(&self, address: SocketAddr, cast: &Cast) {
        let roles: Vec<_> = self
            .settings
            .run
            .roles
            .iter()
            .map(|role| role.as_str())
            .collect();
        let region = match (&self.settings.checker.region, self.plays(Role::Checker)) {
            (Some(region), true) => format!(" in {region}"),
            _ => String::new(),
        };
        anstream::eprintln!("Sonde runs as {}{region}.", roles.join(", "));
        anstream::eprintln!("  ready    http://{address}/-/ready");
        anstream::eprintln!("  metrics  http://{address}/metrics");
        if let Some(api) = &cast.api {
            anstream::eprintln!("  API      {}", api.url);
        }
    }
}

impl Cast {
    async fn new(
        process: &Process,
        registry: &mut Registry,
        readiness: &mut Readiness,
    ) -> Result<Self, Error> {
        let mut cast = Self::default();
        if process.plays(Role::Ingester) {
            cast.ingester = Some(ingester::Role::new(process, registry, readiness)?);
        }
        if process.plays(Role::Checker) {
            cast.checker = Some(checker::Role::new(process, registry, readiness)?);
        }
        let configured = [
            Role::Dispatcher,
            Role::Api,
            Role::Alerter,
            Role::Screenshotter,
        ];
        if configured.into_iter().any(|role| process.plays(role)) {
            let configuration = configuration::Configuration::open(process, registry, readiness);
            let configuration = configuration.await?;
            if process.plays(Role::Dispatcher) {
                let role = dispatcher::Role::new(process, &configuration, registry);
                cast.dispatcher = Some(role);
            }
            if process.plays(Role::Alerter) {
                let role = alerter::Role::new(process, &configuration, registry)?;
                cast.alerter = Some(role);
            }
            if process.plays(Role::Api) {
                cast.api = Some(api::Role::new(process, &configuration).await?);
            }
            if process.plays(Role::Screenshotter) {
                let role = screenshotter::Role::new(process, &configuration)?;
                cast.screenshotter = Some(role);
            }
            cast.configuration = Some(configuration);
        }
        Ok(cast)
    }
}

/// Where channels and targets that are looked at on demand may be.
fn egress(settings: &Settings) -> Egress {
    match settings.checker.egress {
        EgressSetting::Open => Egress::open(),
        EgressSetting::Guarded => Egress::guarded(settings.checker.egress_allow.clone()),
    }
}

/// Unique among processes that live at the same time: containers share process ids, not host names.
fn process_id(settings: &Settings) -> String {
    let host = nix::unistd::gethostname().ok();
    let host = host.and_then(|host| host.into_string().ok());
    let host = host.and_then(|host| sonde_core::slugify(&host));
    let host = host.unwrap_or_else(|| "sonde".to_owned());
    let process = std::process::id();
    match &settings.checker.region {
        Some(region) => format!("{region}-{host}-{process}"),
        None => format!("{host}-{process}"),
    }
}
