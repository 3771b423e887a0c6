//! One request and its answer over one connection, with the phases send, wait and receive.

use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use bytes::Bytes;
use futures_util::future::{FusedFuture, FutureExt};
use http::header::LOCATION;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use sonde_core::HttpDetail;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::body;
use super::failure::Broken;
use super::meter::{Metered, Times};
use super::route::Opened;
use crate::dial::Stream;
use crate::environment::Environment;
use crate::observe::{Failure, Observation};

/// Bytes of the answer's head kept as evidence.
const HEAD_KEPT: usize = 4 * 1024;

/// Most answers of health checks fit; hyper's own choice would be twice as much, a thousand times over.
const READ_BUFFER: usize = 4 * 1024;

/// Sends `request` and reads the answer into `seen`; `Some` is the location of a redirect that is to be followed, whose
/// body is left unread.
pub(super) async fn exchange(
    environment: &Environment,
    opened: Opened,
    request: Request<Full<Bytes>>,
    follow: bool,
    seen: &mut Observation,
) -> Result<Option<String>, Failure> {
    let h2 = opened.h2;
    let unasked_h2 = h2 && !opened.secure;
    let host = host(&request);
    let body = request.body().size_hint().exact().unwrap_or(0);
    let times = Times::start(usize::try_from(body).unwrap_or(usize::MAX));
    let stream = TokioIo::new(Metered::new(opened.stream, times.clone()));
    let mut reading = Reading {
        environment,
        follow,
        head: None,
        seen,
    };
    let deadline = reading.seen.deadline;
    let work = async {
        if h2 {
            // Boxed: most exchanges are not of this kind, and need not be as large.
            Box::pin(over_h2(stream, request, &mut reading)).await
        } else {
            over_h1(stream, request, &mut reading).await
        }
    };
    let done = timeout_at(deadline, work).await;
    let head = reading.head;
    times.record(h2, head, seen);
    match done {
        Ok(Ok(next)) => Ok(next),
        Ok(Err(Broke::Told(failure))) => Err(failure),
        Ok(Err(Broke::Connection(error))) => Err(Broken {
            host: &host,
            heard: times.heard(),
            unasked_h2: unasked_h2 && head.is_none(),
        }
        .because(&error)),
        Err(_) => {
            let reason = times.timeout(h2, head);
            let message = format!("`{host}`: {}", reason.sentence());
            Err(Failure::new(reason, message))
        }
    }
}

fn host(request: &Request<Full<Bytes>>) -> String {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let header = request.headers().get(http::header::HOST);
    let header = header.and_then(|host| host.to_str().ok());
    authority.or(header).unwrap_or_default().to_owned()
}

/// How an exchange ended early.
pub(super) enum Broke {
    Connection(hyper::Error),
    Told(Failure),
}

impl From<hyper::Error> for Broke {
    fn from(error: hyper::Error) -> Self {
        Self::Connection(error)
    }
}

type Io = TokioIo<Metered<Box<dyn Stream>>>;

async fn over_h1(
    stream: Io,
    request: Request<Full<Bytes>>,
    reading: &mut Reading<'_>,
) -> Result<Option<String>, Broke> {
    // Real servers are sloppy, and browsers forgive them.
    let handshake = http1::Builder::new()
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .read_buf_exact_size(Some(READ_BUFFER))
        .handshake(stream);
    let (mut sender, connection) = handshake.await?;
    let connection = pin!(connection.fuse());
    reading
        .answer(connection, sender.send_request(request))
        .await
}

async fn over_h2(
    stream: Io,
    request: Request<Full<Bytes>>,
    reading: &mut Reading<'_>,
) -> Result<Option<String>, Broke> {
    let tasks = Tasks::default();
    let handshake = http2::Builder::new(Executor(tasks.0.clone())).handshake(stream);
    let (mut sender, connection) = handshake.await?;
    let connection = pin!(connection.fuse());
    reading
        .answer(connection, sender.send_request(request))
        .await
}

/// Where the answer goes.
struct Reading<'a> {
    environment: &'a Environment,
    follow: bool,
    /// When the head was complete.
    head: Option<Instant>,
    seen: &'a mut Observation,
}

impl Reading<'_> {
    async fn answer(
        &mut self,
        mut connection: Connection<'_>,
        responding: impl Future<Output = hyper::Result<Response<Incoming>>>,
    ) -> Result<Option<String>, Broke> {
        let mut responding = pin!(responding);
        let response = poll_fn(|cx| {
            drive(connection.as_mut(), cx);
            responding.as_mut().poll(cx)
        })
        .await?;
        self.head = Some(Instant::now());
        let (head, incoming) = response.into_parts();
        self.note(&head);
        let redirects = self.follow && matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let location = head.headers.get(LOCATION).filter(|_| redirects);
        let location = location.map(|location| String::from_utf8_lossy(location.as_bytes()));
        let location = location.map(std::borrow::Cow::into_owned);
        self.seen.headers = head.headers;
        match location {
            Some(location) => Ok(Some(location)),
            None => body::read(self.environment, connection, incoming, self.seen)
                .await
                .map(|()| None),
        }
    }

    fn note(&mut self, head: &http::response::Parts) {
        let redirects = self.seen.http.take().map(|http| http.redirects);
        self.seen.http = Some(HttpDetail {
            status: head.status.as_u16(),
            version: version(head.version).to_owned(),
            bytes: 0,
            redirects: redirects.unwrap_or_default(),
        });
        let mut text = format!("HTTP/{} {}\r\n", version(head.version), head.status);
        for (name, value) in &head.headers {
            if text.len() > HEAD_KEPT {
                break;
            }
            let value = String::from_utf8_lossy(value.as_bytes());
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.truncate(text.floor_char_boundary(HEAD_KEPT));
        self.seen.evidence.response_head = Some(text);
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// Hyper's side of a connection: it moves bytes only while it is polled.
pub(super) type Connection<'a> =
    Pin<&'a mut (dyn FusedFuture<Output = hyper::Result<()>> + Send + 'a)>;

/// Moves bytes while something of the connection's is waited for. What fails here is told to that something.
pub(super) fn drive(connection: Connection<'_>, cx: &mut Context<'_>) {
    if !connection.is_terminated() {
        let _ = connection.poll(cx);
    }
}

/// What hyper runs beside an HTTP/2 exchange. Aborted with it: nothing of a check outlives it.
#[derive(Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
    }
}

#[derive(Clone)]
struct Executor(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, task: F) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(task);
    }
}
