//! What is checked: a server in a process of its own, so that its CPU time is not ours.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// About what a health endpoint says.
const BODY: &str =
    r#"{"status":"up","database":"up","version":"1.2.3","checks":[1,2,3,4,5,6,7,8]}"#;

/// A running server; ends with it.
pub(crate) struct Target {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    /// PEM of the authority of `https`.
    pub(crate) ca: String,
    _process: Child,
}

impl Target {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let mut line = async || lines.next_line().await?.context("the target ended early");
        let (http, https) = (line().await?.parse()?, line().await?.parse()?);
        let ca = serde_json::from_str(&line().await?)?;
        Ok(Self {
            http,
            https,
            ca,
            _process: process,
        })
    }
}

/// The server's own main: prints its addresses and its certificate, serves until its standard input ends.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let pem = identity.cert.pem();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.signing_key.serialize_pem().as_bytes())?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.send_tls13_tickets = 0;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (plain, tls) = (
        TcpListener::bind("127.0.0.1:0").await?,
        TcpListener::bind("127.0.0.1:0").await?,
    );
    crate::figures::say(plain.local_addr()?);
    crate::figures::say(tls.local_addr()?);
    crate::figures::say(serde_json::to_string(&pem)?);

    let tasks = TaskTracker::new();
    let mut input = tokio::io::stdin();
    let mut nothing = Vec::new();
    loop {
        tokio::select! {
            _ = tokio::io::AsyncReadExt::read_to_end(&mut input, &mut nothing) => return Ok(()),
            accepted = plain.accept() => {
                let (stream, _) = accepted?;
                tasks.spawn(connection(stream));
            }
            accepted = tls.accept() => {
                let (stream, _) = accepted?;
                let acceptor = acceptor.clone();
                tasks.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        connection(stream).await;
                    }
                });
            }
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
    // A client that goes away early is its own affair.
    let _ = served.await;
}

/// `/wait/N` answers after N ms, and says how long it really took.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let start = Instant::now();
    let wait = request
        .uri()
        .path()
        .strip_prefix("/wait/")
        .and_then(|ms| ms.parse().ok());
    if let Some(wait) = wait {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    let waited = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    headers.insert("x-waited-us", waited.into());
    Ok(response)
}
