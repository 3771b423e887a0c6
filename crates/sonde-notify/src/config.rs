//! A channel as people configure it: where notices go, and which.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{IncidentCause, MaskError, MonitorId, Timestamp, format_duration, parse_duration};

use crate::{Channel, ChannelProblem, Hours};

const LONGEST: Duration = Duration::from_hours(7 * 24);
/// Nobody reads what comes more often.
const SHORTEST_REPEAT: Duration = Duration::from_mins(1);

/// In JSON and YAML as in `{"send": {"slack": {"url": "…"}}, "tags": ["prod"], "repeat": "30m"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    pub send: Channel,
    /// Only incidents of these monitors; without, of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitors: Vec<MonitorId>,
    /// Only incidents of monitors with any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Only incidents of these causes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<IncidentCause>,
    /// So long after an incident was opened, unless somebody acknowledged it until then: an escalation.
    #[serde(default, with = "text", skip_serializing_if = "Duration::is_zero")]
    pub after: Duration,
    /// Reminds for as long as the incident is open and nobody has acknowledged it.
    #[serde(
        default,
        with = "optional_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub repeat: Option<Duration>,
    /// When somebody is there to be told; always, without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
}

impl ChannelConfig {
    /// Whether an incident is told here.
    pub fn takes(&self, monitor: &MonitorId, tags: &[String], cause: IncidentCause) -> bool {
        let any_or = |is_empty: bool, found: bool| is_empty || found;
        any_or(self.monitors.is_empty(), self.monitors.contains(monitor))
            && any_or(
                self.tags.is_empty(),
                self.tags.iter().any(|tag| tags.contains(tag)),
            )
            && any_or(self.causes.is_empty(), self.causes.contains(&cause))
    }

    /// Everything that is wrong with it.
    pub fn validate(&self) -> Vec<ChannelProblem> {
        let mut problems = self.send.validate();
        for problem in &mut problems {
            problem.path = format!("send.{}", problem.path);
        }
        let mut add = |path: &str, message: String| {
            let path = path.to_owned();
            problems.push(ChannelProblem { path, message });
        };
        if self.after > LONGEST {
            add(
                "after",
                format!("must be {} or less", format_duration(LONGEST)),
            );
        }
        if self
            .repeat
            .is_some_and(|repeat| !(SHORTEST_REPEAT..=LONGEST).contains(&repeat))
        {
            let [shortest, longest] = [SHORTEST_REPEAT, LONGEST].map(format_duration);
            add("repeat", format!("must be {shortest} to {longest}"));
        }
        for (key, message) in self.hours.iter().flat_map(Hours::problems) {
            add(&format!("hours.{key}"), message);
        }
        problems
    }

    /// When to tell what is due at `at`; none where it is not to be told here.
    pub fn when(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.hours {
            Some(hours) => hours.when(at),
            None => Some(at),
        }
    }

    #[must_use]
    pub fn masked(&self) -> Self {
        Self {
            send: self.send.masked(),
            ..self.clone()
        }
    }

    pub fn unmask(&mut self, stored: Option<&Self>) -> Result<(), MaskError> {
        self.send.unmask(stored.map(|stored| &stored.send))
    }
}

mod text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_duration(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(de::Error::custom)
    }
}

mod optional_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::ref_option, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::text::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse_duration(&text).map_err(de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_people_write_it_and_says_all_that_is_wrong() {
        let text =
            r#"{"send":{"slack":{"url":"http//x"}},"tags":["prod"],"repeat":"5s","after":"8d"}"#;
        let config: ChannelConfig = serde_json::from_str(text).unwrap();
        let problems = config.validate();
        let mut paths: Vec<_> = problems.iter().map(|it| it.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["after", "repeat", "send.slack.url"]);
        let back = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<ChannelConfig>(&back).unwrap(),
            config
        );
    }

    #[test]
    fn it_takes_what_it_names_and_everything_when_it_names_nothing() {
        let config = |rest: &str| -> ChannelConfig {
            let text = format!(r#"{{"send":{{"exec":{{"command":"/bin/true"}}}}{rest}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let shop = MonitorId::new("shop").unwrap();
        let tags = ["prod".to_owned()];
        for (rest, expected) in [
            ("", true),
            (r#","monitors":["shop"]"#, true),
            (r#","monitors":["other"]"#, false),
            (r#","tags":["dev","prod"]"#, true),
            (r#","tags":["dev"]"#, false),
            (r#","causes":["unknown"]"#, false),
            (r#","tags":["prod"],"causes":["down"]"#, true),
        ] {
            let takes = config(rest).takes(&shop, &tags, IncidentCause::Down);
            assert_eq!(takes, expected, "{rest}");
        }
    }
}
