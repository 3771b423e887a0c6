//! Prometheus exposition text, for a textfile collector or a push gateway. Sorted as the configuration is.

use std::fmt::Write as _;

use sonde_core::CheckResult;

/// A metric, and its samples of one result: further labels, and the value.
struct Gauge {
    name: &'static str,
    help: &'static str,
    samples: fn(&CheckResult) -> Vec<Sample>,
}

type Sample = (Vec<(&'static str, String)>, f64);

/// A result's duration in seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "durations are far below 2^53 µs"
)]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn plain(value: Option<f64>) -> Vec<Sample> {
    value.map(|value| (Vec::new(), value)).into_iter().collect()
}

const GAUGES: [Gauge; 8] = [
    Gauge {
        name: "sonde_check_up",
        help: "1 when the target answered as it should, if slowly; absent when the check was not executed.",
        samples: |result| {
            plain(
                result
                    .outcome
                    .is_executed()
                    .then_some(f64::from(u8::from(result.outcome.is_up()))),
            )
        },
    },
    Gauge {
        name: "sonde_check_outcome",
        help: "1 for the outcome of the check, with the reason when it is not ok.",
        samples: |result| {
            let mut labels = vec![("outcome", result.outcome.to_string())];
            labels.extend(result.reason.map(|reason| ("reason", reason.to_string())));
            vec![(labels, 1.0)]
        },
    },
    Gauge {
        name: "sonde_check_duration_seconds",
        help: "Time of the last attempt; the mean round trip for icmp.",
        samples: |result| plain(result.total_us.map(seconds)),
    },
    Gauge {
        name: "sonde_check_phase_duration_seconds",
        help: "Time of each phase of the last attempt.",
        samples: |result| {
            let phases = result.phases_us.iter();
            phases
                .map(|(phase, took)| (vec![("phase", phase.as_str().to_owned())], seconds(took)))
                .collect()
        },
    },
    Gauge {
        name: "sonde_check_http_status_code",
        help: "HTTP status of the final answer.",
        samples: |result| plain(result.http.as_ref().map(|http| f64::from(http.status))),
    },
    Gauge {
        name: "sonde_check_certificate_expiry_timestamp_seconds",
        help: "When the first certificate of the chain expires.",
        samples: |result| {
            let certificates = result.tls.iter().flat_map(|tls| &tls.certificates);
            let first = certificates.map(|certificate| certificate.not_after).min();
            let since_epoch = first.map(|at| at.since(sonde_core::Timestamp::UNIX_EPOCH));
            plain(since_epoch.map(|since| since.as_secs_f64()))
        },
    },
    Gauge {
        name: "sonde_check_domain_expiry_timestamp_seconds",
        help: "When the registration of the domain expires.",
        samples: |result| {
            let ends = result.domain.as_ref().and_then(|domain| domain.expires_at);
            let since_epoch = ends.map(|at| at.since(sonde_core::Timestamp::UNIX_EPOCH));
            plain(since_epoch.map(|since| since.as_secs_f64()))
        },
    },
    Gauge {
        name: "sonde_check_icmp_loss_ratio",
        help: "Share of echo requests without a reply.",
        samples: |result| plain(result.icmp.as_ref().map(|icmp| icmp.loss_percent() / 100.0)),
    },
];

pub(super) fn exposition(results: &[CheckResult]) -> String {
    let mut text = String::new();
    for gauge in GAUGES {
        let samples = results.iter().flat_map(|result| {
            let samples = (gauge.samples)(result).into_iter();
            samples.map(move |(further, value)| (labels(result, &further), value))
        });
        let mut samples = samples.peekable();
        if samples.peek().is_none() {
            continue;
        }
        let Gauge { name, help, .. } = gauge;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    }
    text
}

fn labels(result: &CheckResult, further: &[(&'static str, String)]) -> String {
    let common = [
        ("monitor", result.monitor.to_string()),
        ("kind", result.kind.to_string()),
        ("target", result.target.clone()),
        ("region", result.region.to_string()),
    ];
    let all = common.iter().chain(further);
    let shown: Vec<String> = all
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
        .collect();
    shown.join(",")
}

/// The three characters that a label value escapes in the text format.
fn escape(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}
