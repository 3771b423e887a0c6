//! An HTTP server whose answers a test writes: HTTP/1.1 and HTTP/2, valid on the wire.
//!
//! Invalid HTTP is made with [`tcp::answering`](super::tcp::answering).

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;

use super::encoding::Encoding;
use super::tls::TlsServer;
use super::{Server, Stream as Connection};

/// Answers by path; a path that no test gave is 404.
pub struct HttpStub {
    server: Server,
    scheme: &'static str,
    routes: Arc<Mutex<Routes>>,
    requests: Arc<Mutex<Vec<Received>>>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

type Routes = HashMap<String, Reply>;

impl HttpStub {
    pub async fn start<const N: usize>(routes: [(&str, Reply); N]) -> Self {
        Self::serve(None, routes).await
    }

    pub async fn start_tls<const N: usize>(tls: TlsServer, routes: [(&str, Reply); N]) -> Self {
        Self::serve(Some(tls), routes).await
    }

    async fn serve<const N: usize>(tls: Option<TlsServer>, routes: [(&str, Reply); N]) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let routes: Routes = routes
            .into_iter()
            .map(|(path, reply)| (path.to_owned(), reply))
            .collect();
        let routes = Arc::new(Mutex::new(routes));
        let requests = Arc::default();
        let (now, log) = (Arc::clone(&routes), Arc::clone(&requests));
        let server = Server::start(move |stream| {
            let (tls, routes, log) = (tls.clone(), Arc::clone(&now), Arc::clone(&log));
            async move {
                match tls {
                    Some(tls) => converse(tls.accept(stream).await?, routes, log).await,
                    None => converse(stream, routes, log).await,
                }
            }
        });
        Self {
            server: server.await,
            scheme,
            routes,
            requests,
        }
    }

    /// From now on a path answers so.
    pub fn set(&self, path: &str, reply: Reply) {
        let routes = self.routes.lock();
        let mut routes = routes.unwrap_or_else(PoisonError::into_inner);
        routes.insert(path.to_owned(), reply);
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// By the name `localhost`, as its certificates have it.
    pub fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.server.port())
    }

    /// Every request so far, in the order in which they were complete.
    pub fn requests(&self) -> Vec<Received> {
        let requests = self.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One scripted answer. Each method changes one thing about it.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    /// Before the status line.
    delay: Duration,
    /// Given to so many requests before this one.
    first: Option<(usize, Box<Reply>)>,
}

#[derive(Debug, Clone)]
enum Body {
    /// The request as JSON.
    Echo,
    Parts {
        part: Bytes,
        /// Without an end when absent.
        times: Option<usize>,
        /// Before each part.
        pause: Duration,
        /// The connection breaks after the parts.
        cut: bool,
    },
}

impl Reply {
    pub fn status(code: u16) -> Self {
        Self {
            status: StatusCode::from_u16(code).expect("tests name valid status codes"),
            headers: HeaderMap::new(),
            body: Body::once(Bytes::new()),
            delay: Duration::ZERO,
            first: None,
        }
    }

    pub fn text(body: impl Into<Bytes>) -> Self {
        Self::status(200)
            .header("content-type", "text/plain")
            .body(body)
    }

    pub fn json(body: &serde_json::Value) -> Self {
        Self::status(200)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    pub fn redirect(code: u16, location: &str) -> Self {
        Self::status(code).header("location", location)
    }

    /// `{"method", "path", "headers", "body"}` of the request.
    pub fn echo() -> Self {
        Self {
            body: Body::Echo,
            ..Self::status(200).header("content-type", "application/json")
        }
    }

    /// A body that never ends.
    pub fn endless() -> Self {
        Self {
            body: Body::Parts {
                part: vec![b'x'; 64 * 1024].into(),
                times: None,
                pause: Duration::ZERO,
                cut: false,
            },
            ..Self::status(200)
        }
    }

    /// `times` parts with a pause before each.
    pub fn dripping(part: impl Into<Bytes>, times: usize, pause: Duration) -> Self {
        Self {
            body: Body::Parts {
                part: part.into(),
                times: Some(times),
                pause,
                cut: false,
            },
            ..Self::status(200)
        }
    }

    /// Announces ten bytes more than it sends, then breaks the connection.
    pub fn truncated(body: impl Into<Bytes>) -> Self {
        let part: Bytes = body.into();
        let announced = (part.len() + 10).to_string();
        Self {
            body: Body::Parts {
                part,
                times: Some(1),
                pause: Duration::ZERO,
                cut: true,
            },
            ..Self::status(200).header("content-length", &announced)
        }
    }

    pub async fn encoded(encoding: Encoding, plain: &str) -> Self {
        Self::status(200)
            .header("content-encoding", encoding.as_str())
            .body(encoding.encode(plain.as_bytes()).await)
    }

    /// 128 MiB once decoded.
    pub async fn bomb(encoding: Encoding) -> Self {
        Self::status(200)
            .header("content-encoding", encoding.as_str())
            .body(encoding.bomb().await)
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().expect("tests send valid header values");
        self.headers.append(name, value);
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::once(body.into());
        self
    }

    /// Waits so long before the first byte.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Gives the first `times` requests the reply `instead`.
    #[must_use]
    pub fn but_first(mut self, times: usize, instead: Self) -> Self {
        self.first = Some((times, Box::new(instead)));
        self
    }

    /// Waits so long between the head and each part of the body.
    #[must_use]
    pub fn pausing(mut self, before_part: Duration) -> Self {
        if let Body::Parts { pause, .. } = &mut self.body {
            *pause = before_part;
        }
        self
    }
}

impl Body {
    fn once(part: Bytes) -> Self {
        Self::Parts {
            part,
            times: Some(1),
            pause: Duration::ZERO,
            cut: false,
        }
    }
}

type Frames = std::pin::Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

async fn converse(
    connection: impl Connection + 'static,
    routes: Arc<Mutex<Routes>>,
    log: Arc<Mutex<Vec<Received>>>,
) -> io::Result<()> {
    let service = service_fn(move |request| {
        let (routes, log) = (Arc::clone(&routes), Arc::clone(&log));
        async move { Ok::<_, Infallible>(answer(request, &routes, &log).await) }
    });
    auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(connection), service)
        .await
        .map_err(io::Error::other)
}

async fn answer(
    request: Request<Incoming>,
    routes: &Mutex<Routes>,
    log: &Mutex<Vec<Received>>,
) -> Response<StreamBody<Frames>> {
    let (head, body) = request.into_parts();
    // A body that breaks off is logged as empty.
    let body = body.collect().await.map(Collected::to_bytes);
    let request = Received {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: body.unwrap_or_default(),
    };
    let earlier = note(log, &request);
    let scripted = {
        let routes = routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(&request.path).cloned()
    };
    let reply = match scripted {
        None => Reply::status(404),
        Some(reply) => match reply.first {
            Some((times, instead)) if earlier < times => *instead,
            _ => reply,
        },
    };
    tokio::time::sleep(reply.delay).await;

    let body = match reply.body {
        Body::Echo => Body::once(request.to_json().to_string().into()),
        parts @ Body::Parts { .. } => parts,
    };
    let mut headers = reply.headers;
    if let Some(length) = body.length() {
        headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(length.into());
    }
    let mut response = Response::new(StreamBody::new(body.frames()));
    *response.status_mut() = reply.status;
    *response.headers_mut() = headers;
    response
}

/// How many requests for the same path there were before this one.
fn note(log: &Mutex<Vec<Received>>, request: &Received) -> usize {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let earlier = log.iter().filter(|other| other.path == request.path);
    let earlier = earlier.count();
    log.push(request.clone());
    earlier
}

impl Body {
    /// Where it is worth announcing: a body of one part.
    fn length(&self) -> Option<usize> {
        match self {
            Self::Parts {
                part,
                times: Some(1),
                ..
            } => Some(part.len()),
            _ => None,
        }
    }

    fn frames(self) -> Frames {
        let Self::Parts {
            part,
            times,
            pause,
            cut,
        } = self
        else {
            return Box::pin(stream::empty());
        };
        Box::pin(stream::unfold(0, move |sent| {
            let part = part.clone();
            async move {
                if times.is_some_and(|times| sent >= times) {
                    let broken = io::ErrorKind::BrokenPipe.into();
                    // One more item: the error that makes the server drop the connection.
                    return (cut && Some(sent) == times).then_some((Err(broken), sent + 1));
                }
                tokio::time::sleep(pause).await;
                Some((Ok(Frame::data(part)), sent + 1))
            }
        }))
    }
}

impl Received {
    fn to_json(&self) -> serde_json::Value {
        let headers: BTreeMap<_, _> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
            .collect();
        json!({
            "method": self.method,
            "path": self.path,
            "headers": headers,
            "body": String::from_utf8_lossy(&self.body),
        })
    }
}
