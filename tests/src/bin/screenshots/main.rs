//! `tests/screenshots`: pictures of the main pages, of a `sonde up` that watches demonstration monitors on loopback.

mod demonstration;
mod history;
mod incidents;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sonde_tests::browser::{Browser, Look};

use demonstration::Demonstration;

/// A page and its pictures' name. `{incident}` stands for one that is open.
const PAGES: [(&str, &str); 7] = [
    ("overview", "/"),
    ("monitor", "/monitors/search?period=24h"),
    ("log", "/monitors/checkout/checks"),
    ("new-monitor", "/new/monitor"),
    ("incidents", "/incidents"),
    ("incident", "/incidents/{incident}"),
    ("sign-in", "/sign-in"),
];

/// A look and what its pictures' names end with.
const LOOKS: [(&str, Look); 3] = [
    ("light", Look::wide(false)),
    ("dark", Look::wide(true)),
    ("narrow", Look::narrow(false)),
];

/// Bytes: they are looked at in a README.
const LARGEST: usize = 250_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("usage: screenshots FOLDER")?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let browser = Browser::start().await;
    let browser = browser.context("there is no browser: tests/screenshots finds one")?;
    let demonstration = Demonstration::start().await?;
    for (look_name, look) in LOOKS {
        browser.set_look(look).await;
        for (name, path) in PAGES {
            let path = path.replace("{incident}", &demonstration.incident);
            browser.open(&demonstration.url(&path)).await;
            let file = folder.join(format!("{name}-{look_name}.png"));
            write(&file, &browser.picture().await)?;
        }
    }
    demonstration.stop().await
}

fn write(file: &Path, picture: &[u8]) -> anyhow::Result<()> {
    let shown = file.display();
    if picture.len() > LARGEST {
        bail!(
            "{shown} would be {} bytes, more than {LARGEST}",
            picture.len()
        );
    }
    std::fs::write(file, picture).with_context(|| format!("cannot write {shown}"))
}
