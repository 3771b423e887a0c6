//! A mail server of a test's own, which keeps what it gets and refuses what it is asked to refuse.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::private::{Launch, Process};
use super::setting;
use crate::certificates::Authority;
use crate::http;

/// What `tests/services/smtp.py` is.
pub struct SmtpSink {
    /// Wants no password.
    pub url: String,
    /// Wants STARTTLS and a password, which is in it.
    pub starttls_url: String,
    /// The same in TLS from the beginning.
    pub tls_url: String,
    /// Who vouches for its certificate: a PEM file.
    pub authority: PathBuf,
    control: String,
    _process: Process,
    _folder: TempDir,
}

/// Starts the server with the command that `SONDE_TEST_SMTP` holds.
pub async fn smtp_sink() -> Option<SmtpSink> {
    let command = setting("SONDE_TEST_SMTP", "aiosmtpd")?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new("mail");
    let identity = authority.localhost();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder is writable");
        path
    };
    let files = [
        write("certificate.pem", identity.certificate_pem()),
        write("key.pem", &identity.key_pem()),
    ];
    let process = Process::start(4, |_, port| Launch {
        command: command
            .split_whitespace()
            .map(str::to_owned)
            .chain([port.to_string()])
            .chain(files.iter().map(|file| file.display().to_string()))
            .collect(),
        ready: format!("http://127.0.0.1:{port}/mails"),
        pid_file: None,
    });
    let process = process.await;
    let port = process.port;
    let with_password = |scheme, port| format!("{scheme}://sonde:hunter2@localhost:{port}");
    Some(SmtpSink {
        url: format!("smtp://127.0.0.1:{}", port + 1),
        starttls_url: with_password("smtp+starttls", port + 2),
        tls_url: with_password("smtps", port + 3),
        authority: write("authority.pem", &authority.pem()),
        control: format!("http://127.0.0.1:{port}"),
        _process: process,
        _folder: folder,
    })
}

impl SmtpSink {
    /// What came, the oldest first, with what the server said to it.
    pub async fn mails(&self) -> Vec<Value> {
        let text = self.call(Method::GET, "/mails").await;
        serde_json::from_str(&text).expect("the sink writes JSON")
    }

    /// Answers so to the next `count` commands: `DATA`, or `RCPT` of one receiver.
    pub async fn answer(&self, command: &str, to: &str, answer: &str, count: usize) {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("command", command)
            .append_pair("answer", answer)
            .append_pair("count", &count.to_string());
        if !to.is_empty() {
            query.append_pair("to", to);
        }
        self.call(Method::POST, &format!("/answer?{}", query.finish()))
            .await;
    }

    async fn call(&self, method: Method, path: &str) -> String {
        let request = http::client().request(method, format!("{}{path}", self.control));
        let answer = request.send().await.expect("the sink answers");
        answer.text().await.expect("its answers are text")
    }
}
