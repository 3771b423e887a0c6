//! The proof that nothing was lost and nothing counts twice, over everything that a fleet did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use sonde_core::{Cadence, Clock as _, MonitorId, SystemClock, Timestamp, WorkspaceId};

use super::{Fleet, PATIENCE};
use crate::wait::comes_within;

/// How many differences a message names.
const EXAMPLES: usize = 5;

/// What became due just before the monitors were removed may rightly never be dispatched.
const LATENESS: Duration = Duration::from_secs(1);

/// What became of all scheduled checks, once the books balance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// By outcome, and `outcome/reason` where there is one.
    pub counts: BTreeMap<String, u64>,
    /// The same of each region: `region/outcome`.
    pub regions: BTreeMap<String, u64>,
    /// Some of the checks that failed, for messages.
    pub failed: Vec<String>,
}

impl Accounts {
    pub fn count(&self, outcome: &str) -> u64 {
        self.counts.get(outcome).copied().unwrap_or_default()
    }

    /// Of one region.
    pub fn in_region(&self, region: &str, outcome: &str) -> u64 {
        let key = format!("{region}/{outcome}");
        self.regions.get(&key).copied().unwrap_or_default()
    }
}

/// One check as the store has it after merging.
struct Row {
    monitor: String,
    region: String,
    slot: i64,
    outcome: String,
    reason: String,
    /// How it went, for messages.
    course: String,
}

impl Fleet {
    /// Removes all monitors, waits until everything that is under way has arrived, and proves that every slot since all
    /// processes were ready is accounted for exactly once.
    ///
    /// Panics with what is wrong. `poison` messages are expected to have been set aside.
    pub async fn settle(&mut self, poison: u64) -> Accounts {
        let until = SystemClock.now() - LATENESS;
        self.configure(0).await;

        let mut verdict = Err("nothing was looked at".to_owned());
        comes_within(PATIENCE, async || {
            verdict = self.accounts(until, poison).await;
            verdict.is_ok()
        })
        .await;
        let members = self.dispatchers.iter_mut().chain(&mut self.checkers);
        let others = self.ingesters.iter_mut().chain(&mut self.alerters);
        for member in members.chain(others) {
            let name = member.name.clone();
            assert_eq!(member.died(), None, "{name} ended by itself");
            let log = member.log();
            assert!(!log.contains("panicked at"), "{name}:\n{log}");
        }
        verdict.unwrap_or_else(|problem| unreachable!("{problem}{}", self.logs()))
    }

    /// The proof itself, at this moment.
    pub async fn accounts(&self, until: Timestamp, poison: u64) -> Result<Accounts, String> {
        self.queues_are_empty(poison).await?;
        let rows = self.rows().await?;
        self.every_slot_has_a_row(&rows, until)?;
        self.ledger_balances(&rows).await?;
        self.rollups_equal(&rows).await?;
        let mut accounts = Accounts::default();
        for row in &rows {
            let with_reason = format!("{}/{}", row.outcome, row.reason);
            let in_region = format!("{}/{}", row.region, row.outcome);
            *accounts.counts.entry(row.outcome.clone()).or_default() += 1;
            if !row.reason.is_empty() {
                *accounts.counts.entry(with_reason).or_default() += 1;
            }
            *accounts.regions.entry(in_region).or_default() += 1;
            if row.outcome == "failed" && accounts.failed.len() < EXAMPLES {
                accounts
                    .failed
                    .push(format!("{:?} {}", row.key(), row.course));
            }
        }
        Ok(accounts)
    }

    async fn queues_are_empty(&self, poison: u64) -> Result<(), String> {
        let mut aside = 0;
        for (name, messages) in self.amqp.queues().await {
            match name.as_str() {
                // The last watermark stays.
                "dispatcher.watermark" => {}
                "results.poison" => aside = messages,
                _ if messages > 0 => return Err(format!("{messages} messages in {name}")),
                _ => {}
            }
        }
        if aside == poison {
            return Ok(());
        }
        let found = self.amqp.look("results.poison", EXAMPLES).await;
        Err(format!(
            "{aside} messages set aside, not {poison}: {found:?}"
        ))
    }

    /// What the public view shows: exactly one row per check.
    async fn rows(&self) -> Result<Vec<Row>, String> {
        let found = self.clickhouse.rows(
            "SELECT monitor, region, toUnixTimestamp64Micro(slot) AS slot_us, toString(outcome) AS outcome, \
             toString(reason) AS reason, concat('started ', toString(started_at), ', took ', toString(total_us), \
             ' us: ', message) AS course FROM sonde_checks WHERE trigger = 'schedule' ORDER BY monitor, region, slot",
        );
        let rows: Vec<_> = found.await.iter().map(Row::read).collect();
        let twice: Vec<_> = rows
            .windows(2)
            .filter(|pair| pair[0].key() == pair[1].key())
            .map(|pair| {
                format!(
                    "{:?} {}/{}",
                    pair[0].key(),
                    pair[0].outcome,
                    pair[1].outcome
                )
            })
            .collect();
        nothing("checks with two rows", &twice)?;
        Ok(rows)
    }

    /// The rows of each monitor and region are all its slots, from the first to the last.
    fn every_slot_has_a_row(&self, rows: &[Row], until: Timestamp) -> Result<(), String> {
        let mut slots: BTreeMap<(String, String), BTreeSet<i64>> = BTreeMap::new();
        for row in rows {
            let key = (row.monitor.clone(), row.region.clone());
            slots.entry(key).or_default().insert(row.slot);
        }
        let mut wrong = Vec::new();
        for n in 0..self.options.monitors {
            let monitor = format!("m{n}");
            for region in &self.options.regions {
                let found = slots.remove(&(monitor.clone(), (*region).to_owned()));
                let found = found.unwrap_or_default();
                let from = if n < self.original {
                    self.dispatched_from
                } else {
                    until
                };
                let expected = self.expected(&monitor, &found, from, until);
                let different = expected.symmetric_difference(&found);
                wrong.extend(different.map(|slot| {
                    let slot = Timestamp::from_micros(*slot);
                    format!("{monitor} {region} {slot}")
                }));
            }
        }
        nothing("slots without a row, or rows without a slot", &wrong)?;
        let strangers: Vec<_> = slots.keys().map(|key| format!("{key:?}")).collect();
        nothing("rows of monitors that do not exist", &strangers)
    }

    /// All slots of a monitor between two instants: what was dispatched before or after them counts
    /// too.
    fn expected(
        &self,
        monitor: &str,
        found: &BTreeSet<i64>,
        from: Timestamp,
        until: Timestamp,
    ) -> BTreeSet<i64> {
        let id = MonitorId::new(monitor).expect("a slug");
        let cadence = Cadence::new(&WorkspaceId::local(), &id, self.options.interval);
        let first = found.first().copied().unwrap_or(i64::MAX);
        let first = first.min(from.as_micros());
        let end = found.last().map_or(0, |slot| slot + 1);
        let end = end.max(until.as_micros());
        let slots = cadence.between(Timestamp::from_micros(first), Timestamp::from_micros(end));
        slots.map(Timestamp::as_micros).collect()
    }

    /// By our own arithmetic over the stable views, and by the command that anyone can run.
    async fn ledger_balances(&self, rows: &[Row]) -> Result<(), String> {
        let scheduled = self.clickhouse.rows(
            "SELECT region, toUnixTimestamp(minute) AS minute_s, sum(scheduled) AS n FROM sonde_ledger \
             GROUP BY region, minute_s",
        );
        let mut difference: BTreeMap<(String, i64), i64> = BTreeMap::new();
        for entry in scheduled.await {
            let key = (text(&entry, "region"), number(&entry, "minute_s"));
            *difference.entry(key).or_default() += number(&entry, "n");
        }
        for row in rows {
            let key = (row.region.clone(), row.slot / 60_000_000 * 60);
            *difference.entry(key).or_default() -= 1;
        }
        let wrong: Vec<_> = difference
            .into_iter()
            .filter(|(_, difference)| *difference != 0)
            .map(|((region, minute), difference)| {
                let minute = Timestamp::UNIX_EPOCH + Duration::from_secs(minute.unsigned_abs());
                format!("{region} {minute}: {difference:+}")
            })
            .collect();
        nothing(
            "minutes with more (+) or less (-) scheduled than rows",
            &wrong,
        )?;

        let output = self.run(["ledger", "--format", "json"]).await;
        let ledger: Value = serde_json::from_str(&output.stdout)
            .map_err(|error| format!("sonde ledger: {error} {output:?}"))?;
        if output.code != Some(0) || ledger["balanced"] != true {
            return Err(format!("sonde ledger: {output:?}"));
        }
        if ledger["gaps"] != Value::Array(Vec::new()) {
            return Err(format!("gaps: {}", ledger["gaps"]));
        }
        Ok(())
    }

    /// The counts of the rollups are those of the rows.
    async fn rollups_equal(&self, rows: &[Row]) -> Result<(), String> {
        const OUTCOMES: [&str; 4] = ["ok", "degraded", "failed", "missed"];
        const BUCKET: i64 = 15 * 60;
        let sums = OUTCOMES.map(|outcome| format!("sum({outcome}) AS n_{outcome}"));
        let sql = format!(
            "SELECT monitor, region, toUnixTimestamp(bucket) AS bucket_s, {} FROM sonde_rollup_15m \
             GROUP BY monitor, region, bucket_s",
            sums.join(", ")
        );
        let mut difference: BTreeMap<_, i64> = BTreeMap::new();
        for entry in self.clickhouse.rows(&sql).await {
            for outcome in OUTCOMES {
                let key = (
                    text(&entry, "monitor"),
                    text(&entry, "region"),
                    number(&entry, "bucket_s"),
                    outcome.to_owned(),
                );
                *difference.entry(key).or_default() += number(&entry, &format!("n_{outcome}"));
            }
        }
        for row in rows {
            let bucket = row.slot / (BUCKET * 1_000_000) * BUCKET;
            let key = (
                row.monitor.clone(),
                row.region.clone(),
                bucket,
                row.outcome.clone(),
            );
            *difference.entry(key).or_default() -= 1;
        }
        let wrong: Vec<_> = difference
            .into_iter()
            .filter(|(_, difference)| *difference != 0)
            .map(|(key, difference)| format!("{key:?}: {difference:+}"))
            .collect();
        nothing("rollups with more (+) or less (-) than rows", &wrong)
    }
}

impl Row {
    fn read(row: &Value) -> Self {
        Self {
            monitor: text(row, "monitor"),
            region: text(row, "region"),
            slot: number(row, "slot_us"),
            outcome: text(row, "outcome"),
            reason: text(row, "reason"),
            course: text(row, "course"),
        }
    }

    fn key(&self) -> (&str, &str, Timestamp) {
        let slot = Timestamp::from_micros(self.slot);
        (&self.monitor, &self.region, slot)
    }
}

fn text(row: &Value, column: &str) -> String {
    row[column].as_str().unwrap_or_default().to_owned()
}

fn number(row: &Value, column: &str) -> i64 {
    let number = row[column].as_i64();
    number.unwrap_or_else(|| unreachable!("`{column}` of {row} is no number"))
}

fn nothing(what: &str, found: &[String]) -> Result<(), String> {
    if found.is_empty() {
        return Ok(());
    }
    let examples = &found[..found.len().min(EXAMPLES)];
    Err(format!("{} {what}: {}", found.len(), examples.join("; ")))
}
