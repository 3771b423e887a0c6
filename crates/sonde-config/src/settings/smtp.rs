//! The section `[smtp]`: the server that mails go out through, and who they come from.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::read::Section;
use super::{Secret, ServiceUrl};

/// The operator's own server: it may be on a private network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpSettings {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    pub security: SmtpSecurity,
    pub user: Option<SmtpUser>,
    pub from: SmtpFrom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// `smtp://`
    None,
    /// `smtp+starttls://`: nothing is said before the server has switched to TLS.
    StartTls,
    /// `smtps://`
    Tls,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpUser {
    pub name: String,
    pub password: Secret,
}

/// Whom mails come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpFrom {
    pub name: Option<String>,
    pub address: String,
}

impl SmtpSecurity {
    const ALL: [Self; 3] = [Self::None, Self::StartTls, Self::Tls];

    const fn scheme(self) -> &'static str {
        match self {
            Self::None => "smtp",
            Self::StartTls => "smtp+starttls",
            Self::Tls => "smtps",
        }
    }

    /// RFC 5321, RFC 6409 and RFC 8314.
    const fn port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::StartTls => 587,
            Self::Tls => 465,
        }
    }
}

impl SmtpSettings {
    /// `smtp+starttls://user:password@host:port`; an error repeats no part of it.
    pub fn new(url: &str, from: SmtpFrom) -> Result<Self, String> {
        let url = ServiceUrl::parse(url, &SmtpSecurity::ALL.map(SmtpSecurity::scheme))?;
        let url = url.expose();
        let mut all = SmtpSecurity::ALL.into_iter();
        let security = all
            .find(|one| one.scheme() == url.scheme())
            .ok_or("has an unknown scheme")?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("must end after the host and its port".to_owned());
        }
        let host = url.host_str().ok_or("names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let user = user(url)?;
        if user.is_some() && security == SmtpSecurity::None && !is_this_machine(host) {
            let message = "would send the password in the clear: use smtp+starttls:// or smtps://";
            return Err(message.to_owned());
        }
        Ok(Self {
            host: host.to_owned(),
            port: url.port().unwrap_or(security.port()),
            security,
            user,
            from,
        })
    }
}

impl SmtpFrom {
    /// `sonde@example.com`, or `Sonde <sonde@example.com>`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, address) = match text.split_once('<') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix('>').unwrap_or_default()),
            None => ("", text),
        };
        let name = name.trim_matches('"');
        let fits = |c: char| c.is_ascii_graphic() && !"<>@,;\"".contains(c);
        let is_address = address.split_once('@').is_some_and(|(local, domain)| {
            [local, domain]
                .iter()
                .all(|part| !part.is_empty() && part.chars().all(fits))
        });
        if !is_address || name.chars().any(char::is_control) {
            return Err(format!(
                "`{text}` is not a sender such as Sonde <sonde@example.com>"
            ));
        }
        Ok(Self {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            address: address.to_owned(),
        })
    }
}

pub(super) fn read(section: &Section<'_>) -> Option<SmtpSettings> {
    let from = section.parse("from", SmtpFrom::parse);
    section.secret("url", |text| {
        let from = from.ok_or("needs `from` beside it: the address that mails come from")?;
        SmtpSettings::new(text, from)
    })
}

fn user(url: &Url) -> Result<Option<SmtpUser>, String> {
    let decoded = |text| {
        let text = percent_decode_str(text).decode_utf8();
        let text = text.map_err(|_| "has a user name or a password that is not UTF-8")?;
        Ok::<_, String>(text.into_owned())
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (_, None) => Err("names a user without a password".to_owned()),
        (name, Some(password)) => Ok(Some(SmtpUser {
            name: decoded(name)?,
            password: Secret::new(decoded(password)?),
        })),
    }
}

/// Whether what is said there reaches no network.
fn is_this_machine(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost",
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(_)) | Err(_) => host == "::1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<SmtpSettings, String> {
        SmtpSettings::new(url, SmtpFrom::parse("sonde@example.com").unwrap())
    }

    #[test]
    fn a_url_says_where_and_how() {
        #[track_caller]
        fn check(url: &str, host: &str, port: u16, security: SmtpSecurity) {
            let settings = read(url).unwrap();
            assert_eq!(
                (settings.host.as_str(), settings.port, settings.security),
                (host, port, security)
            );
        }
        check(
            "smtp://relay.internal",
            "relay.internal",
            25,
            SmtpSecurity::None,
        );
        check(
            "smtps://mail.example/",
            "mail.example",
            465,
            SmtpSecurity::Tls,
        );
        check(
            "smtp+starttls://[2001:db8::1]",
            "2001:db8::1",
            587,
            SmtpSecurity::StartTls,
        );
        check("smtp://u:p@[::1]:2525", "::1", 2525, SmtpSecurity::None);
        check(
            "smtp://u:p@127.0.0.1:2525",
            "127.0.0.1",
            2525,
            SmtpSecurity::None,
        );
    }

    #[test]
    fn user_and_password_may_have_any_character_and_are_not_shown() {
        let settings = read("smtps://a%40b:p%2Fw%C3%A4@mail.example").unwrap();
        let user = settings.user.as_ref().unwrap();
        assert_eq!(
            (user.name.as_str(), user.password.expose()),
            ("a@b", "p/wä")
        );
        assert!(!format!("{settings:?}").contains("p/w"));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_it() {
        #[track_caller]
        fn check(url: &str, expected: &str) {
            let error = read(url).unwrap_err();
            assert!(
                error.starts_with(expected) && !error.contains("hunter2"),
                "{error}"
            );
        }
        check("https://a:hunter2@mail.example", "must begin with smtp://");
        check(
            "smtps://a:hunter2@mail.example/x",
            "must end after the host",
        );
        check("smtps://hunter2@mail.example", "names a user without");
        check(
            "smtp://a:hunter2@mail.example",
            "would send the password in the clear",
        );
        check("smtp://:25", "is not a URL");
    }

    #[test]
    fn a_sender_has_an_address_and_perhaps_a_name() {
        let from = |text| SmtpFrom::parse(text).map(|it| (it.name, it.address));
        let address = "sonde@example.com".to_owned();
        let named = Some("Sonde, of us".to_owned());
        assert_eq!(from("sonde@example.com"), Ok((None, address.clone())));
        assert_eq!(
            from("\"Sonde, of us\" <sonde@example.com>"),
            Ok((named, address))
        );
        for wrong in [
            "Sonde",
            "Sonde <a@b",
            "a@b@c",
            "@b",
            "a b@c",
            "x\ny <a@b>",
            "a@b, c@d",
        ] {
            assert!(from(wrong).is_err(), "{wrong}");
        }
    }
}
