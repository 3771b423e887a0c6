//! The whole pipeline on this machine, against the least that it could cost, and each of its roles at its limits.

mod checker;
mod lateness;
mod limit;
mod proxy;
pub(crate) mod schedule;
mod throughput;

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::figures::{micros, say};
use crate::fleet::Components;
use crate::report::Report;
use crate::target::Target;

use self::limit::Limit;
use self::throughput::{Pipeline, Step};

const GOAL_PER_SECOND: u32 = 4_000;

/// What is measured, and for how long.
struct Options {
    quick: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Limit,
    Throughput,
    Memory,
    Start,
    Dispatcher,
}

pub(crate) async fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let options = Options::parse(arguments)?;
    let (begin, mut report) = (Instant::now(), Report::default());
    say(format!("load of the machine before: {}", load()));
    if options.has(Part::Dispatcher) {
        say("\n## Dispatcher");
        let monitors = if options.quick { 100_000 } else { 1_000_000 };
        schedule::run(monitors, &mut report).await?;
    }
    if options.parts.iter().any(|part| *part != Part::Dispatcher) {
        let components = Components::start().await?;
        let target = Target::start().await?;
        if options.has(Part::Start) {
            say("\n## Checker start");
            let rounds = if options.quick { 5 } else { 20 };
            checker::start(&components, &target, rounds, &mut report).await?;
        }
        if options.has(Part::Memory) {
            say("\n## Checker memory");
            let time = Duration::from_secs(if options.quick { 10 } else { 20 });
            checker::memory(&components, &target, time, &mut report).await?;
        }
        let mut sustained = None;
        if options.has(Part::Throughput) {
            sustained = throughput(&options, &components, &target, &mut report).await?;
        }
        if options.has(Part::Throughput) || options.has(Part::Limit) {
            let bare = bare_limit(&options, &components, &target).await?;
            if let Some(step) = sustained {
                compare(&step, &bare);
            }
        }
    }
    report.finish();
    let (seconds, load) = (begin.elapsed().as_secs(), load());
    say(format!(
        "\nmeasured in {seconds} s; load of the machine after: {load}"
    ));
    Ok(())
}

/// Of the last one, five and fifteen minutes: what runs beside the benchmark makes its figures worse.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

async fn bare_limit(
    options: &Options,
    components: &Components,
    target: &Target,
) -> anyhow::Result<Limit> {
    let time = Duration::from_secs(if options.quick { 5 } else { 10 });
    say("\n## The bare limit: consume, publish and acknowledge, and nothing else");
    let bare = limit::measure(components, target, false, time).await?;
    let asking = limit::measure(components, target, true, time).await?;
    say("| loop | tasks/s | CPU per task: loop | broker | target | together |");
    say("|---|---|---|---|---|---|");
    show_limit("queues only", &bare);
    show_limit("with a bare HTTP request", &asking);
    Ok(asking)
}

async fn throughput(
    options: &Options,
    components: &Components,
    target: &Target,
    report: &mut Report,
) -> anyhow::Result<Option<Step>> {
    say("\n## Throughput");
    let pipeline = Pipeline::start(components, target).await?;
    let seconds = Duration::from_secs;
    let steps = if options.quick {
        throughput::Options {
            step: seconds(10),
            sustained: seconds(20),
            first: 2_000,
            most: 4_000,
            halvings: 1,
            at_most: seconds(60),
        }
    } else {
        throughput::Options {
            step: seconds(20),
            sustained: seconds(60),
            first: 2_000,
            most: 8_000,
            halvings: 2,
            at_most: seconds(300),
        }
    };
    let sustained = pipeline.climb(&steps).await?;
    let (what, goal) = (
        "whole pipeline, sustained with the backlog flat",
        "≥ 4,000 checks/s",
    );
    let Some(step) = sustained else {
        report.goal(what, "no rate was sustained", goal, false);
        return Ok(None);
    };
    report.goal(
        what,
        &format!("{} checks/s for {} s", step.rate, step.window.as_secs()),
        goal,
        step.rate >= GOAL_PER_SECOND && step.window >= steps.sustained,
    );
    step.show_cpu();
    Ok(Some(step))
}

fn show_limit(name: &str, limit: &Limit) {
    let [own, broker, target, all] =
        [limit.own, limit.broker, limit.target, limit.cpu()].map(micros);
    say(format!(
        "| {name} | {:.0} | {own:.0} µs | {broker:.0} µs | {target:.0} µs | {all:.0} µs |",
        limit.per_second
    ));
}

fn compare(step: &Step, bare: &Limit) {
    say(format!(
        "against the bare loop with its HTTP request: {:.2} × its CPU per check, {:.2} of its rate",
        micros(step.total_cpu()) / micros(bare.cpu()),
        f64::from(step.rate) / bare.per_second
    ));
}

impl Options {
    fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            quick: false,
            parts: Vec::new(),
        };
        for argument in arguments {
            options.parts.push(match *argument {
                "--quick" => {
                    options.quick = true;
                    continue;
                }
                "limit" => Part::Limit,
                "throughput" => Part::Throughput,
                "memory" => Part::Memory,
                "start" => Part::Start,
                "dispatcher" => Part::Dispatcher,
                other => bail!(
                    "expected --quick, limit, throughput, memory, start or dispatcher, got `{other}`"
                ),
            });
        }
        if options.parts.is_empty() {
            options.parts = vec![
                Part::Throughput,
                Part::Memory,
                Part::Start,
                Part::Dispatcher,
            ];
        }
        Ok(options)
    }

    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}
