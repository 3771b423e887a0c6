//! Dependencies between monitors: to ones that exist, and never in a circle.

use std::collections::{HashMap, HashSet};

use sonde_core::MonitorId;

use crate::Origin;
use crate::decode::Item;
use crate::problem::nearest;

/// One element of a `depends_on`.
pub(crate) struct Dependency<'a> {
    pub(crate) from: String,
    pub(crate) to: MonitorId,
    pub(crate) item: Item<'a>,
}

type Edges<'d, 'a> = HashMap<&'d str, Vec<&'d Dependency<'a>>>;

/// How many unknown monitors are compared with all that there are: each takes as long as there are monitors.
const SUGGESTED: usize = 20;

/// Notes every dependency on a monitor that is not there, and every one that closes a circle.
pub(crate) fn check(ids: &[&str], dependencies: &[Dependency<'_>]) {
    let known: HashSet<_> = ids.iter().copied().collect();
    let mut edges = Edges::new();
    let mut unknown = 0;
    for dependency in dependencies {
        let to = dependency.to.as_str();
        if known.contains(to) {
            edges.entry(&dependency.from).or_default().push(dependency);
        } else if !elsewhere(&dependency.item, to) {
            unknown += 1;
            let near = (unknown <= SUGGESTED).then(|| nearest(to, ids.iter().copied()));
            dependency
                .item
                .problem_suggesting(format!("there is no monitor `{to}`"), near.flatten());
        }
    }
    let mut visited = HashSet::new();
    for dependency in dependencies {
        walk(&dependency.from, &edges, &mut visited);
    }
}

/// Whether the text does not hold all monitors, and another one has the id.
fn elsewhere(item: &Item<'_>, id: &str) -> bool {
    match item.context.inputs.origin {
        Origin::Machine { .. } => false,
        Origin::Network { has_monitor } => has_monitor(id),
    }
}

/// Depth first, with a stack of its own: a chain of dependencies may be as long as the file.
fn walk<'d>(start: &'d str, edges: &Edges<'d, '_>, visited: &mut HashSet<&'d str>) {
    let out = |id: &str| edges.get(id).map_or(&[][..], Vec::as_slice).iter();
    if !visited.insert(start) {
        return;
    }
    let mut path = vec![(start, out(start))];
    let mut on_path = HashSet::from([start]);
    while let Some((at, rest)) = path.last_mut() {
        let Some(step) = rest.next() else {
            on_path.remove(*at);
            path.pop();
            continue;
        };
        let to = step.to.as_str();
        if on_path.contains(to) {
            let circle = path
                .iter()
                .map(|(id, _)| *id)
                .skip_while(|id| *id != to)
                .chain([to]);
            let circle = circle.collect::<Vec<_>>().join(" → ");
            step.item.problem(format!("depends on itself: {circle}"));
        } else if visited.insert(to) {
            on_path.insert(to);
            path.push((to, out(to)));
        }
    }
}
