//! What a page about a stretch of time is asked for: all of it stands in its URL, so that a link shows the same to others.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;
use sonde_core::{MonitorId, Region, Timestamp};
use sonde_results::TimeRange;
use url::form_urlencoded;

use crate::format;

/// A stretch of time that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) length: Duration,
}

const PRESETS: [Preset; 5] = [
    preset("1h", "1 hour", 1),
    preset("24h", "24 hours", 24),
    preset("7d", "7 days", 24 * 7),
    preset("30d", "30 days", 24 * 30),
    preset("90d", "90 days", 24 * 90),
];
const DEFAULT: Preset = PRESETS[1];

/// Longer ranges are typing errors.
const LONGEST: Duration = Duration::from_hours(24 * 400);
const SHORTEST: Duration = Duration::from_mins(1);

/// As forms send a local time, with seconds or without.
const LOCAL_FORMS: [&str; 2] = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];

const fn preset(name: &'static str, title: &'static str, hours: u64) -> Preset {
    Preset {
        name,
        title,
        length: Duration::from_hours(hours),
    }
}

/// A way to look at another stretch of time.
pub(crate) struct PresetLink {
    pub(crate) preset: Preset,
    pub(crate) link: String,
    pub(crate) is_chosen: bool,
}

/// Which time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Period {
    /// The last of it, up to now.
    Last(Preset),
    Between(Timestamp, Timestamp),
}

/// The question in a URL. What it does not know it leaves alone.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pairs: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn new(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let pairs = pairs.into_owned().filter(|(_, value)| !value.is_empty());
        Self {
            pairs: pairs.collect(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let pairs = self.pairs.iter().filter(move |(known, _)| known == name);
        pairs.map(|(_, value)| value.as_str())
    }

    pub(crate) fn region(&self) -> Option<Region> {
        self.get("region")?.parse().ok()
    }

    pub(crate) fn monitor(&self, name: &str) -> Option<MonitorId> {
        self.get(name)?.parse().ok()
    }

    /// The same with these in place of what they were; those without a value are left out.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> String {
        let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        let kept = self.pairs.iter().filter(|(name, _)| !is_changed(name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let new = changes
            .iter()
            .copied()
            .filter(|(_, value)| !value.is_empty());
        let mut text = form_urlencoded::Serializer::new(String::new());
        format!("?{}", text.extend_pairs(kept.chain(new)).finish())
    }

    pub(crate) fn presets(&self, period: &Period) -> Vec<PresetLink> {
        let links = PRESETS.into_iter().map(|preset| PresetLink {
            link: self.with(&[
                ("period", preset.name),
                ("from", ""),
                ("to", ""),
                ("cursor", ""),
            ]),
            is_chosen: *period == Period::Last(preset),
            preset,
        });
        links.collect()
    }

    /// Which time is meant, and what is wrong with what was asked for.
    pub(crate) fn period(&self, zone: Tz) -> (Period, Option<String>) {
        let (from, to) = (self.get("from"), self.get("to"));
        if from.is_none() && to.is_none() {
            let name = self.get("period").unwrap_or(DEFAULT.name);
            let found = PRESETS.into_iter().find(|preset| preset.name == name);
            let problem = || {
                format!(
                    "there is no period `{name}`: this is the last {}",
                    DEFAULT.title
                )
            };
            let problem = found.is_none().then(problem);
            return (Period::Last(found.unwrap_or(DEFAULT)), problem);
        }
        match between(from, to, zone) {
            Ok((from, to)) => (Period::Between(from, to), None),
            Err(problem) => (Period::Last(DEFAULT), Some(problem)),
        }
    }
}

fn between(
    from: Option<&str>,
    to: Option<&str>,
    zone: Tz,
) -> Result<(Timestamp, Timestamp), String> {
    let from = instant("from", from, zone)?;
    let to = instant("to", to, zone)?;
    match to.since(from) {
        length if length < SHORTEST => {
            Err("`from` must be a minute before `to`, or more".to_owned())
        }
        length if length > LONGEST => Err("a range is 400 days long at most".to_owned()),
        _ => Ok((from, to)),
    }
}

/// RFC 3339, or local time as a form sends it. Of a time that comes twice the first is meant, and one that the clocks skip
/// is read with the offset from before.
pub(crate) fn instant(name: &str, text: Option<&str>, zone: Tz) -> Result<Timestamp, String> {
    let text = text.ok_or_else(|| format!("`{name}` is missing"))?;
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let mut local = LOCAL_FORMS.iter();
    let local = local.find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let wrong = || format!("`{name}` must be a time such as 2026-11-20T14:05, got `{text}`");
    let local = local.ok_or_else(wrong)?;
    let found = zone.from_local_datetime(&local).earliest();
    let found = found.or_else(|| {
        let hour = chrono::TimeDelta::hours(1);
        let before = zone.from_local_datetime(&(local - hour)).earliest()?;
        Some(before + hour)
    });
    let at = found.ok_or_else(wrong)?;
    Ok(Timestamp::from_micros(at.timestamp_micros()))
}

impl Period {
    pub(crate) fn range(&self, now: Timestamp) -> TimeRange {
        match self {
            // With what happens this very moment.
            Self::Last(preset) => {
                let to = now + Duration::from_micros(1);
                TimeRange {
                    from: to - preset.length,
                    to,
                }
            }
            Self::Between(from, to) => TimeRange {
                from: *from,
                to: *to,
            },
        }
    }

    /// Its name, where it has one.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Last(preset) => Some(preset.name),
            Self::Between(..) => None,
        }
    }

    /// Both ends in local time, as forms take them, where it has no name.
    pub(crate) fn between(&self, zone: Tz) -> Option<(String, String)> {
        let local = |at| format::written(at, zone, LOCAL_FORMS[0]);
        match self {
            Self::Last(_) => None,
            Self::Between(from, to) => Some((local(*from), local(*to))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let now = "2026-11-20T12:00:00Z".parse::<Timestamp>().unwrap();
        let (period, problem) = Asked::new(Some(query)).period(Tz::Europe__Berlin);
        let range = period.range(now);
        let shown = match problem {
            Some(problem) => problem,
            None => format!(
                "{} {}",
                range.from,
                range.to.since(range.from).as_secs() / 60
            ),
        };
        assert_eq!(shown, expected, "{query}");
    }

    #[test]
    fn a_period_is_the_last_of_it_or_between_two_local_times() {
        check("", "2026-11-19T12:00:00.000001Z 1440");
        check("period=1h", "2026-11-20T11:00:00.000001Z 60");
        check(
            "from=2026-10-25T00:00&to=2026-10-26T00:00",
            "2026-10-24T22:00:00.000000Z 1500",
        );
        check(
            "from=2026-03-29T02:30&to=2026-03-29T04:00",
            "2026-03-29T01:30:00.000000Z 30",
        );
        check(
            "from=2026-11-20T00:00:00Z&to=2026-11-20T01:00:00Z",
            "2026-11-20T00:00:00.000000Z 60",
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(
            "period=1y",
            "there is no period `1y`: this is the last 24 hours",
        );
        check("from=2026-11-20T00:00", "`to` is missing");
        check(
            "from=yesterday&to=now",
            "`from` must be a time such as 2026-11-20T14:05, got `yesterday`",
        );
        check(
            "from=2026-11-20T01:00&to=2026-11-20T00:00",
            "`from` must be a minute before `to`, or more",
        );
        check(
            "from=2020-11-20T01:00&to=2026-11-20T00:00",
            "a range is 400 days long at most",
        );
    }

    #[test]
    fn a_link_keeps_what_it_does_not_change() {
        let asked = Asked::new(Some("region=fra&p=50&p=99&period=7d&empty="));
        assert_eq!(
            asked.with(&[("period", "30d")]),
            "?region=fra&p=50&p=99&period=30d"
        );
        assert_eq!(asked.with(&[("p", ""), ("region", "")]), "?period=7d");
        assert_eq!(asked.all("p").collect::<Vec<_>>(), ["50", "99"]);
    }
}
