//! The proof: `sonde ledger`, and beside it every slot counted in the store.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sonde_core::Timestamp;
use tokio::time::Instant;

use crate::figures::say;
use crate::fleet::Fleet;

/// Until the last rows are in the rollups.
const ROLLED_UP: Duration = Duration::from_mins(5);

/// `inserted` rows went into the store, however often.
pub(super) async fn prove(
    fleet: &Fleet,
    begin: Timestamp,
    interval: Duration,
    inserted: f64,
) -> anyhow::Result<()> {
    outcomes(fleet, inserted).await?;
    let scheduled = ledger(fleet).await?;
    let rows = slots(fleet, interval).await?;
    ensure!(
        scheduled == rows,
        "the ledger says {scheduled} checks, the slots counted are {rows}"
    );
    ensure!(rows > 0, "nothing was checked since {begin}");
    rollups(fleet).await?;
    say(format!(
        "every slot is accounted for: {rows} scheduled, {rows} merged rows, one per slot, none left out"
    ));
    Ok(())
}

/// Shows what came of the checks, and how often a check arrived twice.
async fn outcomes(fleet: &Fleet, inserted: f64) -> anyhow::Result<()> {
    let outcomes = "SELECT toString(outcome) AS outcome, toString(reason) AS reason, count() AS checks \
                    FROM sonde_checks GROUP BY outcome, reason ORDER BY checks DESC";
    say("| outcome | reason | checks |");
    say("|---|---|---|");
    for row in fleet.rows(outcomes).await {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        say(format!(
            "| {} | {} | {} |",
            text("outcome"),
            text("reason"),
            row["checks"]
        ));
    }
    let select = "SELECT count() AS checks FROM sonde_checks";
    let rows = fleet.rows(select).await;
    let checks = rows.first().and_then(|row| row["checks"].as_f64());
    let checks = checks.context("the store says nothing")?;
    say(format!(
        "checks: {checks}; rows inserted: {inserted}; duplicates merged: {}",
        inserted - checks
    ));
    Ok(())
}

/// The sum of what was scheduled, by a ledger that balances.
async fn ledger(fleet: &Fleet) -> anyhow::Result<u64> {
    let arguments = ["ledger", "--since", "1d", "--format", "json"];
    let output = fleet.command(&arguments).run().await;
    ensure!(
        output.code == Some(0),
        "the ledger does not balance:\n{}{}",
        output.stdout,
        output.stderr
    );
    let ledger: Value = serde_json::from_str(&output.stdout).context("the ledger is no JSON")?;
    let minutes = ledger["minutes"].as_array().context("no minutes")?;
    let gaps = ledger["gaps"].as_array().map_or(0, Vec::len);
    ensure!(gaps == 0, "the ledger has {gaps} gaps in dispatch");
    say(format!(
        "the ledger balances over {} minutes and regions",
        minutes.len()
    ));
    let scheduled = minutes.iter().map(|minute| minute["scheduled"].as_u64());
    scheduled
        .sum::<Option<u64>>()
        .context("a minute does not say what was scheduled")
}

/// Without the ledger: each monitor's slots follow each other at its interval, with exactly one row each.
async fn slots(fleet: &Fleet, interval: Duration) -> anyhow::Result<u64> {
    let select = format!(
        "SELECT count() AS series, sum(n) AS rows, sum(m) AS slots, countIf(n != m) AS twice, \
         countIf(m != intDiv(dateDiff('microsecond', first, last), {}) + 1) AS holes FROM \
         (SELECT count() AS n, uniqExact(slot) AS m, min(slot) AS first, max(slot) AS last \
         FROM sonde_checks GROUP BY workspace, monitor, region)",
        interval.as_micros()
    );
    let rows = fleet.rows(&select).await;
    let row = rows.first().context("the store says nothing")?;
    let number = |name: &str| {
        row[name]
            .as_u64()
            .with_context(|| format!("no {name}: {row}"))
    };
    say(format!(
        "{} monitors and regions, {} rows, {} slots; with a slot twice: {}, with a slot left out: {}",
        number("series")?,
        number("rows")?,
        number("slots")?,
        number("twice")?,
        number("holes")?
    ));
    ensure!(number("twice")? == 0, "some slots have several rows");
    ensure!(number("holes")? == 0, "some slots have no row");
    number("rows")
}

/// The rollups' counts are those of the rows, once the job that makes them has seen the last row.
async fn rollups(fleet: &Fleet) -> anyhow::Result<()> {
    let select = "SELECT count() AS wrong FROM (SELECT sum(n) AS difference FROM \
                  (SELECT monitor, region, bucket, toInt64(ok + degraded + failed + missed) AS n FROM sonde_rollup_15m \
                  UNION ALL SELECT monitor, region, toStartOfFifteenMinutes(slot) AS bucket, -1 AS n FROM sonde_checks) \
                  GROUP BY monitor, region, bucket HAVING difference != 0)";
    let begin = Instant::now();
    loop {
        let rows = fleet.rows(select).await;
        let wrong = rows.first().and_then(|row| row["wrong"].as_u64());
        if wrong == Some(0) {
            say("the rollups equal the rows");
            return Ok(());
        }
        ensure!(
            begin.elapsed() < ROLLED_UP,
            "{wrong:?} rollups differ from the rows"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
