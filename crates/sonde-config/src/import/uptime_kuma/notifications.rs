//! Notifications: their settings are JSON in a text, and monitors name them by number.

use std::collections::{BTreeMap, BTreeSet};

use sonde_core::MonitorId;

use super::super::channels::{self, ChannelDraft, UPTIME_KUMA};
use super::super::lenient;
use super::Columns;
use crate::decode::Item;
use crate::node;

/// The monitors that name each notification, by its number.
pub(super) type Wanted = BTreeMap<String, Vec<MonitorId>>;

/// Notes which ones a monitor names.
pub(super) fn note(columns: &Columns<'_>, monitor: &MonitorId, wanted: &mut Wanted) {
    let named = columns.get("notificationIDList").filter(Item::is_map);
    let named = named.and_then(|item| item.entries()).unwrap_or_default();
    for (number, item) in named {
        if lenient::flag(Some(item)) == Some(true) {
            let monitors = wanted.entry(number.to_owned()).or_default();
            monitors.push(monitor.clone());
        }
    }
}

pub(super) fn read(list: &[Item<'_>], wanted: &Wanted) -> Vec<ChannelDraft> {
    let mut ids = BTreeSet::new();
    let drafts = list.iter().filter_map(|item| {
        let columns = Columns::read(item)?;
        let Some(monitors) = columns.text("id").and_then(|number| wanted.get(number)) else {
            item.warning("left out: no monitor names it");
            return None;
        };
        if lenient::flag(columns.get("active")) == Some(false) {
            item.warning("left out: it is not active");
            return None;
        }
        let config = columns.get("config")?;
        let settings = node::parse(config.text()?).ok();
        let settings = settings.as_ref().map(|node| Item {
            node,
            ..config.clone()
        });
        let settings = settings.filter(Item::is_map);
        let Some(settings) = settings else {
            config.warning("left out: its settings are unreadable");
            return None;
        };
        let kind = Columns::read(&settings).and_then(|it| it.text("type"));
        let kind = kind.unwrap_or_default();
        let Some(provider) = channels::find(&UPTIME_KUMA, kind) else {
            item.warning(format!(
                "a notification of type `{kind}` has no equivalent here"
            ));
            return None;
        };
        if kind == "webhook" {
            item.warning("the webhook gets Sonde's own JSON");
        }
        // Settings of other kinds may be there still: nothing is said of them.
        let mut told = provider.read(&settings, None)?;
        told.monitors.clone_from(monitors);
        let name = columns.text("name").unwrap_or(kind);
        ChannelDraft::new(item, name, told, &mut ids)
    });
    drafts.collect()
}
