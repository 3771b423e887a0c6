//! Our reading of RFC 5545 beside another's, and what hostile rules cost.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use chrono::Days;

fn at(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap()
}

fn rule(text: &str, start: &str) -> Rule {
    parse(text, at(start)).unwrap().rule
}

#[track_caller]
fn check(text: &str, start: &str, expected: &[&str]) {
    let rule = rule(text, start);
    let first = at(start).date();
    let last = first.checked_add_months(FIRST_WITHIN).unwrap();
    let starts: Vec<_> = rule.starts(first, last).take(expected.len()).collect();
    let expected: Vec<_> = expected.iter().map(|text| at(text)).collect();
    assert_eq!(starts, expected, "{text}");
}

#[test]
fn rules_of_people_begin_when_they_mean() {
    check(
        "FREQ=MONTHLY;BYDAY=2TU",
        "2026-11-01T22:00",
        &["2026-11-10T22:00", "2026-12-08T22:00", "2027-01-12T22:00"],
    );
    check(
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "2026-11-01T01:00",
        &["2026-11-30T01:00", "2026-12-31T01:00", "2027-01-29T01:00"],
    );
    check(
        "FREQ=MONTHLY",
        "2027-01-31T03:00",
        &["2027-01-31T03:00", "2027-03-31T03:00", "2027-05-31T03:00"],
    );
    check(
        "freq=daily;byhour=22,4",
        "2026-11-20T04:30",
        &["2026-11-20T04:30", "2026-11-20T22:30", "2026-11-21T04:30"],
    );
    check(
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "2026-01-01T00:00",
        &["2028-02-29T00:00", "2032-02-29T00:00"],
    );
}

#[test]
fn what_a_rule_must_not_say_is_told_all_at_once() {
    let problems = parse(
        "FREQ=SECONDLY;BYMONTH=13;X=1;BYWEEKNO=3",
        at("2026-01-01T00:00"),
    );
    let problems = problems.unwrap_err();
    assert_eq!(problems.len(), 4, "{problems:?}");
    for wrong in [
        "",
        "FREQ",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;",
        "BYDAY=MO",
        "FREQ=HOURLY",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=99999",
        "FREQ=DAILY;COUNT=1001",
        "FREQ=DAILY;COUNT=1;UNTIL=20270101T000000Z",
        "FREQ=DAILY;UNTIL=20270101T000000",
        "FREQ=DAILY;UNTIL=20270101",
        "FREQ=DAILY;BYDAY=1MO",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=äMO",
        "FREQ=MONTHLY;BYDAY=é",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=MONTHLY;BYYEARDAY=1",
        "FREQ=DAILY;BYSETPOS=1",
        "FREQ=DAILY;BYSECOND=1",
        "FREQ=DAILY;BYHOUR=0,1,2;BYMINUTE=0,1,2,3,4,5,6,7,8",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=4;BYYEARDAY=1",
        "FREQ=YEARLY;BYDAY=53MO;BYMONTH=1",
        &format!("FREQ=DAILY;BYMONTH={}", "1,".repeat(300)),
    ] {
        assert!(parse(wrong, at("2026-01-01T00:00")).is_err(), "{wrong}");
    }
}

#[test]
fn a_count_ends_at_its_last_beginning() {
    let parsed = parse("FREQ=DAILY;COUNT=3", at("2026-01-01T05:00")).unwrap();
    assert_eq!(parsed.end, End::Last(at("2026-01-03T05:00")));
    let parsed = parse("FREQ=YEARLY;INTERVAL=1000;COUNT=3", at("2026-01-01T05:00")).unwrap();
    assert_eq!(parsed.end, End::Never);
}

/// Several times what they take in a debug build on a busy machine: a search without bound takes far longer.
#[test]
fn no_rule_takes_long_to_read_or_to_follow() {
    for hostile in [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;COUNT=1000",
        "FREQ=YEARLY;BYMONTHDAY=-31;BYDAY=5FR,-5FR;BYSETPOS=366;COUNT=1000",
        "FREQ=YEARLY;INTERVAL=1000;COUNT=1000",
        "FREQ=DAILY;INTERVAL=1000;COUNT=1000",
    ] {
        let begun = Instant::now();
        let parsed = parse(hostile, at("2026-01-01T00:00"));
        if let Ok(parsed) = parsed {
            let day = at("2199-01-01T00:00").date();
            let _ = parsed.rule.starts(day, day + Days::new(365)).count();
        }
        assert!(begun.elapsed() < Duration::from_millis(500), "{hostile}");
    }
}

/// Beginnings of the rrule crate, with local time as if it were UTC.
fn others(text: &str, start: NaiveDateTime, until: NaiveDateTime) -> Vec<NaiveDateTime> {
    let start = start.and_utc().with_timezone(&rrule::Tz::UTC);
    let until = until.and_utc().with_timezone(&rrule::Tz::UTC);
    let rule: rrule::RRule<rrule::Unvalidated> = text.parse().unwrap();
    let set = rule.build(start).unwrap().before(until);
    let found = set.all(10_000).dates.into_iter();
    found.map(|at| at.naive_utc()).collect()
}

fn part(name: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = String> {
    let value = prop::sample::select(values);
    prop::option::weighted(0.4, value)
        .prop_map(move |value| value.map_or(String::new(), |value| format!(";{name}={value}")))
}

fn any_rule() -> impl Strategy<Value = String> {
    let month = part("BYMONTH", &["1", "2,3", "10,12"]);
    let month_day = part("BYMONTHDAY", &["1", "31", "-1", "13,-2", "29,30"]);
    let plain = part("BYDAY", &["MO", "SA,SU", "TU,TH,FR"]);
    let counted = part("BYDAY", &["1MO", "-1FR", "2TU,3WE", "WE"]);
    let year_day = part("BYYEARDAY", &["1", "-1", "60,200,-100"]);
    let hour = part("BYHOUR", &["0", "3,15", "23"]);
    let minute = part("BYMINUTE", &["0,30"]);
    let week_start = part("WKST", &["SU", "WE"]);
    let interval = 1..5_u8;
    let days = (month, month_day, plain, counted, year_day);
    let rest = (hour, minute, week_start, interval, 0..4_u8);
    (days, rest).prop_map(|(days, (hour, minute, week_start, interval, period))| {
        let (month, month_day, plain, counted, year_day) = days;
        let days = match period {
            0 => format!("DAILY{month}{month_day}{plain}"),
            1 => format!("WEEKLY{month}{plain}"),
            2 => format!("MONTHLY{month}{month_day}{counted}"),
            _ => format!("YEARLY{month}{month_day}{counted}{year_day}"),
        };
        format!("FREQ={days}{hour}{minute}{week_start};INTERVAL={interval}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_rule_begins_when_another_reader_of_it_says(
        text in any_rule(),
        day in 0..1500_u64,
        ahead in 0..600_u64,
    ) {
        let start = at("2026-01-01T02:30") + Days::new(day);
        let Ok(Parsed { rule, .. }) = parse(&text, start) else { return Ok(()) };
        let first = start.date() + Days::new(ahead);
        let last = first + Days::new(800);
        let expected: Vec<_> = others(&text, start, last.and_hms_opt(23, 59, 59).unwrap())
            .into_iter()
            .filter(|at| at.date() >= first)
            .collect();
        let own: Vec<_> = rule.starts(first, last).collect();
        prop_assert_eq!(own, expected, "{}", text);
    }
}
