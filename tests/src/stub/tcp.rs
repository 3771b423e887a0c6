//! TCP targets: silent, rude, slow, or following a script. What speaks invalid HTTP is here too.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::tls::TlsServer;
use super::{ANY_PORT, Server, Stream};

/// Accepts and reads, never answers.
pub async fn silent() -> Server {
    Server::start(|mut stream| async move { drain(&mut stream).await }).await
}

/// Accepts, and does not even read.
pub async fn deaf() -> Server {
    Server::start(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
        Ok(())
    })
    .await
}

/// Answers every connection with a reset.
pub async fn resetting() -> Server {
    Server::start(|stream| async move { stream.set_zero_linger() }).await
}

/// Resets the connection once something has arrived on it.
pub async fn resetting_after_request() -> Server {
    Server::start(|stream| async move {
        stream.readable().await?;
        stream.set_zero_linger()
    })
    .await
}

/// Says something at once, then reads until the peer closes.
pub async fn greeting(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes = bytes.into();
    Server::start(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            stream.write_all(&bytes).await?;
            drain(&mut stream).await
        }
    })
    .await
}

/// Waits for the first bytes of a request, answers with `bytes` whatever was asked, and closes.
pub async fn answering(bytes: impl Into<Vec<u8>>) -> Server {
    dripping(bytes, usize::MAX, Duration::ZERO).await
}

/// Like [`answering`], `step` bytes at a time with a pause before each.
pub async fn dripping(bytes: impl Into<Vec<u8>>, step: usize, pause: Duration) -> Server {
    let bytes = bytes.into();
    Server::start(move |stream| answer(stream, bytes.clone(), step, pause)).await
}

async fn answer(
    mut stream: TcpStream,
    bytes: Vec<u8>,
    step: usize,
    pause: Duration,
) -> io::Result<()> {
    if stream.read(&mut [0; 8192]).await? == 0 {
        return Ok(());
    }
    for part in bytes.chunks(step) {
        tokio::time::sleep(pause).await;
        stream.write_all(part).await?;
    }
    // Closing with unread bytes in the buffer would be a reset: end our side, then let the peer close.
    stream.shutdown().await?;
    drain(&mut stream).await
}

/// Bytes of no protocol, the same each time.
pub fn garbage() -> Vec<u8> {
    (0_u32..512)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect()
}

/// A port that refuses connections for as long as this is held, because nobody else can listen there.
pub struct Refusing(TcpSocket);

impl Refusing {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.bind(ANY_PORT).expect("loopback has a free port");
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket has an address")
    }
}

impl Default for Refusing {
    fn default() -> Self {
        Self::new()
    }
}

/// A port whose queue of connections is full: the kernel drops what comes, as a firewall would.
pub struct Unreachable {
    listener: TcpListener,
    /// What fills the queue.
    waiting: Vec<TcpStream>,
}

impl Unreachable {
    pub async fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.bind(ANY_PORT).expect("loopback has a free port");
        // A backlog of zero has room for one.
        let listener = socket.listen(0).expect("a bound socket can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let mut waiting = Vec::new();
        let patience = Duration::from_millis(200);
        while let Ok(stream) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            waiting.push(stream.expect("loopback accepts until the queue is full"));
        }
        Self { listener, waiting }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .expect("a listener has an address")
    }

    /// Begins to accept, and from then on is as [`answering`]: who has been trying gets in when the kernel tries
    /// again, a second after it first did. This is the one way to delay a connect on loopback.
    pub fn open(self, bytes: impl Into<Vec<u8>>) -> Server {
        let bytes = bytes.into();
        drop(self.waiting);
        Server::accept_on(self.listener, move |stream| {
            answer(stream, bytes.clone(), usize::MAX, Duration::ZERO)
        })
    }
}

/// One line of a [`dialogue`].
#[derive(Debug, Clone)]
pub enum Line {
    Say(&'static str),
    /// Reads one line; anything that does not begin so ends the conversation.
    Hear(&'static str),
    StartTls(TlsServer),
}

/// Speaks a line protocol by script, the same for every connection, then reads until the peer closes.
pub async fn dialogue(script: Vec<Line>) -> Server {
    Server::start(move |stream| follow(script.clone(), stream)).await
}

/// What a mail server says until TLS begins, and its greeting after that.
pub fn smtp(tls: TlsServer) -> Vec<Line> {
    vec![
        Line::Say("220 mail.test ESMTP\r\n"),
        Line::Hear("EHLO"),
        Line::Say("250-mail.test\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"),
        Line::Hear("STARTTLS"),
        Line::Say("220 go ahead\r\n"),
        Line::StartTls(tls),
        Line::Hear("EHLO"),
        Line::Say("250 mail.test\r\n"),
    ]
}

async fn follow(script: Vec<Line>, stream: TcpStream) -> io::Result<()> {
    let mut stream: BufReader<Box<dyn Stream>> = BufReader::new(Box::new(stream));
    for line in script {
        match line {
            Line::Say(text) => stream.write_all(text.as_bytes()).await?,
            Line::Hear(prefix) => {
                let mut heard = String::new();
                stream.read_line(&mut heard).await?;
                if !heard.starts_with(prefix) {
                    return Ok(());
                }
            }
            Line::StartTls(tls) => {
                let plain = stream.into_inner();
                stream = BufReader::new(Box::new(tls.accept(plain).await?));
            }
        }
    }
    drain(&mut stream).await
}

async fn drain(stream: &mut (impl Stream + ?Sized)) -> io::Result<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await?;
    Ok(())
}
