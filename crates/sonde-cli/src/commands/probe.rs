//! `sonde probe`: a look at one target, phase by phase.

mod fleet;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use sonde_core::{Assertion, Check, Clock as _, Region, RunId, SystemClock, parse_duration};
use sonde_probe::{Egress, Prober, Settings};

use crate::commands::check;
use crate::configuration;
use crate::exit::{Error, Exit};
use crate::output::{Stdout, detail, json};
use crate::services::ServiceOptions;

/// Look at one target, phase by phase
///
/// The kind follows from the scheme: https, http, tcp, tls, icmp, dns or domain. Without a scheme it is https. The exit code is
/// 1 when the probe failed, and 3 when it could not be made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde probe https://shop.example/health --expect 'json $.status == \"up\"'
  sonde probe tcp://db.internal:5432 --timeout 2s
  sonde probe 'dns://192.0.2.53/shop.example?type=MX'
  sonde probe tls://shop.example --expect 'tls.days_left > 14'
  sonde probe domain://shop.example --expect 'domain.days_left > 30'
  sonde probe https://shop.example --regions fra,iad
  sonde probe https://shop.example/orders -H 'authorization: Bearer …' --body @order.json")]
pub(crate) struct Options {
    /// What to probe
    target: String,
    /// Bound of one attempt
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_timeout)]
    timeout: Duration,
    /// Attempts after the first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=20))]
    retries: u32,
    /// What must hold, as in the configuration; may be repeated
    #[arg(short, long, value_name = "ASSERTION")]
    expect: Vec<Assertion>,
    /// A header to send; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = request::parse_header)]
    headers: Vec<(String, String)>,
    /// The HTTP method; GET, or POST with a body, unless given
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = request::parse_method)]
    method: Option<String>,
    /// The body to send, or @FILE for a file's content
    #[arg(long, value_name = "TEXT|@FILE")]
    body: Option<String>,
    /// Which addresses to connect to
    #[arg(long, value_enum, default_value_t = Ip::PreferV4)]
    ip: Ip,
    /// Accept any certificate
    #[arg(short = 'k', long)]
    insecure: bool,
    /// A name server to use instead of the system's
    #[arg(long, value_name = "IP[:PORT]", value_parser = configuration::parse_resolver)]
    resolver: Option<SocketAddr>,
    /// Where the list of RDAP servers is, for checks of domains [default: at IANA's]
    #[arg(long, value_name = "URL", env = "SONDE_RDAP_BOOTSTRAP", value_parser = configuration::parse_rdap_bootstrap)]
    rdap_bootstrap: Option<url::Url>,
    /// Look from these regions of a fleet instead of from here; separated by commas
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    regions: Vec<Region>,
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
    #[command(flatten)]
    services: ServiceOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ip {
    PreferV4,
    PreferV6,
    V4,
    V6,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Pretty,
    /// The result as one JSON object; with --regions one document with all of them
    Json,
    /// One result per line, as regions answer
    Ndjson,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let monitor = request::monitor(&options)?;
    if !options.regions.is_empty() {
        return fleet::run(&options, monitor).await;
    }
    let prober = Prober::new(Settings {
        egress: Egress::open(),
        resolver: options.resolver,
        allow_exec: false,
        rdap_bootstrap: options.rdap_bootstrap.clone(),
        checker_id: configuration::checker_id(&Region::local()),
    })
    .context("cannot probe anything from here")?;
    let queues = configuration::queue_settings(None)?;
    let check = Check::on_demand(
        Arc::new(monitor),
        Region::local(),
        &queues,
        RunId::random(),
        SystemClock.now(),
    );
    let result = prober.run(&check, &SystemClock).await;
    let text = match options.format {
        Format::Pretty => detail::picture(&result, SystemClock.now()),
        Format::Json => json::single(&result)?,
        Format::Ndjson => json::line(&result)?,
    };
    Stdout::new().write(&text)?;
    Ok(check::exit(&[result], false))
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be more than nothing".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}
