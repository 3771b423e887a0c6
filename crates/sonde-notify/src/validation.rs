//! What may be wrong with the settings of a channel, all of it at once. No message repeats a secret.

use url::Url;

use crate::{Secret, SecretUrl};

const LONGEST_TEXT: usize = 200;
const LONGEST_SECRET: usize = 4096;
const LONGEST_URL: usize = 2048;
/// RFC 5321, 4.5.3.1.
const LONGEST_ADDRESS: usize = 254;
const LONGEST_LOCAL_PART: usize = 64;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelProblem {
    /// As in `slack.url`.
    pub path: String,
    pub message: String,
}

pub(crate) struct Problems {
    pub(crate) kind: &'static str,
    pub(crate) found: Vec<ChannelProblem>,
}

impl Problems {
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        self.found.push(ChannelProblem {
            path: format!("{}.{path}", self.kind),
            message: message.into(),
        });
    }

    pub(crate) fn look_at_secret_url(&mut self, path: &str, url: &SecretUrl) {
        self.look_at_url(path, &url.0);
    }

    /// The address of a server, which paths are appended to.
    pub(crate) fn look_at_server(&mut self, path: &str, url: &str) {
        self.look_at_url(path, url);
        if url.contains('?') {
            self.add(path, "must not have a query: it is the address of a server");
        }
    }

    fn look_at_url(&mut self, path: &str, text: &str) {
        if text.len() > LONGEST_URL || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message =
                format!("must be {LONGEST_URL} visible ASCII characters or less, without spaces");
            self.add(path, message);
        }
        let Ok(url) = Url::parse(text) else {
            self.add(path, "must be a URL such as https://host.example/path");
            return;
        };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            self.add(path, "must begin with https:// or http:// and a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.add(path, "must not hold a user name or a password");
        }
        if url.fragment().is_some() {
            self.add(path, "must not have a fragment: it is never sent");
        }
    }

    pub(crate) fn look_at_secret(&mut self, path: &str, secret: &Secret) {
        let visible = secret.0.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || !(1..=LONGEST_SECRET).contains(&secret.0.len()) {
            let message =
                format!("must be 1 to {LONGEST_SECRET} visible ASCII characters, without spaces");
            self.add(path, message);
        }
    }

    pub(crate) fn look_at_text(&mut self, path: &str, text: &str) {
        let too_long = text.chars().count() > LONGEST_TEXT;
        if text.trim().is_empty() || too_long || text.chars().any(char::is_control) {
            self.add(
                path,
                format!("must be one line of 1 to {LONGEST_TEXT} characters"),
            );
        }
    }

    /// What becomes part of a vendor's path or names something there.
    pub(crate) fn look_at_id(&mut self, path: &str, id: &str, more: &str) {
        let valid = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        if !(1..=LONGEST_TEXT).contains(&id.len()) || !id.chars().all(valid) {
            let more: Vec<String> = more.chars().map(|c| format!(", `{c}`")).collect();
            let more = more.concat();
            let message = format!("must be 1 to {LONGEST_TEXT} of A-Z, a-z, 0-9{more}");
            self.add(path, message);
        }
    }

    pub(crate) fn look_at_header(&mut self, path: &str, name: &str, value: &Secret) {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            self.add(path, "the name of a header must be letters, digits and `-`");
        }
        let value = &value.0;
        let sendable = |c: char| c == ' ' || c.is_ascii_graphic();
        if value.len() > LONGEST_SECRET || !value.chars().all(sendable) || value.trim() != value {
            self.add(
                path,
                "the value of a header must be visible ASCII characters",
            );
        }
    }

    pub(crate) fn look_at_mail_address(&mut self, path: &str, address: &str) {
        if !is_mail_address(address) {
            self.add(
                path,
                "must be an e-mail address such as ops@example.com, without a name",
            );
        }
    }

    pub(crate) fn look_at_phone_number(&mut self, path: &str, number: &str) {
        // E.164: 15 digits at most; national numbers of less than 7 cannot be called from abroad.
        let plausible = number.strip_prefix('+').is_some_and(|digits| {
            (7..=15).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && !digits.starts_with('0')
        });
        if !plausible {
            self.add(path, "must be a phone number such as +491701234567");
        }
    }
}

/// Plausible and harmless in a header; whether it exists, a mail shows.
fn is_mail_address(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let local_character =
        |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    address.len() <= LONGEST_ADDRESS
        && (1..=LONGEST_LOCAL_PART).contains(&local.len())
        && local.bytes().all(local_character)
        && domain.split('.').all(label)
}
