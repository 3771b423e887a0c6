//! E-mail, as text and as HTML. What follows an alert refers to its mail, so that they become one thread.

use serde::{Deserialize, Serialize};
use sonde_core::Timestamp;
use uuid::Uuid;

use crate::channel::Settings;
use crate::message::Mail;
use crate::text::html;
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, NoticeEvent, ReportNotice};

const MOST_ADDRESSES: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    pub to: Vec<String>,
}

impl Settings for Email {
    fn validate(&self, problems: &mut Problems) {
        if !(1..=MOST_ADDRESSES).contains(&self.to.len()) {
            let message = format!(
                "must be 1 to {MOST_ADDRESSES} addresses, got {}",
                self.to.len()
            );
            problems.add("to", message);
        }
        for (index, address) in self.to.iter().enumerate() {
            problems.look_at_mail_address(&format!("to[{index}]"), address);
        }
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        let headline = notice.headline();
        // One that whatever follows can name, and that no other channel's mail has: who gets both sees both.
        let first = Uuid::new_v5(&notice.incident.id, self.to.join(",").as_bytes());
        let first = message_id(notice, first);
        let (message_id, follows) = match notice.event {
            NoticeEvent::Opened => (first, None),
            NoticeEvent::Test => (message_id(notice, notice.id), None),
            _ => (message_id(notice, notice.id), Some(first)),
        };
        Message::Mail(Mail {
            to: self.to.clone(),
            text: format!("{headline}\n\n{}\n", notice.plain(usize::MAX)),
            html: page(&headline, notice),
            subject: headline,
            message_id,
            follows,
        })
    }

    fn report(&self, report: &ReportNotice, _at: Timestamp) -> Option<Message> {
        let headline = report.headline();
        let mut page = format!("<h2>{}</h2>\n{}", html(&headline), report.table());
        if let Some(link) = report.link() {
            let (link, opens) = (html(link.as_str()), report.opens());
            page = format!("{page}<p><a href=\"{link}\">{opens}</a></p>\n");
        }
        Some(Message::Mail(Mail {
            to: self.to.clone(),
            text: format!("{headline}\n\n{}\n", report.plain(usize::MAX)),
            html: page,
            subject: headline,
            message_id: message_id(report, report.id),
            follows: None,
        }))
    }
}

fn message_id(notice: &impl Words, id: Uuid) -> String {
    let host = notice.link().and_then(|link| link.host_str());
    // RFC 2606: a name that is nobody's.
    format!("<{id}@{}>", host.unwrap_or("sonde.invalid"))
}

fn page(headline: &str, notice: &Notice) -> String {
    let colour = notice.severity().colour();
    let headline = html(headline);
    let lines = notice.html(usize::MAX).replace('\n', "<br>\n");
    format!("<h2 style=\"color:#{colour:06x}\">{headline}</h2>\n<p>{lines}</p>\n")
}
