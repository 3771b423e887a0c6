//! Where pictures of incidents are, and the browser that takes them: from settings to both.

use std::path::Path;

use anyhow::Context as _;
use sonde_config::settings::{PicturesLocation, ScreenshotSettings, Secret};
use sonde_screenshot::Browser;
use sonde_store::{Bucket, Pictures};

use crate::exit::Error;

/// `data` is where they are when nothing else is said.
pub(crate) fn open(settings: &ScreenshotSettings, data: &Path) -> Result<Pictures, Error> {
    let pictures = match &settings.location {
        None => Pictures::in_folder(data),
        Some(PicturesLocation::Folder(folder)) => Pictures::in_folder(folder),
        Some(PicturesLocation::Bucket { name, prefix }) => Pictures::in_bucket(Bucket {
            name: name.clone(),
            prefix: prefix.clone(),
            endpoint: settings.endpoint.as_ref().map(|it| it.expose().to_string()),
            region: settings.region.clone(),
            access_key_id: settings.access_key_id.clone(),
            secret_access_key: exposed(settings.secret_access_key.as_ref()),
            session_token: exposed(settings.session_token.as_ref()),
        }),
    };
    let pictures = pictures.context("cannot open the store of screenshots");
    pictures.map_err(Error::Usage)
}

fn exposed(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

/// The one that is named, which has to be there, or the first on the path.
pub(crate) fn browser(named: Option<&Path>) -> Result<Option<Browser>, Error> {
    let found = Browser::find(named, std::env::var_os("PATH").as_deref());
    match (named, found) {
        (Some(named), None) => Err(Error::usage(format!(
            "{} is not a program: name Chromium with SONDE_CHROMIUM, or leave that out to look for it on the path",
            named.display()
        ))),
        (_, found) => Ok(found),
    }
}
