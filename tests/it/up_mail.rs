//! Mails of `sonde up`, as a mail server gets them: readable, in one thread, and each of them once.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_tests::api::Caller;
use sonde_tests::services::{SmtpSink, smtp_sink};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);
const OPS: &str = "ops@example.com";
const BOSS: &str = "boss@example.com";

/// A machine that watches one target.
struct Fixture {
    target: HttpStub,
    folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let target = HttpStub::start([("/", Reply::text("fine"))]).await;
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "monitors:\n  shop:\n    http: {}\n    interval: 5s\n    timeout: 2s\n    retries: 0\n    \
             alert: {{ fail_after: 1, recover_after: 1 }}\n",
            target.url("/")
        );
        std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
        Self { target, folder }
    }

    /// With a channel `mail` to these addresses.
    async fn up(&self, smtp: &str, sink: &SmtpSink, to: &[&str]) -> (Running, Caller) {
        let up = Sonde::up(self.folder.path())
            .env("SONDE_SMTP_URL", smtp)
            .env("SONDE_SMTP_FROM", "Sonde, of us <sonde@example.com>")
            .env("SSL_CERT_FILE", &sink.authority);
        let running = up.serve().await;
        let caller = Caller::of(running.url(""));
        channel(&caller, to).await;
        (running, caller)
    }
}

async fn channel(up: &Caller, to: &[&str]) {
    let body = json!({ "send": { "email": { "to": to } } });
    let (status, made) = up.call(Method::PUT, "/v1/channels/mail", Some(&body)).await;
    assert_eq!(status, 201, "{made}");
}

/// What came of the notices of the channel, the oldest first.
async fn log(up: &Caller) -> Vec<Value> {
    let (_, log) = up.get("/v1/channels/mail/log").await;
    let mut notices = log["notices"].as_array().unwrap().clone();
    notices.reverse();
    notices
}

async fn wait_for(up: &Caller, states: &[&str]) {
    wait_until(PATIENCE, async || {
        let log = log(up).await;
        log.iter()
            .map(|it| it["state"].as_str().unwrap())
            .eq(states.iter().copied())
    })
    .await;
}

async fn wait_for_error(up: &Caller, part: &str) -> Value {
    wait_until(PATIENCE, async || {
        let log = log(up).await;
        log.iter().any(|it| {
            it["error"]
                .as_str()
                .is_some_and(|error| error.contains(part))
        })
    })
    .await;
    log(up).await.remove(0)
}

#[tokio::test]
async fn an_incident_and_its_recovery_are_one_thread_and_a_mail_that_is_put_off_comes_once() {
    let Some(sink) = smtp_sink().await else {
        return;
    };
    let it = Fixture::new().await;
    let (running, up) = it.up(&sink.url, &sink, &[OPS, BOSS]).await;
    sink.answer("DATA", "", "451 4.3.0 not now", 1).await;
    it.target.set("/", Reply::status(503));
    wait_for(&up, &["sent"]).await;
    it.target.set("/", Reply::text("fine"));
    wait_for(&up, &["sent", "sent"]).await;

    let mails = sink.mails().await;
    let answers: Vec<_> = mails
        .iter()
        .map(|it| it["answer"].as_str().unwrap())
        .collect();
    assert_eq!(answers, ["451 4.3.0 not now", "250 taken", "250 taken"]);
    let [put_off, opened, recovered] = [0, 1, 2].map(|n| &mails[n]["headers"]);
    assert_eq!(put_off["message-id"], opened["message-id"]);
    assert_ne!(opened["message-id"], recovered["message-id"]);
    assert_eq!(recovered["in-reply-to"], opened["message-id"]);
    assert_eq!(recovered["references"], opened["message-id"]);
    assert_eq!(opened.get("in-reply-to"), None);
    assert_eq!(opened["subject"], "DOWN: shop");
    assert!(
        recovered["subject"]
            .as_str()
            .unwrap()
            .starts_with("RECOVERED: shop after")
    );
    for mail in &mails[1..] {
        let headers = &mail["headers"];
        assert_eq!(headers["from"], "\"Sonde, of us\" <sonde@example.com>");
        assert_eq!(headers["to"], format!("{OPS}, {BOSS}"));
        assert_eq!(headers["auto-submitted"], "auto-generated");
        assert!(headers["date"].is_string(), "{mail:#}");
        assert_eq!(
            (&mail["type"], &mail["defects"]),
            (&json!("multipart/alternative"), &json!([]))
        );
        assert_eq!(
            (&mail["from"], &mail["to"]),
            (&json!("sonde@example.com"), &json!([OPS, BOSS]))
        );
        for body in ["text", "html"] {
            assert!(
                mail[body].as_str().unwrap().contains("/incidents/"),
                "{mail:#}"
            );
        }
    }
    assert!(
        mails[1]["text"].as_str().unwrap().contains("http_status"),
        "{:#}",
        mails[1]
    );
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn an_address_that_is_refused_keeps_a_mail_from_nobody_else() {
    let Some(sink) = smtp_sink().await else {
        return;
    };
    let it = Fixture::new().await;
    let (running, up) = it.up(&sink.url, &sink, &[OPS, BOSS]).await;
    let test = async || {
        let (status, tested) = up.post("/v1/channels/mail/test", &json!({})).await;
        assert_eq!(status, 202, "{tested}");
    };
    sink.answer("RCPT", BOSS, "550 5.1.1 nobody here", 1).await;
    test().await;
    wait_for(&up, &["sent"]).await;
    // Whose mailbox is full gets it later, and who has it does not get it again.
    sink.answer("RCPT", BOSS, "452 4.2.2 full", 1).await;
    test().await;
    wait_for(&up, &["sent", "sent"]).await;
    sink.answer("RCPT", OPS, "550 5.1.1 nobody here", 1).await;
    sink.answer("RCPT", BOSS, "550 5.1.1 nobody here", 1).await;
    test().await;
    wait_for(&up, &["sent", "sent", "failed"]).await;
    let error = log(&up).await[2]["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("550") && error.contains("nobody here"),
        "{error}"
    );
    let mails = sink.mails().await;
    let to: Vec<_> = mails.iter().map(|it| &it["to"]).collect();
    assert_eq!(to, [&json!([OPS]), &json!([OPS]), &json!([BOSS])]);
    let ids = [1, 2].map(|n| &mails[n]["headers"]["message-id"]);
    assert_eq!(ids[0], ids[1]);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn user_and_password_go_through_tls_alone() {
    let Some(sink) = smtp_sink().await else {
        return;
    };
    for url in [&sink.starttls_url, &sink.tls_url] {
        let it = Fixture::new().await;
        let (running, up) = it.up(url, &sink, &[OPS]).await;
        up.post("/v1/channels/mail/test", &json!({})).await;
        wait_for(&up, &["sent"]).await;
        let mail = sink.mails().await.pop().unwrap();
        assert_eq!(
            (&mail["tls"], &mail["user"]),
            (&json!(true), &json!("sonde"))
        );
        assert!(running.terminate().await.success());
    }
    let taken = sink.mails().await.len();

    // What the operator can put right is waited for.
    let it = Fixture::new().await;
    let wrong = sink.starttls_url.replace("hunter2", "hunter3");
    let (running, up) = it.up(&wrong, &sink, &[OPS]).await;
    up.post("/v1/channels/mail/test", &json!({})).await;
    let notice = wait_for_error(&up, "535").await;
    assert_eq!(notice["state"], "waiting", "{notice:#}");
    assert!(!notice.to_string().contains("hunter3") && !running.log().contains("hunter3"));
    assert!(running.terminate().await.success());
    // Nobody vouches for the certificate: the password is not said.
    let up = Sonde::up(it.folder.path())
        .env("SONDE_SMTP_URL", &sink.starttls_url)
        .env("SONDE_SMTP_FROM", "sonde@example.com");
    let running = up.serve().await;
    let up = Caller::of(running.url(""));
    let notice = wait_for_error(&up, "certificate").await;
    assert_eq!(notice["state"], "waiting", "{notice:#}");
    assert!(running.terminate().await.success());
    assert_eq!(sink.mails().await.len(), taken);
}

#[tokio::test]
async fn without_a_server_and_with_a_wrong_one_it_is_said_what_is_missing() {
    let it = Fixture::new().await;
    let running = Sonde::up(it.folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    channel(&up, &[OPS]).await;
    up.post("/v1/channels/mail/test", &json!({})).await;
    let notice = wait_for_error(&up, "SONDE_SMTP_URL").await;
    assert_eq!(notice["state"], "failed", "{notice:#}");
    assert!(running.terminate().await.success());

    for (url, from, expected) in [
        ("smtp://a:hunter2@mail.example", OPS, "in the clear"),
        ("smtps://mail.example", "", "--smtp-from"),
        ("smtps://mail.example", "nobody", "`nobody` is not a sender"),
        ("mail.example", OPS, "must begin with smtp://"),
    ] {
        let up = Sonde::up(it.folder.path())
            .env("SONDE_SMTP_URL", url)
            .env("SONDE_SMTP_FROM", from);
        let output = up.run().await;
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        let stderr = output.stderr;
        assert!(
            stderr.contains(expected) && !stderr.contains("hunter2"),
            "{stderr}"
        );
    }
}
