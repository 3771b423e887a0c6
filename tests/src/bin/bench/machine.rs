//! Many monitors on one `sonde up`, for minutes: the ledger must balance; lateness and spread are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use sonde_core::Timestamp;
use sonde_tests::sonde::Sonde;

use crate::figures::{cpu_of, quantile, say};
use crate::target::Target;

const INTERVAL: Duration = Duration::from_secs(5);
/// The interval in slices, to see that checks start evenly.
const SLICES: i64 = 50;

struct Options {
    monitors: usize,
    minutes: u64,
}

pub(crate) async fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let options = Options::parse(arguments)?;
    let target = Target::start().await?;
    let folder = tempfile::tempdir()?;
    std::fs::write(
        folder.path().join("sonde.yaml"),
        configuration(&options, &target)?,
    )?;
    let up = Sonde::up(folder.path()).serve().await;
    let cpu = cpu_of(up.pid())?;
    tokio::time::sleep(Duration::from_secs(60 * options.minutes)).await;
    let cpu = cpu_of(up.pid())?.saturating_sub(cpu);

    let mut late = Vec::new();
    let mut slices: BTreeMap<i64, u64> = BTreeMap::new();
    let client = sonde_tests::http::client();
    for n in 0..options.monitors {
        let url = up.url(&format!("/v1/monitors/m{n}/results?limit=1000"));
        let page: Value = client
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        for row in page["results"].as_array().context("no results")? {
            // What ran on demand at the start has no slot to be late for.
            if row["trigger"] != "schedule" || row["started_at"].is_null() {
                continue;
            }
            let time = |field: &str| -> anyhow::Result<Timestamp> {
                Ok(row[field].as_str().context("no time")?.parse()?)
            };
            let (slot, started) = (time("slot")?, time("started_at")?);
            late.push(started.since(slot).as_secs_f64() * 1e3);
            let slice = i64::try_from(INTERVAL.as_micros())? / SLICES;
            let of_interval = started.as_micros().rem_euclid(slice * SLICES) / slice;
            *slices.entry(of_interval).or_default() += 1;
        }
    }
    up.terminate().await;
    let ledger = Sonde::new([
        "ledger", "--data", "data", "--since", "1d", "--format", "json",
    ]);
    let ledger = ledger.directory(folder.path()).run().await;
    report(&options, late, &slices, cpu);
    ensure!(
        ledger.code == Some(0),
        "the ledger does not balance:\n{}",
        ledger.stdout
    );
    say("  the ledger balances");
    Ok(())
}

fn report(options: &Options, mut late: Vec<f64>, slices: &BTreeMap<i64, u64>, cpu: Duration) {
    let checks = late.len();
    say(format!(
        "{} monitors every {INTERVAL:?} for {} min: {checks} checks",
        options.monitors, options.minutes
    ));
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&mut late, share));
    say(format!(
        "  start after slot: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"
    ));
    let (least, most) = (slices.values().min(), slices.values().max());
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mean = checks as f64 / 50.0;
    say(format!(
        "  starts per {} ms of the interval: mean {mean:.0}, least {}, most {}",
        INTERVAL.as_millis() / 50,
        least.unwrap_or(&0),
        most.unwrap_or(&0)
    ));
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let cores = cpu.as_secs_f64() / (60 * options.minutes) as f64;
    say(format!("  CPU of the whole process: {cores:.2} cores"));
}

fn configuration(options: &Options, target: &Target) -> anyhow::Result<String> {
    let mut text = "defaults: { interval: 5s, timeout: 2s }\nmonitors:\n".to_owned();
    for n in 0..options.monitors {
        writeln!(
            text,
            "  m{n}: {{ http: \"http://{}/health?n={n}\", expect: [status == 200] }}",
            target.http
        )?;
    }
    Ok(text)
}

impl Options {
    fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            monitors: 1000,
            minutes: 5,
        };
        for pair in arguments.chunks(2) {
            match pair {
                ["--monitors", count] => options.monitors = count.parse()?,
                ["--minutes", minutes] => options.minutes = minutes.parse()?,
                _ => bail!("expected --monitors N or --minutes M, got {pair:?}"),
            }
        }
        Ok(options)
    }
}
