//! The JSON of messages. Unknown fields are ignored; unknown versions are errors.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sonde_core::{Check, CheckResult};

use crate::TaskKeys;

/// Why a payload is not the message it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A newer release wrote it.
    #[error("message version {0} is not known")]
    Version(u64),
    #[error("not a message of this kind")]
    Malformed(#[from] serde_json::Error),
}

/// A task, `{v, check}`: one check to be executed.
#[derive(Debug)]
pub struct TaskMessage;

#[derive(Serialize, Deserialize)]
struct Task<C> {
    v: u8,
    check: C,
}

impl TaskMessage {
    pub const VERSION: u8 = 1;

    pub fn encode(check: &Check, _keys: &TaskKeys) -> Vec<u8> {
        let task = Task {
            v: Self::VERSION,
            check,
        };
        serde_json::to_vec(&task).expect("a check has only string keys")
    }

    /// What a checker needs.
    pub fn decode(payload: &[u8], _keys: &TaskKeys) -> Result<Check, MessageError> {
        Self::outline(payload)
    }

    /// Without what is sealed: enough for the row of a check that nobody executed, and for nothing else.
    pub fn outline(payload: &[u8]) -> Result<Check, MessageError> {
        require_version(payload, Self::VERSION)?;
        let task: Task<Check> = serde_json::from_slice(payload)?;
        Ok(task.check)
    }
}

/// Results of one partition, `{v, results: […]}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResultsMessage {
    pub results: Vec<CheckResult>,
    /// Elements that could not be read, each with its error: set aside, never a reason to lose the others.
    pub unreadable: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Batch<R> {
    v: u8,
    results: R,
}

impl ResultsMessage {
    pub const VERSION: u8 = 1;

    pub fn encode(results: &[CheckResult]) -> Vec<u8> {
        let batch = Batch {
            v: Self::VERSION,
            results,
        };
        serde_json::to_vec(&batch).expect("a result has only string keys")
    }

    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        require_version(payload, Self::VERSION)?;
        let batch: Batch<Vec<&RawValue>> = serde_json::from_slice(payload)?;
        let mut message = Self::default();
        for (index, element) in batch.results.into_iter().enumerate() {
            match decode_result(element) {
                Ok(result) => message.results.push(result),
                Err(error) => message
                    .unreadable
                    .push(format!("results[{index}]: {error}")),
            }
        }
        Ok(message)
    }
}

fn decode_result(element: &RawValue) -> Result<CheckResult, String> {
    require_version(element.get().as_bytes(), CheckResult::VERSION)
        .and_then(|()| Ok(serde_json::from_str(element.get())?))
        .map_err(|error| match error {
            MessageError::Malformed(source) => source.to_string(),
            version @ MessageError::Version(_) => version.to_string(),
        })
}

/// Looked at alone and first: a newer version may have any other shape.
pub(crate) fn require_version(payload: &[u8], known: u8) -> Result<(), MessageError> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let Version { v } = serde_json::from_slice(payload)?;
    if v == u64::from(known) {
        Ok(())
    } else {
        Err(MessageError::Version(v))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use sonde_core::{Outcome, Timestamp};

    use super::*;

    const TASK_V1: &str = include_str!("../fixtures/task-v1.json");
    const RESULTS_V1: &str = include_str!("../fixtures/results-v1.json");

    fn check() -> Check {
        Check::sample(Timestamp::from_micros(1_763_640_000_000_000))
    }

    fn results() -> Vec<CheckResult> {
        let executed = CheckResult::sample_executed(Outcome::Failed, Duration::from_millis(3));
        vec![CheckResult::sample(), executed]
    }

    #[test]
    fn messages_read_back() {
        assert_eq!(
            TaskMessage::decode(
                &TaskMessage::encode(&check(), &TaskKeys::none()),
                &TaskKeys::none()
            )
            .unwrap(),
            check()
        );
        let message = ResultsMessage::decode(&ResultsMessage::encode(&results())).unwrap();
        assert_eq!(message.results, results());
        assert!(message.unreadable.is_empty());
    }

    #[test]
    fn messages_of_every_release_are_still_read() {
        assert_eq!(TaskMessage::outline(TASK_V1.as_bytes()).unwrap(), check());
        let message = ResultsMessage::decode(RESULTS_V1.as_bytes()).unwrap();
        assert_eq!(message.results, results());
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let mut task: serde_json::Value = serde_json::from_str(TASK_V1).unwrap();
        task["added_later"] = json!([1]);
        task["check"]["added_later"] = json!({});
        let decoded = TaskMessage::outline(task.to_string().as_bytes()).unwrap();
        assert_eq!(decoded, check());
    }

    #[test]
    fn an_unknown_version_is_an_error_whatever_its_shape() {
        let payload = br#"{"v": 300, "jobs": []}"#;
        let task = TaskMessage::outline(payload).unwrap_err();
        let results = ResultsMessage::decode(payload).unwrap_err();
        assert!(matches!(task, MessageError::Version(300)));
        assert!(matches!(results, MessageError::Version(300)));
        assert!(matches!(
            TaskMessage::outline(b"\xff").unwrap_err(),
            MessageError::Malformed(_)
        ));
    }

    #[test]
    fn one_bad_element_is_set_aside_alone() {
        let mut batch: serde_json::Value = serde_json::from_str(RESULTS_V1).unwrap();
        let elements = batch["results"].as_array_mut().unwrap();
        elements.insert(1, json!({"v": 2}));
        elements.insert(0, json!("garbage"));
        let message = ResultsMessage::decode(batch.to_string().as_bytes()).unwrap();
        assert_eq!(message.results, results());
        assert_eq!(message.unreadable.len(), 2);
        assert!(message.unreadable[0].starts_with("results[0]: invalid type"));
        assert_eq!(
            message.unreadable[1],
            "results[2]: message version 2 is not known"
        );
    }
}
