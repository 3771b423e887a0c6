//! Which monitors `--only` means.

use std::str::FromStr;
use std::sync::Arc;

use globset::{Glob, GlobMatcher};
use sonde_core::Monitor;

use crate::exit::Error;

#[derive(Debug, Clone)]
pub(super) enum Selector {
    /// Of the id.
    Id(GlobMatcher),
    Tag(String),
}

impl FromStr for Selector {
    type Err = globset::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("tag:") {
            Some(tag) => Ok(Self::Tag(tag.to_owned())),
            None => Ok(Self::Id(Glob::new(text)?.compile_matcher())),
        }
    }
}

impl Selector {
    fn matches(&self, monitor: &Monitor) -> bool {
        match self {
            Self::Id(glob) => glob.is_match(monitor.id.as_str()),
            Self::Tag(tag) => monitor.tags.contains(tag),
        }
    }
}

/// What any of `only` matches, or everything without one. Having nothing to run is a mistake, never a success.
pub(super) fn select(
    monitors: Vec<Monitor>,
    only: &[Selector],
) -> Result<Vec<Arc<Monitor>>, Error> {
    if let Some(unmatched) = only
        .iter()
        .find(|one| !monitors.iter().any(|m| one.matches(m)))
    {
        let named = match unmatched {
            Selector::Id(glob) => format!("the id `{}`", glob.glob()),
            Selector::Tag(tag) => format!("the tag `{tag}`"),
        };
        return Err(Error::usage(format!("no monitor has {named}")));
    }
    let wanted = |monitor: &Monitor| only.is_empty() || only.iter().any(|one| one.matches(monitor));
    let (paused, active): (Vec<_>, Vec<_>) = monitors
        .into_iter()
        .filter(wanted)
        .partition(|monitor| monitor.paused);
    let (heartbeats, active): (Vec<_>, Vec<_>) = active
        .into_iter()
        .partition(|monitor| monitor.spec.heartbeat().is_some());
    if !heartbeats.is_empty() {
        let ids: Vec<_> = heartbeats.iter().map(|one| one.id.as_str()).collect();
        let ids = ids.join(", ");
        anstream::eprintln!("left out, because heartbeats tell by themselves: {ids}");
    }
    if active.is_empty() {
        let why = if !heartbeats.is_empty() {
            "all monitors are heartbeats, or paused"
        } else if paused.is_empty() {
            "the configuration has no monitors"
        } else {
            "all monitors are paused"
        };
        return Err(Error::usage(format!("nothing to check: {why}")));
    }
    Ok(active.into_iter().map(Arc::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(only: &[&str]) -> Result<Vec<String>, Error> {
        let monitor = |id: &str, tag: &str, paused| Monitor {
            id: id.parse().unwrap(),
            tags: vec![tag.to_owned()],
            paused,
            ..Monitor::sample()
        };
        let monitors = vec![
            monitor("shop-web", "prod", false),
            monitor("shop-db", "internal", false),
            monitor("blog", "prod", false),
            monitor("old", "old", true),
        ];
        let only: Vec<_> = only.iter().map(|text| text.parse().unwrap()).collect();
        let selected = select(monitors, &only)?;
        Ok(selected
            .iter()
            .map(|monitor| monitor.id.to_string())
            .collect())
    }

    #[test]
    fn ids_by_glob_and_tags_add_up() {
        assert_eq!(selected(&[]).unwrap(), ["shop-web", "shop-db", "blog"]);
        assert_eq!(selected(&["shop-*"]).unwrap(), ["shop-web", "shop-db"]);
        assert_eq!(selected(&["tag:prod"]).unwrap(), ["shop-web", "blog"]);
        assert_eq!(selected(&["shop-db", "tag:prod"]).unwrap().len(), 3);
    }

    #[test]
    fn heartbeats_are_nothing_to_check() {
        let beat = Monitor {
            spec: sonde_core::Spec::Heartbeat(sonde_core::HeartbeatSpec {
                grace: std::time::Duration::ZERO,
            }),
            ..Monitor::sample()
        };
        let error = select(vec![beat.clone()], &[]).unwrap_err();
        assert_eq!(error.exit(), crate::exit::Exit::Usage);
        let web = Monitor {
            id: "web".parse().unwrap(),
            ..Monitor::sample()
        };
        let selected = select(vec![beat, web], &[]).unwrap();
        assert_eq!(selected.len(), 1);
        assert_eq!(selected[0].id.as_str(), "web");
    }

    #[test]
    fn a_selection_of_nothing_is_an_error() {
        for only in [&["shop"][..], &["blog", "tag:nope"], &["old"]] {
            assert_eq!(
                selected(only).unwrap_err().exit(),
                crate::exit::Exit::Usage,
                "{only:?}"
            );
        }
    }
}
