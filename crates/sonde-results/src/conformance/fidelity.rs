//! Rows come back exactly as they were, and of two accounts of a check the same one stays everywhere.

use std::time::Duration;

use sonde_core::{
    Balance, CheckResult, Evidence, HttpDetail, Outcome, Reason, Timestamp, WorkspaceId,
};

use super::{
    EVER, assert_merged, at, by_checker, identify, query, region, result, rows, summary, taking,
};
use crate::Results;

/// A result with everything that any kind can have.
fn complete() -> CheckResult {
    let mut result = result(0, Outcome::Failed);
    result.in_maintenance = true;
    let details = serde_json::json!({
        "reason": "assertion_json",
        "message": "it's `down`\nand ? \\ \u{0} \u{1f9ea}",
        "attempts": [
            {"reason": "connect_timeout", "total_us": 10_000_000_000_u64},
            {"reason": null, "total_us": 3},
            {"reason": "assertion_json", "total_us": 1_000},
        ],
        "phases_us": {"dns": 0, "connect": 2, "tls": 10_000_000_000_u64, "send": 4, "wait": 5, "receive": 6},
        "total_us": 1_000, "queue_wait_us": 0, "schedule_lag_us": 86_400_000_000_u64,
        "checker": {"id": "local-1", "version": "0.1.0"},
        "remote_address": "[2001:db8::1]:443",
        "http": {"status": 200, "version": "2", "bytes": 5_000_000_000_u64, "redirects": [{
            "status": 301, "url": "http://a/", "location": "/b", "address": "192.0.2.1:80", "phases_us": {"dns": 7},
        }]},
        "tls": {"version": "1.3", "cipher": "x", "alpn": "h2", "certificates": [{
            "subject": "CN=a", "issuer": "CN=b", "san": ["a", "b"], "sha256": "00",
            "not_before": "1999-01-01T00:00:00Z", "not_after": "9999-12-31T23:59:59Z",
        }]},
        "tcp": {"reply": "+OK"},
        "dns": {"rcode": "NOERROR", "transport": "udp", "server": "192.0.2.53:53", "authoritative": true, "answer": [
            {"name": "a.", "type": "A", "ttl": 60, "data": "192.0.2.1"},
        ]},
        "icmp": {"sent": 3, "received": 2, "min_us": 1, "avg_us": 2, "max_us": 3},
        "exec": {"code": null, "output": ""},
        "domain": {"expires_at": "2027-08-13T04:00:00Z", "status": ["active"], "server": "https://rdap.example/"},
        "failed": [
            {"assertion": "json $.a == 1", "expected": "1", "seen": ""},
            {"assertion": "status == 200", "expected": "200", "seen": "500"},
        ],
        "evidence": {"response_head": "HTTP/1.1 500", "body": "'\"\\", "addresses": ["192.0.2.1"]},
        "suspect": true,
    });
    let mut value = serde_json::to_value(&result).unwrap();
    let fields = value.as_object_mut().unwrap();
    fields.extend(details.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

/// As few fields as there can be, and values that no checker sends but an older or newer one might.
fn odd() -> Vec<CheckResult> {
    let mut started_never = result(1, Outcome::Ok);
    started_never.started_at = None;
    started_never.total_us = None;
    let mut missed_late = result(2, Outcome::Missed);
    missed_late.started_at = Some(at(3));
    missed_late.reason = None;
    missed_late.message = Some(String::new());
    let mut anonymous = by_checker(result(3, Outcome::Degraded), "", Duration::ZERO);
    anonymous.v = 7;
    anonymous.http = Some(HttpDetail {
        status: 0,
        version: String::new(),
        bytes: 0,
        redirects: Vec::new(),
    });
    let mut early = result(4, Outcome::Failed);
    early.started_at = Some(Timestamp::from_micros(-1));
    early.remote_address = Some(String::new());
    early.evidence = Some(Evidence::default());
    vec![started_never, missed_late, anonymous, early]
}

pub async fn rows_come_back_as_they_were(results: &dyn Results) {
    let mut batch = odd();
    batch.push(complete());
    results.store(&batch).await.unwrap();
    for expected in &batch {
        let found = results.find(&expected.key()).await.unwrap();
        assert_eq!(found.as_ref(), Some(expected));
    }
    batch.sort_by_key(|result| std::cmp::Reverse(result.slot));
    assert_eq!(rows(results, &query()).await, batch);
}

/// Two accounts that agree on everything that the rule names before their texts.
pub async fn accounts_that_differ_in_little_are_merged_the_same_way(results: &dyn Results) {
    let same = || by_checker(result(0, Outcome::Ok), "c1", Duration::ZERO);
    let missed = || result(0, Outcome::Missed);
    let mut in_maintenance = missed();
    in_maintenance.in_maintenance = true;
    let mut another_reason = missed();
    another_reason.reason = Some(Reason::Unprocessed);
    let pairs = [
        [taking(same(), 1), taking(same(), 2)],
        [
            same(),
            by_checker(result(0, Outcome::Ok), "c2", Duration::ZERO),
        ],
        [missed(), in_maintenance],
        [missed(), another_reason],
    ];
    let mut slot = 0;
    for pair in pairs {
        for order in [[0, 1], [1, 0]] {
            slot += 1;
            let accounts = order.map(|index| {
                let mut account = pair[index].clone();
                account.slot = at(slot);
                account.started_at = account.started_at.map(|_| at(slot));
                identify(account)
            });
            for account in &accounts {
                let account = std::slice::from_ref(account);
                results.store(account).await.unwrap();
            }
            assert_merged(results, &accounts).await;
        }
    }
}

pub async fn an_executed_check_that_was_missed_before_counts_once(results: &dyn Results) {
    for outcome in [Outcome::Missed, Outcome::Failed, Outcome::Missed] {
        results.store(&[result(0, outcome)]).await.unwrap();
    }
    let expected = Balance {
        failed: 1,
        ..Balance::empty(at(0), region("local"))
    };
    assert_eq!(results.balances(EVER).await.unwrap(), [expected]);
    let seen = summary(results, EVER).await;
    assert_eq!((seen.failed, seen.missed), (1, 0));
    let local = WorkspaceId::local();
    let series = results.series(&local, None, EVER, Duration::from_hours(24));
    let series = series.await.unwrap();
    assert_eq!((series[0].failed, series[0].missed), (1, 0));
}
