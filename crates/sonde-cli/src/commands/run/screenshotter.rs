//! The screenshotter role: pictures of pages that are down, for incidents at the primary.

use std::sync::Arc;

use anyhow::Context as _;
use sonde_config::settings::EgressSetting;
use sonde_probe::{Dialler, Egress};
use sonde_screenshot::Screenshotter;
use tokio::sync::Notify;

use super::Process;
use super::configuration::Configuration;
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
        let checker = &settings.checker;
        let egress = match checker.egress {
            EgressSetting::Open => Egress::open(),
            EgressSetting::Guarded => Egress::guarded(checker.egress_allow.clone()),
        };
        let dialler = Dialler::new(egress, checker.resolver);
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
