//! The services of a fleet: from flags, environment and `sonde.toml` to settings, and from settings to backends.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use sonde_config::settings::{
    self, LibsqlLocation, Override, Secret, ServiceUrl, Settings, SettingsFile, SettingsInputs,
};
use sonde_core::{QueueSettings, Region};
use sonde_queue::SealingKeys;
use sonde_queue::amqp::{self, Amqp, Management};
use sonde_results::clickhouse::{self, ClickhouseResults};
use sonde_store::ConfigStore as _;
use sonde_store::libsql::{LibsqlStore, Primary};
use tokio::time::timeout;

use crate::configuration;
use crate::exit::Error;

/// Read where neither --settings nor `SONDE_CONFIG` names a file.
const DEFAULT_FILE: &str = "sonde.toml";

/// How long a command waits for a service. Roles wait for ever.
const PATIENCE: Duration = Duration::from_secs(10);

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
const ENVIRONMENT: [(&str, &str); 49] = [
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
    ("SONDE_SECRET_KEY", "libsql.secret_key"),
    ("SONDE_SECRET_KEY_FILE", "libsql.secret_key_file"),
    ("FLY_REGION", "checker.region"),
    ("SONDE_REGION", "checker.region"),
    ("SONDE_CHECKER_LISTEN", "checker.listen"),
    ("SONDE_EGRESS", "checker.egress"),
    ("SONDE_RDAP_BOOTSTRAP", "checker.rdap_bootstrap"),
    ("SONDE_TASK_TOKEN", "checker.task_token"),
    ("SONDE_TASK_TOKEN_FILE", "checker.task_token_file"),
    ("SONDE_CRON_TOKEN", "dispatcher.cron_token"),
    ("SONDE_CRON_TOKEN_FILE", "dispatcher.cron_token_file"),
    ("SONDE_TASK_KEY", "tasks.key"),
    ("SONDE_TASK_KEY_FILE", "tasks.key_file"),
    ("SONDE_ROLES", "run.roles"),
    ("SONDE_DATA", "run.data"),
    ("SONDE_LISTEN", "run.listen"),
    ("SONDE_PUBLIC_URL", "api.public_url"),
    ("SONDE_REQUESTS_PER_MINUTE", "api.requests_per_minute"),
    ("SONDE_OIDC_ISSUER", "api.oidc_issuer"),
    ("SONDE_OIDC_CLIENT_ID", "api.oidc_client_id"),
    ("SONDE_OIDC_CLIENT_SECRET", "api.oidc_client_secret"),
    (
        "SONDE_OIDC_CLIENT_SECRET_FILE",
        "api.oidc_client_secret_file",
    ),
    ("SONDE_SMTP_URL", "smtp.url"),
    ("SONDE_SMTP_URL_FILE", "smtp.url_file"),
    ("SONDE_SMTP_FROM", "smtp.from"),
    ("SONDE_SCREENSHOTS_URL", "screenshots.url"),
    ("AWS_ENDPOINT_URL", "screenshots.endpoint"),
    ("AWS_REGION", "screenshots.region"),
    ("AWS_ACCESS_KEY_ID", "screenshots.access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "screenshots.secret_access_key"),
    (
        "AWS_SECRET_ACCESS_KEY_FILE",
        "screenshots.secret_access_key_file",
    ),
    ("AWS_SESSION_TOKEN", "screenshots.session_token"),
    ("AWS_SESSION_TOKEN_FILE", "screenshots.session_token_file"),
    ("SONDE_CHROMIUM", "screenshotter.chromium"),
];

impl ServiceOptions {
    /// All settings, merged and validated. Which of them a command needs is found out when it asks for a service.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        self.settings_with(Vec::new())
    }

    /// The same with a command's own flags, which come last.
    pub(crate) fn settings_with(&self, flags: Vec<Override>) -> Result<Settings, Error> {
        let file = self.file();
        let text = file.as_deref().map(configuration::read).transpose()?;
        let mut overrides = self.overrides(&|name| std::env::var(name).ok());
        overrides.extend(flags);
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

/// The `queues.toml` that the settings name, or the built-in one.
pub(crate) fn queue_settings(settings: &Settings) -> Result<QueueSettings, Error> {
    configuration::queue_settings(settings.queues.as_deref())
}

/// The keys that seal tasks; none are needed where the broker's disk may hold secrets in the clear.
pub(crate) fn task_keys(settings: &Settings) -> Result<SealingKeys, Error> {
    let Some(key) = &settings.tasks.key else {
        return Ok(SealingKeys::none());
    };
    keys(key, "SONDE_TASK_KEY")
}

/// The keys that seal secrets at rest; none are needed where the store may hold them in the clear.
pub(crate) fn secret_keys(settings: &Settings) -> Result<SealingKeys, Error> {
    let Some(key) = &settings.libsql.secret_key else {
        return Ok(SealingKeys::none());
    };
    keys(key, "SONDE_SECRET_KEY")
}

fn keys(text: &Secret, name: &str) -> Result<SealingKeys, Error> {
    let keys = SealingKeys::parse(text.expose()).context(name.to_owned());
    keys.map_err(Error::Usage)
}

/// The broker, connected to in the background for as long as it takes.
pub(crate) fn amqp(settings: &Settings, name: &str) -> Result<Amqp, Error> {
    let started = Amqp::start(amqp_options(settings, name)?);
    started.map_err(|error| Error::Usage(error.into()))
}

/// The broker, connected: for commands, which do not wait long.
pub(crate) async fn broker(settings: &Settings, name: &str) -> Result<Amqp, Error> {
    let url = amqp_url(settings)?;
    let away = || format!("cannot reach the broker at {url}");
    let options = amqp_options(settings, name)?;
    let greeted = timeout(PATIENCE, Amqp::greet(&options)).await;
    greeted.with_context(away)?.with_context(away)?;
    let broker = amqp(settings, name)?;
    let mut connected = broker.connected();
    let up = timeout(PATIENCE, connected.wait_for(|connected| *connected)).await;
    up.with_context(away)?.with_context(away)?;
    Ok(broker)
}

fn amqp_options(settings: &Settings, name: &str) -> Result<amqp::Options, Error> {
    Ok(amqp::Options {
        url: amqp_url(settings)?.expose().to_string(),
        name: name.to_owned(),
    })
}

fn amqp_url(settings: &Settings) -> Result<&ServiceUrl, Error> {
    settings.amqp.url.as_ref().ok_or_else(|| {
        missing(
            "the broker",
            "--amqp-url",
            "SONDE_AMQP_URL",
            "`url` in [amqp]",
        )
    })
}

/// The broker's management API, where the settings have one.
pub(crate) fn management(settings: &Settings) -> Result<Option<Management>, Error> {
    let Some(url) = &settings.amqp.management_url else {
        return Ok(None);
    };
    let broker = amqp_url(settings)?.expose();
    let management = Management::new(url.expose().as_str(), broker.as_str());
    management
        .map(Some)
        .map_err(|error| Error::Usage(error.into()))
}

/// The results. Connects to nothing yet.
pub(crate) fn clickhouse(settings: &Settings) -> Result<ClickhouseResults, Error> {
    let settings = &settings.clickhouse;
    let url = settings.url.as_ref().ok_or_else(|| {
        missing(
            "where the results are",
            "--clickhouse-url",
            "SONDE_CLICKHOUSE_URL",
            "`url` in [clickhouse]",
        )
    })?;
    let options = clickhouse::Options::from_url(url.expose().as_str()).map(|options| {
        let mut options = options;
        options.user = settings.user.clone().or(options.user);
        let password = settings.password.as_ref();
        options.password = password
            .map(|password| password.expose().to_owned())
            .or(options.password);
        options.database = settings.database.clone().unwrap_or(options.database);
        options.cluster.clone_from(&settings.cluster);
        options.retention = settings.retention;
        options.rollup_retention = settings.rollup_retention;
        options
    });
    let results = options.and_then(ClickhouseResults::new);
    results.map_err(|error| Error::Usage(error.into()))
}

/// The configuration: at the primary, or in a file, which is created when there is none.
pub(crate) async fn store(settings: &Settings) -> Result<LibsqlStore, Error> {
    let (opened, place) = match location(settings)? {
        LibsqlLocation::File(path) => {
            let opened = LibsqlStore::open(path, secret_keys(settings)?)
                .await
                .map_err(anyhow::Error::from);
            (opened, path.display().to_string())
        }
        LibsqlLocation::Primary(url) => {
            let primary = primary(settings)?;
            let opened = timeout(
                PATIENCE,
                LibsqlStore::remote(&primary, secret_keys(settings)?),
            )
            .await;
            let opened = opened.map_err(anyhow::Error::from);
            (opened.and_then(|opened| Ok(opened?)), url.to_string())
        }
    };
    let opened = opened.with_context(|| format!("cannot open the configuration at {place}"));
    Ok(opened?)
}

/// The libSQL server, for those who need one and not a file.
pub(crate) fn primary(settings: &Settings) -> Result<Primary, Error> {
    let LibsqlLocation::Primary(url) = location(settings)? else {
        return Err(Error::usage(
            "a fleet's configuration is at a libSQL primary, not in a local file: name its URL with --libsql-url, \
             SONDE_LIBSQL_URL, or `url` in [libsql] of sonde.toml",
        ));
    };
    let token = settings.libsql.token.as_ref();
    let ca = settings.libsql.ca.as_deref();
    Ok(Primary {
        url: url.expose().to_string(),
        token: token.map_or("", Secret::expose).to_owned(),
        ca: ca.map(configuration::read).transpose()?,
    })
}

/// Every region that the configuration names.
pub(crate) async fn regions(settings: &Settings) -> Result<Vec<Region>, Error> {
    let regions = store(settings).await?.regions().await;
    Ok(regions.context("cannot read the regions of the configuration")?)
}

fn location(settings: &Settings) -> Result<&LibsqlLocation, Error> {
    settings.libsql.location.as_ref().ok_or_else(|| {
        missing(
            "the configuration's place",
            "--libsql-url",
            "SONDE_LIBSQL_URL",
            "`url` in [libsql]",
        )
    })
}

/// Says what would set something that a command cannot do without.
pub(crate) fn missing(what: &str, flag: &str, variable: &str, key: &str) -> Error {
    Error::usage(format!(
        "{what} is not set: use {flag}, {variable}, or {key} of sonde.toml"
    ))
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
