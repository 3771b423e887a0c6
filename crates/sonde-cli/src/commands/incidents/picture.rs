//! Incidents for people: a line each, or one of them whole.

use std::fmt::Write as _;
use std::time::Duration;

use sonde_core::{IncidentCause, IncidentStatus, Timestamp, WorkspaceId, format_duration};
use sonde_notify::{Notice, NoticeEvent};

use super::{Event, Incident, Told};
use crate::output::table::{Columns, bad, bold, dim, plain, warning};
use crate::output::visible;

/// A line each.
pub(super) fn all(incidents: &[Incident], now: Timestamp) -> String {
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let header = [
        "status",
        "monitor",
        "cause",
        "opened (UTC)",
        "lasted",
        "incident",
    ];
    let mut table = Columns::new(&header, &[4]);
    for incident in incidents {
        let status = incident.status.as_str();
        let status = match incident.status {
            IncidentStatus::Open => bad(status),
            IncidentStatus::Acknowledged => warning(status),
            IncidentStatus::Resolved => dim(status),
        };
        table.row([
            status,
            bold(visible(incident.monitor.as_str())),
            plain(cause(incident)),
            plain(moment(incident.opened_at)),
            plain(lasted(incident, now)),
            plain(incident.id),
        ]);
    }
    table.text()
}

/// The whole of one.
pub(super) fn one(incident: &Incident, now: Timestamp) -> String {
    let mut text = String::new();
    let mut facts = vec![
        ("Incident".to_owned(), incident.id.to_string()),
        ("Monitor".to_owned(), incident.monitor.to_string()),
        ("Status".to_owned(), incident.status.as_str().to_owned()),
        ("Cause".to_owned(), cause(incident)),
        ("Lasted".to_owned(), lasted(incident, now)),
    ];
    if let Some(notice) = notice(incident, now) {
        let _ = writeln!(text, "{}\n", visible(&notice.headline()));
        let lines = notice.lines().into_iter();
        facts.extend(lines.map(|line| (line.label, line.text)));
    }
    let labels = facts.iter().map(|(label, _)| label.chars().count());
    let width = labels.max().unwrap_or_default();
    for (label, fact) in &facts {
        let (label, fact) = (visible(label), visible(fact));
        let _ = writeln!(text, "{label:width$}  {fact}");
    }
    text += "\nTimeline\n";
    for event in &incident.events {
        text += &happened(event);
    }
    text += "\nTold\n";
    for told in &incident.notices {
        text += &heard(told);
    }
    if incident.notices.is_empty() {
        text += "  nobody\n";
    }
    text
}

/// As it would be told now; a server that says nothing of it is believed.
fn notice(incident: &Incident, now: Timestamp) -> Option<Notice> {
    let mut detail = incident.detail.clone()?;
    detail.acknowledged_by.clone_from(&incident.acknowledged_by);
    detail.resolved_at = incident.resolved_at;
    Some(Notice {
        id: incident.id,
        workspace: WorkspaceId::local(),
        event: match incident.status {
            IncidentStatus::Resolved => NoticeEvent::Resolved,
            IncidentStatus::Open | IncidentStatus::Acknowledged => NoticeEvent::Opened,
        },
        at: incident.resolved_at.unwrap_or(now),
        incident: detail,
        link: None,
    })
}

fn cause(incident: &Incident) -> String {
    let cause = match incident.cause {
        IncidentCause::Down => "down",
        IncidentCause::Degraded => "degraded",
        IncidentCause::Unknown => "unknown",
        IncidentCause::CertificateExpiring => "certificate expiring",
        IncidentCause::DomainExpiring => "domain expiring",
    };
    match (&incident.caused_by, incident.flapping) {
        (Some(parent), _) => format!("{cause}, because of {}", visible(parent.as_str())),
        (None, true) => format!("{cause}, flapping"),
        (None, false) => cause.to_owned(),
    }
}

fn happened(event: &Event) -> String {
    let by = event.by.as_ref();
    let by = by.map_or_else(String::new, |by| format!(" by {}", visible(by)));
    let text = event.text.as_ref();
    let text = text.map_or_else(String::new, |text| format!("  {}", visible(text)));
    let kind = visible(&event.kind);
    format!("  {}  {kind}{by}{text}\n", moment(event.at))
}

fn heard(told: &Told) -> String {
    let (channel, state) = (visible(&told.channel), visible(&told.state));
    let tries = match told.attempts {
        0 | 1 => String::new(),
        tries => format!(" after {tries} tries"),
    };
    let error = told.error.as_ref();
    let error = error.map_or_else(String::new, |error| format!("  {}", visible(error)));
    format!("  {channel}  {state}{tries}{error}\n")
}

/// To the second.
fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..19).unwrap_or_default().replace('T', " ")
}

fn lasted(incident: &Incident, now: Timestamp) -> String {
    let end = incident.resolved_at.unwrap_or(now);
    let lasted = end.since(incident.opened_at).as_secs();
    // Nobody asks for the seconds of an hour.
    let step = if lasted < 3600 { 1 } else { 60 };
    format_duration(Duration::from_secs(lasted - lasted % step))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::read;
    use super::*;

    fn sample() -> Incident {
        let mut detail = serde_json::to_value(Notice::sample(NoticeEvent::Opened)).unwrap();
        let incident = json!({
            "id": "00000000-0000-0000-0000-00000000001c", "monitor": "shop", "status": "acknowledged",
            "cause": "down", "flapping": false, "opened_at": "2026-11-27T12:00:00Z", "acknowledged_by": "ada\u{1b}[31m",
            "resolved_at": null, "caused_by": null, "detail": detail["incident"].take(),
            "events": [
                { "at": "2026-11-27T12:00:00Z", "kind": "opened", "by": null, "text": "down" },
                { "at": "2026-11-27T12:01:00Z", "kind": "commented", "by": "ada", "text": "looking\ninto it" },
            ],
            "notices": [
                { "channel": "ops", "state": "sent", "attempts": 1, "error": null },
                { "channel": "boss", "state": "failed", "attempts": 3, "error": "gone" },
            ],
        });
        read(incident).unwrap()
    }

    #[test]
    fn incidents_are_told_in_a_line_and_whole() {
        let now: Timestamp = "2026-11-27T13:02:03Z".parse().unwrap();
        let text = all(&[sample()], now) + "\n" + &one(&sample(), now);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text));
        assert_eq!(all(&[], now), "no incidents\n");
    }
}
