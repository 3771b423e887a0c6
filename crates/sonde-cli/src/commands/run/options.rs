//! What `sonde run` can be told. Every option is also a key of `sonde.toml`, which says how values look.

use sonde_config::settings::{Override, Secret};

use crate::services::ServiceOptions;

/// Play roles of a fleet
///
/// Any set of roles in one process; every role may run many times. Schemas must be there (`sonde migrate`) and queues
/// declared (`sonde queues apply`). SIGTERM finishes what is in flight; a second one stops at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) services: ServiceOptions,
    #[arg(
        long = "role",
        value_name = "ROLES",
        help = "What this process does: dispatcher, checker, ingester, api, screenshotter; several are separated by commas [env: SONDE_ROLES]"
    )]
    roles: Option<String>,
    #[arg(
        long,
        value_name = "NAME",
        help = "Where this checker is [env: SONDE_REGION, FLY_REGION]"
    )]
    region: Option<String>,
    #[arg(
        long,
        value_name = "ADDRESS",
        help = "Where health, metrics, /task and /v1/cron are served [env: SONDE_CHECKER_LISTEN] [default: 127.0.0.1:9115]"
    )]
    checker_listen: Option<String>,
    #[arg(
        long,
        value_name = "DIR",
        help = "Where the dispatcher keeps its copy of the configuration [env: SONDE_DATA] [default: sonde-data]"
    )]
    data: Option<String>,
    #[arg(
        long,
        value_name = "WHAT",
        help = "Which addresses checks may reach: open, or guarded (none that is private) [env: SONDE_EGRESS] [default: guarded]"
    )]
    egress: Option<String>,
    /// A name server instead of the system's
    #[arg(long, value_name = "IP[:PORT]")]
    resolver: Option<String>,
    /// End a checker that had nothing to do for so long
    #[arg(long, value_name = "DURATION")]
    exit_when_idle: Option<String>,
    /// How long a stop waits for what is in flight [default: 30s]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Let monitors run commands on this checker; needs a task key
    #[arg(long)]
    allow_exec: bool,
    /// Declare missing queues at the start, and those of regions that come later
    #[arg(long)]
    pub(crate) apply_topology: bool,
}

impl Options {
    /// What stands above the settings file.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let given = [
            ("run.roles", "--role", &self.roles),
            ("checker.region", "--region", &self.region),
            ("checker.listen", "--checker-listen", &self.checker_listen),
            ("run.data", "--data", &self.data),
            ("checker.egress", "--egress", &self.egress),
            ("checker.resolver", "--resolver", &self.resolver),
            (
                "checker.exit_when_idle",
                "--exit-when-idle",
                &self.exit_when_idle,
            ),
            ("run.grace", "--grace", &self.grace),
        ];
        let mut overrides: Vec<_> = given
            .into_iter()
            .filter_map(|(key, source, value)| {
                let value = Secret::new(value.as_deref()?);
                let source = source.to_owned();
                Some(Override { key, source, value })
            })
            .collect();
        if self.allow_exec {
            overrides.push(Override {
                key: "checker.allow_exec",
                source: "--allow-exec".to_owned(),
                value: Secret::new("true"),
            });
        }
        overrides
    }
}
