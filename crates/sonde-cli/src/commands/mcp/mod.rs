//! `sonde mcp`: a server's API as tools for agents, by the Model Context Protocol on standard input and output.

mod incidents;
mod offer;
mod read;
mod tools;
mod write;

use anyhow::Context as _;
use rmcp::service::ServerInitializeError;
use rmcp::{ServiceExt as _, transport};

use self::offer::Caller;
use self::tools::Tools;
use crate::client::{Client, ServerOptions};
use crate::exit::{Error, Exit};

/// Let an agent see and change what a server has (Model Context Protocol)
///
/// Speaks MCP on standard input and output, as agents and editors start it. Which tools there are depends on what the API
/// key may do: a key that only reads offers none that writes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde mcp                                             The server of this machine
  sonde mcp --url https://sonde.example                 With the key in SONDE_API_KEY

What an agent is configured with:
  { \"mcpServers\": { \"sonde\": {
      \"command\": \"sonde\", \"args\": [\"mcp\"],
      \"env\": { \"SONDE_URL\": \"https://sonde.example\", \"SONDE_API_KEY\": \"…\" } } } }")]
pub(crate) struct Options {
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let server = Client::new(&options.server)?;
    let caller: Caller = server.get("v1/session", &[]).await?;
    let serving = match Tools::new(server, caller).serve(transport::stdio()).await {
        // Who started it changed their mind.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(Exit::Ok),
        Err(ServerInitializeError::ExpectedInitializeRequest(_)) => {
            let expected = "standard input does not begin with `initialize`: an agent starts this";
            return Err(Error::usage(expected));
        }
        serving => serving.context("serving MCP cannot begin")?,
    };
    serving.waiting().await.context("serving MCP broke off")?;
    Ok(Exit::Ok)
}
