//! A fleet for minutes, with a checker killed every minute: afterwards every slot must be accounted for, exactly once.

mod proof;
mod watch;

use std::time::Duration;

use anyhow::{bail, ensure};
use sonde_core::{Clock as _, SystemClock};
use sonde_tests::sonde::Running;
use tokio::time::{Instant, MissedTickBehavior};

use crate::backlog::Backlog;
use crate::figures::say;
use crate::fleet::{Components, Fleet, Role, configuration};
use crate::target::Target;

use self::watch::Watch;

const INTERVAL: Duration = Duration::from_secs(5);
/// How often a checker is killed.
const KILL: Duration = Duration::from_mins(1);
/// How long it stays away: what a supervisor takes to notice.
const AWAY: Duration = Duration::from_secs(2);
/// Until everything that was scheduled has become a row: a dead letter may wait for a minute.
const SETTLE: Duration = Duration::from_mins(4);

struct Options {
    minutes: u64,
    rate: u32,
    regions: usize,
    ingesters: usize,
}

/// One checker that may be away.
struct Checker {
    name: String,
    region: String,
    role: Option<Role>,
}

pub(crate) async fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let options = Options::parse(arguments)?;
    let regions: Vec<_> = ["east", "west"].into_iter().take(options.regions).collect();
    let (components, target) = (Components::start().await?, Target::start().await?);
    let fleet = Fleet::create(&components, &regions.join(",")).await?;
    // Every region executes every monitor.
    let monitors =
        options.rate * u32::try_from(INTERVAL.as_secs())? / u32::try_from(options.regions)?;
    let url = format!("http://{}/health", target.http);
    fleet
        .load(&configuration(monitors, &regions.join(", "), &url))
        .await?;

    let mut checkers = Vec::new();
    for n in 0..2 {
        let (name, region) = (
            format!("checker-{n}"),
            regions[n % regions.len()].to_owned(),
        );
        let role = Some(fleet.start("checker", &name, &region).await?);
        checkers.push(Checker { name, region, role });
    }
    let mut ingesters = Vec::new();
    for n in 0..options.ingesters {
        let name = format!("ingester-{n}");
        ingesters.push(fleet.start("ingester", &name, regions[0]).await?);
    }
    let mut dispatchers = Vec::new();
    for n in 0..2 {
        let name = format!("dispatcher-{n}");
        dispatchers.push(fleet.start("dispatcher", &name, regions[0]).await?);
    }
    say(format!(
        "{monitors} monitors every {INTERVAL:?} in {}: {} checks/s for {} min; 2 checkers, one killed a minute; 2 dispatchers, {} ingesters",
        regions.join(" and "),
        options.rate,
        options.minutes,
        options.ingesters
    ));
    let begin = SystemClock.now();
    let backlog = Backlog::of(&fleet.amqp).await?;
    let mut watch = Watch::new(backlog);
    Watch::header();
    let time = Duration::from_secs(60 * options.minutes);
    let mut hurt = Hurt {
        fleet: &fleet,
        components: &components,
        target: &target,
        dispatchers: &dispatchers,
        ingesters: &ingesters,
    };
    hurt.run(&mut checkers, &mut watch, time).await?;

    say("stopping dispatch");
    for dispatcher in dispatchers {
        stop(dispatcher.running).await?;
    }
    let settled = watch.settle(SETTLE).await?;
    say(format!("settled after {} s", settled.as_secs()));
    watch.last_metrics(&checkers, &ingesters).await?;
    watch.report();
    let proven = proof::prove(&fleet, begin, INTERVAL, watch.rows()).await;
    for checker in checkers
        .into_iter()
        .filter_map(|it| it.role)
        .chain(ingesters)
    {
        stop(checker.running).await?;
    }
    proven
}

async fn stop(running: Running) -> anyhow::Result<()> {
    let log = running.log();
    let status = running.terminate().await;
    ensure!(
        status.success(),
        "a role ended with {status}; it said:\n{log}"
    );
    Ok(())
}

/// What is running while the checkers are being killed.
struct Hurt<'a> {
    fleet: &'a Fleet,
    components: &'a Components,
    target: &'a Target,
    dispatchers: &'a [Role],
    ingesters: &'a [Role],
}

impl Hurt<'_> {
    /// Kills the one and the other in turn, every minute, and looks at everybody meanwhile.
    async fn run(
        &mut self,
        checkers: &mut [Checker],
        watch: &mut Watch,
        time: Duration,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Half a minute in, so that each minute's figures are of both states.
        let (mut kill_at, mut turn, mut show_at) = (begin + KILL / 2, 0, begin + KILL);
        while begin.elapsed() < time {
            ticks.tick().await;
            watch.look(checkers).await?;
            if Instant::now() >= kill_at {
                kill_at += KILL;
                let count = checkers.len();
                self.kill(&mut checkers[turn % count], watch).await?;
                turn += 1;
            }
            if Instant::now() >= show_at {
                show_at += KILL;
                self.show(checkers, watch);
            }
        }
        Ok(())
    }

    async fn kill(&self, checker: &mut Checker, watch: &mut Watch) -> anyhow::Result<()> {
        watch.forget(&checker.name);
        if let Some(role) = checker.role.take() {
            role.running.kill().await;
        }
        tokio::time::sleep(AWAY).await;
        let role = self.fleet.start("checker", &checker.name, &checker.region);
        checker.role = Some(role.await?);
        Ok(())
    }

    fn show(&self, checkers: &[Checker], watch: &mut Watch) {
        let mut processes = vec![
            ("broker".to_owned(), self.components.broker_usage()),
            ("engine".to_owned(), self.components.engine_usage()),
            ("primary".to_owned(), self.fleet.libsql_usage()),
            (
                "target".to_owned(),
                crate::processes::usage(self.target.pid()),
            ),
        ];
        for (n, role) in self.dispatchers.iter().enumerate() {
            processes.push((format!("dispatcher-{n}"), role.usage()));
        }
        for (n, role) in self.ingesters.iter().enumerate() {
            processes.push((format!("ingester-{n}"), role.usage()));
        }
        for checker in checkers {
            let usage = checker.role.as_ref().map(Role::usage);
            processes.push((checker.name.clone(), usage.unwrap_or_default()));
        }
        watch.minute(processes);
    }
}

impl Options {
    fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            minutes: 30,
            rate: 1000,
            regions: 1,
            ingesters: 1,
        };
        for pair in arguments.chunks(2) {
            match pair {
                ["--minutes", minutes] => options.minutes = minutes.parse()?,
                ["--rate", rate] => options.rate = rate.parse()?,
                ["--regions", regions] => options.regions = regions.parse()?,
                ["--ingesters", ingesters] => options.ingesters = ingesters.parse()?,
                _ => bail!(
                    "expected --minutes M, --rate CHECKS_PER_SECOND, --regions 1|2 or --ingesters 1|2, got {pair:?}"
                ),
            }
        }
        ensure!((1..=2).contains(&options.regions), "--regions is 1 or 2");
        ensure!(
            (1..=2).contains(&options.ingesters),
            "--ingesters is 1 or 2"
        );
        Ok(options)
    }
}
