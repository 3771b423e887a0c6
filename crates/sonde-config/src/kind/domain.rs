//! `domain`: the registration of a domain, as its registry tells by RDAP.

use std::net::IpAddr;
use std::time::Duration;

use sonde_core::{DomainSpec, NetworkOptions};
use url::Url;

use super::{http, network};
use crate::address;
use crate::decode::Item;
use crate::fields::Fields;

/// Registrations last for years, and registries limit how often they are asked.
pub(crate) const STANDARD_INTERVAL: Duration = Duration::from_hours(24);
/// Of what is asked at a registry; a server that the monitor names may bear more.
pub(crate) const LEAST_INTERVAL: Duration = Duration::from_hours(1);

pub(super) fn decode(item: &Item<'_>, defaults: &NetworkOptions) -> Option<DomainSpec> {
    if item.is_map() {
        return item
            .fields("domain", |fields| long(fields, defaults))
            .flatten();
    }
    Some(DomainSpec {
        network: defaults.clone(),
        ..DomainSpec::of(registered(item)?)
    })
}

fn long(fields: &mut Fields<'_>, defaults: &NetworkOptions) -> Option<DomainSpec> {
    let name = fields.required("name");
    let server = fields.take("server");
    let name = match server {
        // Who runs one may have names there that no registry knows.
        Some(_) => name.and_then(|item| item.parse(self::name)),
        None => name.and_then(|item| registered(&item)),
    };
    let server = server.map(|item| item.parse(self::server));
    let proxy = fields
        .take("proxy")
        .and_then(|item| item.parse(http::parse_proxy));
    let network = network(fields, defaults);
    Some(DomainSpec {
        name: name?,
        server: match server {
            Some(server) => Some(server?),
            None => None,
        },
        proxy,
        network,
    })
}

fn registered(item: &Item<'_>) -> Option<String> {
    let name = item.parse(name)?;
    let checked = check_registered(&name);
    let noted = checked.map_err(|(message, near)| item.problem_suggesting(message, near));
    noted.ok().map(|()| name)
}

/// A domain name in punycode, of two labels or more.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let refused = || format!("\"{text}\" is not a domain name such as example.com");
    let name = address::host(text).map_err(|_| refused())?;
    if name.parse::<IpAddr>().is_ok() {
        return Err(format!("\"{text}\" is an IP address, not a domain"));
    }
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if !name.split('.').all(|label| label.bytes().all(is_letter)) {
        return Err(refused());
    }
    if !name.contains('.') {
        return Err(format!(
            "\"{text}\" is a top-level domain: name one below it, such as example.{name}"
        ));
    }
    Ok(name.to_owned())
}

/// Registries know the names that are registered with them, and none below; the error comes with the one that may be meant.
pub(crate) fn check_registered(name: &str) -> Result<(), (String, Option<String>)> {
    let suffix = registry_suffix(name);
    let Some(labels) = name
        .strip_suffix(suffix)
        .and_then(|labels| labels.strip_suffix('.'))
    else {
        let message = format!("\"{name}\" is what domains are registered below, not one itself");
        return Err((message, None));
    };
    match labels.rsplit_once('.') {
        None => Ok(()),
        Some((_, last)) => {
            let message = format!("\"{name}\" is below the domain that is registered");
            Err((message, Some(format!("{last}.{suffix}"))))
        }
    }
}

/// What a registry registers domains below. Whoever gives away names below a domain of their own (`github.io`) is none.
fn registry_suffix(name: &str) -> &str {
    let mut suffix = name;
    while let Some(found) = psl::suffix(suffix.as_bytes()) {
        let length = found.as_bytes().len();
        suffix = &suffix[suffix.len() - length..];
        match suffix.split_once('.') {
            Some((_, parent)) if found.typ() == Some(psl::Type::Private) => suffix = parent,
            _ => break,
        }
    }
    suffix
}

/// The base URL of an RDAP server.
pub(crate) fn server(text: &str) -> Result<Url, String> {
    let url = http::web_url(text, &["https", "http"])?;
    let has_more = url.query().is_some() || url.fragment().is_some();
    if has_more || !url.username().is_empty() || url.password().is_some() {
        return Err("an RDAP server is `https://host/path/`, without anything else".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_can_be_registered() {
        for (text, expected) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("a.b.co.uk", "a.b.co.uk"),
        ] {
            assert_eq!(name(text).as_deref(), Ok(expected));
        }
        for text in [
            "",
            "com",
            "192.0.2.1",
            "::1",
            "a b.com",
            "a_b.com",
            "a..com",
            ".com",
            "https://a.com",
            "a.com/b",
            "a.com:43",
        ] {
            assert!(name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_no_registry_knows_comes_with_what_may_be_meant() {
        let near = |name| check_registered(name).map_err(|(_, near)| near);
        for name in [
            "example.com",
            "shop.co.uk",
            "github.io",
            "shop.example",
            "xn--bcher-kva.example",
            "uk.com",
        ] {
            assert_eq!(near(name), Ok(()), "{name}");
        }
        for (name, meant) in [
            ("www.example.com", "example.com"),
            ("a.b.shop.co.uk", "shop.co.uk"),
            ("sonde.github.io", "github.io"),
            ("a.b.shop.example", "shop.example"),
        ] {
            assert_eq!(near(name), Err(Some(meant.to_owned())), "{name}");
        }
        assert_eq!(near("co.uk"), Err(None));
    }
}
