//! Which addresses may be dialled from here.

use std::net::IpAddr;

use ipnet::IpNet;

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
        Self { guarded: false, allowed: Vec::new() }
    }

    /// Only public addresses, and those in `allowed`.
    pub fn guarded(allowed: Vec<IpNet>) -> Self {
        Self { guarded: true, allowed }
    }

    /// Fails with `blocked_target`.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), Failure> {
        todo!()
    }
}
