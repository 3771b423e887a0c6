//! Pictures of pages that are down, where there is a browser to take them with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use sonde_config::settings::{PicturesLocation, ScreenshotSettings, Secret, ServiceUrl};
use sonde_probe::Dialler;
use sonde_screenshot::Screenshotter;
use sonde_store::Pictures;

use super::{Machine, Options};
use crate::exit::Error;
use crate::pictures;
use crate::roles::{Roles, Stage};

#[derive(Debug, clap::Args)]
pub(crate) struct ScreenshotOptions {
    /// Take no pictures of pages that are down
    #[arg(long)]
    no_screenshots: bool,
    /// What takes them [default: the first Chromium on the path, if there is one]
    #[arg(long, value_name = "PROGRAM", env = "SONDE_CHROMIUM")]
    chromium: Option<PathBuf>,
    #[arg(
        long,
        value_name = "URL",
        env = "SONDE_SCREENSHOTS_URL",
        help = "Where they are kept: a folder, or s3://BUCKET/PREFIX with the keys in AWS_* [default: the data folder]"
    )]
    screenshots_url: Option<String>,
}

impl ScreenshotOptions {
    pub(super) fn pictures(&self, data: &Path) -> Result<Pictures, Error> {
        let location = self.screenshots_url.as_deref();
        let location = location.filter(|text| !text.is_empty()).map(|text| {
            let parsed = PicturesLocation::parse(text, Path::new(""));
            parsed.map_err(|problem| Error::usage(format!("--screenshots-url {problem}")))
        });
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = set("AWS_ENDPOINT_URL").map(|text| {
            let parsed = ServiceUrl::parse(&text, &["http", "https"]);
            parsed.map_err(|problem| Error::usage(format!("AWS_ENDPOINT_URL {problem}")))
        });
        let settings = ScreenshotSettings {
            location: location.transpose()?,
            endpoint: endpoint.transpose()?,
            region: set("AWS_REGION"),
            access_key_id: set("AWS_ACCESS_KEY_ID"),
            secret_access_key: set("AWS_SECRET_ACCESS_KEY").map(Secret::new),
            session_token: set("AWS_SESSION_TOKEN").map(Secret::new),
        };
        pictures::open(&settings, data)
    }
}

/// Does nothing where there is no browser: that is said once.
pub(super) fn start(machine: &Machine, options: &Options, roles: &mut Roles) -> Result<(), Error> {
    let asked = &options.screenshots;
    if asked.no_screenshots {
        return Ok(());
    }
    let named = asked.chromium.as_deref();
    let named = named.filter(|path| !path.as_os_str().is_empty());
    let Some(browser) = pictures::browser(named)? else {
        tracing::warn!("there is no Chromium on the path: incidents get no screenshots");
        return Ok(());
    };
    let dialler = Dialler::new(sonde_probe::Egress::open(), options.resolver);
    let screenshotter = Screenshotter {
        alerts: Arc::clone(&machine.store) as _,
        monitors: Arc::clone(&machine.store) as _,
        pictures: machine.pictures.clone(),
        browser,
        dialler: dialler.context("cannot start to take screenshots")?,
        clock: Arc::clone(&machine.clock),
        opened: Arc::clone(&machine.opened),
    };
    roles.spawn(Stage::Inflow, "screenshotter", |stop| async move {
        screenshotter.run(stop).await;
        Ok(())
    });
    Ok(())
}
