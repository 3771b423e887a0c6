//! `tests/bench`: ratios, each of two things measured in one run on one machine.
//!
//! Absolute figures drift with the machine; what is claimed anywhere is a ratio from here.

mod alerts;
mod api;
mod backlog;
mod bare;
mod blackbox;
mod checks;
mod dashboards;
mod figures;
mod fleet;
mod machine;
mod pipeline;
mod processes;
mod report;
mod soak;
mod target;
mod timing;

use anyhow::bail;

const USAGE: &str = "\
usage: tests/bench [checks|timing|machine|api|alerts|dashboards|pipeline]

  checks   CPU and wall time of one HTTP and HTTPS check, against a bare loop and blackbox_exporter (default)
  timing   how true the phases are, against delays that the target itself measures
  machine  1,000 monitors every 5 s on one `sonde up`: ledger, lateness, spread (--monitors N --minutes M)
  api      an apply of 1,000 monitors, and the API's questions with 10,000
  alerts   10,000 results a second with a tenth of the targets down, and from a failing result to a webhook
           ([replay|latency])
  dashboards
           pages over 10,000,000 results of 1,000 monitors on one `sonde up`, and over 50,000,000 in the ClickHouse engine
           ([local|clickhouse])
  pipeline the fleet on this machine: throughput against its bare limit and where the CPU goes, a checker's memory and
           start, the dispatcher at 1,000,000 monitors; at most ten minutes ([--quick] [limit|throughput|memory|start|dispatcher…])
  soak     a fleet with a checker killed every minute, then proof that no slot was lost; see tests/soak";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Fails only when a provider is already installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match arguments.as_slice() {
        ["serve"] => target::serve().await,
        [] | ["checks"] => checks::run().await,
        ["timing"] => timing::run().await,
        ["machine", options @ ..] => machine::run(options).await,
        ["alerts"] => alerts::run(None).await,
        ["alerts", part @ ("replay" | "latency")] => alerts::run(Some(part)).await,
        ["api"] => api::run().await,
        ["dashboards"] => dashboards::run(None).await,
        ["dashboards", part] => dashboards::run(Some(part)).await,
        ["pipeline", options @ ..] => pipeline::run(options).await,
        ["schedule", file] => pipeline::schedule::serve(file).await,
        ["soak", options @ ..] => soak::run(options).await,
        _ => bail!("{USAGE}"),
    }
}
