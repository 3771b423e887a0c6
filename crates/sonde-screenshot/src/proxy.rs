//! The browser's only way out: a forward proxy for one picture, on a loopback port of its own, which connects as checks
//! do. It reads nothing of what passes but where it goes.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{Either, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, PROXY_AUTHORIZATION, TE, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use sonde_probe::Dialler;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

/// Connections of the browser at a time: it opens six to one host.
const MOST_CONNECTIONS: usize = 128;

/// What belongs to a connection and not to what passes over it (RFC 9110 §7.6.1).
const OF_ONE_HOP: [HeaderName; 6] = [
    CONNECTION,
    PROXY_AUTHORIZATION,
    TE,
    UPGRADE,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
];

/// Ends with all that passes through it when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    gate: Arc<Gate>,
}

type Body = Either<Incoming, Either<Full<Bytes>, Empty<Bytes>>>;

/// What all connections share.
struct Gate {
    dialler: Dialler,
    until: Instant,
    /// Of the page itself.
    host: String,
    port: u16,
    page: Mutex<Reached>,
    running: Mutex<JoinSet<()>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reached {
    NotAsked,
    Yes,
    No(String),
}

impl Proxy {
    /// For a picture of `page`, which has a host.
    pub(crate) async fn start(
        dialler: &Dialler,
        page: &Url,
        until: Instant,
    ) -> std::io::Result<Self> {
        let host = page.host_str().unwrap_or_default().to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let gate = Arc::new(Gate {
            dialler: dialler.for_page_of(&host, until).await,
            until,
            port: page.port_or_known_default().unwrap_or(80),
            host,
            page: Mutex::new(Reached::NotAsked),
            running: Mutex::default(),
        });
        gate.spawn(accept(listener, Arc::clone(&gate)));
        Ok(Self { address, gate })
    }

    /// Whether the browser got as far as the page's server, or why not.
    pub(crate) fn reached_page(&self) -> Result<(), String> {
        let page = self.gate.page.lock();
        match &*page.unwrap_or_else(PoisonError::into_inner) {
            Reached::Yes => Ok(()),
            Reached::No(why) => Err(why.clone()),
            Reached::NotAsked => Err("the browser did not ask for the page".to_owned()),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The tasks hold the gate, and the gate the tasks.
        let running = self.gate.running.lock();
        running.unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

async fn accept(listener: TcpListener, gate: Arc<Gate>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let served = Arc::clone(&gate);
        gate.spawn(async move {
            let answer = |request| {
                let gate = Arc::clone(&served);
                async move { Ok::<_, Infallible>(gate.answer(request).await) }
            };
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            // What goes wrong with it the browser sees.
            let _ = connection.with_upgrades().await;
            drop(place);
        });
    }
}

impl Gate {
    /// Until the proxy ends.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.running.lock();
        running.unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let answered = if request.method() == Method::CONNECT {
            self.tunnel(request).await
        } else {
            self.forward(request).await
        };
        answered.unwrap_or_else(|why| {
            let mut refusal = Response::new(Either::Right(Either::Left(Full::from(why))));
            *refusal.status_mut() = StatusCode::BAD_GATEWAY;
            refusal
        })
    }

    /// Bytes in both directions: TLS, and web sockets without it.
    async fn tunnel(&self, request: Request<Incoming>) -> Result<Response<Body>, String> {
        let mut target = self.dial(request.uri(), None).await?;
        self.spawn(async move {
            if let Ok(browser) = hyper::upgrade::on(request).await {
                let _ = copy_bidirectional(&mut TokioIo::new(browser), &mut target).await;
            }
        });
        Ok(Response::new(Either::Right(Either::Right(Empty::new()))))
    }

    /// One plain request, on a connection of its own.
    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Body>, String> {
        if request.uri().scheme_str() != Some("http") {
            return Err("only http:// goes this way".to_owned());
        }
        let target = self.dial(request.uri(), Some(80)).await?;
        let path = request.uri().path_and_query();
        *request.uri_mut() = path.cloned().map_or_else(Uri::default, Uri::from);
        for name in OF_ONE_HOP {
            request.headers_mut().remove(name);
        }
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(target));
        let (mut sender, connection) = handshake.await.map_err(|error| error.to_string())?;
        self.spawn(async move {
            let _ = connection.await;
        });
        let answer = sender.send_request(request).await;
        let mut answer = answer.map_err(|error| error.to_string())?;
        for name in OF_ONE_HOP {
            answer.headers_mut().remove(name);
        }
        Ok(answer.map(Either::Left))
    }

    async fn dial(&self, uri: &Uri, default_port: Option<u16>) -> Result<TcpStream, String> {
        let host = uri.host().ok_or("no host is named")?;
        let port = uri.port_u16().or(default_port).ok_or("no port is named")?;
        let dialled = self.dialler.dial(host, port, self.until).await;
        let dialled = dialled.map_err(|error| error.to_string());
        if (host, port) == (self.host.as_str(), self.port) {
            let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
            match &dialled {
                Ok(_) => *page = Reached::Yes,
                Err(why) if *page != Reached::Yes => *page = Reached::No(why.clone()),
                Err(_) => {}
            }
        }
        dialled
    }
}
