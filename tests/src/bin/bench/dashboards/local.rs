//! Ten million results in the file of one machine.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sonde_core::{Clock as _, SystemClock};
use sonde_libsql::libsql::Builder;
use sonde_results::Results as _;
use sonde_results::libsql::LibsqlResults;
use sonde_tests::api::Caller;
use sonde_tests::sonde::Sonde;

use super::{MONITORS, ask_all, configuration, result};
use crate::figures::say;

const ROWS: u64 = 10_000_000;
/// Of the monitor that is looked at: a check a minute.
const DAYS: u32 = 30;
const MINUTE: Duration = Duration::from_mins(1);

/// Copies of the one row of a monitor, a few minutes apart, with a latency that swings, and one failure in a few hundred.
const COPY: [&str; 3] = [
    "CREATE TEMP TABLE copies AS
WITH RECURSIVE copy(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < ?2)
SELECT n, r.slot - n * ?3 AS slot, (n * 7919 + r.body) % 1000 AS swing, top + n AS body, r.body AS seed
FROM check_results r CROSS JOIN copy CROSS JOIN (SELECT max(id) AS top FROM result_bodies)
WHERE r.workspace = 'default' AND r.monitor = ?1 AND r.slot = (
    SELECT max(slot) FROM check_results WHERE workspace = 'default' AND monitor = ?1
)",
    "INSERT INTO result_bodies (id, body) SELECT c.body, json_set(b.body,
    '$.slot', strftime('%Y-%m-%dT%H:%M:%SZ', c.slot / 1000000, 'unixepoch'), '$.total_us', 40000 + swing * swing / 5,
    '$.phases_us.wait', 20000 + swing * swing / 5, '$.outcome', iif(swing < 3, 'failed', 'ok'))
FROM copies c JOIN result_bodies b ON b.id = c.seed",
    "INSERT INTO check_results SELECT r.workspace, r.monitor, c.slot, r.region, r.run_id, r.trigger,
    iif(swing < 3, 'failed', 'ok'), 40000 + swing * swing / 5, 0, c.body, iif(swing < 3, 'http_status', NULL),
    iif(swing < 3, 503, 200), r.dns_us, r.connect_us, r.tls_us, r.send_us, 20000 + swing * swing / 5, r.receive_us
FROM check_results r CROSS JOIN copies c WHERE r.workspace = 'default' AND r.monitor = ?1",
];

/// An index is filled at random places, and nobody minds if the file is lost.
const FAST: &str = "PRAGMA cache_size = -2000000; PRAGMA synchronous = OFF";

pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data)?;
    let started = Instant::now();
    let rows = fill(&data.join("results.db")).await?;
    say(format!(
        "{rows} results of {MONITORS} monitors written in {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    // No check is due while pages are asked for.
    std::fs::write(folder.path().join("sonde.yaml"), configuration("local"))?;
    let server = Sonde::up(folder.path()).serve().await;
    ask_all(&Caller::of(server.url("")), rows).await?;
    ensure!(server.terminate().await.success(), "it ends well");
    Ok(())
}

async fn fill(file: &Path) -> anyhow::Result<u64> {
    let store = LibsqlResults::open(file).await?;
    let now = SystemClock.now().floor(MINUTE);
    let seeds = (0..MONITORS).map(|n| result(n, "local", now));
    let seeds = seeds.collect::<anyhow::Result<Vec<_>>>()?;
    store.store(&seeds).await?;
    drop(store);
    let connection = Builder::new_local(file).build().await?.connect()?;
    connection.execute_batch(FAST).await?;
    let minutes = DAYS * 24 * 60;
    let others = (ROWS - u64::from(minutes)) / u64::from(MONITORS - 1);
    let others = u32::try_from(others)?;
    for (n, seed) in seeds.iter().enumerate() {
        let copies = if n == 0 { minutes } else { others } - 1;
        let every = MINUTE * (minutes / copies);
        let every = i64::try_from(every.as_micros())?;
        let of = seed.monitor.as_str();
        let [number, bodies, rows] = COPY;
        connection.execute("BEGIN IMMEDIATE", ()).await?;
        connection.execute(number, (of, copies, every)).await?;
        connection.execute(bodies, ()).await?;
        connection.execute(rows, [of]).await?;
        connection.execute("DROP TABLE copies", ()).await?;
        connection.execute("COMMIT", ()).await?;
    }
    let counted = connection.query("SELECT count(*) FROM check_results", ());
    let row = counted.await?.next().await?.context("a count is a row")?;
    Ok(row.get(0)?)
}
