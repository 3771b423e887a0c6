//! `sonde heartbeat`: the address that a job calls to tell that it is well.

use serde::Deserialize;
use serde_json::json;
use sonde_core::MonitorId;

use crate::client::{Client, ServerOptions};
use crate::exit::{Error, Exit};
use crate::output::Stdout;

/// Print the address that a heartbeat's job calls to tell that it is well
///
/// It is a secret, made when it is first asked for; to know it takes the right to write monitors.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, in a crontab; -m is how long to try, and $? says how the command before went:
  15 3 * * *  backup && curl -fsS -m 30 --retry 3 $(cat /etc/backup.url)
  15 3 * * *  backup; curl -fsS -m 30 --retry 3 $(cat /etc/backup.url)/$?")]
pub(crate) struct Options {
    /// The monitor, of kind heartbeat
    #[arg(value_name = "MONITOR")]
    monitor: MonitorId,
    /// Give it another address; the one before is known no more
    #[arg(long)]
    rotate: bool,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Deserialize)]
struct Address {
    url: String,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let server = Client::new(&options.server)?;
    let path = format!("v1/monitors/{}/heartbeat", options.monitor);
    let address: Address = if options.rotate {
        let path = format!("{path}/rotate");
        server.post(&path, &json!({})).await?
    } else {
        server.get(&path, &[]).await?
    };
    Stdout::new().write(&format!("{}\n", address.url))?;
    Ok(Exit::Ok)
}
