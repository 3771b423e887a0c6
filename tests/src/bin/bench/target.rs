//! What is checked: a server in a process of its own, so that its CPU time is not ours.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};
use http::HeaderValue;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// About what a health endpoint says.
const BODY: &str =
    r#"{"status":"up","database":"up","version":"1.2.3","checks":[1,2,3,4,5,6,7,8]}"#;

/// What is injected.
pub(crate) const DELAY: Duration = Duration::from_millis(100);

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_secs(1);

/// A running server; ends with it.
pub(crate) struct Target {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    /// As `https`, but the handshake begins late.
    pub(crate) slow_https: SocketAddr,
    /// PEM of the authority of `https`.
    pub(crate) ca: String,
    process: Child,
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
        let slow_https = line().await?.parse()?;
        let ca = serde_json::from_str(&line().await?)?;
        Ok(Self {
            http,
            https,
            slow_https,
            ca,
            process,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        // Only a child that was waited for has none.
        self.process.id().unwrap_or_default()
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
    let bind = async || TcpListener::bind("127.0.0.1:0").await;
    let (plain, tls, slow) = (bind().await?, bind().await?, bind().await?);
    for listener in [&plain, &tls, &slow] {
        crate::figures::say(listener.local_addr()?);
    }
    crate::figures::say(serde_json::to_string(&pem)?);

    let tasks = TaskTracker::new();
    let mut input = tokio::io::stdin();
    let mut nothing = Vec::new();
    loop {
        tokio::select! {
            _ = tokio::io::AsyncReadExt::read_to_end(&mut input, &mut nothing) => return Ok(()),
            accepted = plain.accept() => {
                tasks.spawn(connection(accepted?.0, 0));
            }
            accepted = tls.accept() => {
                tasks.spawn(secured(accepted?.0, acceptor.clone(), Duration::ZERO));
            }
            accepted = slow.accept() => {
                tasks.spawn(secured(accepted?.0, acceptor.clone(), DELAY));
            }
        }
    }
}

async fn secured(stream: TcpStream, acceptor: TlsAcceptor, delay: Duration) {
    let start = Instant::now();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Ok(stream) = acceptor.accept(stream).await {
        connection(stream, micros(start.elapsed())).await;
    }
}

/// `shook_us` is how long the handshake took, as seen from here.
async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, shook_us: u64) {
    let answer = hyper::service::service_fn(move |request| answer(request, shook_us));
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    // A client that goes away early is its own affair.
    let _ = served.await;
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// `/wait` answers late, `/drip` ends its body late; both say how long that really took. `/slow` only takes its time.
async fn answer(request: Request<Incoming>, shook_us: u64) -> Result<Answer, Infallible> {
    let start = Instant::now();
    let body = match request.uri().path() {
        "/drip" => dripping(),
        path => {
            match path {
                "/wait" => tokio::time::sleep(DELAY).await,
                "/slow" => tokio::time::sleep(SLOW).await,
                _ => {}
            }
            Full::new(Bytes::from_static(BODY.as_bytes())).boxed()
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-waited-us", micros(start.elapsed()).into());
    headers.insert("x-shook-us", shook_us.into());
    Ok(response)
}

fn dripping() -> BoxBody<Bytes, Infallible> {
    let start = Instant::now();
    let end = async move {
        tokio::time::sleep(DELAY).await;
        let waited = micros(start.elapsed());
        Bytes::from(format!(r#""database":"up","waited_us":{waited}}}"#))
    };
    let parts = stream::once(async { Bytes::from_static(b"{") }).chain(stream::once(end));
    BodyExt::boxed(StreamBody::new(parts.map(|part| Ok(Frame::data(part)))))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
