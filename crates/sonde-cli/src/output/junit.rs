//! `JUnit` XML: a failed check is a failure, one that was not executed an error.

use std::time::Duration;

use anyhow::Context as _;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use sonde_core::{CheckResult, Outcome};

use super::{Summary, detail};

pub(super) fn document(results: &[CheckResult], summary: &Summary) -> anyhow::Result<String> {
    let took = Duration::from_micros(summary.duration_us);
    let mut suite = TestSuite::new("sonde");
    suite.set_time(took);
    suite.add_test_cases(results.iter().map(case));
    let mut report = Report::new("sonde");
    report.set_time(took).add_test_suite(suite);
    report
        .to_string()
        .context("cannot write the results as JUnit XML")
}

fn case(result: &CheckResult) -> TestCase {
    let mut case = TestCase::new(result.monitor.as_str(), status(result));
    case.set_classname(format!("sonde.{}", result.kind));
    if let Some(total) = result.total_us {
        case.set_time(Duration::from_micros(total));
    }
    case.add_property(Property::new("target", result.target.as_str()));
    case.add_property(Property::new("region", result.region.as_str()));
    case.add_property(Property::new("outcome", result.outcome.as_str()));
    if result.outcome == Outcome::Degraded {
        case.set_system_out(detail::plain(result));
    }
    case
}

fn status(result: &CheckResult) -> TestCaseStatus {
    let kind = match result.outcome {
        Outcome::Ok | Outcome::Degraded => return TestCaseStatus::success(),
        Outcome::Failed => NonSuccessKind::Failure,
        Outcome::Missed => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    if let Some(reason) = result.reason {
        status.set_type(reason.as_str());
        status.set_message(result.message.as_deref().unwrap_or(reason.sentence()));
    }
    status.set_description(detail::plain(result));
    status
}
