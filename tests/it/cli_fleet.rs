//! The commands that look after a fleet, as operators and scripts use them: settings, queues, stores, checkers.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sonde_core::{
    CheckResult, Clock as _, DispatchGap, Frequency, LedgerEntry, Outcome, Region, SystemClock,
    Timestamp,
};
use sonde_results::Results as _;
use sonde_results::clickhouse::{ClickhouseResults, Options};
use sonde_tests::fleet::{Fleet, FleetOptions};
use sonde_tests::services::{self, Amqp};
use sonde_tests::sonde::{Output, Sonde};

/// A port on which nothing listens.
const NOBODY: &str = "127.0.0.1:1";

struct Shell {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Shell {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut sonde = Sonde::new(arguments).directory(self.path());
        for (name, value) in &self.environment {
            sonde = sonde.env(name, value);
        }
        sonde.run().await
    }

    /// Expects an exit code.
    async fn ends(&self, code: i32, arguments: &[&str]) -> Output {
        let output = self.run(arguments).await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        output
    }
}

#[tokio::test]
async fn what_is_not_set_is_named_with_all_that_sets_it() {
    let shell = Shell::new();
    let mut said = String::new();
    for arguments in [
        &["queues", "show"][..],
        &["queues", "apply", "--regions", "fra"],
        &["migrate"],
        &["fleet"],
        &["probe", "https://shop.example", "--regions", "fra"],
        &["ledger"],
    ] {
        let output = shell.ends(2, arguments).await;
        assert_eq!(output.stdout, "");
        said.extend(["$ sonde ", &arguments.join(" "), "\n", &output.stderr]);
    }
    insta::assert_snapshot!(said);
}

#[tokio::test]
async fn every_mistake_of_the_settings_is_told_at_once_and_no_secret() {
    let shell = Shell::new()
        .env("SONDE_AMQP_URL", "http://guest:hunter2@broker")
        .env("SONDE_LIBSQL_TOKEN_FILE", "absent")
        .env("SONDE_CLICKHOUSE_URL", "");
    shell.write(
        "sonde.toml",
        "[amqp]\nurl = \"amqp://broker\"\nmangement_url = \"http://broker\"\n[clickhouse]\nretention = \"1h\"\n",
    );
    let output = shell
        .ends(2, &["fleet", "--libsql-url", "ftp://u:hunter2@primary"])
        .await;
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    insta::assert_snapshot!(output.stderr);
    // Unless the file is another one.
    shell.write("other.toml", "");
    let arguments = [
        "queues",
        "show",
        "--regions",
        "fra",
        "--settings",
        "other.toml",
    ];
    let output = shell.run(&arguments).await;
    assert!(!output.stderr.contains("sonde.toml"), "{}", output.stderr);
}

#[tokio::test]
async fn services_that_are_away_are_named_without_their_passwords() {
    let amqp = format!("amqp://guest:hunter2@{NOBODY}");
    let http = format!("http://guest:hunter2@{NOBODY}");
    let primary = format!("http://{NOBODY}");
    let shell = Shell::new();
    for (arguments, name) in [
        (&["fleet", "--amqp-url", &amqp][..], "broker"),
        (
            &["queues", "apply", "--regions", "fra", "--amqp-url", &amqp],
            "broker",
        ),
        (
            &[
                "queues",
                "diff",
                "--regions",
                "fra",
                "--amqp-url",
                &amqp,
                "--amqp-management-url",
                &http,
            ],
            "management API",
        ),
        (
            &[
                "probe",
                "tcp://a:1",
                "--regions",
                "fra",
                "--amqp-url",
                &amqp,
            ],
            "broker",
        ),
        (
            &["queues", "show", "--libsql-url", &primary],
            "configuration",
        ),
        (&["migrate", "--libsql-url", &primary], "configuration"),
        (&["migrate", "--clickhouse-url", &http], "results"),
        (&["ledger", "--clickhouse-url", &http], "ledger"),
    ] {
        let output = shell.ends(3, arguments).await;
        assert!(output.stderr.starts_with("error: cannot "), "{output:?}");
        assert!(output.stderr.contains(name), "{output:?}");
        assert!(!output.stderr.contains("hunter2"), "{output:?}");
        assert_eq!(output.stdout, "");
    }
}

#[tokio::test]
async fn a_broker_that_lets_nobody_in_says_why() {
    let Some(amqp) = services::amqp("refused").await else {
        return;
    };
    let wrong = amqp.url.replace(&amqp.vhost, "nowhere");
    let shell = Shell::new().env("SONDE_AMQP_URL", wrong);
    let output = shell.ends(3, &["fleet"]).await;
    assert!(
        output.stderr.contains("vhost nowhere not found"),
        "{output:?}"
    );
}

fn of_broker(amqp: &Amqp) -> Shell {
    Shell::new().env("SONDE_AMQP_URL", &amqp.url)
}

#[tokio::test]
async fn queues_are_shown_compared_and_declared() {
    let Some(amqp) = services::amqp("queues").await else {
        return;
    };
    let plain = of_broker(&amqp);
    let managed = of_broker(&amqp).env("SONDE_AMQP_MANAGEMENT_URL", &amqp.management_url);
    let apply = ["queues", "apply", "--regions", "fra"];
    let diff = ["queues", "diff", "--regions", "fra"];
    let show = ["queues", "show", "--regions", "fra", "--format", "json"];

    let before = managed.ends(1, &diff).await.stdout;
    assert!(
        before.contains("queue checks.1m.fra is missing\n"),
        "{before}"
    );
    let output = plain.ends(0, &show).await;
    let shown: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(shown["queues"][0]["declared"], false, "{shown}");

    let first = plain.ends(0, &apply).await;
    assert!(first.stdout.contains("checks.now.fra\n"), "{first:?}");
    let again = plain.ends(0, &apply).await;
    assert_eq!(again.stdout, "", "{again:?}");
    for shell in [&plain, &managed] {
        let output = shell.ends(0, &diff).await;
        assert_eq!(output.stdout, "", "{output:?}");
    }

    amqp.delete_queue("checks.1m.fra").await;
    for shell in [&plain, &managed] {
        let output = shell.ends(1, &diff).await;
        assert_eq!(output.stdout, "queue checks.1m.fra is missing\n");
    }
    let output = plain.ends(0, &show).await;
    let shown: Value = serde_json::from_str(&output.stdout).unwrap();
    let queues = shown["queues"].as_array().unwrap();
    let of = |name: &str| queues.iter().find(|queue| queue["name"] == name).unwrap();
    let expected = json!({
        "name": "checks.5s.fra", "bound_to": "sonde.checks/5s.fra", "time_to_live_ms": 5_000, "delivery_limit": 3,
        "max_length": null, "single_active_consumer": false, "dead_letters": "checks.dead", "declared": true,
        "ready": 0, "consumers": 0,
    });
    assert_eq!(*of("checks.5s.fra"), expected);
    assert_eq!(of("checks.1m.fra")["declared"], false);
}

#[tokio::test]
async fn a_queue_that_differs_is_named_and_left_alone() {
    let Some(amqp) = services::amqp("conflict").await else {
        return;
    };
    let other =
        json!({"durable": true, "arguments": {"x-queue-type": "quorum", "x-message-ttl": 1}});
    let path = format!("/api/queues/{}/checks.1m.fra", amqp.vhost);
    amqp.manage(reqwest::Method::PUT, &path, other).await;
    let plain = of_broker(&amqp);
    let managed = of_broker(&amqp).env("SONDE_AMQP_MANAGEMENT_URL", &amqp.management_url);
    let apply = plain
        .ends(3, &["queues", "apply", "--regions", "fra"])
        .await;
    assert!(apply.stderr.contains("checks.1m.fra"), "{apply:?}");
    assert!(apply.stderr.contains("sonde queues diff"), "{apply:?}");
    // The broker names the first difference only; its management API tells all.
    for (shell, differences) in [
        (plain, &["x-dead-letter-exchange"][..]),
        (managed, &["x-dead-letter-exchange", "x-message-ttl"]),
    ] {
        let diff = shell.ends(1, &["queues", "diff", "--regions", "fra"]).await;
        let differs = |line: &&str| line.starts_with("queue checks.1m.fra differs: ");
        let line = diff.stdout.lines().find(differs).unwrap_or_default();
        assert!(differences.iter().all(|it| line.contains(it)), "{diff:?}");
        assert!(diff.stderr.contains("emptied and deleted"), "{diff:?}");
    }
}

#[tokio::test]
async fn stores_are_migrated_any_number_of_times() {
    let (Some(libsql), Some(clickhouse)) = (
        services::libsql().await,
        services::clickhouse("migrate").await,
    ) else {
        return;
    };
    let shell = Shell::new()
        .env("SONDE_LIBSQL_URL", &libsql.url)
        .env("SONDE_CLICKHOUSE_URL", &clickhouse.url);
    let regions = shell.ends(3, &["queues", "show"]).await;
    assert!(regions.stderr.contains("sonde migrate"), "{regions:?}");
    let ledger = shell.ends(3, &["ledger"]).await;
    assert!(ledger.stderr.contains("sonde migrate"), "{ledger:?}");
    let first = shell.ends(0, &["migrate"]).await.stderr;
    assert_eq!(first.matches("schema 0 → ").count(), 2, "{first}");
    let again = shell.ends(0, &["migrate"]).await.stderr;
    assert_eq!(again.matches(", as it should be").count(), 2, "{again}");
    assert_eq!(shell.ends(0, &["ledger"]).await.stderr, "");
}

#[tokio::test]
async fn a_file_becomes_all_that_a_workspace_has() {
    let Some(libsql) = services::libsql().await else {
        return;
    };
    let shell = Shell::new().env("SONDE_LIBSQL_URL", &libsql.url);
    shell.ends(0, &["migrate"]).await;
    let load = ["config", "load"];
    let monitor = |id: &str, port: u16| format!("  {id}: {{ tcp: \"192.0.2.1:{port}\" }}\n");
    let file = |monitors: &[String]| {
        let text = monitors.concat();
        shell.write(
            "sonde.yaml",
            &format!("defaults: {{ regions: [fra] }}\nmonitors:\n{text}"),
        );
    };
    file(&[monitor("a", 1), monitor("b", 1), monitor("c", 1)]);
    assert_eq!(shell.ends(0, &load).await.stdout, "+ a\n+ b\n+ c\n");
    file(&[monitor("a", 1), monitor("b", 2), monitor("d", 1)]);
    let second = shell.ends(0, &load).await;
    assert_eq!(second.stdout, "+ d\n~ b\n- c\n");
    let counts = "workspace `default`: 1 added, 1 changed, 1 removed, 1 as before\n";
    assert_eq!(second.stderr, counts);
    assert_eq!(shell.ends(0, &load).await.stdout, "");
    // Another workspace is none of its business.
    let other = ["config", "load", "--workspace", "other"];
    assert_eq!(shell.ends(0, &other).await.stdout, "+ a\n+ b\n+ d\n");

    shell.write("sonde.yaml", "monitors: {}\n");
    let refused = shell.ends(2, &load).await;
    assert!(refused.stderr.contains("--allow-empty"), "{refused:?}");
    let emptied = shell.ends(0, &["config", "load", "--allow-empty"]).await;
    assert_eq!(emptied.stdout, "- a\n- b\n- d\n");

    shell.write("sonde.yaml", "monitors: { a: { tcp: \"192.0.2.1:1\" } }\n");
    let nowhere = shell.ends(2, &load).await;
    assert!(
        nowhere
            .stderr
            .contains("monitors.a.regions: name at least one region"),
        "{nowhere:?}"
    );
    let named = shell.ends(0, &["config", "load", "--region", "iad"]).await;
    assert_eq!(named.stdout, "+ a\n");
    let show = ["queues", "show", "--format", "json"];
    let shown = shell.ends(0, &show).await.stdout;
    // Those of the other workspace are still there.
    assert!(
        shown.contains("checks.1m.iad") && shown.contains("checks.1m.fra"),
        "{shown}"
    );
}

fn entry(region: &str, minute: Timestamp, scheduled: u64, deadline: Timestamp) -> LedgerEntry {
    LedgerEntry {
        frequency: Frequency::new("1m").unwrap(),
        region: Region::new(region).unwrap(),
        minute,
        scheduled,
        deadline,
    }
}

fn row(region: &str, slot: Timestamp) -> CheckResult {
    let mut result = CheckResult::sample_executed(Outcome::Ok, Duration::ZERO);
    result.region = Region::new(region).unwrap();
    result.slot = slot;
    result.started_at = Some(slot);
    result
}

#[tokio::test]
async fn the_ledger_tells_lost_from_late_and_from_too_many() {
    let Some(clickhouse) = services::clickhouse("ledger").await else {
        return;
    };
    let results = ClickhouseResults::new(Options::from_url(&clickhouse.url).unwrap()).unwrap();
    results.migrate().await.unwrap();
    let shell = Shell::new().env("SONDE_CLICKHOUSE_URL", &clickhouse.url);
    let now = SystemClock.now();
    let minute = (now - Duration::from_mins(30)).floor(Duration::from_mins(1));
    let (past, future) = (
        minute + Duration::from_mins(2),
        now + Duration::from_hours(1),
    );
    let gap = DispatchGap {
        from: minute - Duration::from_mins(10),
        to: minute - Duration::from_mins(5),
    };
    let good = [
        entry("fra", minute, 1, past),
        entry("late", minute, 5, future),
    ];
    results.record(&good, &[gap]).await.unwrap();
    results.store(&[row("fra", minute)]).await.unwrap();
    let ledger = ["ledger", "--format", "json"];
    let output = shell.ends(0, &ledger).await;
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    let states = |document: &Value| {
        let minutes = document["minutes"].as_array().unwrap().clone();
        let state =
            |row: &Value| format!("{} {} {}", row["region"], row["state"], row["in_flight"]);
        minutes.iter().map(state).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(states(&document), r#""fra" "balanced" 0, "late" "open" 5"#);
    assert_eq!(document["gaps"].as_array().unwrap().len(), 1);

    let bad = [
        entry("lost", minute, 2, past),
        entry("more", minute, 1, past),
    ];
    results.record(&bad, &[]).await.unwrap();
    let more = minute + Duration::from_secs(7);
    let rows = [row("lost", minute), row("more", minute), row("more", more)];
    results.store(&rows).await.unwrap();
    let output = shell.ends(1, &ledger).await;
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        states(&document),
        r#""fra" "balanced" 0, "late" "open" 5, "lost" "unbalanced" 0, "more" "unbalanced" 0"#
    );
    assert_eq!(document["balanced"], false);
    let words = shell.ends(1, &["ledger"]).await.stdout;
    assert!(words.contains("DOES NOT BALANCE: 1 lost"), "{words}");
    assert!(words.contains("DOES NOT BALANCE: 1 too many"), "{words}");
    assert!(words.contains("nothing was dispatched from"), "{words}");
    // A directory that is asked for goes before a database that is only set.
    shell.ends(2, &["ledger", "--data", "nowhere"]).await;
}

/// Few monitors: what is looked at is the commands.
fn small() -> FleetOptions {
    FleetOptions {
        monitors: 2,
        dispatchers: 1,
        ingesters: 1,
        target_delay: Duration::ZERO,
        ..FleetOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regions_answer_a_probe_and_those_that_do_not_are_named() {
    let Some(fleet) = Fleet::start("probe", small()).await else {
        return;
    };
    fleet.flows().await;
    let status = fleet.status().await;
    let regions = status["regions"].as_array().unwrap();
    assert_eq!(regions.len(), 2, "{status}");
    for region in regions {
        assert_eq!(region["checkers"][0]["version"], env!("CARGO_PKG_VERSION"));
        assert!(region["queues"]["consumers"].as_u64() > Some(0), "{status}");
    }
    for queues in ["results", "dead"] {
        assert!(status["backlog"][queues].is_u64(), "{status}");
    }

    let url = fleet.target.url("/");
    let probe = async |regions: &str, format: &str| {
        let asked = [
            "probe",
            &url,
            "--timeout",
            "2s",
            "--regions",
            regions,
            "--format",
            format,
        ];
        fleet.run(asked).await
    };
    let both = probe("fra,iad", "json").await;
    assert_eq!(both.code, Some(0), "{both:?}");
    let document: Value = serde_json::from_str(&both.stdout).unwrap();
    assert_eq!(document["summary"]["ok"], 2, "{document}");
    assert_eq!(document["unanswered"], json!([]));
    let lines = probe("fra,iad,fra", "ndjson").await;
    assert_eq!(lines.stdout.lines().count(), 2, "{lines:?}");
    let unknown = probe("fra,syd", "pretty").await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(
        unknown.stderr.contains("leads to syd: there are fra, iad"),
        "{unknown:?}"
    );

    let iad = fleet.checkers.last().unwrap();
    iad.freeze();
    let one = probe("fra,iad", "pretty").await;
    assert_eq!(one.code, Some(3), "{one:?}");
    assert!(one.stdout.contains("? iad  no answer within 7s"), "{one:?}");
    assert!(one.stdout.contains("1 check: 1 ok"), "{one:?}");
    assert!(one.stderr.contains("sonde fleet"), "{one:?}");
    let status = fleet.run(["fleet"]).await;
    assert_eq!(status.code, Some(1), "{status:?}");
    let line = status.stdout.lines().find(|line| line.starts_with("iad"));
    assert!(line.unwrap().ends_with("NO CHECKER"), "{status:?}");
    iad.thaw();
}
