//! What happens meanwhile: backlog, redeliveries, memory and CPU of every process over time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Checker;
use crate::backlog::{Backlog, Waiting};
use crate::figures::say;
use crate::fleet::Role;
use crate::processes::Usage;
use crate::report::mebibytes;

/// Nothing waits for so long: then nothing is on its way either. Longer than a results batch or an insert takes.
const CALM: Duration = Duration::from_secs(10);

pub(super) struct Watch {
    backlog: Backlog,
    begin: Instant,
    most: Waiting,
    /// Of the running process of each checker; what earlier ones had is in `redelivered`.
    current: BTreeMap<String, f64>,
    redelivered: f64,
    rows: f64,
    dead: f64,
    kills: u32,
    last: BTreeMap<String, Usage>,
    last_minute: Instant,
    memory: BTreeMap<String, (u64, u64)>,
}

impl Watch {
    pub(super) fn new(backlog: Backlog) -> Self {
        Self {
            backlog,
            begin: Instant::now(),
            most: Waiting::default(),
            current: BTreeMap::new(),
            redelivered: 0.0,
            rows: 0.0,
            dead: 0.0,
            kills: 0,
            last: BTreeMap::new(),
            last_minute: Instant::now(),
            memory: BTreeMap::new(),
        }
    }

    pub(super) async fn look(&mut self, checkers: &[Checker]) -> anyhow::Result<()> {
        self.most = self.most.max(self.backlog.now().await?);
        for checker in checkers {
            // A checker that is too busy to tell is asked again.
            if let Some(role) = &checker.role
                && let Ok(redelivered) = role.metric("sonde_checker_redelivered_tasks_total").await
            {
                self.current.insert(checker.name.clone(), redelivered);
            }
        }
        Ok(())
    }

    /// A checker is about to be killed, and its counters with it.
    pub(super) fn forget(&mut self, name: &str) {
        self.kills += 1;
        self.redelivered += self.current.remove(name).unwrap_or(0.0);
    }

    pub(super) fn header() {
        say(
            "| minute | process: CPU in cores, memory in MiB … | most waiting: tasks, results messages, dead |",
        );
        say("|---|---|---|");
    }

    pub(super) fn minute(&mut self, processes: Vec<(String, Usage)>) {
        let seconds = self.last_minute.elapsed().as_secs_f64();
        self.last_minute = Instant::now();
        let shown = processes.into_iter().map(|(name, usage)| {
            let before = self.last.insert(name.clone(), usage).unwrap_or_default();
            // A new process begins at nothing.
            let cpu = usage.cpu.checked_sub(before.cpu).unwrap_or(usage.cpu);
            let cores = cpu.as_secs_f64() / seconds;
            let (first, most) = self.memory.entry(name.clone()).or_insert((usage.memory, 0));
            *first = (*first).min(usage.memory);
            *most = (*most).max(usage.memory);
            format!("{name}: {cores:.2}, {:.0}", mebibytes(usage.memory))
        });
        let shown: Vec<_> = shown.collect();
        let minute = self.begin.elapsed().as_secs() / 60;
        let Waiting {
            tasks,
            results,
            dead,
        } = self.most;
        say(format!(
            "| {minute} | {} | {tasks}, {results}, {dead} |",
            shown.join("; ")
        ));
    }

    /// Waits until nothing has waited for a while; how long that took.
    pub(super) async fn settle(&self, at_most: Duration) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let mut calm = begin;
        while calm.elapsed() < CALM {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let waiting = self.backlog.now().await?;
            if waiting.total() > 0 {
                calm = Instant::now();
            }
            anyhow::ensure!(
                begin.elapsed() < at_most,
                "nothing settles: {waiting:?} still wait after {at_most:?}"
            );
        }
        Ok(begin.elapsed())
    }

    /// The counters of those who have not been killed since.
    pub(super) async fn last_metrics(
        &mut self,
        checkers: &[Checker],
        ingesters: &[Role],
    ) -> anyhow::Result<()> {
        self.look(checkers).await?;
        self.redelivered += std::mem::take(&mut self.current).into_values().sum::<f64>();
        for ingester in ingesters {
            self.rows += ingester.metric("sonde_ingester_rows_total").await?;
            self.dead += ingester.metric("sonde_ingester_dead_letters_total").await?;
        }
        Ok(())
    }

    /// Inserted by the ingesters, duplicates and all.
    pub(super) fn rows(&self) -> f64 {
        self.rows
    }

    pub(super) fn report(&self) {
        let Waiting {
            tasks,
            results,
            dead,
        } = self.most;
        say(format!(
            "\ncheckers killed: {}; tasks delivered again: {:.0}; dead letters: {:.0}",
            self.kills, self.redelivered, self.dead
        ));
        say(format!(
            "most waiting at once: {tasks} tasks, {results} results messages, {dead} dead letters"
        ));
        say("| process | memory at minutes, least and most |");
        say("|---|---|");
        for (name, (least, most)) in &self.memory {
            let (least, most) = (mebibytes(*least), mebibytes(*most));
            say(format!("| {name} | {least:.0} MiB, {most:.0} MiB |"));
        }
    }
}
