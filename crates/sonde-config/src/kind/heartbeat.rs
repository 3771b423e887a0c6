//! `heartbeat`: nothing is checked; a job tells by itself that it is well, once in every interval.

use std::time::Duration;

use sonde_core::HeartbeatSpec;

use crate::decode::Item;

/// Jobs do not begin to the second, nor always take as long.
pub(crate) const STANDARD_GRACE: Duration = Duration::from_mins(1);

pub(super) fn decode(item: &Item<'_>) -> Option<HeartbeatSpec> {
    let grace = item.fields("heartbeat", |fields| {
        fields.take("grace").map(|item| item.duration())
    })?;
    Some(HeartbeatSpec {
        grace: grace.unwrap_or(Some(STANDARD_GRACE))?,
    })
}
