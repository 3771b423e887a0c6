//! How a period went, told to one channel once: numbers of all monitors together, and of those that did worst.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{MonitorId, Timestamp, WorkspaceId, format_duration};
use url::Url;
use uuid::Uuid;

use crate::text::{html, one_line};
use crate::words::Words;
use crate::{Line, Severity};

const LONGEST_NAME: usize = 100;

/// Its JSON is what an outbox keeps and what webhooks get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportNotice {
    /// The same at every attempt, and for the same report of the same period.
    pub id: Uuid,
    pub workspace: WorkspaceId,
    pub event: ReportEvent,
    /// When it was due.
    pub at: Timestamp,
    pub report: PeriodReport,
    /// To where people see more.
    pub link: Option<Url>,
}

/// What tells a report from a notice of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportEvent {
    Report,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeriodReport {
    /// Its id.
    pub name: String,
    pub from: Timestamp,
    pub to: Timestamp,
    /// The days that it is about, in the words of its zone: `2026-11-23 to 2026-11-29`.
    pub days: String,
    pub zone: String,
    /// Of all monitors. `uptime` is the mean of theirs, and `p95_us` the slowest of theirs.
    pub now: Figures,
    /// In the period before.
    pub before: Figures,
    /// The worst first, and only so many.
    pub monitors: Vec<MonitorFigures>,
    /// How many did better than those.
    pub others: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonitorFigures {
    pub monitor: MonitorId,
    pub name: String,
    pub now: Figures,
    pub before: Figures,
}

/// What a period comes to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// That were executed.
    pub checks: u64,
    pub failed: u64,
    /// That were due and not executed.
    pub missed: u64,
    /// From 0 to 1; absent where nothing was executed.
    pub uptime: Option<f64>,
    pub p95_us: Option<u64>,
    pub incidents: u64,
    /// How long there was an incident.
    pub incident_seconds: u64,
}

impl Figures {
    /// Never rounded up: 100 % is nothing failed.
    fn uptime(&self) -> String {
        self.uptime.map_or_else(
            || "no checks".to_owned(),
            |uptime| format!("{:.2} %", (uptime * 10_000.0).floor() / 100.0),
        )
    }

    fn incidents(&self) -> String {
        let lasted = || format_duration(Duration::from_secs(self.incident_seconds));
        match self.incidents {
            0 => "no incidents".to_owned(),
            1 => format!("1 incident, {}", lasted()),
            many => format!("{many} incidents, {}", lasted()),
        }
    }

    fn p95(&self) -> String {
        let milliseconds = |p95: u64| format!("{} ms", p95.div_ceil(1000));
        self.p95_us.map_or_else(|| "–".to_owned(), milliseconds)
    }
}

impl ReportNotice {
    /// For mail: a table, which lines of text would be in columns that nobody finds.
    pub(crate) fn table(&self) -> String {
        let mut rows = row(
            "th",
            [
                "",
                "Uptime",
                "before",
                "Incidents",
                "before",
                "p95",
                "before",
            ],
        );
        let PeriodReport {
            now,
            before,
            monitors,
            others,
            ..
        } = &self.report;
        rows.push_str(&figures("All", now, before));
        for one in monitors {
            let name = one_line(&one.name, LONGEST_NAME);
            rows.push_str(&figures(&name, &one.now, &one.before));
        }
        let others = match others {
            0 => String::new(),
            others => format!("<p>{others} others did better.</p>\n"),
        };
        format!("<table cellpadding=\"6\">\n{rows}</table>\n{others}")
    }
}

fn figures(name: &str, now: &Figures, before: &Figures) -> String {
    let cells = [
        name,
        &now.uptime(),
        &before.uptime(),
        &now.incidents(),
        &before.incidents(),
        &now.p95(),
        &before.p95(),
    ];
    row("td", cells)
}

fn row(cell: &str, texts: [&str; 7]) -> String {
    let cells = texts.map(|text| format!("<{cell} align=\"left\">{}</{cell}>", html(text)));
    format!("<tr>{}</tr>\n", cells.concat())
}

impl Words for ReportNotice {
    fn id(&self) -> Uuid {
        self.id
    }

    fn thread(&self) -> Uuid {
        self.id
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    /// As in `99.93 % up, 2026-11-23 to 2026-11-29`.
    fn headline(&self) -> String {
        let PeriodReport { now, days, .. } = &self.report;
        match now.uptime {
            Some(_) => format!("{} up, {days}", now.uptime()),
            None => format!("No checks, {days}"),
        }
    }

    fn lines(&self) -> Vec<Line> {
        let PeriodReport {
            now,
            before,
            monitors,
            others,
            ..
        } = &self.report;
        let compared = |now: String, before: String| format!("{now} (before: {before})");
        let mut lines = vec![
            Line::new("Uptime", &compared(now.uptime(), before.uptime())),
            Line::new("Incidents", &compared(now.incidents(), before.incidents())),
            Line::new("Slowest p95", &compared(now.p95(), before.p95())),
            Line::new(
                "Checks",
                &format!(
                    "{}, {} failed, {} missed",
                    now.checks, now.failed, now.missed
                ),
            ),
        ];
        lines.extend(monitors.iter().map(|one| {
            let MonitorFigures { now, before, .. } = one;
            let text = format!(
                "{} (before: {}), {}, p95 {} (before: {})",
                now.uptime(),
                before.uptime(),
                now.incidents(),
                now.p95(),
                before.p95()
            );
            Line::new(one_line(&one.name, LONGEST_NAME), &text)
        }));
        if *others > 0 {
            lines.push(Line::new("Others", &format!("{others} did better")));
        }
        lines
    }

    fn severity(&self) -> Severity {
        Severity::Info
    }

    fn link(&self) -> Option<&Url> {
        self.link.as_ref()
    }

    fn opens(&self) -> &'static str {
        "Open Sonde"
    }
}

#[cfg(test)]
impl ReportNotice {
    pub(crate) fn sample() -> Self {
        let figures = |uptime, incidents| Figures {
            checks: 40_320,
            failed: 7,
            missed: 1,
            uptime,
            p95_us: uptime.map(|_| 480_001),
            incidents,
            incident_seconds: incidents * 372,
        };
        let one = |monitor: &str, name: &str, uptime, incidents| MonitorFigures {
            monitor: MonitorId::new(monitor).unwrap(),
            name: name.to_owned(),
            now: figures(uptime, incidents),
            before: figures(Some(1.0), 0),
        };
        let to = Timestamp::from_micros(1_795_780_800_000_000);
        Self {
            id: Uuid::from_u128(0x4e0),
            workspace: WorkspaceId::local(),
            event: ReportEvent::Report,
            at: to + Duration::from_hours(9),
            report: PeriodReport {
                name: "weekly".to_owned(),
                from: to - Duration::from_hours(7 * 24),
                to,
                days: "2026-11-20 to 2026-11-26".to_owned(),
                zone: "Europe/Berlin".to_owned(),
                now: figures(Some(0.999_999), 2),
                before: figures(Some(0.995), 1),
                monitors: vec![
                    one("shop", "Shop <b>", Some(0.99), 2),
                    one("new", "New", None, 0),
                ],
                others: 3,
            },
            link: Url::parse("https://sonde.example/").ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_rounded_up_to_a_hundred() {
        let uptime = |uptime| {
            let figures = Figures {
                uptime,
                ..Figures::default()
            };
            figures.uptime()
        };
        assert_eq!(uptime(Some(1.0)), "100.00 %");
        assert_eq!(uptime(Some(0.999_999)), "99.99 %");
        assert_eq!(uptime(None), "no checks");
    }

    #[test]
    fn a_report_reads_back_from_its_json_and_is_no_notice_of_an_incident() {
        let report = ReportNotice::sample();
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<ReportNotice>(&text).unwrap(), report);
        assert!(serde_json::from_str::<crate::Notice>(&text).is_err());
    }
}
