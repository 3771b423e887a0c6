//! The dispatcher with very many monitors: how long it takes to load, what it holds, how late it is, what a tick costs.
//!
//! Runs in a process of its own, so that its memory is the dispatcher's.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use sonde_core::{Clock as _, Monitor, MonitorId, SystemClock, Timestamp, WorkspaceId};
use sonde_dispatcher::Schedule;
use sonde_queue::SealingKeys;
use sonde_store::ConfigStore as _;
use sonde_store::libsql::LibsqlStore;
use tokio::process::Command;

use crate::checks::check;
use crate::figures::{micros, own_cpu, say};
use crate::report::{Report, mebibytes};

use super::lateness::{self, Dispatching};

/// Together with a million monitors, 5,000 checks a second.
const INTERVAL: Duration = Duration::from_secs(200);
/// As often as a dispatcher looks.
const TICK: Duration = Duration::from_millis(10);
/// How long tasks are dispatched for their lateness.
const DISPATCHING: Duration = Duration::from_secs(20);
/// Simulated per measurement.
const TICKS: u32 = 2_000;

/// What the process of the schedule found.
#[derive(Serialize, Deserialize)]
struct Found {
    monitors: usize,
    dispatching: Dispatching,
    planned_per_second: f64,
    ticks: Vec<Tick>,
}

/// The CPU of one tick.
#[derive(Serialize, Deserialize)]
struct Tick {
    monitors: usize,
    interval: Duration,
    /// On average.
    due: f64,
    cpu: Duration,
}

/// Writes a store of `count` monitors and lets another process schedule them.
pub(crate) async fn run(count: u32, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config.db");
    let begin = Instant::now();
    write(&file, count).await?;
    let seconds = begin.elapsed().as_secs();
    say(format!("  {count} monitors written in {seconds} s"));
    let output = Command::new(std::env::current_exe()?)
        .arg("schedule")
        .arg(&file)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(output.status.success(), "the schedule's process failed");
    let found: Found = serde_json::from_slice(&output.stdout)?;
    show(&found, report);
    Ok(())
}

fn show(found: &Found, report: &mut Report) {
    let name = format!("dispatcher, {} monitors", found.monitors);
    show_dispatching(&name, &found.dispatching, report);
    report.goal(
        &format!("{name}: tasks planned"),
        &format!("{:.0}/s", found.planned_per_second),
        "≥ 50,000/s",
        found.planned_per_second >= 50_000.0,
    );
    say("| monitors | interval | due per tick of 10 ms | CPU per tick | per due task |");
    say("|---|---|---|---|---|");
    for tick in &found.ticks {
        say(format!(
            "| {} | {} s | {:.1} | {:.1} µs | {:.2} µs |",
            tick.monitors,
            tick.interval.as_secs(),
            tick.due,
            micros(tick.cpu),
            tick.per_task()
        ));
    }
    // Memory is farther away when there is more of it, so only what holds the same is compared.
    let [often, .., seldom] = found.ticks.as_slice() else {
        return;
    };
    let ratio = seldom.per_task() / often.per_task();
    report.goal(
        &format!("{name}: CPU of a tick per due task, at a tenth of the due tasks"),
        &format!(
            "{ratio:.2} × ({:.2} µs, {:.2} µs)",
            often.per_task(),
            seldom.per_task()
        ),
        "linear in due tasks (≤ 2 ×)",
        ratio <= 2.0,
    );
}

fn show_dispatching(name: &str, found: &Dispatching, report: &mut Report) {
    let load = found.load.as_secs_f64();
    report.goal(
        &format!("{name}: from the configuration file to the first task in the queue"),
        &format!("{load:.1} s ({:.1} s of CPU)", found.load_cpu.as_secs_f64()),
        "≤ 10 s",
        load <= 10.0,
    );
    let memory = mebibytes(found.memory);
    let peak = mebibytes(found.peak);
    report.goal(
        &format!("{name}: memory, dispatching"),
        &format!("{memory:.0} MiB RSS (peak while loading {peak:.0} MiB)"),
        "≤ 1024 MiB",
        memory <= 1024.0,
    );
    let Dispatching { p50, p99, most, .. } = found;
    report.goal(
        &format!(
            "{name}: slot → task out of the queue, p99 at {:.0} tasks/s",
            found.per_second
        ),
        &format!("{p99:.1} ms (p50 {p50:.1}, most {most:.1})"),
        "≤ 50 ms",
        *p99 <= 50.0,
    );
    say(format!(
        "  CPU per task, sealed, published to a queue in memory and taken out again: {:.1} µs",
        micros(found.cpu_per_task)
    ));
}

impl Tick {
    fn per_task(&self) -> f64 {
        micros(self.cpu) / self.due
    }
}

async fn write(file: &Path, count: u32) -> anyhow::Result<()> {
    let template = (*check("http://127.0.0.1:9/health", None)?.monitor).clone();
    let monitors = (0..count).map(|n| {
        let mut monitor = template.clone();
        monitor.id = MonitorId::new(&format!("monitor-{n}"))?;
        monitor.name = format!("Monitor {n}");
        monitor.interval = INTERVAL;
        anyhow::Ok(monitor)
    });
    let monitors = monitors.collect::<Result<Vec<_>, _>>()?;
    let store = LibsqlStore::open(file, SealingKeys::none()).await?;
    store
        .replace_monitors(&WorkspaceId::local(), &monitors)
        .await?;
    Ok(())
}

/// The main of the schedule's own process: its findings are the one line that it prints.
pub(crate) async fn serve(file: &str) -> anyhow::Result<()> {
    let file = Path::new(file);
    let dispatching = lateness::dispatch(file, DISPATCHING).await?;
    let store = LibsqlStore::open(file, SealingKeys::none()).await?;
    let changes = store.changes(None).await?;
    let template = changes.changed.first().context("the store is empty")?;
    let template = template.unpack();
    let now = SystemClock.now();
    let mut schedule = Schedule::new(&[], now);
    schedule.apply(changes);
    let monitors = schedule.len();

    // One after the other: each of them is as large as the first.
    let first = tick(&mut schedule, INTERVAL, now);
    let planned_per_second = planned(&mut schedule, now + TICK * TICKS);
    drop(schedule);
    let count = u32::try_from(monitors)?;
    let others = [
        (count / 10, INTERVAL / 10),
        (count / 10, INTERVAL),
        (count, INTERVAL * 10),
    ];
    let mut ticks = vec![first];
    for (count, interval) in others {
        let mut schedule = schedule_of(&template, count, interval, now)?;
        ticks.push(tick(&mut schedule, interval, now));
    }
    let found = Found {
        monitors,
        dispatching,
        planned_per_second,
        ticks,
    };
    say(serde_json::to_string(&found)?);
    Ok(())
}

fn schedule_of(
    template: &Monitor,
    count: u32,
    interval: Duration,
    now: Timestamp,
) -> anyhow::Result<Schedule> {
    let monitors = (0..count).map(|n| {
        let mut monitor = template.clone();
        monitor.id = MonitorId::new(&format!("monitor-{n}"))?;
        monitor.interval = interval;
        anyhow::Ok(Arc::new(monitor))
    });
    let monitors = monitors.collect::<Result<Vec<_>, _>>()?;
    Ok(Schedule::new(&monitors, now))
}

/// The mean of [`TICKS`] ticks from `now` on, in simulated time.
fn tick(schedule: &mut Schedule, interval: Duration, now: Timestamp) -> Tick {
    let (begin, mut due) = (own_cpu(), 0);
    for n in 1..=TICKS {
        due += schedule.advance(now + TICK * n).due.len();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    Tick {
        monitors: schedule.len(),
        interval,
        due: due as f64 / f64::from(TICKS),
        cpu: own_cpu().saturating_sub(begin) / TICKS,
    }
}

/// Tasks per second of wall time, planned a second of simulated time at once: an interval of every monitor.
fn planned(schedule: &mut Schedule, from: Timestamp) -> f64 {
    let (begin, mut due) = (Instant::now(), 0);
    for second in 1..=u32::try_from(INTERVAL.as_secs()).unwrap_or(u32::MAX) {
        let plan = schedule.advance(from + Duration::from_secs(1) * second);
        due += plan.due.len();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown without decimals")]
    let due = due as f64;
    due / begin.elapsed().as_secs_f64()
}
