//! `sonde config load`: makes a file all that a workspace of the fleet has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use sonde_config::settings::Settings;
use sonde_core::{Monitor, MonitorId, Region, WorkspaceId};
use sonde_queue::{Announcement, Bus as _, Topic};
use sonde_store::ConfigStore as _;

use crate::configuration::Files;
use crate::exit::{Error, Exit};
use crate::output::Stdout;
use crate::services::{self, ServiceOptions};

/// Make the file's monitors all that a workspace of the fleet has
///
/// Checks the file as `config check` does, writes it to the primary, and tells the fleet. Standard output has a line
/// per monitor that is new (+), different (~) or gone (-).
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// The configuration; by default ./sonde.yaml, then ./checkup.json
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whose monitors they are
    #[arg(long, value_name = "NAME", default_value_t = WorkspaceId::local())]
    workspace: WorkspaceId,
    /// Where monitors run that name no region
    #[arg(long, value_name = "NAME")]
    region: Option<Region>,
    /// Remove all monitors where the file has none
    #[arg(long)]
    allow_empty: bool,
    #[command(flatten)]
    services: ServiceOptions,
}

/// Ids of what is different, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    added: Vec<MonitorId>,
    changed: Vec<MonitorId>,
    removed: Vec<MonitorId>,
    same: usize,
}

pub(super) async fn run(load: Load) -> Result<Exit, Error> {
    let settings = load.services.settings()?;
    let monitors = load.read(&settings)?;
    let store = services::store(&settings).await?;
    let workspace = &load.workspace;
    let before = store.monitors(workspace).await;
    let before = before.context("cannot read what the workspace has")?;
    let all_readable = before.unreadable.is_empty();
    let stored = before.into_values();
    if monitors.is_empty() && !load.allow_empty && !stored.is_empty() {
        let count = stored.len();
        return Err(Error::usage(format!(
            "the file has no monitors, and workspace `{workspace}` has {count}: --allow-empty removes them"
        )));
    }
    let difference = Difference::between(&stored, &monitors);
    let written = store.replace_monitors(workspace, &monitors).await;
    written.context("cannot write the configuration")?;
    Stdout::new().write(&difference.lines())?;
    let Difference {
        added,
        changed,
        removed,
        same,
    } = &difference;
    let [added, changed, removed] = [added, changed, removed].map(Vec::len);
    anstream::eprintln!(
        "workspace `{workspace}`: {added} added, {changed} changed, {removed} removed, {same} as before"
    );
    if added + changed + removed > 0 || !all_readable {
        announce(&settings).await;
    }
    Ok(Exit::Ok)
}

impl Load {
    fn read(&self, settings: &Settings) -> Result<Vec<Monitor>, Error> {
        let options = sonde_config::Options {
            check_interval: None,
            // Whether a command may run is for each checker to say.
            allow_exec: true,
            default_region: self.region.clone(),
        };
        let files = Files::new(self.config.clone(), settings.queues.clone());
        let config = files.load(&files.queue_settings()?, options)?;
        if config.channels.is_some() || config.maintenance.is_some() {
            anstream::eprintln!(
                "channels and maintenance are not loaded: `sonde apply` makes a server have them"
            );
        }
        let mut monitors = config.monitors;
        for monitor in &mut monitors {
            monitor.workspace = self.workspace.clone();
        }
        Ok(monitors)
    }
}

/// It is loaded all the same: who is not told finds out by looking.
async fn announce(settings: &Settings) {
    if settings.amqp.url.is_none() {
        return;
    }
    let told = async {
        let broker = services::broker(settings, "sonde config").await?;
        let announced = broker.announce(Announcement {
            topic: Topic::Config,
            payload: Vec::new(),
        });
        announced.await.context("cannot announce the change")?;
        broker.close().await;
        Ok::<(), Error>(())
    };
    if let Err(error) = told.await {
        error.report();
        anstream::eprintln!(
            "the configuration is loaded; the fleet finds out when its replicas look for changes"
        );
    }
}

impl Difference {
    fn between(before: &[Monitor], after: &[Monitor]) -> Self {
        let mut old: BTreeMap<_, _> = before.iter().map(|one| (&one.id, one)).collect();
        let new: BTreeMap<_, _> = after.iter().map(|one| (&one.id, one)).collect();
        let mut difference = Self::default();
        for (id, monitor) in new {
            match old.remove(id) {
                None => difference.added.push(id.clone()),
                Some(before) if before == monitor => difference.same += 1,
                Some(_) => difference.changed.push(id.clone()),
            }
        }
        difference.removed = old.into_keys().cloned().collect();
        difference
    }

    fn lines(&self) -> String {
        let marked = [
            ('+', &self.added),
            ('~', &self.changed),
            ('-', &self.removed),
        ];
        let lines = marked
            .into_iter()
            .flat_map(|(mark, ids)| ids.iter().map(move |id| format!("{mark} {id}\n")));
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_different_and_gone_is_told_apart() {
        let monitor = |id: &str, name: &str| {
            let mut monitor = sonde_config::monitor_from_target("tcp://192.0.2.1:1").unwrap();
            monitor.id = id.parse().unwrap();
            name.clone_into(&mut monitor.name);
            monitor
        };
        let before = [monitor("a", "1"), monitor("b", "1"), monitor("d", "1")];
        let after = [monitor("c", "1"), monitor("b", "2"), monitor("a", "1")];
        let difference = Difference::between(&before, &after);
        assert_eq!(difference.lines(), "+ c\n~ b\n- d\n");
        assert_eq!(difference.same, 1);
    }
}
