//! The JSON of messages. Unknown fields are ignored; unknown versions are errors.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sonde_core::{Assertion, Check, CheckResult, Kind, Monitor, Spec};

use crate::SealingKeys;

/// Why a payload is not the message it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A newer release wrote it.
    #[error("message version {0} is not known")]
    Version(u64),
    #[error("not a message of this kind")]
    Malformed(#[from] serde_json::Error),
    /// No key of this process fits, or someone changed it.
    #[error("the task's secrets cannot be opened with this process's keys")]
    Sealed,
    /// Whoever can publish to the broker could have written it.
    #[error("a command is only run from a sealed task")]
    UnsealedCommand,
}

/// A task: one check to be executed. `{v: 1, check}` where nothing is sealed, else `{v: 2, check, sealed}`: the check
/// with a redacted spec and no assertions, and what is missing there as nonce and ciphertext in base64.
///
/// Another version because a checker that does not know of seals would execute the redacted spec.
#[derive(Debug)]
pub struct TaskMessage;

#[derive(Serialize, Deserialize)]
struct Task<C> {
    v: u8,
    check: C,
}

#[derive(Serialize, Deserialize)]
struct SealedTask<C> {
    v: u8,
    check: C,
    sealed: String,
}

/// What is sealed, as JSON.
#[derive(Serialize, Deserialize)]
struct Secrets<'a> {
    spec: Cow<'a, Spec>,
    expect: Cow<'a, [Assertion]>,
    degraded: Cow<'a, [Assertion]>,
}

impl TaskMessage {
    pub const VERSION: u8 = 1;
    pub const SEALED_VERSION: u8 = 2;

    pub fn encode(check: &Check, keys: &SealingKeys) -> Vec<u8> {
        let encoded = match seal(check, keys) {
            Some(sealed) => serde_json::to_vec(&SealedTask {
                v: Self::SEALED_VERSION,
                check: outline(check),
                sealed,
            }),
            None => serde_json::to_vec(&Task {
                v: Self::VERSION,
                check,
            }),
        };
        encoded.expect("a check has only string keys")
    }

    /// What a checker needs. Tasks that nobody sealed are read whatever the keys, so that sealing can begin; but where there
    /// are keys, a command is believed only when it is sealed.
    pub fn decode(payload: &[u8], keys: &SealingKeys) -> Result<Check, MessageError> {
        if version(payload)? != u64::from(Self::SEALED_VERSION) {
            let check = Self::outline(payload)?;
            if check.monitor.spec.kind() == Kind::Exec && !keys.is_empty() {
                return Err(MessageError::UnsealedCommand);
            }
            return Ok(check);
        }
        let task: SealedTask<Check> = serde_json::from_slice(payload)?;
        let mut check = task.check;
        let context = check.key().check_id();
        let opened = keys.open(&task.sealed, context.as_bytes());
        let opened = opened.ok_or(MessageError::Sealed)?;
        let secrets: Secrets<'_> = serde_json::from_slice(&opened)?;
        let monitor = Arc::make_mut(&mut check.monitor);
        monitor.spec = secrets.spec.into_owned();
        monitor.expect = secrets.expect.into_owned();
        monitor.degraded = secrets.degraded.into_owned();
        Ok(check)
    }

    /// Without what is sealed: enough for the row of a check that nobody executed, and for nothing else.
    pub fn outline(payload: &[u8]) -> Result<Check, MessageError> {
        let found = version(payload)?;
        if ![Self::VERSION, Self::SEALED_VERSION]
            .map(u64::from)
            .contains(&found)
        {
            return Err(MessageError::Version(found));
        }
        let task: Task<Check> = serde_json::from_slice(payload)?;
        Ok(task.check)
    }
}

/// Bound to the check's id, so that it opens in no other task.
fn seal(check: &Check, keys: &SealingKeys) -> Option<String> {
    if keys.is_empty() {
        return None;
    }
    let Monitor {
        spec,
        expect,
        degraded,
        ..
    } = &*check.monitor;
    let secrets = Secrets {
        spec: Cow::Borrowed(spec),
        expect: expect.into(),
        degraded: degraded.into(),
    };
    let secrets = serde_json::to_vec(&secrets).expect("a spec has only string keys");
    keys.seal(&secrets, check.key().check_id().as_bytes())
}

fn outline(check: &Check) -> Check {
    let monitor = &*check.monitor;
    let monitor = Monitor {
        workspace: monitor.workspace.clone(),
        id: monitor.id.clone(),
        name: monitor.name.clone(),
        spec: monitor.spec.redacted(),
        interval: monitor.interval,
        timeout: monitor.timeout,
        retry: monitor.retry,
        regions: monitor.regions.clone(),
        expect: Vec::new(),
        degraded: Vec::new(),
        alert: monitor.alert.clone(),
        depends_on: monitor.depends_on.clone(),
        tags: monitor.tags.clone(),
        paused: monitor.paused,
    };
    Check {
        monitor: Arc::new(monitor),
        ..check.clone()
    }
}

/// Results of one partition, `{v, results: […]}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResultsMessage {
    pub results: Vec<CheckResult>,
    /// Elements that could not be read: set aside, never a reason to lose the others.
    pub unreadable: Vec<Unreadable>,
}

/// One element of a batch that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// With its place in the batch.
    pub error: String,
    /// Its JSON, as it came.
    pub element: String,
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
                Err(error) => message.unreadable.push(Unreadable {
                    error: format!("results[{index}]: {error}"),
                    element: element.get().to_owned(),
                }),
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
            other => other.to_string(),
        })
}

/// Looked at alone and first: a newer version may have any other shape.
fn version(payload: &[u8]) -> Result<u64, MessageError> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let Version { v } = serde_json::from_slice(payload)?;
    Ok(v)
}

pub(crate) fn require_version(payload: &[u8], known: u8) -> Result<(), MessageError> {
    match version(payload)? {
        v if v == u64::from(known) => Ok(()),
        v => Err(MessageError::Version(v)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::json;
    use sonde_core::{ExecSpec, HttpSpec, Outcome, Timestamp};

    use super::*;

    const TASK_V1: &str = include_str!("../fixtures/task-v1.json");
    const TASK_V2: &str = include_str!("../fixtures/task-v2.json");
    /// What the fixture is sealed with.
    const FIXTURE_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const RESULTS_V1: &str = include_str!("../fixtures/results-v1.json");

    fn check() -> Check {
        Check::sample(Timestamp::from_micros(1_763_640_000_000_000))
    }

    /// A check whose every part that could hold a secret says so.
    fn secret_check() -> Check {
        let mut check = check();
        let monitor = Arc::make_mut(&mut check.monitor);
        let url = "https://ann:hunter2@shop.example/health?page=1&token=hunter2";
        let mut spec = HttpSpec::get(url.parse().unwrap());
        spec.headers = vec![("X-Api-Key".to_owned(), "hunter2".to_owned())];
        spec.body = Some(b"hunter2".to_vec());
        monitor.spec = Spec::Http(Box::new(spec));
        monitor.expect = vec!["body contains hunter2".parse().unwrap()];
        monitor.degraded = vec!["header x-hunter2 is empty".parse().unwrap()];
        check
    }

    fn fixture_keys() -> SealingKeys {
        SealingKeys::parse(FIXTURE_KEY).unwrap()
    }

    fn results() -> Vec<CheckResult> {
        let executed = CheckResult::sample_executed(Outcome::Failed, Duration::from_millis(3));
        vec![CheckResult::sample(), executed]
    }

    #[test]
    fn messages_read_back() {
        assert_eq!(
            TaskMessage::decode(
                &TaskMessage::encode(&check(), &SealingKeys::none()),
                &SealingKeys::none()
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
        let opened = TaskMessage::decode(TASK_V2.as_bytes(), &fixture_keys());
        assert_eq!(opened.unwrap(), secret_check());
        let message = ResultsMessage::decode(RESULTS_V1.as_bytes()).unwrap();
        assert_eq!(message.results, results());
    }

    #[test]
    fn a_sealed_task_shows_no_secret_and_opens_whole() {
        let (check, keys) = (secret_check(), fixture_keys());
        let payload = TaskMessage::encode(&check, &keys);
        let text = String::from_utf8(payload.clone()).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(TaskMessage::decode(&payload, &keys).unwrap(), check);

        let outline = TaskMessage::outline(&payload).unwrap();
        let missed = |check| CheckResult::missed(check, sonde_core::Reason::Expired);
        assert_eq!(missed(&outline), missed(&check));
    }

    #[test]
    fn what_is_sealed_opens_with_the_right_key_in_its_own_task_only() {
        let keys = fixture_keys();
        let payload = TaskMessage::encode(&secret_check(), &keys);
        let others = SealingKeys::parse(&SealingKeys::generate()).unwrap();
        for keys in [others, SealingKeys::none()] {
            let opened = TaskMessage::decode(&payload, &keys);
            assert!(matches!(opened, Err(MessageError::Sealed)));
        }
        let mut moved: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        moved["check"]["monitor"]["id"] = json!("blog");
        let opened = TaskMessage::decode(moved.to_string().as_bytes(), &keys);
        assert!(matches!(opened, Err(MessageError::Sealed)));
        moved.as_object_mut().unwrap().remove("sealed");
        let opened = TaskMessage::decode(moved.to_string().as_bytes(), &keys);
        assert!(matches!(opened, Err(MessageError::Malformed(_))));
    }

    #[test]
    fn where_there_are_keys_a_command_must_be_sealed() {
        let mut check = check();
        Arc::make_mut(&mut check.monitor).spec = Spec::Exec(ExecSpec {
            command: "true".to_owned(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            warn_only: false,
        });
        let (keys, none) = (fixture_keys(), SealingKeys::none());
        let unsealed = TaskMessage::encode(&check, &none);
        assert_eq!(TaskMessage::decode(&unsealed, &none).unwrap(), check);
        let refused = TaskMessage::decode(&unsealed, &keys);
        assert!(matches!(refused, Err(MessageError::UnsealedCommand)));
        let sealed = TaskMessage::encode(&check, &keys);
        assert_eq!(TaskMessage::decode(&sealed, &keys).unwrap(), check);
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
        let [first, second] = &message.unreadable[..] else {
            panic!("two")
        };
        assert!(first.error.starts_with("results[0]: invalid type"));
        assert_eq!(first.element, r#""garbage""#);
        assert_eq!(second.error, "results[2]: message version 2 is not known");
        assert_eq!(second.element, r#"{"v":2}"#);
    }
}
