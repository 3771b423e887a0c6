//! Windows on the days on which clocks change, and bodies that are none.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn recurring(rrule: &str, timezone: &str, starts_at: &str, duration: &str) -> Value {
    json!({
        "title": "patch day",
        "monitors": "all",
        "schedule": { "recurring": {
            "rrule": rrule, "timezone": timezone, "starts_at": starts_at, "duration": duration,
        } },
    })
}

fn read(body: &Value) -> Maintenance {
    serde_json::from_value(body.clone()).unwrap()
}

/// `expected` are the windows that have a part in the days from `from` to `to`, in UTC.
#[track_caller]
fn check(body: &Value, from: &str, to: &str, expected: &[(&str, &str)]) {
    let windows = read(body).windows(at(from), at(to)).collect::<Vec<_>>();
    let expected = expected.iter().map(|(from, to)| MaintenanceWindow {
        from: at(from),
        to: at(to),
    });
    assert_eq!(windows, expected.collect::<Vec<_>>());
}

#[test]
fn a_time_that_the_clocks_skip_comes_an_hour_later_on_the_clock() {
    let nightly = recurring("FREQ=DAILY", "Europe/Berlin", "2026-01-01T02:30", "30m");
    check(
        &nightly,
        "2026-03-28T00:00:00Z",
        "2026-03-30T12:00:00Z",
        &[
            ("2026-03-28T01:30:00Z", "2026-03-28T02:00:00Z"),
            ("2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z"),
            ("2026-03-30T00:30:00Z", "2026-03-30T01:00:00Z"),
        ],
    );
}

#[test]
fn a_time_that_comes_twice_is_the_first_of_the_two() {
    let nightly = recurring("FREQ=DAILY", "Europe/Berlin", "2026-01-01T02:30", "30m");
    check(
        &nightly,
        "2026-10-24T00:00:00Z",
        "2026-10-26T12:00:00Z",
        &[
            ("2026-10-24T00:30:00Z", "2026-10-24T01:00:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
            ("2026-10-26T01:30:00Z", "2026-10-26T02:00:00Z"),
        ],
    );
}

#[test]
fn a_day_long_window_takes_24_hours_whatever_the_clocks_do() {
    let daily = recurring("FREQ=DAILY", "Europe/Berlin", "2026-01-01T00:00", "24h");
    check(
        &daily,
        "2026-03-29T00:00:00Z",
        "2026-03-30T12:00:00Z",
        &[
            ("2026-03-28T23:00:00Z", "2026-03-29T23:00:00Z"),
            ("2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"),
        ],
    );
    // The 25th hour of the day is in none.
    check(&daily, "2026-10-25T22:00:00Z", "2026-10-25T23:00:00Z", &[]);
    check(
        &daily,
        "2026-10-25T00:00:00Z",
        "2026-10-26T00:00:00Z",
        &[
            ("2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z"),
            ("2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"),
        ],
    );
}

#[test]
fn clocks_that_change_at_midnight_or_by_a_whole_day_change_nothing_else() {
    // São Paulo had no 00:00 on 4 November 2018, Apia no 30 December 2011.
    check(
        &recurring("FREQ=DAILY", "America/Sao_Paulo", "2018-01-01T00:00", "1h"),
        "2018-11-04T00:00:00Z",
        "2018-11-05T12:00:00Z",
        &[
            ("2018-11-04T03:00:00Z", "2018-11-04T04:00:00Z"),
            ("2018-11-05T02:00:00Z", "2018-11-05T03:00:00Z"),
        ],
    );
    check(
        &recurring("FREQ=DAILY", "Pacific/Apia", "2011-01-01T12:00", "1h"),
        "2011-12-29T12:00:00Z",
        "2011-12-31T12:00:00Z",
        &[
            ("2011-12-29T22:00:00Z", "2011-12-29T23:00:00Z"),
            ("2011-12-30T22:00:00Z", "2011-12-30T23:00:00Z"),
            ("2011-12-30T22:00:00Z", "2011-12-30T23:00:00Z"),
        ],
    );
}

#[test]
fn nothing_begins_before_the_start_or_after_the_end() {
    let counted = recurring("FREQ=DAILY;COUNT=2", "UTC", "2026-05-01T10:00", "1h");
    let until = "FREQ=DAILY;UNTIL=20260502T080000Z";
    let until = recurring(until, "Europe/Berlin", "2026-05-01T10:00", "1h");
    check(
        &counted,
        "2020-01-01T00:00:00Z",
        "2030-01-01T00:00:00Z",
        &[
            ("2026-05-01T10:00:00Z", "2026-05-01T11:00:00Z"),
            ("2026-05-02T10:00:00Z", "2026-05-02T11:00:00Z"),
        ],
    );
    check(
        &until,
        "2020-01-01T00:00:00Z",
        "2030-01-01T00:00:00Z",
        &[
            ("2026-05-01T08:00:00Z", "2026-05-01T09:00:00Z"),
            ("2026-05-02T08:00:00Z", "2026-05-02T09:00:00Z"),
        ],
    );
}

#[test]
fn it_covers_the_monitors_that_it_names_from_its_first_to_before_its_last_instant() {
    let body = |monitors: Value| {
        let once = json!({ "from": "2026-05-01T10:00:00Z", "to": "2026-05-01T11:00:00Z" });
        read(&json!({ "title": "move", "monitors": monitors, "schedule": { "once": once } }))
    };
    let shop: MonitorId = "shop".parse().unwrap();
    let tags = ["eu".to_owned()];
    let all = body(json!("all"));
    for (slot, covered) in [
        ("2026-05-01T09:59:59.999999Z", false),
        ("2026-05-01T10:00:00Z", true),
        ("2026-05-01T10:59:59.999999Z", true),
        ("2026-05-01T11:00:00Z", false),
    ] {
        assert_eq!(all.covers(at(slot), &shop, &tags), covered, "{slot}");
    }
    for (monitors, covered) in [
        (json!({ "ids": ["other", "shop"] }), true),
        (json!({ "ids": ["other"] }), false),
        (json!({ "tags": ["us", "eu"] }), true),
        (json!({ "tags": ["us"] }), false),
    ] {
        let found = body(monitors.clone()).covers(at("2026-05-01T10:30:00Z"), &shop, &tags);
        assert_eq!(found, covered, "{monitors}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_its_place() {
    let body = json!({
        "title": " ",
        "monitors": { "ids": [] },
        "schedule": { "recurring": {
            "rrule": "FREQ=SECONDLY", "timezone": "Europe/Atlantis", "starts_at": "2026-01-01T00:00",
            "duration": "400d",
        } },
    });
    let body: MaintenanceBody = serde_json::from_value(body).unwrap();
    let problems = Maintenance::new(body).unwrap_err().0;
    let paths: Vec<_> = problems.iter().map(|problem| problem.path).collect();
    let expected = [
        "title",
        "monitors.ids",
        "schedule.recurring.timezone",
        "schedule.recurring.duration",
        "schedule.recurring.rrule",
    ];
    assert_eq!(paths, expected, "{problems:?}");
    for wrong in ["tomorrow", "1026-01-01T00:00", "2026-01-01T00:00:00Z"] {
        let body = recurring("FREQ=DAILY", "UTC", wrong, "1h");
        assert!(
            serde_json::from_value::<Maintenance>(body).is_err(),
            "{wrong}"
        );
    }
    let mut more = recurring("FREQ=DAILY", "UTC", "2026-01-01T00:00", "1h");
    more["schedule"]["recurring"]["until"] = json!("2027");
    assert!(serde_json::from_value::<Maintenance>(more).is_err());
}

#[test]
fn it_reads_back_as_it_was_written() {
    let body = recurring(
        "FREQ=WEEKLY;BYDAY=SU",
        "Asia/Tokyo",
        "2026-01-01T02:30",
        "1h 30m",
    );
    assert_eq!(serde_json::to_value(read(&body)).unwrap(), body);
}

proptest! {
    /// One window each local day, however the clocks change, and asking in two parts finds the same as in one.
    #[test]
    fn a_daily_window_begins_once_a_day(
        zone in prop::sample::select(&["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tehran"][..]),
        minute in 0..1440_u32,
        day in 0..1000_i64,
        split in 0..30_i64,
    ) {
        let starts_at = format!("2024-01-01T{:02}:{:02}", minute / 60, minute % 60);
        let daily = read(&recurring("FREQ=DAILY", zone, &starts_at, "1m"));
        let hours = |hours: i64| at("2024-02-01T00:00:00Z") + Duration::from_hours(hours.unsigned_abs());
        let (from, middle, to) = (hours(day * 24), hours((day + split) * 24), hours((day + 30) * 24));
        let all: Vec<_> = daily.windows(from, to).collect();
        prop_assert!((29..=31).contains(&all.len()), "{}", all.len());
        let local = |window: &MaintenanceWindow| {
            let at = DateTime::<Utc>::from_timestamp_micros(window.from.as_micros()).unwrap();
            at.with_timezone(&zone.parse::<Tz>().unwrap()).date_naive()
        };
        for two in all.windows(2) {
            prop_assert_eq!(local(&two[1]), local(&two[0]) + Days::new(1));
        }
        let mut parts: Vec<_> = daily.windows(from, middle).chain(daily.windows(middle, to)).collect();
        parts.dedup();
        prop_assert_eq!(parts, all);
    }
}
