//! The keys that `defaults` and each monitor have in common, and how the one completes the other.

use std::collections::BTreeSet;
use std::time::Duration;

use sonde_core::{
    AlertRule, Kind, MIN_INTERVAL, MOST_WITHIN, Quorum, Region, RetryPolicy, Spec, format_duration,
};

use crate::decode::{Context, Item};
use crate::fields::Fields;
use crate::kind;

/// Used where nothing says otherwise.
pub(crate) const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// Where no timeout is given; less when the interval is.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Of days before a certificate or a domain ends: hardly a certificate is made for longer, and nobody renews a domain earlier.
const LONGEST_EXPIRY: i64 = 365;

/// More attempts than this cannot fit a sensible interval.
const MAX_RETRIES: i64 = 20;

/// A value that later rules may find wrong, with its place.
#[derive(Clone)]
struct Setting<'a, T> {
    value: T,
    item: Item<'a>,
}

/// What is written in `defaults` or in one monitor.
#[derive(Default)]
pub(crate) struct Shared<'a> {
    interval: Option<Setting<'a, Duration>>,
    timeout: Option<Setting<'a, Duration>>,
    regions: Option<Setting<'a, Vec<Region>>>,
    retries: Option<u32>,
    backoff: Backoff<'a>,
    alert: Alert<'a>,
    tags: Option<Vec<String>>,
}

#[derive(Default)]
struct Backoff<'a> {
    item: Option<Item<'a>>,
    initial: Option<Duration>,
    factor: Option<f64>,
    max: Option<Duration>,
    jitter: Option<f64>,
}

#[derive(Default)]
struct Alert<'a> {
    fail_after: Option<u32>,
    within: Option<Setting<'a, u32>>,
    recover_after: Option<u32>,
    quorum: Option<Setting<'a, Quorum>>,
    confirm: Option<bool>,
    expiry: Option<Vec<u16>>,
}

/// What a monitor's own settings, the file's defaults and the program's come to.
pub(crate) struct Settled {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) regions: Vec<Region>,
    pub(crate) alert: AlertRule,
    pub(crate) tags: Vec<String>,
}

impl<'a> Shared<'a> {
    pub(crate) fn decode(fields: &mut Fields<'a>) -> Self {
        let backoff = fields
            .take("retry_backoff")
            .and_then(|item| Backoff::decode(&item));
        let alert = fields
            .take("alert")
            .and_then(|item| item.fields("alert", Alert::decode));
        Self {
            interval: setting(fields.take("interval"), |item| {
                item.duration_of_at_least(MIN_INTERVAL)
            }),
            timeout: setting(fields.take("timeout"), positive),
            regions: setting(fields.take("regions"), regions),
            retries: fields
                .take("retries")
                .and_then(|item| item.integer(0, MAX_RETRIES)),
            backoff: backoff.unwrap_or_default(),
            alert: alert.unwrap_or_default(),
            tags: fields.take("tags").and_then(|item| unique_texts(&item)),
        }
    }

    /// The monitor's own value before the default's, key by key.
    pub(crate) fn settle(
        &self,
        defaults: &Self,
        monitor: &Item<'_>,
        kind: Option<Kind>,
    ) -> Settled {
        let context = monitor.context;
        let (interval, timeout) = self.timing(defaults, context, kind);
        let is_heartbeat = kind == Some(Kind::Heartbeat);
        let (regions, alert) = if is_heartbeat {
            (self.regions_of_heartbeat(), self.alert.at_once())
        } else {
            let regions = self.checked_regions(defaults, monitor);
            let mut alert = self.alert.settle(&defaults.alert, regions.len());
            if kind == Some(Kind::Domain) {
                let at_once = self.alert.at_once();
                alert.fail_after = at_once.fail_after;
                alert.recover_after = at_once.recover_after;
            }
            (regions, alert)
        };
        Settled {
            interval,
            timeout,
            retry: self.retry(defaults, &context.inputs.queues.retry),
            alert,
            regions,
            tags: self
                .tags
                .as_ref()
                .or(defaults.tags.as_ref())
                .cloned()
                .unwrap_or_default(),
        }
    }

    fn checked_regions(&self, defaults: &Self, monitor: &Item<'_>) -> Vec<Region> {
        let regions = self.regions.as_ref().or(defaults.regions.as_ref());
        let Some(regions) = regions else {
            return monitor.context.default_regions(monitor.at, &monitor.path);
        };
        if regions.value.iter().any(Region::is_push) {
            regions
                .item
                .problem("`push` is where heartbeats come from: nothing is checked there");
        }
        regions.value.clone()
    }

    /// They are sent from anywhere. It is written out where they count.
    fn regions_of_heartbeat(&self) -> Vec<Region> {
        if let Some(regions) = &self.regions
            && regions.value != [Region::push()]
        {
            regions
                .item
                .problem("a heartbeat is sent from anywhere: leave its regions out");
        }
        vec![Region::push()]
    }

    /// Whoever names no server asks a registry.
    pub(crate) fn check_pace(&self, spec: &Spec) {
        let least = kind::DOMAIN_LEAST_INTERVAL;
        if let (Spec::Domain(spec), Some(interval)) = (spec, &self.interval)
            && spec.server.is_none()
            && interval.value < least
        {
            interval.item.problem(format!(
                "must be {} or more, got \"{}\": registries limit how often they are asked",
                format_duration(least),
                format_duration(interval.value)
            ));
        }
    }

    fn timing(
        &self,
        defaults: &Self,
        context: &Context<'_>,
        kind: Option<Kind>,
    ) -> (Duration, Duration) {
        let length = self.length(defaults, context, kind);
        let Some(timeout) = self.timeout.as_ref().or(defaults.timeout.as_ref()) else {
            return (length, DEFAULT_TIMEOUT.min(length));
        };
        if timeout.value > length {
            // Said where the monitor itself has a say.
            let own = self
                .timeout
                .as_ref()
                .or(self.interval.as_ref())
                .unwrap_or(timeout);
            own.item.problem(format!(
                "the timeout ({}) must not be longer than the interval ({})",
                format_duration(timeout.value),
                format_duration(length)
            ));
        }
        (length, timeout.value)
    }

    /// What is right for checks that come every minute is not for a registry.
    fn length(&self, defaults: &Self, context: &Context<'_>, kind: Option<Kind>) -> Duration {
        let (shared, fallback) = if kind == Some(Kind::Domain) {
            (None, kind::DOMAIN_INTERVAL)
        } else {
            let fallback = context.inputs.options.check_interval;
            (
                defaults.interval.as_ref(),
                fallback.unwrap_or(DEFAULT_INTERVAL),
            )
        };
        let interval = self.interval.as_ref().or(shared);
        interval.map_or(fallback, |interval| interval.value)
    }

    fn retry(&self, defaults: &Self, queues: &RetryPolicy) -> RetryPolicy {
        let (own, file) = (&self.backoff, &defaults.backoff);
        let policy = RetryPolicy {
            retries: self.retries.or(defaults.retries).unwrap_or(queues.retries),
            initial: own.initial.or(file.initial).unwrap_or(queues.initial),
            factor: own.factor.or(file.factor).unwrap_or(queues.factor),
            max: own.max.or(file.max).unwrap_or(queues.max),
            jitter: own.jitter.or(file.jitter).unwrap_or(queues.jitter),
        };
        if let Some(item) = own.item.as_ref().or(file.item.as_ref())
            && policy.max < policy.initial
        {
            item.problem(format!(
                "max ({}) must not be below initial ({})",
                format_duration(policy.max),
                format_duration(policy.initial)
            ));
        }
        policy
    }
}

impl<'a> Backoff<'a> {
    fn decode(item: &Item<'a>) -> Option<Self> {
        item.fields("retry_backoff", |fields| Self {
            item: Some(item.clone()),
            initial: fields.take("initial").and_then(|item| item.duration()),
            factor: fields
                .take("factor")
                .and_then(|item| item.number(1.0, 100.0)),
            max: fields.take("max").and_then(|item| item.duration()),
            jitter: fields.take("jitter").and_then(|item| item.number(0.0, 1.0)),
        })
    }
}

impl<'a> Alert<'a> {
    fn decode(fields: &mut Fields<'a>) -> Self {
        Self {
            fail_after: fields
                .take("fail_after")
                .and_then(|item| item.integer(1, 1000)),
            within: setting(fields.take("within"), |item| {
                item.integer(2, MOST_WITHIN.into())
            }),
            recover_after: fields
                .take("recover_after")
                .and_then(|item| item.integer(1, 1000)),
            quorum: setting(fields.take("quorum"), |item| {
                let parsed = item.scalar()?.parse();
                parsed.map_err(|error: String| item.problem(error)).ok()
            }),
            confirm: fields.take("confirm").and_then(|item| item.boolean()),
            expiry: fields.take("expiry").and_then(|item| expiry(&item)),
        }
    }

    /// Only what it says itself: what is right for checks that come every minute is not for what comes once a day.
    fn at_once(&self) -> AlertRule {
        let standard = AlertRule::at_once();
        let quorum = self.quorum.as_ref();
        AlertRule {
            fail_after: self.fail_after.unwrap_or(standard.fail_after),
            recover_after: self.recover_after.unwrap_or(standard.recover_after),
            quorum: quorum.map_or(standard.quorum, |quorum| quorum.value),
            ..standard
        }
    }

    fn settle(&self, defaults: &Self, regions: usize) -> AlertRule {
        let standard = AlertRule::default();
        let quorum = self.quorum.as_ref().or(defaults.quorum.as_ref());
        if let Some(Setting {
            value: Quorum::Count(count),
            item,
        }) = quorum
            && (1..usize::from(*count)).contains(&regions)
        {
            item.problem(format!(
                "{count} regions can never agree where there are {regions}"
            ));
        }
        let fail_after = self
            .fail_after
            .or(defaults.fail_after)
            .unwrap_or(standard.fail_after);
        let within = self.within.as_ref().or(defaults.within.as_ref());
        if let Some(Setting { value, item }) = within
            && *value < fail_after
        {
            item.problem(format!(
                "{fail_after} failures (`fail_after`) can never be among {value} checks"
            ));
        }
        AlertRule {
            fail_after,
            within: within.map(|within| within.value),
            recover_after: self
                .recover_after
                .or(defaults.recover_after)
                .unwrap_or(standard.recover_after),
            quorum: quorum.map_or(standard.quorum, |quorum| quorum.value),
            confirm: self
                .confirm
                .or(defaults.confirm)
                .unwrap_or(standard.confirm),
            expiry: self
                .expiry
                .as_ref()
                .or(defaults.expiry.as_ref())
                .cloned()
                .unwrap_or(standard.expiry),
        }
    }
}

fn setting<'a, T>(
    item: Option<Item<'a>>,
    decode: impl FnOnce(&Item<'a>) -> Option<T>,
) -> Option<Setting<'a, T>> {
    let item = item?;
    Some(Setting {
        value: decode(&item)?,
        item,
    })
}

fn positive(item: &Item<'_>) -> Option<Duration> {
    let duration = item.duration()?;
    if duration.is_zero() {
        item.problem("must be more than nothing");
        return None;
    }
    Some(duration)
}

fn regions(item: &Item<'_>) -> Option<Vec<Region>> {
    let regions = item.list_of(|item| item.parse(Region::new))?;
    if item.list()?.is_empty() {
        item.problem("at least one region is needed");
    }
    if regions.iter().collect::<BTreeSet<_>>().len() < regions.len() {
        item.problem("a region is named twice");
    }
    Some(regions)
}

/// In days, the longest first; none turns it off.
fn expiry(item: &Item<'_>) -> Option<Vec<u16>> {
    let mut days = item.list_of(|item| item.integer(1, LONGEST_EXPIRY))?;
    days.sort_unstable_by(|a: &u16, b| b.cmp(a));
    let count = days.len();
    days.dedup();
    if days.len() < count {
        item.problem("a number of days is named twice");
    }
    Some(days)
}

fn unique_texts(item: &Item<'_>) -> Option<Vec<String>> {
    let texts = item.list_of(|item| item.plain().map(str::to_owned))?;
    if texts.iter().collect::<BTreeSet<_>>().len() < texts.len() {
        item.problem("a tag is named twice");
    }
    Some(texts)
}
