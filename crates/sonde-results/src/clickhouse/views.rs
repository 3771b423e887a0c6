//! The stable views: the public face of the results store for Grafana and people's own SQL.
//!
//! A column of a view keeps its name and meaning for ever; tables behind them may change with any release.

use super::schema::Dialect;

/// A view with its columns: name, expression, and what it says.
pub(super) struct View {
    pub(super) name: &'static str,
    about: &'static str,
    columns: &'static [(&'static str, &'static str, &'static str)],
    /// What stands behind FROM, by the names of tables in braces.
    from: &'static str,
}

pub(super) const ALL: &[View] = &[CHECKS, ROLLUP_15M, ROLLUP_1D, LEDGER];

/// Tables that [`ALL`] read, with the columns that a reader needs; evidence is not among them.
pub(super) const READABLE: &[(&str, &str)] = &[
    (
        "check_results",
        "workspace, monitor, slot, region, run_id, version, name, kind, target, trigger, interval_us, \
outcome, reason, message, attempts, earlier_attempts.reason, earlier_attempts.total_us, dns_us, connect_us, tls_us, \
send_us, wait_us, receive_us, total_us, queue_wait_us, schedule_lag_us, checker_id, checker_version, remote_address, \
http_status, http_version, http_bytes, http_redirects, tls_version, tls_not_after, failed.assertion, \
failed.expected, failed.seen, suspect, in_maintenance",
    ),
    ("rollup_15m", ""),
    ("rollup_1d", ""),
    ("ledger", ""),
];

impl View {
    pub(super) fn create(&self, dialect: &Dialect) -> String {
        let columns: Vec<String> = (self.columns.iter())
            .map(|(name, expression, _)| {
                if name == expression {
                    format!("    {name}")
                } else {
                    format!("    {expression} AS {name}")
                }
            })
            .collect();
        let mut from = self.from.to_owned();
        for table in ["check_results", "rollup_15m", "rollup_1d", "ledger"] {
            from = from.replace(&format!("{{{table}}}"), &dialect.name(table));
        }
        format!(
            "CREATE OR REPLACE VIEW {}{} AS SELECT\n{}\nFROM {from}",
            dialect.name(self.name),
            dialect.on_cluster(),
            columns.join(",\n")
        )
    }

    fn markdown(&self) -> String {
        let rows: Vec<String> = (self.columns.iter())
            .map(|(name, _, meaning)| format!("| `{name}` | {meaning} |\n"))
            .collect();
        let Self { name, about, .. } = self;
        format!(
            "### `{name}`\n\n{about}\n\n| column | meaning |\n|---|---|\n{}",
            rows.concat()
        )
    }
}

/// What each view and column says, for the documentation.
pub fn markdown() -> String {
    let views: Vec<String> = ALL.iter().map(View::markdown).collect();
    views.join("\n")
}

const CHECKS: View = View {
    name: "sonde_checks",
    about: "One row per check, merged: what arrived twice is here once. Durations are in microseconds.",
    columns: &[
        ("workspace", "workspace", "the workspace's id"),
        ("monitor", "monitor", "the monitor's id"),
        ("region", "region", "where it was checked from"),
        ("slot", "slot", "the instant that the check was due (UTC)"),
        (
            "run_id",
            "run_id",
            "0 for scheduled checks, else what tells on-demand ones of a slot apart",
        ),
        ("name", "name", "the monitor's name at that time"),
        (
            "kind",
            "kind",
            "`http`, `tcp`, `dns`, `icmp`, `tls`, `domain`, `exec` or `heartbeat`",
        ),
        ("target", "target", "what was checked, without passwords"),
        ("trigger", "trigger", "`schedule` or `on_demand`"),
        (
            "interval_us",
            "interval_us",
            "the monitor's interval at that time",
        ),
        (
            "started_at",
            "if(bitShiftRight(version, 144) > 1, \
fromUnixTimestamp64Micro(toInt64(72057594037927935 - bitShiftRight(version, 144)), 'UTC'), NULL)",
            "when the first attempt began (UTC); NULL when missed",
        ),
        (
            "outcome",
            "outcome",
            "`ok`, `degraded`, `failed` or `missed` (not executed)",
        ),
        (
            "reason",
            "reason",
            "why the outcome is not ok, as a stable label; empty when ok",
        ),
        ("message", "message", "one sentence for people"),
        ("attempts", "attempts", "how many network tries there were"),
        (
            "attempt_reasons",
            "arrayConcat(earlier_attempts.reason, if(attempts > 0, [reason], []))",
            "why each try failed, first to last; empty when it did not",
        ),
        (
            "attempt_totals_us",
            "arrayConcat(earlier_attempts.total_us, if(attempts > 0, [ifNull(total_us, 0)], []))",
            "how long each try took",
        ),
        (
            "dns_us",
            "dns_us",
            "resolving the name, in the last try; NULL where a phase did not happen",
        ),
        ("connect_us", "connect_us", "opening the connection"),
        ("tls_us", "tls_us", "the TLS handshake"),
        ("send_us", "send_us", "sending the request"),
        (
            "wait_us",
            "wait_us",
            "waiting for the first byte of the answer",
        ),
        ("receive_us", "receive_us", "receiving the rest"),
        (
            "total_us",
            "total_us",
            "the whole last try; the mean round trip for icmp",
        ),
        (
            "queue_wait_us",
            "queue_wait_us",
            "from being dispatched to being taken by a checker",
        ),
        (
            "schedule_lag_us",
            "schedule_lag_us",
            "from the slot to being dispatched",
        ),
        (
            "checker_id",
            "checker_id",
            "who executed it; empty when missed",
        ),
        (
            "checker_version",
            "checker_version",
            "that checker's release",
        ),
        (
            "remote_address",
            "remote_address",
            "where the last connection went",
        ),
        ("http_status", "http_status", "0 where there was no answer"),
        ("http_version", "http_version", "`1.0`, `1.1` or `2`"),
        ("http_bytes", "http_bytes", "the body on the wire"),
        (
            "http_redirects",
            "http_redirects",
            "hops before the final answer",
        ),
        ("tls_version", "tls_version", "`1.2` or `1.3`"),
        (
            "tls_not_after",
            "tls_not_after",
            "when the leaf certificate expires (UTC)",
        ),
        (
            "failed_assertions",
            "failed.assertion",
            "assertions that did not hold",
        ),
        (
            "failed_expected",
            "failed.expected",
            "what each of them expected",
        ),
        ("failed_seen", "failed.seen", "what each of them saw"),
        ("suspect", "suspect", "taken while the checker was unwell"),
        (
            "in_maintenance",
            "in_maintenance",
            "during a maintenance window: not counted against uptime",
        ),
    ],
    from: "{check_results} FINAL",
};

const fn rollup(name: &'static str, about: &'static str, from: &'static str) -> View {
    View {
        name,
        about,
        columns: ROLLUP_COLUMNS,
        from,
    }
}

const ROLLUP_15M: View = rollup(
    "sonde_rollup_15m",
    "Scheduled checks per monitor, region and quarter of an hour, recomputed within minutes of each new row.",
    "{rollup_15m} FINAL",
);

const ROLLUP_1D: View = rollup(
    "sonde_rollup_1d",
    "The same per day (UTC).",
    "{rollup_1d} FINAL",
);

const ROLLUP_COLUMNS: &[(&str, &str, &str)] = &[
    ("workspace", "workspace", "the workspace's id"),
    ("monitor", "monitor", "the monitor's id"),
    ("region", "region", "where it was checked from"),
    ("bucket", "bucket", "the bucket's first instant (UTC)"),
    ("ok", "ok", "checks that were ok"),
    ("degraded", "degraded", "checks that were degraded"),
    ("failed", "failed", "checks that failed"),
    ("missed", "missed", "checks that nobody executed"),
    (
        "ok_in_maintenance",
        "ok_in_maintenance",
        "those of `ok` during maintenance",
    ),
    (
        "degraded_in_maintenance",
        "degraded_in_maintenance",
        "those of `degraded` during maintenance",
    ),
    (
        "failed_in_maintenance",
        "failed_in_maintenance",
        "those of `failed` during maintenance",
    ),
    (
        "missed_in_maintenance",
        "missed_in_maintenance",
        "those of `missed` during maintenance",
    ),
    (
        "latency_count",
        "latency_count",
        "measured checks: ok or degraded, outside maintenance; what follows is of these",
    ),
    (
        "latency_sum_us",
        "latency_sum_us",
        "sum of their `total_us`",
    ),
    (
        "p50_us",
        "if(latency_count = 0, NULL, finalizeAggregation(latency_sketch)[1])",
        "median, within 1 %",
    ),
    (
        "p75_us",
        "if(latency_count = 0, NULL, finalizeAggregation(latency_sketch)[2])",
        "75th percentile",
    ),
    (
        "p90_us",
        "if(latency_count = 0, NULL, finalizeAggregation(latency_sketch)[3])",
        "90th percentile",
    ),
    (
        "p95_us",
        "if(latency_count = 0, NULL, finalizeAggregation(latency_sketch)[4])",
        "95th percentile",
    ),
    (
        "p99_us",
        "if(latency_count = 0, NULL, finalizeAggregation(latency_sketch)[5])",
        "99th percentile",
    ),
    (
        "latency_sketch",
        "latency_sketch",
        "for percentiles over several rows: `quantilesDDMerge(0.01, 0.5, 0.75, 0.9, 0.95, 0.99)(latency_sketch)`; \
never average percentiles",
    ),
    ("dns_count", "dns_count", "in how many the phase happened"),
    ("dns_sum_us", "dns_sum_us", "sum of `dns_us`"),
    (
        "connect_count",
        "connect_count",
        "in how many the phase happened",
    ),
    ("connect_sum_us", "connect_sum_us", "sum of `connect_us`"),
    ("tls_count", "tls_count", "in how many the phase happened"),
    ("tls_sum_us", "tls_sum_us", "sum of `tls_us`"),
    ("send_count", "send_count", "in how many the phase happened"),
    ("send_sum_us", "send_sum_us", "sum of `send_us`"),
    ("wait_count", "wait_count", "in how many the phase happened"),
    ("wait_sum_us", "wait_sum_us", "sum of `wait_us`"),
    (
        "receive_count",
        "receive_count",
        "in how many the phase happened",
    ),
    ("receive_sum_us", "receive_sum_us", "sum of `receive_us`"),
];

const LEDGER: View = View {
    name: "sonde_ledger",
    about: "The proof that no check was lost: once a minute is settled (its `deadline` has passed), `scheduled` is the sum of the four counts.",
    columns: &[
        ("minute", "minute", "the minute that the slots were in (UTC)"),
        ("region", "region", "where the checks were to run"),
        ("scheduled", "sum(scheduled_checks)", "how many the dispatcher scheduled"),
        ("ok", "sum(ok_checks)", "what came of them"),
        ("degraded", "sum(degraded_checks)", "what came of them"),
        ("failed", "sum(failed_checks)", "what came of them"),
        ("missed", "sum(missed_checks)", "what came of them: not executed"),
        ("deadline", "max(last_deadline)", "until then some may rightly be on their way (UTC)"),
        (
            "balanced",
            "scheduled = ok + degraded + failed + missed",
            "1 when nothing is missing or too much",
        ),
    ],
    from: "(
    SELECT minute, region, scheduled AS scheduled_checks, deadline AS last_deadline,
        toUInt64(0) AS ok_checks, toUInt64(0) AS degraded_checks, toUInt64(0) AS failed_checks,
        toUInt64(0) AS missed_checks
    FROM {ledger} FINAL
    UNION ALL
    SELECT toStartOfMinute(slot) AS minute, region, toUInt64(0), fromUnixTimestamp64Micro(toInt64(0), 'UTC'),
        countIf(outcome = 'ok'), countIf(outcome = 'degraded'), countIf(outcome = 'failed'),
        countIf(outcome = 'missed')
    FROM {check_results} FINAL WHERE trigger = 'schedule' GROUP BY minute, region
)
GROUP BY minute, region",
};
