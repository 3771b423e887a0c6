//! What is told of an incident to one channel once, and the words for it that all channels share.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{
    FailedAssertion, IncidentCause, MonitorId, Outcome, Reason, Region, Timestamp, WorkspaceId,
    format_duration,
};
use url::Url;
use uuid::Uuid;

use crate::text::{html, markdown, one_line, slack};
use crate::words::Words;

/// What links to an incident.
pub(crate) const OPEN: &str = "Open the incident";

/// So that a headline whose every letter is escaped still fits a Discord title, 256.
const LONGEST_NAME: usize = 100;
const LONGEST_VALUE: usize = 300;
/// Of what machines get.
const LONGEST_RAW: usize = 2000;
const LONGEST_SEEN: usize = 120;
const MOST_REGIONS: usize = 10;
const MOST_ASSERTIONS: usize = 5;

/// Its JSON is what an outbox keeps and what webhooks get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same at every attempt, so that a receiver can tell that it has it already.
    pub id: Uuid,
    pub workspace: WorkspaceId,
    pub event: NoticeEvent,
    /// When it happened.
    pub at: Timestamp,
    pub incident: IncidentNotice,
    /// To the incident.
    pub link: Option<Url>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    Opened,
    /// Its cause is another one now.
    Changed,
    Reminded,
    Acknowledged,
    Resolved,
    /// Somebody tries the channel: there is no incident.
    Test,
}

/// An incident as it stood at the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentNotice {
    pub id: Uuid,
    pub monitor: MonitorId,
    pub name: String,
    /// Without credentials.
    pub target: String,
    pub cause: IncidentCause,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub acknowledged_by: Option<String>,
    pub flapping: bool,
    /// Every region that the monitor is checked from.
    pub regions: Vec<RegionNotice>,
    pub failed: Vec<FailedAssertion>,
    pub tags: Vec<String>,
    /// The monitor that this one depends on and that is down too.
    pub caused_by: Option<MonitorId>,
    /// Where to see how the page looked, once there is a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screenshot: Option<Url>,
}

/// What one region sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionNotice {
    pub region: Region,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub message: Option<String>,
    /// When it began to see that.
    pub since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Critical,
    Warning,
    Info,
    Ok,
}

/// One fact, bounded and on one line, but not yet escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub label: String,
    pub text: String,
}

impl NoticeEvent {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Reminded => "reminded",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Ok => "ok",
        }
    }

    /// As `0xRRGGBB`.
    pub(crate) const fn colour(self) -> u32 {
        match self {
            Self::Critical => 0x00d1_242f,
            Self::Warning => 0x00d4_a72c,
            Self::Info => 0x0057_606a,
            Self::Ok => 0x001a_7f37,
        }
    }
}

impl Line {
    pub(crate) fn new(label: impl Into<String>, text: &str) -> Self {
        Self {
            label: label.into(),
            text: one_line(text, LONGEST_VALUE),
        }
    }

    pub(crate) fn plain(&self) -> String {
        format!("{}: {}", self.label, self.text)
    }

    pub(crate) fn html(&self) -> String {
        format!("<b>{}</b>: {}", html(&self.label), html(&self.text))
    }

    pub(crate) fn markdown(&self) -> String {
        format!("**{}:** {}", markdown(&self.label), markdown(&self.text))
    }

    pub(crate) fn slack(&self) -> String {
        format!("*{}:* {}", slack(&self.label), slack(&self.text))
    }
}

impl Notice {
    /// As in `DOWN: Shop`.
    pub fn headline(&self) -> String {
        let name = one_line(&self.incident.name, LONGEST_NAME);
        let state = match self.incident.cause {
            IncidentCause::Down => "DOWN",
            IncidentCause::Degraded => "DEGRADED",
            IncidentCause::Unknown => "UNKNOWN",
            IncidentCause::CertificateExpiring => "CERTIFICATE EXPIRES",
            IncidentCause::DomainExpiring => "DOMAIN EXPIRES",
        };
        match self.event {
            NoticeEvent::Opened | NoticeEvent::Changed => format!("{state}: {name}"),
            NoticeEvent::Reminded => format!("STILL {state}: {name} for {}", self.lasted()),
            NoticeEvent::Acknowledged => format!("ACKNOWLEDGED: {name}"),
            NoticeEvent::Resolved if self.incident.cause == IncidentCause::CertificateExpiring => {
                format!("CERTIFICATE RENEWED: {name}")
            }
            NoticeEvent::Resolved if self.incident.cause == IncidentCause::DomainExpiring => {
                format!("DOMAIN RENEWED: {name}")
            }
            NoticeEvent::Resolved => format!("RECOVERED: {name} after {}", self.lasted()),
            NoticeEvent::Test => format!("TEST: {name}"),
        }
    }

    pub fn severity(&self) -> Severity {
        match (self.event, self.incident.cause) {
            (NoticeEvent::Resolved, _) => Severity::Ok,
            (NoticeEvent::Acknowledged | NoticeEvent::Test, _) => Severity::Info,
            (_, IncidentCause::Down) => Severity::Critical,
            (
                _,
                IncidentCause::Degraded
                | IncidentCause::Unknown
                | IncidentCause::CertificateExpiring
                | IncidentCause::DomainExpiring,
            ) => Severity::Warning,
        }
    }

    /// What there is to know, most important first; with times in UTC.
    pub fn lines(&self) -> Vec<Line> {
        self.lines_by(&clock_time)
    }

    /// The same with times as `clock` writes them.
    pub fn lines_by(&self, clock: &dyn Fn(Timestamp) -> String) -> Vec<Line> {
        let incident = &self.incident;
        let opened = clock(incident.opened_at);
        let mut lines = vec![
            Line::new("Target", &incident.target),
            match incident.resolved_at {
                Some(at) => Line::new("From", &format!("{opened} to {}", clock(at))),
                None => Line::new("Since", &opened),
            },
        ];
        lines.extend(self.regions(clock));
        let failed = incident.failed.iter().take(MOST_ASSERTIONS);
        lines.extend(failed.map(|failed| {
            let [assertion, expected, seen] = [&failed.assertion, &failed.expected, &failed.seen]
                .map(|text| one_line(text, LONGEST_SEEN));
            let text = format!("{assertion}: expected {expected}, saw {seen}");
            Line::new("Assertion", &text)
        }));
        let acknowledged = incident.acknowledged_by.as_deref();
        lines.extend(acknowledged.map(|by| Line::new("Acknowledged by", by)));
        let caused_by = incident.caused_by.as_ref();
        lines.extend(caused_by.map(|by| Line::new("Caused by", by.as_str())));
        if incident.flapping {
            lines.push(Line::new(
                "Flapping",
                "it fails and recovers again and again",
            ));
        }
        if !incident.tags.is_empty() {
            lines.push(Line::new("Tags", &incident.tags.join(", ")));
        }
        let screenshot = incident.screenshot.as_ref();
        lines.extend(screenshot.map(|url| Line::new("Screenshot", url.as_str())));
        lines
    }

    fn regions(&self, clock: &dyn Fn(Timestamp) -> String) -> Vec<Line> {
        let regions = &self.incident.regions;
        let counts = |region: &&RegionNotice| match self.incident.cause {
            IncidentCause::Down => region.outcome == Outcome::Failed,
            IncidentCause::Degraded
            | IncidentCause::CertificateExpiring
            | IncidentCause::DomainExpiring => {
                matches!(region.outcome, Outcome::Failed | Outcome::Degraded)
            }
            IncidentCause::Unknown => region.outcome == Outcome::Missed,
        };
        let count = regions.iter().filter(counts).count();
        let share = format!("{count} of {} regions", regions.len());
        let share = (count > 0).then(|| Line::new("Where", &share));
        let failing = regions
            .iter()
            .filter(|region| region.outcome != Outcome::Ok);
        let failing = failing.take(MOST_REGIONS).map(|it| it.line(clock));
        share.into_iter().chain(failing).collect()
    }

    fn lasted(&self) -> String {
        let end = self.incident.resolved_at.unwrap_or(self.at);
        let lasted = end.since(self.incident.opened_at).as_secs();
        // Nobody asks for the seconds of an hour.
        let step = if lasted < 3600 { 1 } else { 60 };
        format_duration(Duration::from_secs(lasted - lasted % step))
    }

    /// The same with texts that no receiver stumbles over: each on one line, and none without end.
    pub(crate) fn bounded(&self) -> Self {
        let mut bounded = self.clone();
        let incident = &mut bounded.incident;
        let bound = |text: &mut String| *text = one_line(text, LONGEST_RAW);
        bound(&mut incident.name);
        bound(&mut incident.target);
        incident.acknowledged_by.iter_mut().for_each(bound);
        incident.tags.iter_mut().for_each(bound);
        let messages = incident
            .regions
            .iter_mut()
            .map(|region| &mut region.message);
        messages.flatten().for_each(bound);
        for failed in &mut incident.failed {
            bound(&mut failed.assertion);
            bound(&mut failed.expected);
            bound(&mut failed.seen);
        }
        bounded
    }

    /// An invented one, for trying templates and for tests.
    pub fn sample(event: NoticeEvent) -> Self {
        let minute = Duration::from_mins(1);
        let opened_at = Timestamp::from_micros(1_795_780_800_000_000);
        let resolved = event == NoticeEvent::Resolved;
        let resolved_at = resolved.then(|| opened_at + 12 * minute);
        let region = |region: &str, reason: Option<Reason>| RegionNotice {
            region: Region::new(region).expect("it is a slug"),
            outcome: reason
                .filter(|_| !resolved)
                .map_or(Outcome::Ok, Reason::outcome),
            reason: reason.filter(|_| !resolved),
            message: None,
            since: opened_at - minute,
        };
        Self {
            id: Uuid::from_u128(0x5a0 + event as u128),
            workspace: WorkspaceId::local(),
            event,
            at: resolved_at.unwrap_or(opened_at),
            incident: IncidentNotice {
                id: Uuid::from_u128(0x1c),
                monitor: MonitorId::new("shop").expect("it is a slug"),
                name: "Shop".to_owned(),
                target: "https://shop.example/health_check".to_owned(),
                cause: IncidentCause::Down,
                opened_at,
                resolved_at,
                acknowledged_by: None,
                flapping: false,
                regions: vec![
                    region("eu-west", Some(Reason::AssertionStatus)),
                    region("us-east", Some(Reason::ConnectTimeout)),
                    region("ap-south", None),
                ],
                failed: vec![FailedAssertion {
                    assertion: "status == 200".to_owned(),
                    expected: "200".to_owned(),
                    seen: "503".to_owned(),
                }],
                tags: vec!["shop".to_owned(), "payments".to_owned()],
                caused_by: None,
                screenshot: None,
            },
            link: Url::parse("https://sonde.example/incidents/1c").ok(),
        }
    }
}

impl Words for Notice {
    fn id(&self) -> Uuid {
        self.id
    }

    fn thread(&self) -> Uuid {
        self.incident.id
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn headline(&self) -> String {
        self.headline()
    }

    fn lines(&self) -> Vec<Line> {
        self.lines()
    }

    fn severity(&self) -> Severity {
        self.severity()
    }

    fn link(&self) -> Option<&Url> {
        self.link.as_ref()
    }

    fn opens(&self) -> &'static str {
        OPEN
    }
}

impl RegionNotice {
    fn line(&self, clock: &dyn Fn(Timestamp) -> String) -> Line {
        let mut text = format!("{} since {}", self.outcome, clock(self.since));
        let why = self.message.as_deref();
        if let Some(why) = why.or(self.reason.map(Reason::sentence)) {
            text = format!("{text}: {why}");
        }
        if let Some(reason) = self.reason {
            let label = format!(" ({reason})");
            text = one_line(&text, LONGEST_VALUE - label.len()) + &label;
        }
        Line::new(self.region.as_str(), &text)
    }
}

/// To the second, as in `2026-11-27 12:00:00 UTC`.
fn clock_time(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text
        .split_once('.')
        .map_or(text.as_str(), |(whole, _)| whole);
    format!("{} UTC", seconds.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headlines_say_what_happened() {
        #[track_caller]
        fn check(event: NoticeEvent, cause: IncidentCause, minutes: u64, expected: &str) {
            let mut notice = Notice::sample(event);
            notice.incident.cause = cause;
            notice.at = notice.incident.opened_at + Duration::from_secs(minutes * 60 + 5);
            notice.incident.resolved_at = None;
            assert_eq!(notice.headline(), expected);
        }
        use IncidentCause::{Degraded, DomainExpiring, Down, Unknown};
        check(NoticeEvent::Opened, Down, 0, "DOWN: Shop");
        check(NoticeEvent::Changed, Degraded, 0, "DEGRADED: Shop");
        check(NoticeEvent::Opened, Unknown, 0, "UNKNOWN: Shop");
        check(
            NoticeEvent::Reminded,
            Down,
            75,
            "STILL DOWN: Shop for 1h 15m",
        );
        check(NoticeEvent::Acknowledged, Down, 0, "ACKNOWLEDGED: Shop");
        check(
            NoticeEvent::Resolved,
            Down,
            12,
            "RECOVERED: Shop after 12m 5s",
        );
        check(NoticeEvent::Test, Down, 0, "TEST: Shop");
        check(
            NoticeEvent::Changed,
            DomainExpiring,
            0,
            "DOMAIN EXPIRES: Shop",
        );
        check(
            NoticeEvent::Resolved,
            DomainExpiring,
            0,
            "DOMAIN RENEWED: Shop",
        );
    }

    #[test]
    fn a_notice_reads_back_from_its_json() {
        let notice = Notice::sample(NoticeEvent::Resolved);
        let text = serde_json::to_string(&notice).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), notice);
    }

    #[test]
    fn every_time_in_the_lines_is_as_it_is_asked_for() {
        let notice = Notice::sample(NoticeEvent::Resolved);
        let lines = notice.lines_by(&|at| format!("<{}>", at.as_micros() / 60_000_000));
        assert_eq!(lines[1].plain(), "From: <29929680> to <29929692>");
        let notice = Notice::sample(NoticeEvent::Opened);
        let lines = notice.lines_by(&|_| "then".to_owned());
        let text: Vec<String> = lines.iter().map(Line::plain).collect();
        let text = text.join("\n");
        assert!(!text.contains("UTC") && !text.contains("2026"), "{text}");
        assert_eq!(text.matches("then").count(), 3, "{text}");
    }

    #[test]
    fn lines_say_what_there_is_to_know() {
        let mut notice = Notice::sample(NoticeEvent::Acknowledged);
        let incident = &mut notice.incident;
        incident.acknowledged_by = Some("ada@example.com".to_owned());
        incident.caused_by = Some(MonitorId::new("router").unwrap());
        incident.flapping = true;
        incident.screenshot = Url::parse("https://sonde.example/incidents/1c#screenshot").ok();
        incident.regions[0].message = Some("503\nService Unavailable".to_owned());
        incident.regions[2].outcome = Outcome::Missed;
        let expected = "\
Target: https://shop.example/health_check
Since: 2026-11-27 12:00:00 UTC
Where: 2 of 3 regions
eu-west: failed since 2026-11-27 11:59:00 UTC: 503 Service Unavailable (assertion_status)
us-east: failed since 2026-11-27 11:59:00 UTC: no connection in time (connect_timeout)
ap-south: missed since 2026-11-27 11:59:00 UTC
Assertion: status == 200: expected 200, saw 503
Acknowledged by: ada@example.com
Caused by: router
Flapping: it fails and recovers again and again
Tags: shop, payments
Screenshot: https://sonde.example/incidents/1c#screenshot";
        assert_eq!(notice.body(usize::MAX, Line::plain), expected);
        let first = "Target: https://shop.example/health_check";
        assert_eq!(notice.body(first.len() + 20, Line::plain), first);
        notice.incident.cause = IncidentCause::Unknown;
        assert_eq!(notice.lines()[2].plain(), "Where: 1 of 3 regions");
    }
}
