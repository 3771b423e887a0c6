//! A channel: where notices go, with the settings of one of its kinds.

use serde::{Deserialize, Serialize};
use sonde_core::{MaskError, Timestamp};

use crate::secret::Placed;
use crate::validation::Problems;
use crate::{ChannelProblem, Message, Notice, ReportNotice, channels};

/// What each kind of channel knows of itself.
pub(crate) trait Settings {
    fn validate(&self, problems: &mut Problems);

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        Vec::new()
    }

    /// Who gets to see the secrets, where that is a matter of settings.
    fn receiver(&self) -> String {
        String::new()
    }

    fn message(&self, notice: &Notice, at: Timestamp) -> Message;

    /// None where only alerts belong.
    fn report(&self, _report: &ReportNotice, _at: Timestamp) -> Option<Message> {
        None
    }
}

macro_rules! kinds {
    ($($variant:ident $kind:literal,)+) => {
        /// In JSON and YAML as in `{"slack": {"url": "…"}}`, secrets included.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Channel {
            $(#[serde(rename = $kind)] $variant(channels::$variant),)+
        }

        impl Channel {
            pub const KINDS: &[&str] = &[$($kind,)+];

            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)+ }
            }

            fn settings(&self) -> &dyn Settings {
                match self { $(Self::$variant(settings) => settings,)+ }
            }

            fn settings_mut(&mut self) -> &mut dyn Settings {
                match self { $(Self::$variant(settings) => settings,)+ }
            }
        }
    };
}

kinds! {
    Webhook "webhook",
    Email "email",
    Slack "slack",
    Discord "discord",
    Teams "teams",
    GoogleChat "google_chat",
    Telegram "telegram",
    PagerDuty "pagerduty",
    Opsgenie "opsgenie",
    GrafanaOncall "grafana_oncall",
    Alertmanager "alertmanager",
    Ntfy "ntfy",
    Pushover "pushover",
    Mattermost "mattermost",
    RocketChat "rocket_chat",
    Matrix "matrix",
    Twilio "twilio",
    Mastodon "mastodon",
    Exec "exec",
}

impl Channel {
    /// Whether whoever is there has a use for hearing that somebody looks after an incident. Alertmanager and Grafana
    /// OnCall know of no such thing and would take it for another alert; a text message costs, and a status is public.
    pub const fn hears_acknowledgements(&self) -> bool {
        !matches!(
            self,
            Self::Alertmanager(_) | Self::GrafanaOncall(_) | Self::Mastodon(_) | Self::Twilio(_)
        )
    }

    /// Whether what is told there stays open until its end is told. In Alertmanager a test ends by itself.
    pub const fn keeps_open(&self) -> bool {
        matches!(
            self,
            Self::GrafanaOncall(_) | Self::Opsgenie(_) | Self::PagerDuty(_)
        )
    }

    /// Whether people read there, and are not only woken up.
    pub const fn takes_reports(&self) -> bool {
        !matches!(
            self,
            Self::Alertmanager(_)
                | Self::GrafanaOncall(_)
                | Self::Opsgenie(_)
                | Self::PagerDuty(_)
                | Self::Pushover(_)
                | Self::Twilio(_)
        )
    }

    /// Everything that is wrong with it.
    pub fn validate(&self) -> Vec<ChannelProblem> {
        let mut problems = Problems {
            kind: self.kind(),
            found: Vec::new(),
        };
        self.settings().validate(&mut problems);
        problems.found
    }

    /// The same with [`sonde_core::MASK`] for its secrets; of URLs that are secrets the origin stays.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        for (_, secret) in masked.settings_mut().secrets() {
            *secret.text() = secret.masked();
        }
        masked
    }

    /// Puts the secrets of `stored` in the place of masks.
    pub fn unmask(&mut self, stored: Option<&Self>) -> Result<(), MaskError> {
        let mut stored = stored
            .filter(|stored| stored.kind() == self.kind())
            .cloned();
        let same_receiver = stored
            .as_ref()
            .is_some_and(|stored| stored.settings().receiver() == self.settings().receiver());
        let mut known = stored
            .as_mut()
            .map(|stored| stored.settings_mut().secrets())
            .unwrap_or_default();
        for (place, secret) in self.settings_mut().secrets() {
            if !secret.is_masked() {
                continue;
            }
            let known = known.iter_mut().find(|(known, _)| *known == place);
            let (_, known) = known.ok_or(MaskError::Nothing)?;
            if !same_receiver {
                return Err(MaskError::OtherTarget);
            }
            secret.text().clone_from(known.text());
        }
        Ok(())
    }

    /// What tells a notice, made anew for each attempt: `at` is when it is sent. The channel must be valid.
    pub fn message(&self, notice: &Notice, at: Timestamp) -> Message {
        self.settings().message(&notice.bounded(), at)
    }

    /// The same for a report; none where [`Self::takes_reports`] is false.
    pub fn report(&self, report: &ReportNotice, at: Timestamp) -> Option<Message> {
        let message = self.settings().report(report, at);
        message.filter(|_| self.takes_reports())
    }
}
