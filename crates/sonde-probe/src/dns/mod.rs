//! The dns kind: one question to one name server, over UDP, TCP or TLS, and the answer as it came.
//!
//! Does not use the resolver: that hides truncation, codes and sections, which are what is checked here.

mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sonde_core::{DnsDetail, DnsRecord, DnsSpec, DnsTransport, Phase, Reason};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::environment::Environment;
use crate::observe::{Failure, Observation};
use crate::{dial, tls};
pub(crate) use message::rcode;
use message::{Decoded, Question};

/// Times that a question is sent over UDP; the time left is shared equally between them.
const SENDS: u32 = 3;

pub(crate) async fn probe(
    environment: &Environment,
    spec: &DnsSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let question = Question::new(spec)?;
    let (host, port) = server(environment, spec)?;
    let mut addresses = dial::resolve(environment, &host, &spec.network, seen).await?;
    let mut whole = None;
    if let (DnsTransport::Udp, Some(&address)) = (spec.transport, addresses.first()) {
        whole = over_udp(&question, SocketAddr::new(address, port), seen).await?;
        addresses.truncate(1);
    }
    let (answer, transport) = if let Some(answer) = whole {
        (answer, "udp")
    } else {
        let peer = (host.as_str(), addresses.as_slice(), port);
        let answer = over_stream(environment, spec, &question, peer, seen).await?;
        let encrypted = spec.transport == DnsTransport::Tls;
        (answer, if encrypted { "tls" } else { "tcp" })
    };
    let server = seen.remote_address.clone().unwrap_or(host);
    seen.dns = Some(message::detail(&answer, transport, server));
    Ok(())
}

/// The records of the type that was asked for; all of them for `ANY`.
pub(crate) fn of_type<'a>(
    detail: &'a DnsDetail,
    wanted: &str,
) -> impl Iterator<Item = &'a DnsRecord> {
    let wanted = message::record_type(wanted).filter(|wanted| !wanted.is_any());
    let matches = move |record: &&DnsRecord| {
        wanted.is_none_or(|wanted| message::record_type(&record.record_type) == Some(wanted))
    };
    detail.answer.iter().filter(matches)
}

/// The host and port to ask.
fn server(environment: &Environment, spec: &DnsSpec) -> Result<(String, u16), Failure> {
    let default_port = spec.transport.default_port();
    if let Some(server) = &spec.server {
        return Ok(host_and_port(server, default_port));
    }
    let configured =
        (spec.network.resolver).or_else(|| environment.name_servers().first().copied());
    let server = configured.ok_or_else(|| {
        let text = "no name server is given, and the system has none configured";
        Failure::new(Reason::ResolverUnavailable, text)
    })?;
    // A port configured for plain DNS says nothing about DNS over TLS.
    let plain = DnsTransport::Udp.default_port();
    let port = if server.port() == plain {
        default_port
    } else {
        server.port()
    };
    Ok((server.ip().to_string(), port))
}

fn host_and_port(server: &str, default_port: u16) -> (String, u16) {
    if let Ok(address) = server.parse::<SocketAddr>() {
        return (address.ip().to_string(), address.port());
    }
    let bare = server.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return (bare.to_owned(), default_port);
    }
    let split = server.rsplit_once(':');
    let split = split.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    split.unwrap_or_else(|| (server.to_owned(), default_port))
}

/// `None` when the answer is truncated.
async fn over_udp(
    question: &Question,
    server: SocketAddr,
    seen: &mut Observation,
) -> Result<Option<message::Message>, Failure> {
    seen.remote_address = Some(server.to_string());
    let deadline = seen.deadline;
    let asking = ask_udp(question, server, deadline);
    let asked = seen.phase(Phase::Wait, asking).await;
    asked.map_err(|failure| silent(failure, server))
}

async fn ask_udp(
    question: &Question,
    server: SocketAddr,
    deadline: Instant,
) -> Result<Option<message::Message>, Failure> {
    let local: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let lost = |error| lost(&error, server);
    // Port 0: the system chooses one at random, which with the random id guards against forged answers.
    let socket = UdpSocket::bind((local, 0)).await.map_err(lost)?;
    socket.connect(server).await.map_err(lost)?;
    let pause = deadline.saturating_duration_since(Instant::now()) / SENDS;
    let mut buffer = vec![0; message::UDP_SIZE.into()];
    for _ in 0..SENDS {
        socket.send(question.bytes()).await.map_err(lost)?;
        let answer = timeout(pause, receive(question, &socket, server, &mut buffer)).await;
        if let Ok(answer) = answer {
            return answer;
        }
    }
    Err(Failure::new(Reason::WaitTimeout, ""))
}

/// Waits for the answer to `question`; answers to something else are left alone.
async fn receive(
    question: &Question,
    socket: &UdpSocket,
    server: SocketAddr,
    buffer: &mut [u8],
) -> Result<Option<message::Message>, Failure> {
    loop {
        let size = socket.recv(buffer).await;
        let size = size.map_err(|error| lost(&error, server))?;
        match question.decode(&buffer[..size]) {
            Some(Decoded::Whole(message)) => return Ok(Some(message)),
            Some(Decoded::Truncated) => return Ok(None),
            Some(Decoded::Foreign) => {}
            None => return Err(garbage(server)),
        }
    }
}

async fn over_stream(
    environment: &Environment,
    spec: &DnsSpec,
    question: &Question,
    (host, addresses, port): (&str, &[IpAddr], u16),
    seen: &mut Observation,
) -> Result<message::Message, Failure> {
    let (mut stream, server) = dial::connect(addresses, port, seen).await?;
    let asked = if spec.transport == DnsTransport::Tls {
        let mut stream = tls::handshake(environment, stream, host, &spec.tls, &[], seen).await?;
        let asking = ask_stream(question, &mut stream, server);
        seen.phase(Phase::Wait, asking).await
    } else {
        let asking = ask_stream(question, &mut stream, server);
        seen.phase(Phase::Wait, asking).await
    };
    asked.map_err(|failure| silent(failure, server))
}

/// One message each way, each after its length (RFC 1035, 4.2.2).
async fn ask_stream<S: AsyncRead + AsyncWrite + Unpin>(
    question: &Question,
    stream: &mut S,
    server: SocketAddr,
) -> Result<message::Message, Failure> {
    let lost = |error| lost(&error, server);
    stream.write_all(&question.framed()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let size = stream.read_u16().await.map_err(lost)?;
    let mut buffer = vec![0; size.into()];
    stream.read_exact(&mut buffer).await.map_err(lost)?;
    match question.decode(&buffer) {
        Some(Decoded::Whole(message)) => Ok(message),
        Some(Decoded::Foreign) => {
            let text = format!("{server} answered another question than the one it was asked");
            Err(Failure::new(Reason::DnsRcode, text))
        }
        Some(Decoded::Truncated) | None => Err(garbage(server)),
    }
}

/// Gives silence its own reason.
fn silent(failure: Failure, server: SocketAddr) -> Failure {
    if failure.reason == Reason::WaitTimeout {
        Failure::new(
            Reason::DnsTimeout,
            format!("{server} did not answer in time"),
        )
    } else {
        failure
    }
}

fn garbage(server: SocketAddr) -> Failure {
    let text = format!("what {server} answered is not a DNS message");
    Failure::new(Reason::DnsRcode, text)
}

fn lost(error: &io::Error, server: SocketAddr) -> Failure {
    use io::ErrorKind as Kind;
    let (reason, what) = match error.kind() {
        Kind::ConnectionRefused => (Reason::ConnectRefused, "nothing listens on"),
        Kind::UnexpectedEof
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe => (Reason::ConnectReset, "no whole answer came from"),
        Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::AddrNotAvailable
        | Kind::PermissionDenied => (Reason::ConnectUnreachable, "there is no way to"),
        // What TLS makes of a bad record, or of a peer that turns us down after the handshake.
        Kind::InvalidData => (Reason::TlsHandshake, "the TLS session broke with"),
        _ => (Reason::Internal, "cannot ask"),
    };
    let said = dial::in_words(error);
    Failure::new(reason, format!("{what} {server} ({said})"))
}

#[cfg(test)]
mod tests;
