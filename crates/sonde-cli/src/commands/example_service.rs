//! `sonde example-service`: something to watch, that can be told to be slow or to fail.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::example::{self, ExampleService};
use crate::exit::{Error, Exit};
use crate::lifecycle;

/// Run a small service to watch: HTTP, HTTPS, TCP and DNS
///
/// GET /health answers as JSON, GET /notes?content=… appends a line to a file, and POST /behave makes /health slow or
/// failing. HTTPS has a self-signed certificate; DNS answers for example.example-corp.internal. Port 0 takes any free
/// port; the addresses are printed on standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde example-service
  curl -X POST 'http://127.0.0.1:8000/behave?fail=true&for=30s'
  curl -X POST 'http://127.0.0.1:8000/behave?delay=300ms'")]
pub(crate) struct Options {
    /// Where to serve HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    http: SocketAddr,
    /// Where to serve HTTPS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    https: SocketAddr,
    /// Where to greet and echo over TCP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8001")]
    tcp: SocketAddr,
    /// Where to answer DNS, over UDP and TCP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8053")]
    dns: SocketAddr,
    /// The file that notes are appended to
    #[arg(long, value_name = "FILE", default_value = "notes.txt")]
    notes: PathBuf,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let service = ExampleService::start(&example::Options {
        http: options.http,
        https: options.https,
        tcp: options.tcp,
        dns: options.dns,
        notes: options.notes,
    })
    .await?;
    let at = service.addresses();
    anstream::eprintln!("http   http://{}/", at.http);
    anstream::eprintln!("https  https://{}/", at.https);
    anstream::eprintln!("tcp    tcp://{}", at.tcp);
    anstream::eprintln!(
        "dns    dns://{}/example.example-corp.internal?type=A",
        at.dns
    );
    lifecycle::stop_requested().await?;
    service.stop().await;
    Ok(Exit::Ok)
}
