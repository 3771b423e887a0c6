//! What `sonde up` can be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use sonde_core::{QueueSettings, Region, parse_duration};
use sonde_probe::{Egress, Prober, Settings};

use super::oidc::OidcOptions;
use super::screenshots::ScreenshotOptions;
use super::smtp::SmtpOptions;
use crate::configuration;
use crate::exit::Error;

/// Watch monitors on this machine: everything in one process
///
/// Without -c, ./sonde.yaml and ./checkup.json it watches its own example service. SIGHUP, or a change of the file, reloads
/// the configuration; a file with mistakes is reported and the running configuration stays. SIGTERM finishes what is
/// in flight; a second one stops at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to watch [default: ./sonde.yaml, then ./checkup.json, else the example service]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where configuration and results are kept
    #[arg(
        long,
        value_name = "DIR",
        env = "SONDE_DATA",
        default_value = "sonde-data"
    )]
    pub(crate) data: PathBuf,
    /// Where page and API are served
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SONDE_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: SocketAddr,
    /// Where metrics, health and /check are served too
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SONDE_CHECKER_LISTEN",
        default_value = "127.0.0.1:9115"
    )]
    pub(crate) checker_listen: SocketAddr,
    /// Serve without a login on addresses that others can reach, until somebody has an account
    #[arg(long)]
    pub(crate) public: bool,
    /// Where people reach page and API, for links [default: where they are served]
    #[arg(long, value_name = "URL", env = "SONDE_PUBLIC_URL")]
    pub(crate) public_url: Option<url::Url>,
    #[command(flatten)]
    pub(crate) oidc: OidcOptions,
    #[command(flatten)]
    pub(crate) smtp: SmtpOptions,
    #[command(flatten)]
    pub(crate) screenshots: ScreenshotOptions,
    /// The name of this place, in results
    #[arg(
        long,
        value_name = "NAME",
        env = "SONDE_REGION",
        default_value = "local"
    )]
    pub(crate) region: Region,
    /// Seconds between checks of monitors that do not say, and for which `defaults` does not either
    #[arg(
        long,
        value_name = "SECONDS",
        env = "CHECK_INTERVAL",
        default_value = "15",
        value_parser = parse_check_interval
    )]
    check_interval: Duration,
    /// Let monitors run commands
    #[arg(long)]
    pub(crate) allow_exec: bool,
    /// A name server instead of the system's
    #[arg(long, value_name = "IP[:PORT]", value_parser = configuration::parse_resolver)]
    pub(crate) resolver: Option<SocketAddr>,
    /// Where the list of RDAP servers is, for checks of domains [default: at IANA's]
    #[arg(long, value_name = "URL", env = "SONDE_RDAP_BOOTSTRAP", value_parser = configuration::parse_rdap_bootstrap)]
    rdap_bootstrap: Option<url::Url>,
    /// Frequencies and retries instead of the built-in ones
    #[arg(long, value_name = "FILE", env = "SONDE_QUEUES")]
    queues: Option<PathBuf>,
    /// How long results are kept, at least a day
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = parse_retention)]
    pub(crate) retention: Duration,
    /// How long a stop waits for checks in flight
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) grace: Duration,
}

impl Options {
    /// Metrics and health have no login: that others can reach them must be asked for.
    pub(crate) fn refuse_public_addresses(&self) -> Result<(), Error> {
        let address = self.checker_listen;
        if address.ip().is_loopback() || self.public {
            return Ok(());
        }
        Err(Error::usage(format!(
            "--checker-listen {address} can be reached from other machines, and there is no login to what is served \
             there: use a loopback address, or add --public if that is what you want"
        )))
    }

    /// Whether page and API are open to whoever reaches them, until somebody has an account.
    pub(crate) fn is_open(&self) -> bool {
        self.public || self.listen.ip().is_loopback()
    }

    pub(crate) fn queue_settings(&self) -> Result<QueueSettings, Error> {
        let settings = configuration::queue_settings(self.queues.as_deref())?;
        Ok(QueueSettings {
            alerting: true,
            partitions: super::PARTITIONS,
            ..settings
        })
    }

    /// Where links lead, when this is where it listens.
    pub(crate) fn public_url(&self, listening: SocketAddr) -> anyhow::Result<url::Url> {
        match &self.public_url {
            Some(url) => Ok(url.clone()),
            None => own_url(listening),
        }
    }

    /// How `sonde.yaml` is read here.
    pub(crate) fn parse_options(&self) -> sonde_config::Options {
        sonde_config::Options {
            check_interval: Some(self.check_interval),
            allow_exec: self.allow_exec,
            default_region: Some(self.region.clone()),
        }
    }

    pub(crate) fn prober(&self) -> anyhow::Result<Prober> {
        let settings = Settings {
            egress: Egress::open(),
            resolver: self.resolver,
            allow_exec: self.allow_exec,
            rdap_bootstrap: self.rdap_bootstrap.clone(),
            checker_id: configuration::checker_id(&self.region),
        };
        Prober::new(settings).context("cannot start probing")
    }
}

/// Where a server that listens there is reached from this machine.
pub(crate) fn own_url(listening: SocketAddr) -> anyhow::Result<url::Url> {
    let (address, port) = (listening.ip(), listening.port());
    let url = if address.is_unspecified() {
        format!("http://localhost:{port}/")
    } else {
        format!("http://{listening}/")
    };
    url.parse().context("an address makes a URL")
}

fn parse_retention(text: &str) -> Result<Duration, String> {
    let retention = parse_duration(text).map_err(|error| error.to_string())?;
    if retention < Duration::from_hours(24) {
        return Err(
            "must be a day or more: what is checked today is accounted for today".to_owned(),
        );
    }
    Ok(retention)
}

/// Compose files pass variables that are set to nothing: they mean the default.
fn parse_check_interval(text: &str) -> Result<Duration, String> {
    let seconds = match text {
        "" => Ok(15),
        _ => text
            .parse()
            .map_err(|_| format!("CHECK_INTERVAL is a number of seconds, not `{text}`")),
    };
    let interval = Duration::from_secs(seconds?);
    if interval < sonde_core::MIN_INTERVAL {
        return Err("CHECK_INTERVAL must be 5 seconds or more".to_owned());
    }
    Ok(interval)
}
