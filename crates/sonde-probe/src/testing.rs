//! Stub servers on loopback for this crate's own tests.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Egress;
use crate::environment::{Environment, Settings};
use crate::observe::Observation;

pub(crate) fn environment(egress: Egress) -> Environment {
    Environment::new(Settings {
        egress,
        resolver: None,
        allow_exec: false,
        rdap_bootstrap: None,
        checker_id: "test".to_owned(),
    })
    .unwrap()
}

/// Enough for everything on loopback.
pub(crate) fn observation() -> Observation {
    within(Duration::from_secs(10))
}

pub(crate) fn within(time: Duration) -> Observation {
    // Before the clock starts: it takes its time.
    crate::tls::load_system_roots();
    let mut seen = Observation::until(Instant::now() + time);
    seen.looks_at_body = true;
    seen
}

/// A listener whose connections are handled until it is dropped.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Stub {
    pub(crate) async fn new<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(handle(stream));
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }

    /// Answers every request's head with what `answer` makes of it, then closes.
    pub(crate) async fn http(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let answer = std::sync::Arc::new(answer);
        Self::new(move |mut stream| {
            let answer = answer.clone();
            async move {
                let head = head(&mut stream).await;
                // A client that has had enough may be gone.
                let _ = stream.write_all(&answer(&head)).await;
            }
        })
        .await
    }
}

/// Reads up to the empty line.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}
