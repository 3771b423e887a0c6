//! The GitHub Action, run as a workflow's step runs it: what it writes for GitHub, and how it ends.

use std::path::Path;

use sonde_tests::sonde::binary;
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tcp::Refusing;
use tokio::process::Command;

/// What came of one step.
#[derive(Debug)]
struct Step {
    code: Option<i32>,
    stdout: String,
    summary: String,
    outputs: String,
}

/// Runs the step in a workspace whose `sonde.yaml` is `text`.
async fn step(text: &str, inputs: &[(&str, &str)]) -> Step {
    let workspace = tempfile::tempdir().unwrap();
    let file = |name: &str| workspace.path().join(name);
    std::fs::write(file("sonde.yaml"), text).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/github-action/check");
    let output = Command::new(script)
        .current_dir(workspace.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("RUNNER_TEMP", workspace.path())
        .env("GITHUB_OUTPUT", file("output"))
        .env("GITHUB_STEP_SUMMARY", file("summary"))
        .env("INPUT_BINARY", binary().await)
        .envs(inputs.iter().copied())
        .output()
        .await
        .unwrap();
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap_or_default();
    // What it made for itself is gone.
    let left = std::fs::read_dir(workspace.path()).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(left.count(), 0);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "");
    Step {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        summary: read("summary"),
        outputs: read("output"),
    }
}

#[tokio::test]
async fn targets_that_are_up_make_a_table_and_no_annotation() {
    let target = HttpStub::start([("/", Reply::text("fine"))]).await;
    let url = target.url("/");
    let text = format!("monitors: {{ shop: {{ http: '{url}' }}, home: {{ http: '{url}' }} }}");
    let step = step(&text, &[]).await;
    assert_eq!(step.code, Some(0), "{step:?}");
    assert_eq!(step.stdout, "");
    assert_eq!(step.outputs, "result=ok\nfailed=0\n");
    let heading = "### Sonde: 2 ok, 0 degraded, 0 failed, 0 not run\n\n| | monitor | region |";
    assert!(step.summary.starts_with(heading), "{step:?}");
    assert!(
        step.summary.contains("| ✅ ok | shop | local | "),
        "{step:?}"
    );
}

#[tokio::test]
async fn what_failed_is_an_error_and_what_is_degraded_a_warning() {
    let target = HttpStub::start([("/", Reply::text("fine"))]).await;
    let refusing = Refusing::new();
    let (up, down) = (target.url("/"), refusing.address());
    let text = format!(
        "defaults: {{ retries: 0 }}\n\
         monitors:\n  \
           up: {{ http: '{up}' }}\n  \
           slow: {{ http: '{up}', degraded: ['latency > 0ms'] }}\n  \
           down: {{ tcp: '{down}' }}\n  \
           text: {{ http: '{up}', expect: ['body contains \"100%,\\n|x|\"'] }}\n"
    );
    let step = step(&text, &[("INPUT_ARGS", "--concurrency 2\n  --region fra")]).await;
    assert_eq!(step.code, Some(1), "{step:?}");
    assert_eq!(step.outputs, "result=failed\nfailed=2\n");
    let lines: Vec<_> = step.stdout.lines().collect();
    let [refused, wanted, degraded] = lines[..] else {
        panic!("three annotations: {step:?}");
    };
    let begin = "::error title=down failed::down from fra failed: connect_refused: ";
    assert!(refused.starts_with(begin), "{refused}");
    let begin = "::error title=text failed::text from fra failed: ";
    assert!(
        wanted.starts_with(begin) && wanted.contains("100%25,"),
        "{wanted}"
    );
    let begin = "::warning title=slow degraded::slow from fra degraded: ";
    assert!(degraded.starts_with(begin), "{degraded}");
    let rows: Vec<_> = step.summary.lines().skip(4).collect();
    assert_eq!(rows.len(), 4, "{step:?}");
    assert!(
        rows[0].starts_with("| ❌ failed | down | fra | "),
        "{rows:?}"
    );
    assert!(rows[1].contains("&#124;x&#124;"), "{rows:?}");
    assert!(rows[3].starts_with("| ✅ ok | up | fra | "), "{rows:?}");
}

#[tokio::test]
async fn mistakes_are_annotated_at_their_line_of_the_file() {
    let text = "monitors:\n  a: { tcp: 'a.example:1', retires: 2 }\n";
    let wrong = step(text, &[]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert_eq!(wrong.outputs, "result=invalid\nfailed=0\n");
    let annotation = "::error title=sonde,file=sonde.yaml,line=2,col=";
    assert!(wrong.stdout.contains(annotation), "{wrong:?}");
    assert!(wrong.stdout.contains("unknown key of monitor"), "{wrong:?}");
    // What is shown of the log is shown where commands count for nothing.
    assert!(wrong.stdout.starts_with("::stop-commands::"), "{wrong:?}");
    assert_eq!(wrong.summary, "### Sonde did not run\n");
    let twice = step(text, &[("INPUT_ARGS", "--format tap")]).await;
    assert_eq!(twice.code, Some(2), "{twice:?}");
    assert!(
        twice
            .stdout
            .contains("\n::error title=sonde::the argument '--format"),
        "{twice:?}"
    );
}

#[tokio::test]
async fn a_release_is_downloaded_and_has_to_be_the_one_that_is_meant() {
    let program = "#!/bin/sh\necho \"error: I am $*\" >&2\nexit 3\n";
    let releases = HttpStub::start([("/v1.2/sonde", Reply::text(program))]).await;
    let template = releases.url("/v{version}/sonde");
    let version = |version, sha256| {
        [
            ("INPUT_BINARY", ""),
            ("INPUT_VERSION", version),
            ("INPUT_DOWNLOAD_URL", template.as_str()),
            ("INPUT_SHA256", sha256),
        ]
    };
    let ran = step("", &version("1.2", "")).await;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let said = "::error title=sonde::I am check --config sonde.yaml --format json\n";
    assert!(ran.stdout.ends_with(said), "{ran:?}");
    assert_eq!(ran.outputs, "result=not_run\nfailed=0\n");
    let other = step("", &version("1.2", "abc")).await;
    assert_eq!(other.code, Some(3), "{other:?}");
    assert!(other.stdout.contains("another checksum"), "{other:?}");
    let none = step("", &version("1.3", "")).await;
    assert_eq!(none.code, Some(3), "{none:?}");
    assert!(none.stdout.contains("cannot download"), "{none:?}");
    let odd = step("", &version("1 2", "")).await;
    assert_eq!(odd.code, Some(2), "{odd:?}");
}

/// Each input reaches the script under the name that it reads.
#[test]
fn the_action_hands_over_every_input() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/github-action");
    let action = std::fs::read_to_string(folder.join("action.yml")).unwrap();
    let script = std::fs::read_to_string(folder.join("check")).unwrap();
    let handed = action.lines().filter_map(|line| {
        let (variable, input) = line.trim().split_once(": ${{ inputs.")?;
        Some((variable, input.trim_end_matches(" }}")))
    });
    let mut count = 0;
    for (variable, input) in handed {
        assert!(action.contains(&format!("\n  {input}:\n")), "{input}");
        assert!(script.contains(variable), "{variable}");
        count += 1;
    }
    assert_eq!(count, 6);
}
