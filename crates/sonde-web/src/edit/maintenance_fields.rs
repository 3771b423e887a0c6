//! What a form asks of maintenance. How often it comes is chosen, or typed as a rule where that says more; both are the same rule.

use chrono_tz::Tz;
use serde_json::{Value, json};
use sonde_core::{
    MaintainedMonitors, MaintenanceBody, MaintenanceSchedule, MaintenanceWindow, MonitorId,
    Recurrence, Timestamp,
};
use sonde_service::FieldProblem;

use crate::asked::instant;
use crate::form::{Field, Form, Group};
use crate::format;

const WHICH: [(&str, &str); 3] = [
    ("all", "all monitors"),
    ("ids", "these monitors"),
    ("tags", "monitors with any of these tags"),
];
const MODES: [(&str, &str); 2] = [("once", "once"), ("recurring", "again and again")];
const EVERY: [(&str, &str); 4] = [
    ("day", "every day"),
    ("week", "every week"),
    ("month", "every month"),
    ("rule", "as a rule says"),
];
const DAYS: [(&str, &str); 7] = [
    ("MO", "Mon"),
    ("TU", "Tue"),
    ("WE", "Wed"),
    ("TH", "Thu"),
    ("FR", "Fri"),
    ("SA", "Sat"),
    ("SU", "Sun"),
];

const ANY: MaintenanceWindow = MaintenanceWindow {
    from: Timestamp::from_micros(0),
    to: Timestamp::from_micros(3_600_000_000),
};

const FROM: &str = "schedule.once.from";
const TO: &str = "schedule.once.to";
const RULE: &str = "schedule.recurring.rrule";
const ZONE: &str = "schedule.recurring.timezone";
const START: &str = "schedule.recurring.starts_at";
const DURATION: &str = "schedule.recurring.duration";

pub(super) fn form(zone: Tz) -> Form {
    let here = format!("In {}.", zone.name());
    let what = vec![
        Field::line("title", "Title").wide(),
        Field::choice("which", "Of", &WHICH),
        Field::words("monitors", "Their ids or tags").hint("With commas in between."),
        Field::choice("mode", "When", &MODES),
    ];
    let once = vec![
        Field::line(FROM, "From")
            .of_type("datetime-local")
            .hint(here.clone()),
        Field::line(TO, "To").of_type("datetime-local").hint(here),
    ];
    let recurring = vec![
        Field::choice("every", "How often", &EVERY),
        Field::several("days", "On", &DAYS)
            .hint("On the weekday of the first window when none is chosen."),
        Field::whole("monthday", "On the day of the month")
            .hint("From 1, or from -1 at its end; that of the first window when it is left empty."),
        Field::line(RULE, "Rule")
            .hint("As after RRULE: in RFC 5545, such as FREQ=MONTHLY;BYDAY=-1SU"),
        Field::line(START, "First window begins").of_type("datetime-local"),
        Field::line(DURATION, "Takes")
            .with("1h")
            .hint("From 1m to 31d, as in 1h 30m."),
        Field::line(ZONE, "Time zone")
            .with(zone.name())
            .hint("An IANA name: windows stay at their local time when the clocks change."),
    ];
    Form::new(vec![
        Group::new("What is maintained", what),
        Group::new("Once", once).class("once"),
        Group::new("Again and again", recurring).class("recurring"),
    ])
}

/// What is stored.
pub(super) fn show(form: &mut Form, body: &MaintenanceBody, zone: Tz) {
    let mut set = |name: &str, value: String| {
        if let Some(field) = form.field(name) {
            field.value = value;
        }
    };
    set("title", body.title.clone());
    let (which, named) = match &body.monitors {
        MaintainedMonitors::All => ("all", String::new()),
        MaintainedMonitors::Ids(ids) => {
            let ids: Vec<&str> = ids.iter().map(MonitorId::as_str).collect();
            ("ids", ids.join(", "))
        }
        MaintainedMonitors::Tags(tags) => ("tags", tags.join(", ")),
    };
    set("which", which.to_owned());
    set("monitors", named);
    match &body.schedule {
        MaintenanceSchedule::Once(window) => {
            set("mode", "once".to_owned());
            show_instant(form, FROM, window.from, zone);
            show_instant(form, TO, window.to, zone);
        }
        MaintenanceSchedule::Recurring(it) => {
            set("mode", "recurring".to_owned());
            set(START, it.starts_at.clone());
            set(DURATION, it.duration.clone());
            set(ZONE, it.timezone.clone());
            let chosen = Chosen::of(&it.rrule);
            set("every", chosen.every.to_owned());
            set("days", chosen.days);
            set("monthday", chosen.day);
            set(RULE, chosen.rule);
        }
    }
}

/// As local time, where that says the same; else as the instant that it is.
fn show_instant(form: &mut Form, name: &str, at: Timestamp, zone: Tz) {
    let local = |form: &str| format::written(at, zone, form);
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"].map(local);
    let mut same = forms.into_iter();
    let same = same.find(|text| instant(name, Some(text), zone) == Ok(at));
    let Some(field) = form.field(name) else {
        return;
    };
    if let Some(text) = same {
        field.value = text;
    } else {
        field.input = crate::form::Input::Line("text");
        field.value = at.to_string();
    }
}

/// A rule, as far as the choices can say it.
struct Chosen {
    every: &'static str,
    days: String,
    day: String,
    rule: String,
}

impl Chosen {
    fn of(rule: &str) -> Self {
        let none = || Self {
            every: "rule",
            days: String::new(),
            day: String::new(),
            rule: String::new(),
        };
        let (every, rest) = match rule.split_once(';').unwrap_or((rule, "")) {
            ("FREQ=DAILY", rest) => ("day", rest),
            ("FREQ=WEEKLY", rest) => ("week", rest),
            ("FREQ=MONTHLY", rest) => ("month", rest),
            (_, rest) => ("rule", rest),
        };
        let days = rest.strip_prefix("BYDAY=").unwrap_or_default();
        let day = rest.strip_prefix("BYMONTHDAY=").unwrap_or_default();
        let chosen = Self {
            every,
            days: days.replace(',', ", "),
            day: day.to_owned(),
            ..none()
        };
        let is_same = every != "rule" && written(every, &chosen.days, day, "") == rule;
        if is_same {
            return chosen;
        }
        Self {
            rule: rule.to_owned(),
            ..none()
        }
    }
}

fn written(every: &str, days: &str, day: &str, rule: &str) -> String {
    // In the order in which a browser sends them.
    let chosen: Vec<&str> = days.split(',').map(str::trim).collect();
    let days = DAYS.iter().map(|(name, _)| *name);
    let days: Vec<&str> = days.filter(|name| chosen.contains(name)).collect();
    match every {
        "day" => "FREQ=DAILY".to_owned(),
        "week" if days.is_empty() => "FREQ=WEEKLY".to_owned(),
        "week" => format!("FREQ=WEEKLY;BYDAY={}", days.join(",")),
        "month" if day.is_empty() => "FREQ=MONTHLY".to_owned(),
        "month" => format!("FREQ=MONTHLY;BYMONTHDAY={day}"),
        _ => rule.to_owned(),
    }
}

/// What is typed, as the API reads it; what cannot be read stands beside its field.
pub(super) fn body(form: &mut Form, zone: Tz) -> Option<MaintenanceBody> {
    let mut problems = Vec::new();
    let named = form.get("monitors").split(',').map(str::trim);
    let named: Vec<&str> = named.filter(|it| !it.is_empty()).collect();
    let monitors = match form.get("which") {
        "ids" => ids(&named, &mut problems),
        "tags" => MaintainedMonitors::Tags(named.iter().map(|&it| it.to_owned()).collect()),
        _ => MaintainedMonitors::All,
    };
    let schedule = if form.get("mode") == "recurring" {
        let text = |name| form.get(name).to_owned();
        let (days, day) = (form.get("days"), form.get("monthday"));
        Some(MaintenanceSchedule::Recurring(Recurrence {
            rrule: written(form.get("every"), days, day, form.get(RULE)),
            timezone: text(ZONE),
            starts_at: text(START),
            duration: text(DURATION),
        }))
    } else {
        let mut at = |name: &str, called: &str| {
            let text = Some(form.get(name)).filter(|text| !text.is_empty());
            let read = instant(called, text, zone);
            read.map_err(|message| problems.push(FieldProblem::new(name, message)))
                .ok()
        };
        let window: Option<(Timestamp, Timestamp)> = at(FROM, "from").zip(at(TO, "to"));
        // As the API reads it, so that it says the same of it.
        let window = window.map(|(from, to)| json!({ "once": { "from": from, "to": to } }));
        window.and_then(|window: Value| serde_json::from_value(window).ok())
    };
    let title = form.get("title").to_owned();
    let is_right = problems.is_empty() || form.is_draft;
    form.place(problems);
    // Any time is good enough for the rest of a draft to be looked at.
    let schedule = schedule.or_else(|| form.is_draft.then_some(MaintenanceSchedule::Once(ANY)));
    Some(MaintenanceBody {
        title,
        monitors,
        schedule: schedule?,
    })
    .filter(|_| is_right)
}

fn ids(named: &[&str], problems: &mut Vec<FieldProblem>) -> MaintainedMonitors {
    let ids = named.iter().filter_map(|text| {
        let id = MonitorId::new(text);
        id.map_err(|error| problems.push(FieldProblem::new("monitors", error.to_string())))
            .ok()
    });
    MaintainedMonitors::Ids(ids.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: Value, zone: Tz, expected: &[(&str, &str)]) {
        let stored: MaintenanceBody = serde_json::from_value(body).unwrap();
        let mut form = form(zone);
        show(&mut form, &stored, zone);
        for (name, value) in expected {
            assert_eq!(form.get(name), *value, "{name}");
        }
        assert_eq!(super::body(&mut form, zone), Some(stored));
    }

    fn recurring(rule: &str) -> Value {
        json!({ "title": "patch day", "monitors": { "tags": ["prod", "eu"] }, "schedule": { "recurring": {
            "rrule": rule, "timezone": "Europe/Berlin", "starts_at": "2026-11-20T02:30", "duration": "1h 30m" } } })
    }

    #[test]
    fn a_form_that_nobody_touches_changes_nothing() {
        let zone = Tz::America__New_York;
        check(
            recurring("FREQ=WEEKLY;BYDAY=MO,SU"),
            zone,
            &[
                ("every", "week"),
                ("days", "MO, SU"),
                ("monitors", "prod, eu"),
            ],
        );
        check(recurring("FREQ=DAILY"), zone, &[("every", "day")]);
        check(
            recurring("FREQ=MONTHLY;BYMONTHDAY=-1"),
            zone,
            &[("every", "month"), ("monthday", "-1")],
        );
        for rule in [
            "FREQ=MONTHLY;BYDAY=-1SU",
            "FREQ=DAILY;COUNT=3",
            "FREQ=WEEKLY;BYDAY=SU,MO",
            "freq=daily",
        ] {
            check(recurring(rule), zone, &[("every", "rule"), (RULE, rule)]);
        }
    }

    #[test]
    fn times_are_those_of_the_viewer_also_when_the_clocks_change() {
        let once = |from: &str, to: &str| json!({ "title": "t", "monitors": { "ids": ["shop"] }, "schedule": { "once": { "from": from, "to": to } } });
        let zone = Tz::Europe__Berlin;
        check(
            once("2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"),
            zone,
            &[(FROM, "2026-10-25T02:30"), (TO, "2026-10-25T03:00")],
        );
        // The second of two that the clocks show alike.
        check(
            once("2026-10-25T01:30:00Z", "2026-10-25T02:00:07Z"),
            zone,
            &[
                (FROM, "2026-10-25T01:30:00.000000Z"),
                (TO, "2026-10-25T03:00:07"),
            ],
        );
    }

    #[test]
    fn what_is_no_time_and_no_id_is_told_beside_its_field() {
        let mut form = form(Tz::UTC);
        let typed = "title=t&which=ids&monitors=shop%2C+Not+One&mode=once&schedule.once.from=soon";
        form.type_in(&crate::asked::Asked::new(Some(typed)));
        assert_eq!(body(&mut form, Tz::UTC), None);
        let mut problem = |name: &str| form.field(name).unwrap().problems.join(";");
        assert!(problem("monitors").starts_with("`Not One` is not a valid"));
        assert!(problem(FROM).contains("got `soon`"));
        assert_eq!(problem(TO), "`to` is missing");
    }
}
