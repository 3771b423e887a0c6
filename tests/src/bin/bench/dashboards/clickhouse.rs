//! Fifty million results in the `ClickHouse` engine: one of each monitor by the store, the others copied from these.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sonde_core::{Clock as _, SystemClock};
use sonde_results::Results as _;
use sonde_results::clickhouse::{ClickhouseResults, Options};
use sonde_tests::api;

use super::{MONITORS, ask_all, configuration, result};
use crate::figures::say;
use crate::fleet::{Components, Fleet};

const MINUTE: Duration = Duration::from_mins(1);
/// A check a minute for thirty days.
const EACH: u64 = 30 * 24 * 60;
/// Monitors that are checked from a second region too.
const TWICE: u32 = 160;
/// Parts of a day's length, so that no statement takes long.
const AT_ONCE: u64 = 24 * 60;

/// A row of a minute before, with a latency that swings, and one failure in a few hundred.
const COPY: &str = "INSERT INTO check_results SELECT * EXCEPT (number, swing) REPLACE (
    slot - toIntervalMinute(number) AS slot, swing < 3 ? 'failed' : 'ok' AS outcome,
    swing < 3 ? 'http_status' : '' AS reason, swing < 3 ? 503 : 200 AS http_status,
    40000 + intDiv(swing * swing, 5) AS total_us, 20000 + intDiv(swing * swing, 5) AS wait_us
) FROM (
    SELECT *, cityHash64(monitor, region, number) % 1000 AS swing
    FROM check_results CROSS JOIN numbers({from}, {count}) AS minutes
    WHERE slot = (SELECT max(slot) FROM check_results)
)";
/// What an ingester writes beside the rows.
const BESIDE: [&str; 3] = [
    "INSERT INTO recent_checks SELECT workspace, slot, monitor, region, run_id, version, outcome, in_maintenance, total_us
FROM check_results WHERE slot > now64(6) - toIntervalHour(50)",
    // Long enough ago to be settled.
    "INSERT INTO dirty_buckets (workspace, monitor, bucket, noted_at)
SELECT DISTINCT workspace, monitor, toStartOfFifteenMinutes(slot - toIntervalMinute(15 * number)), now64(6) - toIntervalMinute(10)
FROM latest_results CROSS JOIN numbers(30 * 24 * 4 + 1) AS quarters",
    // As if these tables had been there for all the time.
    "INSERT INTO schema_versions (version, release, migrated_at)
SELECT version, release, now64(6) - toIntervalDay(60) FROM schema_versions",
];

pub(crate) async fn run() -> anyhow::Result<()> {
    let components = Components::start().await?;
    let mut fleet = Fleet::create(&components, "fra,iad").await?;
    fleet.set("SONDE_REQUESTS_PER_MINUTE", "1000000".to_owned());
    fleet.set("SONDE_LISTEN", "127.0.0.1:0".to_owned());
    fleet.load(&configuration("fra")).await?;
    let started = Instant::now();
    let rows = fill(&fleet).await?;
    say(format!(
        "{rows} results of {MONITORS} monitors written and rolled up in {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    let server = fleet.start("api", "api", "fra").await?;
    let owner = api::set_up_at(&server.running.api(), &server.running).await;
    ask_all(&owner, rows).await?;
    let ended = server.running.terminate().await;
    ensure!(ended.success(), "it ends well");
    Ok(())
}

async fn fill(fleet: &Fleet) -> anyhow::Result<u64> {
    let store = ClickhouseResults::new(Options::from_url(&fleet.clickhouse.url)?)?;
    let slot = SystemClock.now().floor(MINUTE);
    let mut seeds = Vec::new();
    for n in 0..MONITORS {
        for region in ["fra", "iad"].iter().take(if n < TWICE { 2 } else { 1 }) {
            seeds.push(result(n, region, slot)?);
        }
    }
    store.store(&seeds).await?;
    for from in (1..EACH).step_by(usize::try_from(AT_ONCE)?) {
        let count = AT_ONCE.min(EACH - from);
        let copy = COPY.replace("{from}", &from.to_string());
        fleet
            .clickhouse
            .query(&copy.replace("{count}", &count.to_string()))
            .await;
    }
    for statement in BESIDE {
        fleet.clickhouse.query(statement).await;
    }
    store.roll_up().await?;
    let counted = fleet.rows("SELECT count() AS n FROM check_results").await;
    Ok(counted[0]["n"].as_u64().unwrap_or_default())
}
