//! Takes pictures of incidents, one at a time, for as long as somebody may want to see them.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Clock, Spec, chain, without_credentials};
use sonde_probe::Dialler;
use sonde_store::{
    AlertStore, ConfigStore, PictureError, Pictures, Shot, StoreError, WantedScreenshot,
};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::browser::{Browser, ShotError};

/// How often incidents without a picture are looked for, beside when somebody says that there is one.
const LOOK: Duration = Duration::from_secs(2);
/// What opened earlier looks otherwise by now.
const YOUNG: Duration = Duration::from_mins(5);
/// Who does not settle a claim within that has died: a picture takes 20 s at most, and storing it as long.
const CLAIM: Duration = Duration::from_mins(1);
/// After a try that failed.
const PAUSE: Duration = Duration::from_secs(5);
/// Of what others may take meanwhile.
const AT_ONCE: u32 = 8;
const RETENTION: Duration = Duration::from_hours(90 * 24);
const CLEAN_UP: Duration = Duration::from_hours(1);
const CLEANED_AT_ONCE: u32 = 100;

/// Any number of them share the work.
pub struct Screenshotter {
    pub alerts: Arc<dyn AlertStore>,
    pub monitors: Arc<dyn ConfigStore>,
    pub pictures: Pictures,
    pub browser: Browser,
    pub dialler: Dialler,
    pub clock: Arc<dyn Clock>,
    /// Rung when an incident was opened.
    pub opened: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error("cannot read the monitor")]
    Monitor(#[source] StoreError),
    #[error("its monitor is not http any more")]
    NotHttp,
    #[error(transparent)]
    Shot(#[from] ShotError),
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error("cannot read or change what is known of pictures")]
    Rows(#[source] StoreError),
}

impl Screenshotter {
    /// Until `stop`, which ends a browser that runs; its claim runs out.
    pub async fn run(self, stop: CancellationToken) {
        let mut cleanings = interval(CLEAN_UP);
        cleanings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A browser's run is a large future.
        let work = Box::pin(async {
            loop {
                if let Err(error) = self.take_all().await {
                    let error = chain(&error);
                    tracing::warn!(error, "cannot find out what to take pictures of");
                }
                tokio::select! {
                    _ = cleanings.tick() => self.clean_up().await,
                    () = self.opened.notified() => {}
                    () = sleep(LOOK) => {}
                }
            }
        });
        stop.run_until_cancelled(work).await;
    }

    async fn take_all(&self) -> Result<(), StoreError> {
        loop {
            let now = self.clock.now();
            let wanted = self.alerts.screenshots_wanted(now - YOUNG, now, AT_ONCE);
            let Some(mine) = self.claim_one(wanted.await?).await? else {
                return Ok(());
            };
            self.settle(&mine).await?;
        }
    }

    /// The first that nobody else has taken meanwhile.
    async fn claim_one(
        &self,
        wanted: Vec<WantedScreenshot>,
    ) -> Result<Option<WantedScreenshot>, StoreError> {
        for one in wanted {
            let until = self.clock.now() + CLAIM;
            if self.alerts.claim_screenshot(&one, until).await? {
                return Ok(Some(one));
            }
        }
        Ok(None)
    }

    async fn settle(&self, mine: &WantedScreenshot) -> Result<(), StoreError> {
        let (incident, monitor) = (mine.incident, &mine.monitor);
        let taken = self.take(mine).await;
        let now = self.clock.now();
        let shot = match taken {
            Ok(size) => {
                tracing::info!(incident.id = %incident, monitor.id = %monitor, size, "took a picture of an incident");
                Shot::Taken { size }
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, incident.id = %incident, monitor.id = %monitor, "cannot take a picture of an incident");
                let again = now + PAUSE;
                Shot::Failed { error, again }
            }
        };
        self.alerts.settle_screenshot(mine, now, shot).await?;
        Ok(())
    }

    /// How large it is.
    async fn take(&self, mine: &WantedScreenshot) -> Result<u64, TakeError> {
        let page = self.page(mine).await?;
        // What was too large the first time is not with a quarter of the pixels.
        let scale = if mine.attempts == 0 { 1.0 } else { 0.5 };
        let png = self.browser.take(&page, &self.dialler, scale).await?;
        let size = u64::try_from(png.len()).unwrap_or(u64::MAX);
        let (workspace, incident) = (&mine.workspace, mine.incident);
        self.pictures.put(workspace, incident, png).await?;
        Ok(size)
    }

    /// The monitor's target as everybody may ask for it: its headers, body and credentials are for the monitor alone.
    async fn page(&self, mine: &WantedScreenshot) -> Result<Url, TakeError> {
        let monitor = self.monitors.monitor(&mine.workspace, &mine.monitor).await;
        let monitor = monitor.map_err(TakeError::Monitor)?;
        match monitor.map(|stored| stored.value.spec) {
            Some(Spec::Http(spec)) => Ok(without_credentials(spec.url)),
            _ => Err(TakeError::NotHttp),
        }
    }

    async fn clean_up(&self) {
        if let Err(error) = self.forget_old().await {
            let error = chain(&error);
            tracing::warn!(error, "cannot delete old pictures: trying again in an hour");
        }
    }

    /// The picture first: what is forgotten nobody deletes.
    async fn forget_old(&self) -> Result<(), TakeError> {
        loop {
            let now = self.clock.now();
            let old = self
                .alerts
                .screenshots_to_forget(now - RETENTION, now, CLEANED_AT_ONCE);
            let old = old.await.map_err(TakeError::Rows)?;
            if old.is_empty() {
                return Ok(());
            }
            for (workspace, incident) in old {
                self.pictures.delete(&workspace, incident).await?;
                let forgotten = self.alerts.forget_screenshot(incident).await;
                forgotten.map_err(TakeError::Rows)?;
            }
        }
    }
}
