//! Which addresses may be dialled from here. Pure: it is asked with every address that a name resolved to, never with a name.
//!
//! The ranges are those of the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates), and the
//! metadata addresses of the large clouds that lie outside of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sonde_core::Reason;

use crate::observe::Failure;

/// The policy of one process.
#[derive(Debug, Clone)]
pub struct Egress {
    guarded: bool,
    allowed: Vec<IpNet>,
}

impl Egress {
    /// Everything may be dialled: one machine, whose user owns its network.
    pub fn open() -> Self {
        Self {
            guarded: false,
            allowed: Vec::new(),
        }
    }

    /// Only addresses of the public internet, and those in `allowed`: a fleet that runs checks for strangers.
    pub fn guarded(allowed: Vec<IpNet>) -> Self {
        Self {
            guarded: true,
            allowed,
        }
    }

    /// Whether anything is forbidden at all.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Fails with `blocked_target`.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), Failure> {
        match self.forbids(address) {
            None => Ok(()),
            Some(why) => {
                let message =
                    format!("{address} may not be checked from here: {why} (the egress guard)");
                Err(Failure::new(Reason::BlockedTarget, message))
            }
        }
    }

    /// Why an address may not be dialled.
    pub fn forbids(&self, address: IpAddr) -> Option<&'static str> {
        if !self.guarded || self.allowed.iter().any(|net| net.contains(&address)) {
            return None;
        }
        match address {
            IpAddr::V4(v4) => special_v4(v4),
            IpAddr::V6(v6) => match embedded_v4(v6) {
                [None, None] => special_v6(v6),
                embedded => embedded
                    .into_iter()
                    .flatten()
                    .find_map(|v4| self.forbids(IpAddr::V4(v4))),
            },
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "it means this host itself"),
    (v4(10, 0, 0, 0, 8), "it is private"),
    (v4(100, 64, 0, 0, 10), "it is shared by a carrier's NAT"),
    (v4(127, 0, 0, 0, 8), "it is loopback"),
    (v4(168, 63, 129, 16, 32), "it is a cloud's metadata service"),
    (
        v4(169, 254, 0, 0, 16),
        "it is link-local or a cloud's metadata service",
    ),
    (v4(172, 16, 0, 0, 12), "it is private"),
    (v4(192, 0, 0, 0, 24), "it is reserved for protocols"),
    (v4(192, 0, 2, 0, 24), "it is for documentation"),
    (v4(192, 88, 99, 0, 24), "it is a 6to4 relay"),
    (v4(192, 168, 0, 0, 16), "it is private"),
    (v4(198, 18, 0, 0, 15), "it is for benchmarks"),
    (v4(198, 51, 100, 0, 24), "it is for documentation"),
    (v4(203, 0, 113, 0, 24), "it is for documentation"),
    (v4(224, 0, 0, 0, 4), "it is multicast"),
    (v4(240, 0, 0, 0, 4), "it is reserved or broadcast"),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let found = SPECIAL_V4.iter().find(|(net, _)| net.contains(&address));
    found.map(|(_, why)| *why)
}

/// What is said about special ranges by name; whatever else is outside of [`GLOBAL_V6`] is refused too.
const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (v6([0, 0, 0, 0], 127), "it is unspecified or loopback"),
    (v6([0x64, 0xff9b, 1, 0], 48), "it is a local NAT64 prefix"),
    (v6([0x2001, 0, 0, 0], 23), "it is reserved for protocols"),
    (v6([0x2001, 0xdb8, 0, 0], 32), "it is for documentation"),
    (v6([0x3fff, 0, 0, 0], 20), "it is for documentation"),
    (v6([0xfc00, 0, 0, 0], 7), "it is private (unique local)"),
    (v6([0xfe80, 0, 0, 0], 10), "it is link-local"),
    (v6([0xfec0, 0, 0, 0], 10), "it is site-local"),
    (v6([0xff00, 0, 0, 0], 8), "it is multicast"),
];

/// The only part of IPv6 from which public addresses are given out.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let found = SPECIAL_V6.iter().find(|(net, _)| net.contains(&address));
    match found {
        Some((_, why)) => Some(why),
        None if GLOBAL_V6.contains(&address) => None,
        None => Some("it is not a public address"),
    }
}

/// The IPv4 addresses that a packet to `address` really goes to or through.
fn embedded_v4(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let pair = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        // Unspecified and loopback are not IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // IPv4-compatible (RFC 4291 §2.5.5.1), IPv4-mapped (§2.5.5.2), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            [pair(high, low), None]
        }
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => [pair(high, low), None],
        // Teredo (RFC 4380): the server, and the client with its bits inverted.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            [pair(high, low), pair(!client_high, !client_low)]
        }
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(egress: &Egress, addresses: &[&str], expected: bool) {
        for address in addresses {
            let allowed = egress.check(address.parse().unwrap());
            assert_eq!(allowed.is_ok(), expected, "{address}: {allowed:?}");
        }
    }

    const PRIVATE: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001:db8::1",
        "2001:10::1",
        "2002:a00:1::1",
        "2002:7f00:1::",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        // Teredo whose client is 192.168.0.1, and whose server is 10.0.0.1.
        "2001:0:808:808:0:0:3f57:fffe",
        "2001:0:a00:1:0:0:f7f7:f7f7",
    ];

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "9.255.255.255",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.31.196.1",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "2001:0:808:808:0:0:f7f7:f7f7",
        "2606:4700::1111",
        "2a00:1450::1",
    ];

    #[test]
    fn a_guarded_process_dials_public_addresses_only() {
        let egress = Egress::guarded(Vec::new());
        check(&egress, PRIVATE, false);
        check(&egress, PUBLIC, true);
    }

    #[test]
    fn an_open_process_dials_everything() {
        check(&Egress::open(), PRIVATE, true);
    }

    #[test]
    fn the_allow_list_wins_in_every_disguise_of_an_address() {
        let allowed = ["10.1.0.0/16", "fd12::/16"].map(|net| net.parse().unwrap());
        let egress = Egress::guarded(allowed.to_vec());
        check(&egress, &["10.1.2.3", "::ffff:10.1.2.3", "fd12::1"], true);
        check(&egress, &["10.2.0.1", "::ffff:10.2.0.1", "fd13::1"], false);
    }

    #[test]
    fn the_message_names_the_address_and_the_range() {
        let failure = Egress::guarded(Vec::new())
            .check("127.0.0.1".parse().unwrap())
            .unwrap_err();
        assert_eq!(failure.reason, Reason::BlockedTarget);
        assert!(
            failure.message.starts_with("127.0.0.1 ") && failure.message.contains("loopback"),
            "{}",
            failure.message
        );
    }
}
