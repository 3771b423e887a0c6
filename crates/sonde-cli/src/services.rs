//! The services of a fleet: from flags, environment and `sonde.toml` to settings, and from settings to backends.

use std::path::PathBuf;

use sonde_config::settings::{
    self, LibsqlLocation, Override, Secret, Settings, SettingsFile, SettingsInputs,
};
use sonde_core::QueueSettings;
use sonde_queue::TaskKeys;

use crate::configuration;
use crate::exit::Error;

/// Read where neither --settings nor `SONDE_CONFIG` names a file.
const DEFAULT_FILE: &str = "sonde.toml";

const HEADING: &str = "Services";

/// Where the services of a fleet are, for every command that needs one of them.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServiceOptions {
    /// Where the services are [default: ./sonde.toml if there is one]
    #[arg(long, value_name = "FILE", env = "SONDE_CONFIG", hide_env_values = true, help_heading = HEADING)]
    settings: Option<PathBuf>,
    /// The broker, amqp:// or amqps://
    #[arg(long, value_name = "URL", env = "SONDE_AMQP_URL", hide_env_values = true, help_heading = HEADING)]
    amqp_url: Option<String>,
    /// The broker's management API
    #[arg(
        long,
        value_name = "URL",
        env = "SONDE_AMQP_MANAGEMENT_URL",
        hide_env_values = true,
        help_heading = HEADING
    )]
    amqp_management_url: Option<String>,
    /// The results: ClickHouse's HTTP interface
    #[arg(long, value_name = "URL", env = "SONDE_CLICKHOUSE_URL", hide_env_values = true, help_heading = HEADING)]
    clickhouse_url: Option<String>,
    /// The configuration: a libSQL primary, or a local file
    #[arg(long, value_name = "URL", env = "SONDE_LIBSQL_URL", hide_env_values = true, help_heading = HEADING)]
    libsql_url: Option<String>,
    /// The primary's token
    #[arg(long, value_name = "TOKEN", env = "SONDE_LIBSQL_TOKEN", hide_env_values = true, help_heading = HEADING)]
    libsql_token: Option<String>,
    /// Frequencies and queues instead of the built-in ones
    #[arg(long, value_name = "FILE", env = "SONDE_QUEUES", hide_env_values = true, help_heading = HEADING)]
    queues: Option<PathBuf>,
}

/// Variables and their keys, weakest first where two mean the same.
const ENVIRONMENT: [(&str, &str); 26] = [
    ("SONDE_QUEUES", "queues"),
    ("SONDE_AMQP_URL", "amqp.url"),
    ("SONDE_AMQP_URL_FILE", "amqp.url_file"),
    ("SONDE_AMQP_MANAGEMENT_URL", "amqp.management_url"),
    ("SONDE_AMQP_MANAGEMENT_URL_FILE", "amqp.management_url_file"),
    ("SONDE_CLICKHOUSE_URL", "clickhouse.url"),
    ("SONDE_CLICKHOUSE_URL_FILE", "clickhouse.url_file"),
    ("SONDE_CLICKHOUSE_USER", "clickhouse.user"),
    ("SONDE_CLICKHOUSE_PASSWORD", "clickhouse.password"),
    ("SONDE_CLICKHOUSE_PASSWORD_FILE", "clickhouse.password_file"),
    ("SONDE_CLICKHOUSE_DATABASE", "clickhouse.database"),
    ("SONDE_LIBSQL_URL", "libsql.url"),
    ("SONDE_LIBSQL_URL_FILE", "libsql.url_file"),
    ("SONDE_LIBSQL_TOKEN", "libsql.token"),
    ("SONDE_LIBSQL_TOKEN_FILE", "libsql.token_file"),
    ("FLY_REGION", "checker.region"),
    ("SONDE_REGION", "checker.region"),
    ("SONDE_CHECKER_LISTEN", "checker.listen"),
    ("SONDE_EGRESS", "checker.egress"),
    ("SONDE_CRON_TOKEN", "dispatcher.cron_token"),
    ("SONDE_CRON_TOKEN_FILE", "dispatcher.cron_token_file"),
    ("SONDE_TASK_KEY", "tasks.key"),
    ("SONDE_TASK_KEY_FILE", "tasks.key_file"),
    ("SONDE_ROLES", "run.roles"),
    ("SONDE_DATA", "run.data"),
    ("SONDE_LISTEN", "run.listen"),
];

impl ServiceOptions {
    /// All settings, merged and validated. Which of them a command needs is found out when it asks for a service.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        let file = self.file();
        let text = file.as_deref().map(configuration::read).transpose()?;
        let overrides = self.overrides(&|name| std::env::var(name).ok());
        let read = settings::load(&SettingsInputs {
            file: file
                .as_deref()
                .zip(text.as_deref())
                .map(|(path, text)| SettingsFile { path, text }),
            overrides: &overrides,
            read_file: &configuration::read_file,
        });
        read.map_err(|problems| configuration::listed(&problems))
    }

    /// The `queues.toml` that the settings name, or the built-in one.
    pub(crate) fn queue_settings(&self, settings: &Settings) -> Result<QueueSettings, Error> {
        configuration::queue_settings(settings.queues.as_deref())
    }

    fn file(&self) -> Option<PathBuf> {
        let named = self
            .settings
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
    }

    /// Clap has put variables where flags are absent: what differs from its variable is a flag. Compose files set
    /// variables to nothing, which means that they are not set.
    fn overrides(&self, env: &dyn Fn(&str) -> Option<String>) -> Vec<Override> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flags = [
            ("--amqp-url", "amqp.url", self.amqp_url.clone()),
            (
                "--amqp-management-url",
                "amqp.management_url",
                self.amqp_management_url.clone(),
            ),
            (
                "--clickhouse-url",
                "clickhouse.url",
                self.clickhouse_url.clone(),
            ),
            ("--libsql-url", "libsql.url", self.libsql_url.clone()),
            ("--libsql-token", "libsql.token", self.libsql_token.clone()),
            ("--queues", "queues", text(&self.queues)),
        ];
        let one = |source: &str, key, value: String| Override {
            key,
            source: source.to_owned(),
            value: Secret::new(value),
        };
        let environment = ENVIRONMENT
            .iter()
            .filter_map(|(name, key)| Some(one(name, key, set(name)?)));
        let flags = flags.into_iter().filter_map(|(flag, key, value)| {
            let variable = ENVIRONMENT.iter().find(|(_, of)| *of == key);
            let inherited = variable.and_then(|(name, _)| env(name));
            let value = value.filter(|value| Some(value) != inherited.as_ref())?;
            Some(one(flag, key, value))
        });
        environment.chain(flags).collect()
    }
}

/// The keys that seal tasks; none are needed where the broker's disk may hold secrets in the clear.
pub(crate) fn task_keys(settings: &Settings) -> Result<TaskKeys, Error> {
    let Some(key) = &settings.tasks.key else {
        return Ok(TaskKeys::none());
    };
    TaskKeys::parse(key.expose()).map_err(|error| Error::Usage(error.into()))
}

/// Says what would set something that a command cannot do without.
pub(crate) fn missing(what: &str, flag: &str, variable: &str, section: &str, key: &str) -> Error {
    Error::usage(format!(
        "{what} is not set: use {flag}, {variable}, or `{key}` in [{section}] of sonde.toml"
    ))
}

/// Where the configuration is, for those who need it.
pub(crate) fn libsql(settings: &Settings) -> Result<&LibsqlLocation, Error> {
    let location = settings.libsql.location.as_ref();
    location.ok_or_else(|| {
        missing(
            "where the configuration is",
            "--libsql-url",
            "SONDE_LIBSQL_URL",
            "libsql",
            "url",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        services: ServiceOptions,
    }

    #[track_caller]
    fn check(arguments: &[&str], environment: &[(&str, &str)], expected: &[&str]) {
        let arguments = std::iter::once("sonde").chain(arguments.iter().copied());
        let mut services = Cli::parse_from(arguments).services;
        let env = |name: &str| {
            let found = environment.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        // As clap does, but without touching this process's environment.
        services.amqp_url = services.amqp_url.or_else(|| env("SONDE_AMQP_URL"));
        let overrides = services.overrides(&env);
        let shown = overrides.iter().map(|one| {
            let Override { key, source, value } = one;
            format!("{source}: {key} = {}", value.expose())
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn flags_come_after_variables_and_each_is_called_by_its_name() {
        let (one, other) = ("amqp://one", "amqp://other");
        check(&[], &[], &[]);
        check(
            &["--amqp-url", one],
            &[("SONDE_AMQP_URL", other), ("SONDE_REGION", "fra")],
            &[
                "SONDE_AMQP_URL: amqp.url = amqp://other",
                "SONDE_REGION: checker.region = fra",
                "--amqp-url: amqp.url = amqp://one",
            ],
        );
        check(
            &[],
            &[("SONDE_AMQP_URL", one), ("SONDE_QUEUES", "")],
            &["SONDE_AMQP_URL: amqp.url = amqp://one"],
        );
        check(
            &["--queues", "a.toml"],
            &[("FLY_REGION", "iad"), ("SONDE_REGION", "fra")],
            &[
                "FLY_REGION: checker.region = iad",
                "SONDE_REGION: checker.region = fra",
                "--queues: queues = a.toml",
            ],
        );
    }

    #[test]
    fn every_variable_sets_a_key_that_there_is() {
        for (name, key) in ENVIRONMENT {
            let overrides = [Override {
                key,
                source: name.to_owned(),
                value: Secret::new(""),
            }];
            let read = settings::load(&SettingsInputs {
                file: None,
                overrides: &overrides,
                read_file: &|_: &Path| Err(std::io::ErrorKind::NotFound.into()),
            });
            // Nothing is right about an empty value, so that a key that nobody reads would be seen.
            let problems = read.unwrap_err().to_string();
            assert!(problems.starts_with(name), "{problems}");
        }
    }
}
