//! How many checks a second go through the whole pipeline with the backlog flat: the real dispatcher, checker and
//! ingester, a real target, and everything that they need, on this machine.

use std::time::Duration;

use anyhow::Context as _;
use sonde_core::{Clock as _, SystemClock, Timestamp};
use tokio::time::Instant;

use crate::backlog::{Backlog, Waiting};
use crate::figures::{machine_cpu, micros, say};
use crate::fleet::{Components, Fleet, Role, configuration};
use crate::processes;
use crate::target::Target;

const REGION: &str = "bench";
/// Each of whose monitors is due once.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_millis(500);
/// A rate that does not come to flow evenly within this is measured as it is.
const UNSETTLED_AT_MOST: Duration = Duration::from_secs(30);
/// How much longer the last third's work may wait than the first third's: half a second of it.
const GROWTH: f64 = 0.5;

/// Rates that are tried for the longer time, each a tenth below the one before.
const CONFIRMATIONS: u32 = 3;

/// How long each step is measured, a multiple of [`INTERVAL`], and where to begin.
pub(crate) struct Options {
    pub(crate) step: Duration,
    pub(crate) sustained: Duration,
    pub(crate) first: u32,
    pub(crate) most: u32,
    /// Halvings of the interval in which the limit lies.
    pub(crate) halvings: u32,
    /// No step begins later than this.
    pub(crate) at_most: Duration,
}

pub(crate) struct Pipeline<'a> {
    components: &'a Components,
    target: &'a Target,
    fleet: Fleet,
    dispatcher: Role,
    checker: Role,
    ingester: Role,
    backlog: Backlog,
}

/// What one rate came to.
pub(crate) struct Step {
    pub(crate) rate: u32,
    /// Per second, of the slots in the window.
    pub(crate) executed: f64,
    pub(crate) missed: u64,
    pub(crate) flat: bool,
    /// CPU per executed check, by process.
    pub(crate) cpu: Vec<(&'static str, Duration)>,
    /// Mean of the first and the last third.
    waiting: (f64, f64),
    most: Waiting,
    pub(crate) window: Duration,
    /// What anything else on the machine took meanwhile, in cores.
    others: f64,
    lag: Lag,
}

/// From the slot to the start of the probe, in milliseconds.
#[derive(Default)]
struct Lag {
    p50: f64,
    p99: f64,
}

impl<'a> Pipeline<'a> {
    pub(crate) async fn start(
        components: &'a Components,
        target: &'a Target,
    ) -> anyhow::Result<Self> {
        let fleet = Fleet::create(components, REGION).await?;
        fleet.load(&configuration(1, REGION, &url(target))).await?;
        let dispatcher = fleet.start("dispatcher", "dispatcher", REGION).await?;
        let checker = fleet.start("checker", "checker", REGION).await?;
        let ingester = fleet.start("ingester", "ingester", REGION).await?;
        let backlog = Backlog::of(&fleet.amqp).await?;
        Ok(Self {
            components,
            target,
            fleet,
            dispatcher,
            checker,
            ingester,
            backlog,
        })
    }

    /// The highest rate that is sustained: doubled until one is not, then halved in between, then tried for longer. A
    /// rate that held for a short step only is better than none.
    pub(crate) async fn climb(mut self, options: &Options) -> anyhow::Result<Option<Step>> {
        say(
            "| checks/s wanted | executed/s | missed | waiting first, last | most tasks, results messages, dead letters | slot to probe p50, p99 | cores of others | |",
        );
        say("|---|---|---|---|---|---|---|---|");
        let begin = Instant::now();
        let (mut best, mut bad, mut rate): (Option<Step>, _, _) = (None, None, options.first);
        let mut halvings = 0;
        while rate <= options.most && begin.elapsed() < options.at_most {
            let step = self.attempt(rate, options.step).await?;
            if step.flat {
                best = Some(step);
            } else {
                bad = Some(rate);
            }
            let good = best.as_ref().map_or(0, |step| step.rate);
            rate = match bad {
                None => rate * 2,
                Some(bad) => round(u32::midpoint(good, bad)),
            };
            halvings += u32::from(bad.is_some());
            if halvings > options.halvings || rate == good {
                break;
            }
        }
        let mut rate = best.as_ref().map_or(0, |step| step.rate);
        for _ in 0..CONFIRMATIONS {
            if rate == 0 || begin.elapsed() > options.at_most {
                break;
            }
            let step = self.attempt(rate, options.sustained).await?;
            if step.flat {
                return Ok(Some(step));
            }
            rate = round(rate * 9 / 10);
        }
        Ok(best)
    }

    /// A step; after one that is not sustained on with a fleet that has nothing left over from it.
    async fn attempt(&mut self, rate: u32, window: Duration) -> anyhow::Result<Step> {
        let step = self.step(rate, window).await?;
        if !step.flat {
            *self = Self::start(self.components, self.target).await?;
        }
        Ok(step)
    }

    /// Runs `rate` checks a second for `window`, after they have come to flow evenly.
    async fn step(&self, rate: u32, window: Duration) -> anyhow::Result<Step> {
        let monitors = rate * u32::try_from(INTERVAL.as_secs())?;
        let file = configuration(monitors, REGION, &url(self.target));
        self.fleet.load(&file).await?;
        self.settle(monitors).await?;
        let from = SystemClock.now();
        let (cpu, machine, begin) = (self.cpu(), machine_cpu()?, Instant::now());
        let mut waiting = Vec::new();
        while begin.elapsed() < window {
            tokio::time::sleep_until(begin + SAMPLE * u32::try_from(waiting.len() + 1)?).await;
            waiting.push(self.backlog.now().await?);
        }
        let (after, machine) = (self.cpu(), machine_cpu()?.saturating_sub(machine));
        // The slots' deadlines pass, and the ingester stores what came of them.
        tokio::time::sleep(INTERVAL + Duration::from_secs(2)).await;
        let (executed, missed, lag) = self.stored(from, from + window).await?;
        let checks = u32::try_from(executed)?.max(1);
        let cpu = cpu.into_iter().zip(after);
        let cpu = cpu.map(|((name, before), (_, after))| (name, after.saturating_sub(before)));
        let cpu: Vec<_> = cpu.collect();
        let ours: Duration = cpu.iter().map(|(_, cpu)| *cpu).sum();
        let (first, last) = thirds(&waiting);
        let wanted = u64::from(rate) * window.as_secs();
        let step = Step {
            rate,
            executed: f64::from(checks) / window.as_secs_f64(),
            missed,
            flat: missed == 0
                && executed >= wanted * 99 / 100
                && last - first <= f64::from(rate) * GROWTH,
            cpu: cpu
                .into_iter()
                .map(|(name, cpu)| (name, cpu / checks))
                .collect(),
            window,
            others: machine.saturating_sub(ours).as_secs_f64() / window.as_secs_f64(),
            waiting: (first, last),
            most: waiting.into_iter().fold(Waiting::default(), Waiting::max),
            lag,
        };
        step.show();
        Ok(step)
    }

    /// Waits until the dispatcher has `monitors` and, for an interval, less than a second's tasks have been waiting.
    async fn settle(&self, monitors: u32) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut calm = begin;
        while calm.elapsed() < INTERVAL {
            tokio::time::sleep(SAMPLE).await;
            let has = self.dispatcher.metric("sonde_dispatcher_monitors").await?;
            let waiting = self.backlog.now().await?.total();
            let second = u64::from(monitors) / INTERVAL.as_secs();
            if (has - f64::from(monitors)).abs() > 0.5 || waiting > second {
                calm = Instant::now();
            }
            if begin.elapsed() > UNSETTLED_AT_MOST {
                say(format!(
                    "  ({has} monitors loaded, {waiting} messages waiting: not calm)"
                ));
                break;
            }
        }
        Ok(())
    }

    /// Executed and missed checks whose slot is in the window.
    async fn stored(&self, from: Timestamp, to: Timestamp) -> anyhow::Result<(u64, u64, Lag)> {
        let select = format!(
            "SELECT countIf(outcome != 'missed') AS executed, countIf(outcome = 'missed') AS missed, \
             quantileIf(0.5)(dateDiff('microsecond', slot, started_at), outcome != 'missed') AS p50, \
             quantileIf(0.99)(dateDiff('microsecond', slot, started_at), outcome != 'missed') AS p99 \
             FROM sonde_checks WHERE slot >= fromUnixTimestamp64Micro({}) AND slot < fromUnixTimestamp64Micro({})",
            from.as_micros(),
            to.as_micros()
        );
        let rows = self.fleet.rows(&select).await;
        let row = rows.first().context("the store says nothing")?;
        let number = |name: &str| row[name].as_u64().unwrap_or(0);
        let lag = |name: &str| row[name].as_f64().unwrap_or(0.0) / 1e3;
        let lag = Lag {
            p50: lag("p50"),
            p99: lag("p99"),
        };
        Ok((number("executed"), number("missed"), lag))
    }

    fn cpu(&self) -> Vec<(&'static str, Duration)> {
        vec![
            ("broker", self.components.broker_usage().cpu),
            ("dispatcher", self.dispatcher.usage().cpu),
            ("checker", self.checker.usage().cpu),
            ("ingester", self.ingester.usage().cpu),
            ("ClickHouse engine", self.components.engine_usage().cpu),
            ("libSQL primary", self.fleet.libsql_usage().cpu),
            ("target", processes::usage(self.target.pid()).cpu),
        ]
    }
}

impl Step {
    pub(crate) fn total_cpu(&self) -> Duration {
        self.cpu.iter().map(|(_, cpu)| *cpu).sum()
    }

    fn show(&self) {
        let (first, last) = self.waiting;
        let Waiting {
            tasks,
            results,
            dead,
        } = self.most;
        let Lag { p50, p99 } = self.lag;
        let verdict = if self.flat { "flat" } else { "not sustained" };
        say(format!(
            "| {} | {:.0} | {} | {first:.0}, {last:.0} | {tasks}, {results}, {dead} | {p50:.1} ms, {p99:.1} ms | {:.2} | {verdict} for {} s |",
            self.rate,
            self.executed,
            self.missed,
            self.others,
            self.window.as_secs()
        ));
    }

    /// Where a check's CPU goes.
    pub(crate) fn show_cpu(&self) {
        say("| process | CPU per check | share |");
        say("|---|---|---|");
        let total = micros(self.total_cpu());
        for (name, cpu) in &self.cpu {
            let cpu = micros(*cpu);
            say(format!(
                "| {name} | {cpu:.0} µs | {:.0} % |",
                100.0 * cpu / total
            ));
        }
        let cores = total * self.executed / 1e6;
        say(format!(
            "| together | {total:.0} µs | {cores:.2} cores at {:.0} checks/s |",
            self.executed
        ));
        say(format!(
            "two cores that do nothing else could carry {:.0} checks/s at that cost",
            2e6 / total
        ));
    }
}

fn url(target: &Target) -> String {
    format!("http://{}/health", target.http)
}

/// To a hundred, downwards.
fn round(rate: u32) -> u32 {
    rate / 100 * 100
}

/// The means of the first and the last third.
fn thirds(waiting: &[Waiting]) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "numbers of messages")]
    let mean = |part: &[Waiting]| {
        let total: u64 = part.iter().map(|waiting| waiting.total()).sum();
        total as f64 / part.len().max(1) as f64
    };
    let third = waiting.len() / 3;
    (
        mean(waiting.get(..third).unwrap_or_default()),
        mean(waiting.get(waiting.len() - third..).unwrap_or_default()),
    )
}
