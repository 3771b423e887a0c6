//! A mapping with fixed keys, taken one by one.

use crate::decode::Item;
use crate::problem::nearest;

/// The keys of a mapping, each to be taken by name.
pub(crate) struct Fields<'a> {
    pub(crate) item: Item<'a>,
    section: &'static str,
    entries: Vec<(&'a str, Item<'a>)>,
    asked: Vec<&'static str>,
    later: &'static [&'static str],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(
        item: Item<'a>,
        section: &'static str,
        entries: Vec<(&'a str, Item<'a>)>,
    ) -> Self {
        Self {
            item,
            section,
            entries,
            asked: Vec::new(),
            later: &[],
        }
    }

    pub(crate) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.asked.push(key);
        self.entries
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, item)| item.clone())
    }

    pub(crate) fn required(&mut self, key: &'static str) -> Option<Item<'a>> {
        let found = self.take(key);
        if found.is_none() {
            self.item.problem(format!("`{key}` is missing"));
        }
        found
    }

    /// The one of several keys that is given; more than one is a problem.
    pub(crate) fn one_of(&mut self, keys: &[&'static str]) -> Option<(&'static str, Item<'a>)> {
        let mut found = keys
            .iter()
            .filter_map(|key| Some((*key, self.take(key)?)))
            .collect::<Vec<_>>();
        for (key, item) in found.iter().skip(1) {
            item.problem(format!("`{key}` cannot stand beside `{}`", found[0].0));
        }
        (!found.is_empty()).then(|| found.swap_remove(0))
    }

    pub(crate) fn has_any(&self, keys: &[&str]) -> bool {
        self.entries.iter().any(|(key, _)| keys.contains(key))
    }

    /// Keys that a later release will know.
    pub(crate) fn later(&mut self, keys: &'static [&'static str]) {
        self.later = keys;
    }

    /// Every key that was not asked for is a problem.
    pub(crate) fn finish(self) {
        for (key, item) in &self.entries {
            if self.later.contains(key) {
                item.problem("not supported yet");
            } else if !self.asked.contains(key) {
                let near = nearest(key, self.asked.iter().copied());
                item.problem_suggesting(format!("unknown key of {}", self.section), near);
            }
        }
        #[cfg(test)]
        self.item
            .context
            .sections
            .borrow_mut()
            .entry(self.section)
            .or_default()
            .extend(self.asked);
    }
}
