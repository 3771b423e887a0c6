//! An HTTP proxy: tunnels by `CONNECT`, forwards requests in absolute form, or refuses.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use url::Url;

use super::Server;

/// What a proxy does with requests.
#[derive(Debug, Clone)]
pub enum Policy {
    Forward,
    /// Forwards only with these, by basic authentication; else answers 407.
    Credentials {
        username: String,
        password: String,
    },
    /// Answers with this status, whatever is asked.
    Refuse(u16),
}

/// A proxy for tests: every name leads to loopback.
pub struct ProxyStub {
    server: Server,
    targets: Arc<Mutex<Vec<String>>>,
}

impl ProxyStub {
    pub async fn start(policy: Policy) -> Self {
        let targets = Arc::default();
        let log = Arc::clone(&targets);
        let server = Server::start(move |stream| {
            let (policy, log) = (policy.clone(), Arc::clone(&log));
            async move { serve(stream, &policy, &log).await }
        });
        Self {
            server: server.await,
            targets,
        }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What it was asked for: `host:port` of tunnels, else URLs.
    pub fn targets(&self) -> Vec<String> {
        let targets = self.targets.lock();
        targets.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(stream: TcpStream, policy: &Policy, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut client = BufReader::new(stream);
    let Some(head) = Head::read(&mut client).await? else {
        return Ok(());
    };
    log.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(head.target.clone());
    match policy {
        Policy::Forward => {}
        Policy::Credentials { username, password } => {
            let wanted = STANDARD.encode(format!("{username}:{password}"));
            if head.header("proxy-authorization") != Some(&format!("Basic {wanted}")) {
                return refuse(client, 407, "proxy-authenticate: Basic realm=\"stub\"\r\n").await;
            }
        }
        Policy::Refuse(status) => return refuse(client, *status, "").await,
    }

    let Some(port) = head.port() else {
        return refuse(client, 400, "").await;
    };
    let Ok(mut upstream) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await
    else {
        return refuse(client, 502, "").await;
    };
    if head.method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    } else {
        upstream.write_all(head.to_origin().as_bytes()).await?;
    }
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

async fn refuse(mut client: BufReader<TcpStream>, status: u16, headers: &str) -> io::Result<()> {
    let response = format!("HTTP/1.1 {status} No\r\n{headers}content-length: 0\r\n\r\n");
    client.write_all(response.as_bytes()).await?;
    client.shutdown().await
}

/// A request's head.
struct Head {
    method: String,
    target: String,
    headers: Vec<String>,
}

impl Head {
    /// Nothing when the client closes or sends something else.
    async fn read(client: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut lines = client.lines();
        let request = lines.next_line().await?.unwrap_or_default();
        let mut words = request.split(' ').map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Ok(None);
        };
        let mut headers = Vec::new();
        while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
            headers.push(line);
        }
        Ok(Some(Self {
            method,
            target,
            headers,
        }))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn port(&self) -> Option<u16> {
        if self.method == "CONNECT" {
            self.target.rsplit_once(':')?.1.parse().ok()
        } else {
            Url::parse(&self.target).ok()?.port_or_known_default()
        }
    }

    /// As the origin server wants it (RFC 9112 §3.2.1), one request per connection.
    fn to_origin(&self) -> String {
        let path = Url::parse(&self.target).map_or_else(
            |_| "/".to_owned(),
            |url| url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
        );
        let mut head = format!("{} {path} HTTP/1.1\r\n", self.method);
        for line in &self.headers {
            if !line.to_ascii_lowercase().starts_with("proxy-") {
                head.push_str(line);
                head.push_str("\r\n");
            }
        }
        head + "\r\n"
    }
}
