//! What processes cost: CPU time and memory, each with all that it started.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::figures::cpu_of;

/// CPU time so far and resident memory now, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) memory: u64,
}

/// Of a process and its descendants. What has ended counts nothing.
pub(crate) fn usage(pid: u32) -> Usage {
    let parents = parents();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(children_in(&parents, parent));
        at += 1;
    }
    family.into_iter().fold(Usage::default(), |sum, pid| Usage {
        cpu: sum.cpu + cpu_of(pid).unwrap_or_default(),
        memory: sum.memory + status(pid, "VmRSS:"),
    })
}

/// The most memory that one process has had, in bytes.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

/// Those that this process started itself and that still run.
pub(crate) fn own_children() -> Vec<u32> {
    children_in(&parents(), std::process::id()).collect()
}

/// The parent of every process.
fn parents() -> BTreeMap<u32, u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        Some((pid, rest.split_whitespace().nth(1)?.parse().ok()?))
    })
    .collect()
}

fn children_in(parents: &BTreeMap<u32, u32>, of: u32) -> impl Iterator<Item = u32> {
    let children = parents.iter().filter(move |(_, parent)| **parent == of);
    children.map(|(child, _)| *child)
}

/// A line of `/proc/PID/status` that is in kB; 0 when the process is gone.
fn status(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let value = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    value.unwrap_or(0) * 1024
}
