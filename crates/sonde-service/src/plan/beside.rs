//! The same of what stands beside the monitors: channels and maintenance.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sonde_core::{Maintenance, MaskError};
use sonde_notify::ChannelConfig;
use sonde_store::{Expected, Put, Remove, ResourceKind};

use super::{Action, PlanProblem, Planned, difference, unchanged_by_file};
use crate::entries::{Body, Entry, encode, put};

/// What can be wanted by a file.
pub(crate) trait Wanted: Body + Clone {
    /// Its section of `sonde.yaml`.
    const SECTION: &'static str;

    #[must_use]
    fn masked(&self) -> Self;
    fn unmask(&mut self, stored: Option<&Self>) -> Result<(), MaskError>;
    /// What is wrong with it once its secrets are known.
    fn problems(&self) -> Vec<(String, String)>;
    fn put(&self, id: &str) -> Put;
}

impl Wanted for ChannelConfig {
    const SECTION: &'static str = "channels";

    fn masked(&self) -> Self {
        Self::masked(self)
    }

    fn unmask(&mut self, stored: Option<&Self>) -> Result<(), MaskError> {
        Self::unmask(self, stored)
    }

    fn problems(&self) -> Vec<(String, String)> {
        let problems = self.validate().into_iter();
        problems.map(|it| (it.path, it.message)).collect()
    }

    fn put(&self, id: &str) -> Put {
        let mut put = Put::other(ResourceKind::Channel, id, encode(&Self::masked(self)));
        put.secrets = Some(encode(self));
        put
    }
}

impl Wanted for Maintenance {
    const SECTION: &'static str = "maintenance";

    fn masked(&self) -> Self {
        self.clone()
    }

    fn unmask(&mut self, _: Option<&Self>) -> Result<(), MaskError> {
        Ok(())
    }

    fn problems(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn put(&self, id: &str) -> Put {
        put(id, self)
    }
}

/// A part of a plan, and what carries it out.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(super) changes: Vec<Planned>,
    pub(super) unchanged: usize,
    /// Over what was sent, as the plan's fingerprint.
    pub(super) sent: Vec<Value>,
    pub(crate) puts: Vec<Put>,
    pub(crate) removes: Vec<Remove>,
}

/// What has to change for the workspace of `stored`, with its secrets, to have `wanted`; each id is wanted once.
pub(crate) fn part<T: Wanted>(
    stored: &[Entry<T>],
    wanted: &[(String, T)],
    prune: bool,
) -> Result<Part, Vec<PlanProblem>> {
    let before: BTreeMap<&str, &Entry<T>> = stored.iter().map(|it| (it.id.as_str(), it)).collect();
    let (mut part, mut problems) = (Part::default(), Vec::new());
    let mut named = BTreeSet::new();
    for (id, value) in wanted {
        named.insert(id.as_str());
        let found = before.get(id.as_str()).copied();
        if let Err(found) = part.want(id, value, found) {
            problems.extend(found);
        }
    }
    if prune {
        let gone = before.values().filter(|it| it.meta.managed_by.is_none());
        for entry in gone.filter(|it| !named.contains(it.id.as_str())) {
            part.note::<T>(&entry.id, Action::Remove, Vec::new(), Some(entry), None);
            part.removes.push(Remove {
                kind: T::KIND,
                id: entry.id.clone(),
                expected: Expected::Version(entry.meta.version),
            });
        }
    }
    part.changes.sort_by(|a, b| a.id.cmp(&b.id));
    part.sent.sort_by_key(ToString::to_string);
    if problems.is_empty() {
        Ok(part)
    } else {
        Err(problems)
    }
}

impl Part {
    fn want<T: Wanted>(
        &mut self,
        id: &str,
        wanted: &T,
        stored: Option<&Entry<T>>,
    ) -> Result<(), Vec<PlanProblem>> {
        let path = format!("{}.{id}", T::SECTION);
        let mut after = wanted.clone();
        let unmasked = after.unmask(stored.map(|stored| &stored.value));
        unmasked.map_err(|error| vec![PlanProblem::new(path.clone(), error.to_string())])?;
        let problems = after.problems().into_iter();
        let problems = problems.map(|(at, why)| PlanProblem::new(format!("{path}.{at}"), why));
        let problems: Vec<_> = problems.collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let Some(stored) = stored else {
            self.note(id, Action::Create, Vec::new(), None, Some(wanted));
            self.puts.push(after.put(id).expecting(Expected::Nothing));
            return Ok(());
        };
        let masked = (json!(stored.value.masked()), json!(after.masked()));
        let fields = difference::of(&json!(stored.value), &masked.0, &json!(after), &masked.1);
        if fields.is_empty() {
            self.unchanged += 1;
            return Ok(());
        }
        if let Some(file) = &stored.meta.managed_by {
            return Err(vec![unchanged_by_file(path, file)]);
        }
        self.note(id, Action::Update, fields, Some(stored), Some(wanted));
        let expected = Expected::Version(stored.meta.version);
        self.puts.push(after.put(id).expecting(expected));
        Ok(())
    }

    fn note<T: Wanted>(
        &mut self,
        id: &str,
        action: Action,
        fields: Vec<super::FieldChange>,
        stored: Option<&Entry<T>>,
        sent: Option<&T>,
    ) {
        let version = stored.map(|stored| stored.meta.version);
        self.sent.push(json!([T::KIND, id, action, version, sent]));
        self.changes.push(Planned {
            kind: T::KIND,
            id: id.to_owned(),
            action,
            fields,
        });
    }
}

#[cfg(test)]
mod tests {
    use sonde_core::Timestamp;
    use sonde_store::Meta;

    use super::*;

    fn channel(json: &Value) -> ChannelConfig {
        serde_json::from_value(json.clone()).unwrap()
    }

    fn entry(id: &str, value: ChannelConfig, file: Option<&str>) -> Entry<ChannelConfig> {
        let at = Timestamp::from_micros(0);
        Entry {
            id: id.to_owned(),
            value,
            meta: Meta {
                version: 3,
                managed_by: file.map(str::to_owned),
                created_at: at,
                updated_at: at,
            },
        }
    }

    fn slack(secret: &str) -> ChannelConfig {
        let url = format!("https://hooks.example/{secret}");
        channel(&json!({ "send": { "slack": { "url": url } }, "tags": ["prod"] }))
    }

    fn wanted(value: ChannelConfig) -> Vec<(String, ChannelConfig)> {
        vec![("ops".to_owned(), value)]
    }

    #[test]
    fn an_unchanged_secret_is_no_change_and_another_one_is_shown_as_a_secret() {
        let stored = [entry("ops", slack("hunter2"), None)];
        for same in [slack("hunter2"), slack("hunter2").masked()] {
            let part = part(&stored, &wanted(same), true).unwrap();
            assert!(part.changes.is_empty() && part.puts.is_empty());
            assert_eq!(part.unchanged, 1);
        }
        let part = part(&stored, &wanted(slack("hunter3")), true).unwrap();
        let fields = &part.changes[0].fields;
        assert_eq!(fields.len(), 1);
        assert_eq!(fields[0].path, "send.slack.url");
        assert!(fields[0].secret);
        let shown = serde_json::to_string(&part.changes).unwrap();
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(part.puts[0].secrets.as_ref().unwrap().contains("hunter3"));
    }

    #[test]
    fn what_a_file_of_the_server_keeps_neither_changes_nor_goes() {
        let stored = [entry("ops", slack("hunter2"), Some("/etc/sonde.yaml"))];
        let problems = part(&stored, &wanted(slack("hunter3")), true).unwrap_err();
        assert_eq!(problems[0].path, "channels.ops");
        assert!(part(&stored, &[], true).unwrap().changes.is_empty());
        let own = [entry("ops", slack("hunter2"), None)];
        assert_eq!(part(&own, &[], true).unwrap().removes.len(), 1);
        assert!(part(&own, &[], false).unwrap().removes.is_empty());
    }

    #[test]
    fn a_mask_of_what_is_not_there_is_refused_at_its_place() {
        let problems = part(&[], &wanted(slack("hunter2").masked()), false).unwrap_err();
        assert_eq!(problems[0].path, "channels.ops");
    }
}
