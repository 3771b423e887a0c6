//! Names that people read, and ids made of them.

use std::collections::BTreeSet;

use sonde_core::{MonitorId, slugify};

/// The name as an id, numbered where it is taken; `fallback` stands in for names without a letter or digit.
pub(crate) fn unique_id(
    name: &str,
    fallback: &str,
    ids: &mut BTreeSet<MonitorId>,
) -> Option<MonitorId> {
    let slug = slugify(name).unwrap_or_else(|| fallback.to_owned());
    let numbered = (2..).map(|n| {
        // Ids end at 63 characters.
        let stem = &slug[..slug.len().min(55)];
        format!("{}-{n}", stem.trim_end_matches('-'))
    });
    let id = std::iter::once(slug.clone())
        .chain(numbered)
        .filter_map(|id| MonitorId::new(&id).ok())
        .find(|id| !ids.contains(id))?;
    ids.insert(id.clone());
    Some(id)
}

/// Names are shown everywhere: what moves the cursor or turns text around has no place in them.
pub(crate) fn is_plain(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}
