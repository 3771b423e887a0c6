//! Hosts, ports and name servers, from text.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use url::Host;

/// A host name or address, checked and in its canonical form (lowercase, punycode, IPv6 without brackets).
pub(crate) fn host(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(address.to_string());
    }
    let refused = || format!("\"{text}\" is not a host name or an IP address");
    match Host::parse(text).map_err(|_| refused())? {
        Host::Ipv6(address) => Ok(address.to_string()),
        Host::Ipv4(address) => Ok(address.to_string()),
        Host::Domain(name) if is_name(&name) => Ok(name),
        Host::Domain(_) => Err(refused()),
    }
}

/// RFC 1035's lengths; the letters are the resolver's business.
pub(crate) fn is_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| (1..=63).contains(&label.len());
    labels.len() <= 253 && labels.split('.').all(label)
}

/// `host:port`, `[v6]:port`, and, where there is a usual port, the host alone.
pub(crate) fn host_port(text: &str, usual: Option<u16>) -> Result<(String, u16), String> {
    let (name, port) = split_port(text);
    let port = match (port, usual) {
        (Some(port), _) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("\"{port}\" is not a port: use 1 to 65535"))?,
        (None, Some(usual)) => usual,
        (None, None) => return Err(format!("\"{text}\" has no port: use host:port")),
    };
    Ok((host(name)?, port))
}

/// An IPv6 address may stand without brackets as long as no port follows.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if text.parse::<Ipv6Addr>().is_ok() || text.ends_with(']') {
        return (text, None);
    }
    match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    }
}

/// The address of a name server, `192.0.2.53` or `192.0.2.53:5353`; never a name, which would need resolving itself.
pub(crate) fn resolver(text: &str) -> Result<SocketAddr, String> {
    let (name, port) = host_port(text, Some(53))?;
    let address: IpAddr = name
        .parse()
        .map_err(|_| format!("\"{text}\" is not an IP address, with or without a port"))?;
    Ok(SocketAddr::new(address, port))
}

/// `host` or `host:port`, kept as it is written because the port depends on the transport.
pub(crate) fn server(text: &str) -> Result<String, String> {
    host_port(text, Some(53))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_follows_names_and_addresses_of_both_families() {
        let parse = |text| host_port(text, Some(443)).unwrap();
        assert_eq!(parse("Shop.Example:25"), ("shop.example".to_owned(), 25));
        assert_eq!(parse("shop.example"), ("shop.example".to_owned(), 443));
        assert_eq!(parse("192.0.2.1:1"), ("192.0.2.1".to_owned(), 1));
        assert_eq!(parse("[2001:db8::1]:25"), ("2001:db8::1".to_owned(), 25));
        assert_eq!(parse("2001:db8::1"), ("2001:db8::1".to_owned(), 443));
        assert_eq!(parse("[::1]"), ("::1".to_owned(), 443));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "", "a b:1", "a:0", "a:65536", "a:b", ":80", "a/b:1", "a..b:1", "[::1:80",
        ] {
            assert!(host_port(text, None).is_err(), "{text}");
        }
        assert!(host_port("shop.example", None).is_err());
        assert!(resolver("dns.example").is_err());
        assert_eq!(resolver("::1"), Ok("[::1]:53".parse().unwrap()));
    }
}
