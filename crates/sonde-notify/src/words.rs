//! What channels say in words, whether it is of an incident or of a period.

use sonde_core::Timestamp;
use url::Url;
use uuid::Uuid;

use crate::text::{html, length};
use crate::{Line, Severity};

pub(crate) trait Words {
    /// The same at every attempt.
    fn id(&self) -> Uuid;
    /// What it belongs to: its incident.
    fn thread(&self) -> Uuid;
    fn at(&self) -> Timestamp;
    fn headline(&self) -> String;
    /// Most important first.
    fn lines(&self) -> Vec<Line>;
    fn severity(&self) -> Severity;
    fn link(&self) -> Option<&Url>;
    /// What the link is called.
    fn opens(&self) -> &'static str;

    /// The lines in a vendor's markup, each on its own, as many as fit into `most` UTF-16 units.
    fn body(&self, most: usize, markup: impl Fn(&Line) -> String) -> String {
        let mut body = String::new();
        for line in self.lines() {
            let line = markup(&line);
            if length(&body) + 1 + length(&line) > most {
                break;
            }
            if !body.is_empty() {
                body.push('\n');
            }
            body.push_str(&line);
        }
        body
    }

    /// [`Self::body`] and the link as it is.
    fn body_and_link(&self, most: usize, markup: impl Fn(&Line) -> String) -> String {
        let Some(link) = self.link() else {
            return self.body(most, markup);
        };
        let body = self.body(most.saturating_sub(link.as_str().len() + 1), markup);
        format!("{body}\n{link}")
    }

    fn plain(&self, most: usize) -> String {
        self.body_and_link(most, Line::plain)
    }

    /// [`Self::body`] as HTML, and the link.
    fn html(&self, most: usize) -> String {
        let body = self.body(most, Line::html);
        match self.link() {
            Some(link) => {
                let opens = self.opens();
                format!("{body}\n<a href=\"{}\">{opens}</a>", html(link.as_str()))
            }
            None => body,
        }
    }
}
