//! Why an outcome is not ok: a closed set of stable labels, each with a sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Outcome;

macro_rules! reasons {
    ($($variant:ident $label:literal $sentence:literal,)+) => {
        /// The labels are the contract: JSON, metrics, ClickHouse columns and alert routes use them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $(#[serde(rename = $label)] #[doc = $sentence] $variant,)+
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// What it means, for a person who does not know the label.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)+ }
            }
        }
    };
}

reasons! {
    DnsNxdomain "dns_nxdomain" "the name does not exist",
    DnsServfail "dns_servfail" "the name server could not answer (SERVFAIL)",
    DnsRefused "dns_refused" "the name server refused to answer",
    DnsRcode "dns_rcode" "the name server answered with an unexpected code",
    DnsTimeout "dns_timeout" "no answer from the name server in time",
    DnsNoAddress "dns_no_address" "the name exists but has no such record",
    ConnectRefused "connect_refused" "nothing listens on that port",
    ConnectReset "connect_reset" "the peer closed the connection without warning",
    ConnectUnreachable "connect_unreachable" "there is no route to the address",
    ConnectTimeout "connect_timeout" "no connection in time",
    ProxyRefused "proxy_refused" "the proxy refused to connect to the target",
    ProxyAuth "proxy_auth" "the proxy asks for other credentials",
    ProxyProtocol "proxy_protocol" "the proxy's answer could not be understood",
    TlsExpired "tls_expired" "the certificate has expired",
    TlsNotYetValid "tls_not_yet_valid" "the certificate is not valid yet",
    TlsUnknownIssuer "tls_unknown_issuer" "the certificate's issuer is not trusted",
    TlsHostnameMismatch "tls_hostname_mismatch" "the certificate is for another name",
    TlsLegacy "tls_legacy" "the server offers only TLS versions or ciphers that are no longer safe",
    TlsHandshake "tls_handshake" "the TLS handshake failed",
    TlsTimeout "tls_timeout" "the TLS handshake did not finish in time",
    SendTimeout "send_timeout" "the request could not be sent in time",
    WaitTimeout "wait_timeout" "no first byte in time",
    ReceiveTimeout "receive_timeout" "the answer began but did not end in time",
    HttpStatus "http_status" "the HTTP status is not a success",
    HttpVersion "http_version" "the server does not speak the HTTP version asked for",
    HttpProtocol "http_protocol" "the answer is not valid HTTP",
    RedirectLimit "redirect_limit" "too many redirects",
    RedirectRefused "redirect_refused" "a redirect led to a place that may not be followed",
    BodyTooLarge "body_too_large" "the body is larger than is read",
    BodyDecode "body_decode" "the body is not encoded as its headers say",
    AssertionStatus "assertion_status" "the status is not the expected one",
    AssertionHeader "assertion_header" "a header is not as expected",
    AssertionBody "assertion_body" "the body is not as expected",
    AssertionJson "assertion_json" "the JSON is not as expected",
    AssertionLatency "assertion_latency" "slower than allowed",
    AssertionSize "assertion_size" "the size is not as expected",
    AssertionRedirects "assertion_redirects" "the number of redirects is not as expected",
    AssertionDns "assertion_dns" "the DNS answer is not as expected",
    AssertionTls "assertion_tls" "the certificate or TLS session is not as expected",
    AssertionIcmp "assertion_icmp" "packet loss or round trips are not as expected",
    AssertionTcp "assertion_tcp" "the reply is not as expected",
    AssertionGrpc "assertion_grpc" "the gRPC status is not as expected",
    AssertionDomain "assertion_domain" "the domain's registration is not as expected",
    IcmpUnreachable "icmp_unreachable" "a router says that the host cannot be reached",
    IcmpTimeout "icmp_timeout" "no echo reply in time",
    GrpcStatus "grpc_status" "the gRPC call failed",
    GrpcNotServing "grpc_not_serving" "the gRPC service says that it is not serving",
    WebsocketUpgrade "websocket_upgrade" "the server refused the WebSocket upgrade",
    DomainExpired "domain_expired" "the domain's registration has ended",
    DomainUnregistered "domain_unregistered" "the domain is not registered",
    RdapNoServer "rdap_no_server" "no RDAP server is known for the domain",
    RdapRateLimited "rdap_rate_limited" "the RDAP server refuses to be asked so often",
    RdapAnswer "rdap_answer" "the RDAP server's answer could not be understood",
    RdapBootstrap "rdap_bootstrap" "the list of RDAP servers could not be fetched",
    HeartbeatLate "heartbeat_late" "the heartbeat did not come in time",
    ExecFailed "exec_failed" "the command failed",
    BlockedTarget "blocked_target" "the address is one that may not be checked from here",
    ResolverUnavailable "resolver_unavailable" "the checker's own name servers cannot be reached",
    Unsupported "unsupported" "this checker cannot run such a check",
    Unprocessed "unprocessed" "checkers died with the task before it was done",
    Expired "expired" "no checker was free before the task expired",
    NotDispatched "not_dispatched" "the check could not be handed to a checker",
    Internal "internal" "the checker itself failed",
}

impl Reason {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == name)
    }

    /// The outcome that goes with this reason when it is what ended the check.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Unsupported
            | Self::Unprocessed
            | Self::Expired
            | Self::NotDispatched
            | Self::RdapBootstrap
            | Self::Internal => Outcome::Missed,
            _ => Outcome::Failed,
        }
    }

    /// The answer would be the same a moment later, so that another attempt tells nothing new.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Unsupported
                | Self::BlockedTarget
                | Self::Internal
                | Self::DomainExpired
                | Self::DomainUnregistered
                | Self::RdapNoServer
                | Self::RdapRateLimited
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_unique_and_the_same_in_json() {
        let labels: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
        for &reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
