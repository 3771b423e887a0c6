//! `sonde migrate`: brings the fleet's stores to this release's schema.

use std::path::PathBuf;

use anyhow::Context as _;
use sonde_config::settings::{LibsqlLocation, Settings};
use sonde_results::clickhouse::ReadOnlyUser;
use sonde_store::libsql::LibsqlStore;

use crate::configuration;
use crate::exit::{Error, Exit};
use crate::services::{self, ServiceOptions};

/// Bring the fleet's stores to this release's schema
///
/// The configuration's primary and ClickHouse, whichever are set. May run any number of times, also at once; a store
/// that a newer release wrote is refused. Run it before the first `sonde run` of a release.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also create this user of ClickHouse, who may only read the views, or give it its password
    #[arg(long, value_name = "NAME", requires = "read_only_password_file")]
    read_only_user: Option<String>,
    /// The file with that user's password
    #[arg(long, value_name = "FILE", requires = "read_only_user")]
    read_only_password_file: Option<PathBuf>,
    #[command(flatten)]
    services: ServiceOptions,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let settings = options.services.settings()?;
    let reader = options.reader()?;
    if settings.libsql.location.is_none() && settings.clickhouse.url.is_none() {
        return Err(Error::usage(
            "no store is set: use --libsql-url and --clickhouse-url, SONDE_LIBSQL_URL and SONDE_CLICKHOUSE_URL, or \
             `url` in [libsql] and [clickhouse] of sonde.toml",
        ));
    }
    if reader.is_some() && settings.clickhouse.url.is_none() {
        return Err(Error::usage(
            "--read-only-user needs ClickHouse: use --clickhouse-url, SONDE_CLICKHOUSE_URL, or `url` in [clickhouse] \
             of sonde.toml",
        ));
    }
    configuration_store(&settings).await?;
    results_store(&settings, reader).await?;
    Ok(Exit::Ok)
}

impl Options {
    fn reader(&self) -> Result<Option<ReadOnlyUser>, Error> {
        let Some((name, file)) = self
            .read_only_user
            .as_ref()
            .zip(self.read_only_password_file.as_deref())
        else {
            return Ok(None);
        };
        let text = configuration::read(file)?;
        let password = text.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            return Err(Error::usage(format!("{} is empty", file.display())));
        }
        let name = name.clone();
        Ok(Some(ReadOnlyUser { name, password }))
    }
}

async fn configuration_store(settings: &Settings) -> Result<(), Error> {
    match &settings.libsql.location {
        None => {}
        Some(LibsqlLocation::File(path)) => {
            let opened = LibsqlStore::open(path, services::secret_keys(settings)?).await;
            opened.with_context(|| format!("cannot migrate {}", path.display()))?;
            anstream::eprintln!("configuration in {}: as it should be", path.display());
        }
        Some(LibsqlLocation::Primary(url)) => {
            let migrated = LibsqlStore::migrate(&services::primary(settings)?).await;
            let migrated =
                migrated.with_context(|| format!("cannot migrate the configuration at {url}"))?;
            tell(
                &format!("configuration at {url}"),
                migrated.from,
                migrated.to,
            );
        }
    }
    Ok(())
}

async fn results_store(settings: &Settings, reader: Option<ReadOnlyUser>) -> Result<(), Error> {
    let Some(url) = &settings.clickhouse.url else {
        return Ok(());
    };
    let results = services::clickhouse(settings)?;
    let migrated = results.migrate().await;
    let migrated = migrated.with_context(|| format!("cannot migrate the results at {url}"))?;
    tell(&format!("results at {url}"), migrated.from, migrated.to);
    if let Some(reader) = reader {
        let allowed = results.allow_reading(&reader).await;
        let name = reader.name;
        allowed.with_context(|| format!("cannot let user `{name}` read the results"))?;
        anstream::eprintln!("user `{name}` may read the views, and nothing else");
    }
    Ok(())
}

fn tell(what: &str, from: u32, to: u32) {
    if from == to {
        anstream::eprintln!("{what}: schema {to}, as it should be");
    } else {
        anstream::eprintln!("{what}: schema {from} → {to}");
    }
}
