//! What needs no server: the statements as they are sent, and rows.
//!
//! The snapshots of a migration are its fixture: once a release has it, they never change again.

use std::time::Duration;

use sonde_core::{CheckResult, CheckerInfo, Outcome, Reason};

use super::row::ResultRow;
use super::*;

fn dialect(cluster: Option<&str>) -> Dialect {
    Dialect {
        database: "sonde".to_owned(),
        cluster: cluster.map(str::to_owned),
        retention: Duration::from_hours(90 * 24),
        rollup_retention: Duration::from_hours(730 * 24),
    }
}

fn statements(cluster: Option<&str>, version: u32) -> String {
    let dialect = dialect(cluster);
    let mut all = vec![dialect.create_database(), dialect.create_versions()];
    all.extend(schema::migration(&dialect, version).unwrap());
    all.join(";\n\n")
}

fn results(url: &str) -> ClickhouseResults {
    ClickhouseResults::new(Options::from_url(url).unwrap()).unwrap()
}

#[test]
fn the_first_migration_of_a_plain_server_is_as_released() {
    insta::assert_snapshot!(statements(None, 0));
}

#[test]
fn the_first_migration_of_a_cluster_is_as_released() {
    let all = statements(Some("main"), 0);
    for statement in all.split(";\n\n") {
        assert!(statement.contains(" ON CLUSTER `main`"), "{statement}");
        if statement.starts_with("CREATE TABLE") {
            assert!(statement.contains("ENGINE = Replicated"), "{statement}");
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_tables_by_time_are_as_released() {
    let dialect = dialect(Some("main"));
    let tables = schema::migration(&dialect, schema::BY_TIME - 1).unwrap();
    insta::assert_snapshot!(tables.join(";\n\n"));
}

#[test]
fn every_statement_of_a_migration_can_be_run_again() {
    let all = (0..schema::newest_version()).map(|version| statements(None, version));
    let all: Vec<String> = all.collect();
    for statement in all.iter().flat_map(|all| all.split(";\n\n")) {
        let again = [
            "CREATE TABLE IF NOT EXISTS",
            "CREATE OR REPLACE VIEW",
            "CREATE DATABASE IF NOT EXISTS",
        ];
        assert!(
            again.iter().any(|begin| statement.starts_with(begin)),
            "{statement}"
        );
    }
}

#[test]
fn the_views_are_documented_column_by_column() {
    insta::assert_snapshot!(views_markdown());
}

#[test]
fn a_reader_sees_the_views_and_no_evidence() {
    let user = ReadOnlyUser {
        name: "grafana".to_owned(),
        password: r"it's\secret".to_owned(),
    };
    let statements = results("http://127.0.0.1:1")
        .statements_of_reader(&user)
        .join(";\n");
    assert!(!statements.contains("evidence") && !statements.contains("`rest`"));
    insta::assert_snapshot!(statements);
}

/// Rows are what the store keeps for ever: a plain result needs no patch, and the size of its row is no accident.
#[test]
fn a_plain_result_fits_its_columns() {
    let mut result = CheckResult::sample_executed(Outcome::Ok, Duration::from_millis(2));
    result.checker = Some(CheckerInfo {
        id: "fra-1".to_owned(),
        version: "0.1.0".to_owned(),
    });
    insta::assert_debug_snapshot!(ResultRow::new(&result).unwrap());
}

#[test]
fn a_slot_that_no_column_holds_is_refused() {
    let mut result = CheckResult::missed(
        &sonde_core::Check::sample(Timestamp::UNIX_EPOCH),
        Reason::Expired,
    );
    assert!(ResultRow::new(&result).is_ok());
    result.slot = Timestamp::from_micros(-1);
    assert!(ResultRow::new(&result).is_err());
    result.slot = Timestamp::from_micros(END_OF_TIME);
    let error = ResultRow::new(&result).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the slot 2100-01-01T00:00:00.000000Z is not between 1970 and 2100"
    );
}
