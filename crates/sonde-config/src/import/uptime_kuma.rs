//! Uptime Kuma's backup, as its settings page exports it: every column of every monitor, whatever the type.
//!
//! Names and defaults are those of its `server/model/monitor.js`. What is down for `maxretries` beats more is down, so
//! these become the alert's threshold, not attempts.

mod columns;
mod notifications;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sonde_core::{AlertRule, MonitorId, Region};
use url::Url;

use self::notifications::Wanted;
use super::lenient::{self, NO_EQUIVALENT, Timed};
use super::{Draft, Found};
use crate::decode::Item;
use crate::names::unique_id;
use crate::shared::DEFAULT_TIMEOUT;

const INTERVAL: Duration = Duration::from_mins(1);

/// Groups in groups at most; a file may have them in a circle.
const DEEPEST: usize = 16;

/// The values of one monitor by their names.
struct Columns<'a> {
    item: Item<'a>,
    values: BTreeMap<&'a str, Item<'a>>,
}

impl<'a> Columns<'a> {
    fn read(item: &Item<'a>) -> Option<Self> {
        Some(Self {
            item: item.clone(),
            values: item.entries()?.into_iter().collect(),
        })
    }

    fn get(&self, name: &str) -> Option<Item<'a>> {
        self.values.get(name).cloned()
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        lenient::text(self.get(name))
    }

    fn flag(&self, name: &str) -> bool {
        lenient::flag(self.get(name)).unwrap_or(false)
    }
}

/// What monitors refer to.
struct Surroundings<'a> {
    /// Names and parents of groups, by the group's id.
    groups: BTreeMap<&'a str, (&'a str, Option<&'a str>)>,
    /// Of these there is an HTTP proxy, or something else.
    proxies: BTreeMap<&'a str, Option<Url>>,
}

pub(super) fn read(root: &Item<'_>) -> Found {
    let found = root.fields("Uptime Kuma's backup", |fields| {
        lenient::pass_over(fields, &["version"]);
        lenient::leave_out(fields, &["statusPageList", "maintenanceList"]);
        let told = fields.take("notificationList").and_then(|it| it.list());
        let proxies = fields.take("proxyList").and_then(|item| item.list());
        let monitors = fields.take("monitorList").and_then(|item| item.list());
        let monitors: Vec<_> = monitors
            .unwrap_or_default()
            .iter()
            .filter_map(Columns::read)
            .collect();
        let surroundings = Surroundings {
            groups: monitors.iter().filter_map(group).collect(),
            proxies: proxies
                .unwrap_or_default()
                .iter()
                .filter_map(proxy)
                .collect(),
        };
        let (mut ids, mut wanted) = (BTreeSet::new(), Wanted::new());
        let drafts = monitors
            .iter()
            .filter(|columns| columns.text("type") != Some("group"));
        let drafts = drafts.filter_map(|columns| {
            let draft = monitor(columns, &surroundings, &mut ids);
            if let Some(draft) = &draft {
                notifications::note(columns, &draft.monitor.id, &mut wanted);
            }
            lenient::kept(&columns.item, draft)
        });
        let drafts = drafts.collect();
        let channels = notifications::read(&told.unwrap_or_default(), &wanted);
        Found { drafts, channels }
    });
    found.unwrap_or_default()
}

/// A group is no monitor: its name becomes a tag of its members.
fn group<'a>(columns: &Columns<'a>) -> Option<(&'a str, (&'a str, Option<&'a str>))> {
    if columns.text("type") != Some("group") {
        return None;
    }
    columns
        .item
        .warning("a group is no monitor here: its name is a tag of its members");
    let name = columns.text("name").unwrap_or("group");
    Some((columns.text("id")?, (name, columns.text("parent"))))
}

fn proxy<'a>(item: &Item<'a>) -> Option<(&'a str, Option<Url>)> {
    let columns = Columns::read(item)?;
    let id = columns.text("id")?;
    let port = columns.text("port").unwrap_or("80");
    let url = columns
        .text("host")
        .map(|host| format!("http://{host}:{port}"));
    let mut url = url.and_then(|url| Url::parse(&url).ok());
    if let (Some(url), true) = (&mut url, columns.flag("auth")) {
        // Both fail only for URLs without a host.
        let _ = url.set_username(columns.text("username").unwrap_or_default());
        let _ = url.set_password(columns.text("password"));
    }
    Some((id, url.filter(|_| columns.text("protocol") == Some("http"))))
}

fn monitor(
    columns: &Columns<'_>,
    surroundings: &Surroundings<'_>,
    ids: &mut BTreeSet<MonitorId>,
) -> Option<Draft> {
    let item = &columns.item;
    if columns.flag("upsideDown") {
        let place = columns.get("upsideDown")?;
        place.warning(format!("{NO_EQUIVALENT}: no check expects to fail"));
        return None;
    }
    let checked = types::read(columns, surroundings)?;
    note_unknown(columns);
    let name = columns
        .text("name")
        .map_or_else(|| checked.spec.target(), str::to_owned);
    let id = unique_id(&name, "monitor", ids)?;
    let mut monitor = lenient::monitor(item.context, id, &name, checked.spec);
    let interval = Timed::new(columns.get("interval"), lenient::seconds, INTERVAL);
    // Where it says nothing, Uptime Kuma waits for four fifths of the interval.
    let standard = interval.value().mul_f64(0.8);
    let timeout = Timed::new(columns.get("timeout"), lenient::seconds, standard);
    lenient::set_times(&mut monitor, &interval, &timeout);
    monitor.alert = alert(columns, &interval);
    if monitor.spec.heartbeat().is_some() {
        monitor.regions = vec![Region::push()];
        // Nothing is tried, and so nothing tried again.
        monitor.timeout = DEFAULT_TIMEOUT.min(monitor.interval);
        monitor.retry = item.context.inputs.queues.retry;
    }
    monitor.expect = checked.expect;
    monitor.degraded = checked.degraded;
    monitor.tags = tags(columns, surroundings);
    monitor.paused = lenient::flag(columns.get("active")) == Some(false);
    Some(Draft::new(item, monitor))
}

fn alert(columns: &Columns<'_>, interval: &Timed<'_>) -> AlertRule {
    let retries = columns.get("maxretries");
    let retries = retries
        .and_then(|item| item.integer::<u32>(0, 999))
        .unwrap_or(0);
    if retries > 0
        && let Some(item) = columns.get("retryInterval")
        && lenient::seconds(&item).is_some_and(|retry| retry != interval.value())
    {
        item.warning("left out: after a failure, too, the next check comes after the interval");
    }
    AlertRule {
        fail_after: retries + 1,
        recover_after: 1,
        ..AlertRule::default()
    }
}

/// Its own, and the names of the groups that it is in.
fn tags(columns: &Columns<'_>, surroundings: &Surroundings<'_>) -> Vec<String> {
    let mut tags = Vec::new();
    let mut parent = columns.text("parent");
    while let Some((name, above)) = parent.and_then(|id| surroundings.groups.get(id))
        && tags.len() < DEEPEST
    {
        tags.push((*name).to_owned());
        parent = *above;
    }
    let own = columns.get("tags").and_then(|item| item.list());
    for tag in own.unwrap_or_default().iter().filter_map(Columns::read) {
        let value = tag.text("value").unwrap_or_default();
        tags.extend(tag.text("name").map(|name| lenient::tag(name, value)));
    }
    lenient::tags(tags)
}

/// Notes what is said and nowhere read. Other types' columns have their defaults in every monitor: those are no news.
fn note_unknown(monitor: &Columns<'_>) {
    let known = [&columns::PASSED_OVER[..], &columns::COMMON, &columns::TYPES].concat();
    let set = monitor
        .values
        .iter()
        .filter(|(_, item)| lenient::is_set(item));
    for (name, item) in set {
        if columns::LEFT_OUT.contains(name) {
            item.warning(NO_EQUIVALENT);
        } else if !known.contains(name) {
            item.warning("unknown, so left out");
        }
    }
}
