//! CPU time, medians, and how they are shown.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// What a round cost, per operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

/// Measures `work`, which does `operations` of one kind in this process.
pub(crate) async fn measure<E>(
    operations: u32,
    work: impl Future<Output = Result<(), E>>,
) -> Result<Cost, E> {
    let (cpu, wall) = (own_cpu(), Instant::now());
    work.await?;
    let cost = Cost {
        cpu: own_cpu().saturating_sub(cpu),
        wall: wall.elapsed(),
    };
    Ok(Cost {
        cpu: cost.cpu / operations,
        wall: cost.wall / operations,
    })
}

/// User and system time of this process.
pub(crate) fn own_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// User and system time of another process, from the kernel's tick count.
pub(crate) fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name, in brackets, may hold blanks: count from behind it.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok());
    of_ticks(ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0))
}

/// What the whole machine was busy, over all cores.
pub(crate) fn machine_cpu() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).map(str::parse::<u64>);
    let ticks = ticks.collect::<Result<Vec<_>, _>>()?;
    // Without idle and iowait, the fourth and fifth; guests, the last two, are counted as user time too.
    let busy = ticks.iter().take(8).enumerate();
    let busy = busy.filter(|(field, _)| ![3, 4].contains(field));
    of_ticks(busy.map(|(_, ticks)| ticks).sum())
}

fn of_ticks(ticks: u64) -> anyhow::Result<Duration> {
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
    Ok(Duration::from_secs(ticks) / u32::try_from(per_second)?)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `share` of the values are.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(at).copied().unwrap_or(f64::NAN)
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Prints a line of results; the one place of the benchmark that writes to standard output.
#[expect(clippy::print_stdout, reason = "this is what a benchmark is for")]
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{line}");
}
