//! Which addresses may be dialled from here.

use ipnet::IpNet;
use std::net::IpAddr;

/// The policy of one process.
#[derive(Debug, Clone)]
pub struct Egress {
    allow_private: bool,
    allowed: Vec<IpNet>,
}
