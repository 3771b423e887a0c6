//! The screenshotter role: pictures of pages that are down, for incidents at the primary.

use std::sync::Arc;

use anyhow::Context as _;
use sonde_probe::Dialler;
use sonde_screenshot::Screenshotter;
use tokio::sync::Notify;

use super::configuration::Configuration;
use super::{Process, egress};
use crate::exit::Error;
use crate::pictures;
use crate::roles::{Roles, Stage};

pub(super) struct Role(Screenshotter);

impl Role {
    pub(super) fn new(process: &Process, configuration: &Configuration) -> Result<Self, Error> {
        let settings = &process.settings;
        let browser = pictures::browser(settings.screenshotter.chromium.as_deref())?;
        let browser = browser.ok_or_else(|| {
            Error::usage(
                "the screenshotter needs Chromium, which is not on the path: install it, or name it with SONDE_CHROMIUM \
                 or `chromium` in [screenshotter] of sonde.toml",
            )
        })?;
        let dialler = Dialler::new(egress(settings), settings.checker.resolver);
        let primary = Arc::new(configuration.replica.primary().clone());
        Ok(Self(Screenshotter {
            alerts: Arc::clone(&primary) as _,
            monitors: primary,
            pictures: pictures::open(&settings.screenshots, &settings.run.data)?,
            browser,
            dialler: dialler.context("cannot start to take screenshots")?,
            clock: Arc::clone(&process.clock),
            // Nobody rings it here: it looks by itself every two seconds.
            opened: Arc::new(Notify::new()),
        }))
    }

    pub(super) fn start(self, roles: &mut Roles) {
        roles.spawn(Stage::Inflow, "screenshotter", |stop| async move {
            self.0.run(stop).await;
            Ok(())
        });
    }
}
