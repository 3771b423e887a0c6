//! Dependencies in a workspace as it would become: on monitors that are there, and never in a circle.

use std::collections::{BTreeMap, BTreeSet};

use sonde_core::{Monitor, MonitorId};

use super::{Action, PlanProblem, Planned, path};

type Edges<'a> = BTreeMap<&'a MonitorId, BTreeSet<&'a MonitorId>>;

/// What the changes would break. What was wrong before and is not touched is left alone.
pub(super) fn problems<'a>(
    stored: impl Iterator<Item = &'a Monitor>,
    changes: &'a [Planned],
    puts: &'a [Monitor],
) -> Vec<PlanProblem> {
    let mut after: BTreeMap<&MonitorId, &Monitor> = stored.map(|one| (&one.id, one)).collect();
    let removed = changes.iter().filter(|one| one.action == Action::Remove);
    let removed: BTreeSet<_> = removed.map(|one| one.id.as_str()).collect();
    after.retain(|id, _| !removed.contains(id.as_str()));
    after.extend(puts.iter().map(|one| (&one.id, one)));
    let put: BTreeSet<_> = puts.iter().map(|one| &one.id).collect();

    let mut problems = Vec::new();
    for (id, monitor) in &after {
        for (n, to) in monitor.depends_on.iter().enumerate() {
            let path = format!("{}.depends_on[{n}]", path(id));
            if removed.contains(to.as_str()) {
                problems.push(PlanProblem::new(path, format!("`{to}` would be removed")));
            } else if put.contains(id) && !after.contains_key(to) {
                problems.push(PlanProblem::new(
                    path,
                    format!("there is no monitor `{to}`"),
                ));
            }
        }
    }
    let circular = circular(&after);
    problems.extend(circular.intersection(&put).map(|id| {
        let message = "depends on itself, directly or by way of others";
        PlanProblem::new(format!("{}.depends_on", path(id)), message)
    }));
    problems
}

/// Those in a circle, or on a way from one circle to another.
fn circular<'a>(monitors: &BTreeMap<&'a MonitorId, &'a Monitor>) -> BTreeSet<&'a MonitorId> {
    let mut on = Edges::new();
    let mut back = Edges::new();
    for (id, monitor) in monitors {
        for to in &monitor.depends_on {
            if monitors.contains_key(to) {
                on.entry(*id).or_default().insert(to);
                back.entry(to).or_default().insert(*id);
            }
        }
    }
    let (ends, starts) = (loose(&on, &back), loose(&back, &on));
    let ids = on.keys().copied();
    ids.filter(|id| !ends.contains(id) && !starts.contains(id))
        .collect()
}

/// Those from which every way along `edges` ends; `back` are the same edges the other way round. Each edge is looked
/// at once.
fn loose<'a>(edges: &Edges<'a>, back: &Edges<'a>) -> BTreeSet<&'a MonitorId> {
    let mut open: BTreeMap<_, _> = edges.iter().map(|(id, to)| (*id, to.len())).collect();
    let mut ends: Vec<_> = back
        .keys()
        .copied()
        .filter(|id| !open.contains_key(id))
        .collect();
    let mut found = BTreeSet::new();
    while let Some(end) = ends.pop() {
        found.insert(end);
        for from in back.get(end).into_iter().flatten() {
            if let Some(count) = open.get_mut(from) {
                *count -= 1;
                if *count == 0 {
                    ends.push(from);
                }
            }
        }
    }
    found
}
