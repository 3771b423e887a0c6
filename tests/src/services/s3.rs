//! What speaks the API of S3, of a test's own.

use reqwest::Method;

use super::private::{Launch, Process};
use super::setting;

/// Buckets in the memory of a process.
pub struct S3 {
    /// As `AWS_ENDPOINT_URL` takes it.
    pub url: String,
    pub process: Process,
}

/// Starts the server that `SONDE_TEST_S3` names (moto), with one bucket.
pub async fn s3(bucket: &str) -> Option<S3> {
    let program = setting("SONDE_TEST_S3", "the S3 server")?;
    let process = Process::start(1, |_, port| Launch {
        command: [program.as_str(), "-H", "127.0.0.1", "-p", &port.to_string()]
            .map(str::to_owned)
            .to_vec(),
        ready: format!("http://127.0.0.1:{port}/moto-api/data.json"),
        pid_file: None,
    });
    let process = process.await;
    let url = format!("http://127.0.0.1:{}", process.port);
    let made = crate::http::client().request(Method::PUT, format!("{url}/{bucket}"));
    let made = made.send().await.expect("the S3 server answers");
    assert!(made.status().is_success(), "{bucket}: {made:?}");
    Some(S3 { url, process })
}
