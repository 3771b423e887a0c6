//! `icmp`: a host, or a mapping that says how to ping it.

use sonde_core::{IcmpSpec, NetworkOptions};

use super::network;
use crate::address;
use crate::decode::Item;
use crate::fields::Fields;

/// Enough to tell loss from a single drop, and done within a second or so.
const DEFAULT_PACKETS: u16 = 3;

/// What `ping` sends.
const DEFAULT_PAYLOAD: u16 = 56;
/// What replies are read into, without their headers.
pub(crate) const MAX_PAYLOAD: i64 = 1980;

pub(super) fn decode(item: &Item<'_>, defaults: &NetworkOptions) -> Option<IcmpSpec> {
    if item.is_map() {
        return item
            .fields("icmp", |fields| long(fields, defaults))
            .flatten();
    }
    Some(ping(item.parse(address::host)?, defaults.clone()))
}

/// What a bare host means.
pub(crate) fn ping(host: String, network: NetworkOptions) -> IcmpSpec {
    IcmpSpec {
        host,
        packets: DEFAULT_PACKETS,
        payload_size: DEFAULT_PAYLOAD,
        ttl: None,
        network,
    }
}

fn long(fields: &mut Fields<'_>, defaults: &NetworkOptions) -> Option<IcmpSpec> {
    let host = fields
        .required("host")
        .and_then(|item| item.parse(address::host));
    let packets = fields.take("packets").and_then(|item| item.integer(1, 100));
    // The largest IPv4 packet, less its header and that of ICMP.
    let payload = fields
        .take("payload_size")
        .and_then(|item| item.integer(0, MAX_PAYLOAD));
    let ttl = fields.take("ttl").and_then(|item| item.integer(1, 255));
    let network = network(fields, defaults);
    let standard = ping(host?, network);
    Some(IcmpSpec {
        packets: packets.unwrap_or(standard.packets),
        payload_size: payload.unwrap_or(standard.payload_size),
        ttl,
        ..standard
    })
}
