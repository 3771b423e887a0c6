//! Checkup's `checkup.json`: what the strict reader makes of it, without its strictness.

use sonde_core::RetryPolicy;

use super::{Draft, Found, lenient};
use crate::checkup;
use crate::decode::Item;

/// The strict reader of `sonde.yaml` takes no more.
const MAX_RETRIES: u32 = 20;

pub(super) fn read(root: &Item<'_>) -> Found {
    let (monitors, notifiers) = checkup::decode(root);
    let monitors = monitors.into_iter().map(|mut monitor| {
        if monitor.retry.retries > MAX_RETRIES {
            let attempts = monitor.retry.retries.saturating_add(1);
            let (id, most) = (&monitor.id, MAX_RETRIES + 1);
            root.warning(format!(
                "`{id}` makes {most} attempts at most, not {attempts}"
            ));
            monitor.retry.retries = MAX_RETRIES;
        }
        if monitor.retry.retries == 0 {
            // How attempts are spread that are not made need not be said.
            let settings = root.context.inputs.queues;
            monitor.retry = RetryPolicy {
                retries: 0,
                ..settings.retry
            };
        }
        monitor.name = lenient::shown(&monitor.name, &monitor.id);
        Draft::new(root, monitor)
    });
    Found {
        drafts: monitors.collect(),
        channels: notifiers.unwrap_or_default(),
    }
}
