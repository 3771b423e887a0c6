//! Certificates and domains that come to their end, as incidents of their own.

use sonde_store::IncidentEventKind;

use super::draft::Draft;
use super::{Watched, key};
use crate::decide::Expiry;
use crate::notices;

impl Draft<'_> {
    /// It is never quiet: whatever its monitor depends on, nobody else renews it.
    pub(super) fn record_expiry(&mut self, watched: &Watched, expiry: &Expiry) {
        let (event, expiring) = match expiry {
            Expiry::Opened(it) => (IncidentEventKind::Opened, it),
            Expiry::Nearer(it) => (IncidentEventKind::Changed, it),
            Expiry::Renewed(it) => (IncidentEventKind::Resolved, it),
        };
        let described = notices::describe_expiring(watched, expiring, self.now);
        self.say(&key(&watched.monitor), event, described, false);
    }
}
