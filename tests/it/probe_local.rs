//! The kinds that depend on the checker's machine: icmp and exec.

use std::path::Path;
use std::time::Duration;

use sonde_core::Reason;
use sonde_tests::checks::{exec, icmp, stories, told};
use sonde_tests::stub::dns::DnsStub;
use sonde_tests::wait_until;

const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn loopback_answers_every_packet() {
    let result = icmp("127.0.0.1").expecting("icmp.loss == 0%").run().await;
    if result.reason == Some(Reason::Unsupported) {
        let strict = std::env::var_os("SONDE_TEST_STRICT").is_some();
        let message = result.message.unwrap();
        assert!(!strict && message.contains("cap_net_raw"), "{message}");
        return;
    }
    assert_eq!(told(&result), "ok");
    let detail = result.icmp.unwrap();
    assert_eq!((detail.sent, detail.received), (2, 2));
    assert_eq!(result.total_us, detail.avg_us);
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_not_pinged() {
    let names = DnsStub::start([]).await;
    let result = icmp("nowhere.test").resolver(names.address()).run().await;
    assert_eq!(result.reason, Some(Reason::DnsNxdomain));
}

#[tokio::test]
async fn a_command_is_judged_by_its_code_and_its_output() {
    let lines = stories([
        (
            "good",
            exec("echo fine; exit 0").expecting("exec.output contains fine"),
        ),
        ("bad", exec("exit 3")),
        (
            "bad as expected",
            exec("exit 3").expecting("exec.code == 3"),
        ),
        (
            "other output",
            exec("echo bad").expecting("exec.output contains fine"),
        ),
        ("killed", exec("kill -9 $$")),
        (
            "only a warning",
            exec("exit 1").with(|spec| spec.warn_only = true),
        ),
        (
            "not there",
            exec("").with(|spec| spec.command = "/no/such/thing".to_owned()),
        ),
        ("not allowed", exec("exit 0").allow_exec(false)),
        ("too slow", exec("sleep 3600").timeout(SOON)),
    ])
    .await;
    insta::assert_snapshot!(lines, @r#"
    good => ok
    bad => exec_failed: /bin/sh exited with code 3
    bad as expected => ok
    other output => exec_failed: exec.output was bad, expected contains "fine"
    killed => exec_failed: /bin/sh was ended by a signal
    only a warning => exec_failed: /bin/sh exited with code 1
    not there => exec_failed: cannot start /no/such/thing (No such file or directory (os error 2))
    not allowed => unsupported: exec checks are not allowed here: start with --allow-exec to run /bin/sh
    too slow => exec_failed: /bin/sh did not finish within 2s
    "#);
}

#[tokio::test]
async fn a_command_that_is_cut_off_takes_its_children_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!("sleep 3600 & echo $! > {}; wait", file.display());
    let result = exec(&script).timeout(SOON).run().await;
    assert_eq!(result.reason, Some(Reason::ExecFailed));
    let pid = std::fs::read_to_string(file).unwrap();
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    wait_until(SOON, async || {
        // What has ended and is not yet waited for is a `Z`.
        std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}
