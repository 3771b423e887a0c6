//! `sonde up`: every role in one process, on one machine, with nothing to install.

mod configured;
mod example;
mod host;
mod oidc;
mod options;
mod reload;
mod roles;
mod screenshots;
mod serve;
mod smtp;

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use sonde_alert::{Alerter, AlerterMetrics, Courier, Reporter, Sender};
use sonde_api::{Api, ApiOptions};
use sonde_checker::{Checker, CheckerMetrics, CheckerOptions, CheckerParts};
use sonde_core::{Clock, Monitor, QueueSettings, SystemClock, WorkspaceId};
use sonde_dispatcher::{Dispatcher, DispatcherMetrics, FileJournal};
use sonde_ingester::{Ingester, IngesterMetrics, IngesterOptions};
use sonde_probe::{Egress, Targets};
use sonde_queue::memory::{MemoryElection, MemoryQueue};
use sonde_queue::{Queue, SealingKeys, Topology};
use sonde_results::libsql::LibsqlResults;
use sonde_service::{OidcProvider, Parts, Service};
use sonde_store::libsql::LibsqlStore;
use sonde_store::{Calendar, ConfigStore, Pictures};
use tokio::sync::{Notify, broadcast, mpsc, watch};

use crate::configuration;
use crate::data::DataDirectory;
use crate::exit::{Error, Exit};
use crate::feed::{self, Feed};
use crate::roles::{Roles, Stage};
use crate::{lifecycle, limits, listen, notices};

pub(crate) use options::{Options, own_url};
pub(crate) use serve::main_router;

/// Partitions of the results: one process reads them all, so one is enough.
const PARTITIONS: u16 = 1;

/// What the roles of this process share.
struct Machine {
    queue: Arc<MemoryQueue>,
    results: Arc<LibsqlResults>,
    store: Arc<LibsqlStore>,
    pictures: Pictures,
    /// Rung when an incident was opened.
    opened: Arc<Notify>,
    maintenance: Arc<Mutex<Calendar>>,
    clock: Arc<dyn Clock>,
    settings: QueueSettings,
    /// Held for as long as the process lives: two processes on one directory would account twice.
    data: Arc<DataDirectory>,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    options.refuse_public_addresses()?;
    limits::raise_open_files();
    let settings = options.queue_settings()?;
    let (source, example) = example::source(&options).await?;
    let wanted = source.load(&settings)?;
    let listeners = serve::Listeners::bind(&options).await?;
    let oidc = options.oidc.provider()?;
    let smtp = options.smtp.settings()?;
    let sender = notices::sender(smtp.as_ref(), Egress::open(), options.allow_exec)?;
    let machine = Machine::open(&options, settings).await?;
    let addresses = listeners.addresses()?;
    let public_url = options.public_url(addresses.main)?;
    let service = machine.service(&options, oidc, &public_url)?;
    let api = Api::new(service.clone(), ApiOptions::new(public_url.clone()));

    let mut registry = listen::registry();
    let previous = machine.previous().await?;
    let monitors = configured::save(&machine.store, &source.name(), &wanted).await;
    let monitors = monitors.context("cannot save the configuration")?;
    let followed = configured::follow_maintenance(&*machine.store, &machine.maintenance).await;
    followed.context("cannot read maintenance")?;
    let (publish, configured) = watch::channel(Arc::clone(&monitors));
    let mut roles = Roles::default();
    let (checker_metrics, dispatcher) = machine
        .start(&options, &mut roles, &mut registry, configured, &previous)
        .await?;
    let progress = serve::Progress {
        dispatcher,
        clock: Arc::clone(&machine.clock),
    };
    let (configuration_changed, touched) = watch::channel(());
    machine.alert(sender, &mut roles, &mut registry, touched, public_url);
    screenshots::start(&machine, &options, &mut roles)?;
    roles::serve(&mut roles, listeners, &api, registry, &progress, &options);
    roles.spawn(Stage::Inflow, "outcomes", |stop| {
        crate::outcomes::hear(service.clone(), stop)
    });
    let reload = reload::Reload {
        source,
        settings: machine.settings.clone(),
        store: Arc::clone(&machine.store),
        service: service.clone(),
        bus: Arc::clone(&machine.queue) as _,
        publish,
        maintenance: Arc::clone(&machine.maintenance),
        changed: configuration_changed,
        metrics: checker_metrics,
    };
    roles.spawn(Stage::Inflow, "reload", |stop| reload.run(stop));
    roles.spawn(Stage::Inflow, "data directory", |stop| {
        keep_watch(Arc::clone(&machine.data), stop)
    });
    roles.spawn(Stage::Inflow, "retention", |stop| {
        retention(
            Arc::clone(&machine.results),
            Arc::clone(&machine.clock),
            options.retention,
            stop,
        )
    });
    let link = service.set_up_token().await;
    let link = link.context("cannot make a link to set up with")?;
    let link = link.map(|token| api.link("setup", &token));
    greet(
        &addresses,
        &monitors,
        example.is_some(),
        options.is_open(),
        link,
    );

    let stop = lifecycle::stop_requested();
    let ended = roles.until_asked(stop).await;
    let drained =
        lifecycle::or_second_signal(roles.drain(options.grace, || machine.queue.close())).await;
    if let Some(example) = example {
        example.stop().await;
    }
    ended.and(drained)?;
    Ok(Exit::Ok)
}

impl Machine {
    async fn open(options: &Options, settings: QueueSettings) -> Result<Self, Error> {
        let data = DataDirectory::lock(&options.data)?;
        let pictures = options.screenshots.pictures(&options.data)?;
        let results = LibsqlResults::open(&data.results())
            .await
            .context("cannot open results")?;
        let store = LibsqlStore::open(&data.configuration(), data.secret_keys()?).await;
        let store = store.context("cannot open the configuration store")?;
        let queue = Arc::new(MemoryQueue::new());
        let topology = Topology::new(&settings, std::slice::from_ref(&options.region), PARTITIONS);
        queue
            .declare(&topology)
            .await
            .context("cannot declare the queues")?;
        Ok(Self {
            queue,
            results: Arc::new(results),
            store: Arc::new(store),
            pictures,
            opened: Arc::default(),
            maintenance: Arc::default(),
            clock: Arc::new(SystemClock),
            settings,
            data: Arc::new(data),
        })
    }

    fn service(
        &self,
        options: &Options,
        oidc: Option<OidcProvider>,
        public_url: &url::Url,
    ) -> anyhow::Result<Service> {
        let targets = Targets::new(Egress::open(), None).context("cannot look at targets")?;
        Ok(Service::new(Parts {
            store: Arc::clone(&self.store) as _,
            accounts: Arc::clone(&self.store) as _,
            alerts: Arc::clone(&self.store) as _,
            pictures: self.pictures.clone(),
            results: Arc::clone(&self.results) as _,
            queue: Arc::clone(&self.queue) as _,
            bus: Arc::clone(&self.queue) as _,
            clock: Arc::clone(&self.clock),
            queues: self.settings.clone(),
            partitions: PARTITIONS,
            task_keys: SealingKeys::none(),
            reading: options.parse_options(),
            targets,
            open_until_set_up: options.is_open(),
            oidc,
            public_url: Some(public_url.clone()),
        }))
    }

    /// Opens incidents, and tells people.
    fn alert(
        &self,
        sender: Sender,
        roles: &mut Roles,
        registry: &mut prometheus_client::registry::Registry,
        touched: watch::Receiver<()>,
        public_url: url::Url,
    ) {
        let told = Arc::new(Notify::new());
        let reporter = Reporter {
            configuration: Arc::clone(&self.store) as _,
            store: Arc::clone(&self.store) as _,
            results: Arc::clone(&self.results) as _,
            clock: Arc::clone(&self.clock),
            public_url: Some(public_url.clone()),
            told: Arc::clone(&told),
        };
        roles.spawn(Stage::Storage, "reporter", |stop| async move {
            reporter.run(stop).await;
            Ok(())
        });
        let courier = Courier {
            store: Arc::clone(&self.store) as _,
            sender,
            clock: Arc::clone(&self.clock),
            told,
        };
        let alerter = Alerter {
            election: Arc::new(MemoryElection::new((*self.queue).clone())),
            bus: Arc::clone(&self.queue) as _,
            store: Arc::clone(&self.store) as _,
            clock: Arc::clone(&self.clock),
            partitions: PARTITIONS,
            queues: self.settings.clone(),
            task_keys: SealingKeys::none(),
            public_url: Some(public_url),
            courier: Arc::new(courier),
            opened: Arc::clone(&self.opened),
            metrics: AlerterMetrics::register(registry),
        };
        let (changes, told) = mpsc::channel(feed::WAITING);
        let store = Arc::clone(&self.store);
        roles.spawn(Stage::Storage, "alerter's feed", |stop| async move {
            let telling = Feed::new(store, touched).tell(changes);
            stop.run_until_cancelled(telling).await;
            Ok(())
        });
        roles.spawn(Stage::Storage, "alerter", |stop| async move {
            alerter.run(told, stop).await.map_err(Into::into)
        });
    }

    /// What the process before watched.
    async fn previous(&self) -> anyhow::Result<Vec<Arc<Monitor>>> {
        let previous = self.store.monitors(&WorkspaceId::local()).await;
        let previous = previous.context("cannot read monitors")?;
        for error in &previous.unreadable {
            let error = sonde_core::chain(error);
            tracing::error!(
                error,
                "a stored monitor is unreadable: what it missed is not known"
            );
        }
        Ok(previous.into_values().into_iter().map(Arc::new).collect())
    }

    /// Takes over from the process before, then starts dispatcher, checker and ingester.
    async fn start(
        &self,
        options: &Options,
        roles: &mut Roles,
        registry: &mut prometheus_client::registry::Registry,
        configured: watch::Receiver<Arc<[Arc<Monitor>]>>,
        previous: &[Arc<Monitor>],
    ) -> anyhow::Result<(CheckerMetrics, DispatcherMetrics)> {
        let monitors = Arc::clone(&configured.borrow());
        let dispatcher = Dispatcher {
            queue: Arc::clone(&self.queue) as _,
            journal: Arc::new(FileJournal(Arc::clone(&self.results))),
            clock: Arc::clone(&self.clock),
            settings: self.settings.clone(),
            partitions: PARTITIONS,
            maintenance: Arc::clone(&self.maintenance),
            metrics: DispatcherMetrics::register(registry),
        };
        let dispatched = dispatcher.metrics.clone();
        let schedule = dispatcher
            .resume(previous, &monitors)
            .await
            .context("cannot resume")?;

        let metrics = CheckerMetrics::register(registry);
        metrics.watch_only(reload::watched(&monitors));
        let checker = Checker::new(CheckerParts {
            queue: Arc::clone(&self.queue) as _,
            bus: Arc::clone(&self.queue) as _,
            keys: SealingKeys::none(),
            id: configuration::checker_id(&options.region),
            prober: options.prober()?,
            clock: Arc::clone(&self.clock),
            region: options.region.clone(),
            frequencies: self.settings.frequencies.clone(),
            partitions: PARTITIONS,
            options: CheckerOptions::default(),
            metrics: metrics.clone(),
        });
        let ingester = Ingester {
            queue: Arc::clone(&self.queue) as _,
            results: Arc::clone(&self.results) as _,
            partitions: PARTITIONS,
            options: IngesterOptions::LOCAL,
            // Nobody listens here: who waits for a result hears it from the checker.
            stored: broadcast::Sender::new(1),
            storing: watch::Sender::new(true),
            metrics: IngesterMetrics::register(registry),
        };
        roles::start(roles, dispatcher, schedule, configured, checker, ingester);
        Ok((metrics, dispatched))
    }
}

/// A monitor that was never checked is checked at once: its first slot may be an interval away.
async fn first_checks(service: Service) {
    let access = service.local();
    let unseen = access.overview().await.map(|views| {
        let unseen = views.into_iter().filter(|view| view.latest.is_empty());
        let unseen = unseen
            .map(|view| view.monitor)
            .filter(|monitor| !monitor.paused && monitor.spec.heartbeat().is_none());
        unseen.collect::<Vec<_>>()
    });
    let checked = match unseen {
        Ok(unseen) => access.run_all(&unseen).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = checked {
        let error = sonde_core::chain(&error);
        tracing::warn!(
            error,
            "cannot check new monitors at once: their schedule will"
        );
    }
}

/// Ends the process when its data directory goes away under it.
async fn keep_watch(
    data: Arc<DataDirectory>,
    stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    let mut looks = tokio::time::interval(std::time::Duration::from_secs(10));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = looks.tick() => data.check()?,
        }
    }
}

/// Completes what an earlier release stored, then deletes what is older than the retention, once an hour.
async fn retention(
    results: Arc<LibsqlResults>,
    clock: Arc<dyn Clock>,
    keep: std::time::Duration,
    stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    let filled = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        filled = results.fill() => filled,
    };
    match filled {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "completed results of an earlier release"),
        Err(error) => {
            tracing::error!(
                error = sonde_core::chain(&error),
                "cannot complete results of an earlier release; going on at the next start"
            );
        }
    }
    let mut hourly = tokio::time::interval(std::time::Duration::from_hours(1));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = hourly.tick() => match results.prune(clock.now() - keep).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "deleted results older than the retention"),
                Err(error) => {
                    tracing::error!(error = sonde_core::chain(&error), "cannot delete old results; trying again in an hour");
                }
            },
        }
    }
}

/// The link opens the first account; after that everybody signs in.
fn greet(
    addresses: &serve::Addresses,
    monitors: &[Arc<Monitor>],
    example: bool,
    is_open: bool,
    link: Option<String>,
) {
    let what = match (monitors.len(), example) {
        (_, true) => "its own example service (write a sonde.yaml to watch yours)".to_owned(),
        (1, false) => "1 monitor".to_owned(),
        (count, false) => format!("{count} monitors"),
    };
    let at = addresses.main;
    anstream::eprintln!("Sonde is watching {what}.");
    anstream::eprintln!("  page     http://{at}/");
    anstream::eprintln!("  API      http://{at}/docs/");
    anstream::eprintln!("  metrics  http://{}/metrics", addresses.checker);
    if is_open {
        anstream::eprintln!("  now      curl -X POST http://{at}/check");
    }
    match link {
        Some(link) if is_open => anstream::eprintln!(
            "  account  {link}\n           optional: once somebody has an account, everybody signs in"
        ),
        Some(link) => anstream::eprintln!(
            "  set up   {link}\n           opens once, for a day; until then nobody gets in"
        ),
        None => {}
    }
}
