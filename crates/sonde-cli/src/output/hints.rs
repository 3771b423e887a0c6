//! What a person can do next, by reason.

use sonde_core::{Kind, Reason};

/// Nothing where the reason says it all.
pub(super) const fn of(kind: Kind, reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::DnsNxdomain | Reason::DnsNoAddress if matches!(kind, Kind::Dns) => {
            "check the spelling, or ask another name server: dns://SERVER/NAME"
        }
        Reason::DnsServfail | Reason::DnsRefused | Reason::DnsTimeout
            if matches!(kind, Kind::Dns) =>
        {
            return None;
        }
        Reason::DnsNxdomain | Reason::DnsNoAddress => {
            "check the spelling, or ask another name server with --resolver"
        }
        Reason::DnsServfail | Reason::DnsRefused | Reason::DnsTimeout => {
            "the name server may be at fault: try another one with --resolver"
        }
        Reason::ResolverUnavailable => {
            "this machine cannot resolve any name: look at /etc/resolv.conf, or use --resolver"
        }
        Reason::ConnectRefused => "is the service running, and does it listen on this address?",
        Reason::ConnectTimeout => {
            "a firewall often drops packets silently; a closed port would have refused at once"
        }
        Reason::ConnectUnreachable => "try the other address family with --ip v4 or --ip v6",
        Reason::TlsUnknownIssuer => {
            "trust its issuer with `ca` in the configuration, or look anyway with --insecure"
        }
        Reason::TlsExpired | Reason::TlsNotYetValid | Reason::TlsHostnameMismatch => {
            "look at what is behind it with --insecure"
        }
        Reason::WaitTimeout | Reason::ReceiveTimeout => {
            "the connection works but the answer is slow: try a longer --timeout"
        }
        Reason::RdapNoServer => "name its server, where it has one: domain://NAME?server=URL",
        Reason::RdapBootstrap => {
            "is the internet reachable from here? --rdap-bootstrap names another place of the list"
        }
        Reason::HttpStatus if matches!(kind, Kind::Domain) => return None,
        Reason::HttpStatus => "if that is what it should answer, say so: --expect 'status == …'",
        _ => return None,
    })
}
