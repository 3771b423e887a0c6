//! Name → filtered addresses → a TCP connection to one of them. The only way to a target.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use sonde_core::{IpPreference, NetworkOptions, Phase, Reason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dns::rcode;
use crate::environment::Environment;
use crate::observe::{Failure, Observation};
use crate::resolver::LookupError;

/// Addresses tried at most; names with more are farms, of which any is as good.
const ADDRESSES_TRIED: usize = 6;
/// A connection that takes longer gets company (RFC 8305 §5 recommends 250 ms and allows up to 2 s).
const NEXT_ADDRESS: Duration = Duration::from_millis(300);

/// A connection, plain or with TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Resolves `host` (a name or a literal) under the Dns phase and refuses addresses that egress forbids.
///
/// Never empty when `Ok`; ordered by preference.
pub(crate) async fn resolve(
    environment: &Environment,
    host: &str,
    network: &NetworkOptions,
    seen: &mut Observation,
) -> Result<Vec<IpAddr>, Failure> {
    let found = match literal(host) {
        Some(address) => vec![address],
        None => look_up(environment, host, network, seen).await?,
    };
    seen.evidence.addresses = found.iter().map(ToString::to_string).collect();
    let mut refusal = None;
    let allowed: Vec<IpAddr> = found
        .into_iter()
        .filter(
            |address| match environment.settings.egress.check(*address) {
                Ok(()) => true,
                Err(failure) => {
                    refusal.get_or_insert(failure);
                    false
                }
            },
        )
        .collect();
    match refusal {
        Some(refusal) if allowed.is_empty() => Err(refusal),
        _ => Ok(allowed),
    }
}

/// An address as in a URL or as people write it, with or without brackets.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

async fn look_up(
    environment: &Environment,
    host: &str,
    network: &NetworkOptions,
    seen: &mut Observation,
) -> Result<Vec<IpAddr>, Failure> {
    if let Some(server) = network.resolver {
        environment.settings.egress.check(server.ip())?;
    }
    let servers = match &network.resolver {
        Some(server) => std::slice::from_ref(server),
        None => environment.name_servers(),
    };
    let own = network.resolver.is_none();
    let work = async {
        let mut name = Name::from_str_relaxed(host).map_err(|error| {
            let message = format!("`{host}` is not a name that DNS can hold: {error}");
            Failure::new(Reason::DnsNxdomain, message)
        })?;
        name.set_fqdn(true);
        if own {
            let local = environment.resolver.local(&name, network.ip);
            if !local.is_empty() {
                return Ok(local);
            }
        }
        let looked_up = environment.resolver.lookup(servers, &name, network.ip);
        looked_up
            .await
            .map_err(|error| not_found(host, network.ip, own, error))
    };
    let found = seen.phase(Phase::Dns, work).await;
    found.map_err(|failure| match failure.reason {
        Reason::DnsTimeout if failure.message == Reason::DnsTimeout.sentence() => Failure {
            message: format!("no answer about `{host}` in time from {}", list(servers)),
            // It may be the checker that cannot reach its own server.
            suspect: own,
            ..failure
        },
        _ => failure,
    })
}

fn list(servers: &[SocketAddr]) -> String {
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    format!("the name server {}", servers.join(" or "))
}

/// `own` tells the checker's own name servers from one that the monitor names.
fn not_found(host: &str, ip: IpPreference, own: bool, error: LookupError) -> Failure {
    match error {
        LookupError::Rcode(ResponseCode::NXDomain, server) => Failure::new(
            Reason::DnsNxdomain,
            format!("the name `{host}` does not exist (NXDOMAIN from {server})"),
        ),
        LookupError::Rcode(code, server) => {
            let reason = match code {
                ResponseCode::ServFail => Reason::DnsServfail,
                ResponseCode::Refused => Reason::DnsRefused,
                _ => Reason::DnsRcode,
            };
            let code = rcode(code);
            let message = format!("the name server {server} answers {code} about `{host}`");
            Failure::new(reason, message)
        }
        LookupError::NoAddress => {
            let family = match ip {
                IpPreference::V4 => "IPv4 ",
                IpPreference::V6 => "IPv6 ",
                IpPreference::PreferV4 | IpPreference::PreferV6 => "",
            };
            let message = format!("the name `{host}` exists but has no {family}address");
            Failure::new(Reason::DnsNoAddress, message)
        }
        LookupError::Malformed(why) => {
            let message = format!("the answer about `{host}` cannot be understood: {why}");
            Failure::new(Reason::DnsRcode, message)
        }
        LookupError::Unreachable(server, why) if !own => {
            let message = format!("`{host}`: the name server {server} cannot be reached: {why}");
            Failure::new(Reason::DnsTimeout, message)
        }
        LookupError::Unreachable(server, why) => unavailable(&format!(
            "this checker's name server {server} cannot be reached: {why}"
        )),
        LookupError::NoServers => unavailable("this checker has no name server configured"),
    }
}

fn unavailable(message: &str) -> Failure {
    Failure {
        suspect: true,
        ..Failure::new(Reason::ResolverUnavailable, message)
    }
}

/// Connects to the first of `addresses` that answers, under the Connect phase.
pub(crate) async fn connect(
    addresses: &[IpAddr],
    port: u16,
    seen: &mut Observation,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let targets: Vec<SocketAddr> = addresses
        .iter()
        .take(ADDRESSES_TRIED)
        .map(|address| SocketAddr::new(*address, port))
        .collect();
    let connected = seen.phase(Phase::Connect, race(&targets)).await;
    let (stream, address) = connected.map_err(|failure| match failure.reason {
        Reason::ConnectTimeout => Failure {
            message: format!("no connection to {} in time", join(&targets)),
            ..failure
        },
        _ => failure,
    })?;
    seen.remote_address = Some(address.to_string());
    Ok((stream, address))
}

/// Starts with the first address; the next one follows when one fails or is slow. The first connection wins.
async fn race(targets: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failure> {
    if let [only] = targets {
        let (address, connected) = open(*only).await;
        return match connected {
            Ok(stream) => Ok((stream, address)),
            Err(error) => Err(refused(&[(address, error)])),
        };
    }
    let mut waiting: VecDeque<SocketAddr> = targets.iter().copied().collect();
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = waiting.pop_front() {
            running.push(open(address));
        }
        let finished = if waiting.is_empty() {
            running.next().await
        } else {
            match timeout(NEXT_ADDRESS, running.next()).await {
                Ok(finished) => finished,
                Err(_) => continue,
            }
        };
        match finished {
            Some((address, Ok(stream))) => return Ok((stream, address)),
            Some((address, Err(error))) => failures.push((address, error)),
            None => return Err(refused(&failures)),
        }
    }
}

async fn open(address: SocketAddr) -> (SocketAddr, io::Result<TcpStream>) {
    let connected = TcpStream::connect(address).await.and_then(|stream| {
        stream.set_nodelay(true)?;
        Ok(stream)
    });
    (address, connected)
}

/// The failure of all addresses: the first one's reason, and what each of them said.
fn refused(failures: &[(SocketAddr, io::Error)]) -> Failure {
    let reason = failures
        .first()
        .map_or(Reason::ConnectUnreachable, |(_, error)| {
            connect_reason(error)
        });
    let said: Vec<String> = failures
        .iter()
        .map(|(address, error)| format!("{address}: {}", in_words(error)))
        .collect();
    Failure {
        suspect: reason == Reason::Internal,
        ..Failure::new(reason, said.join("; "))
    }
}

fn connect_reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Reason::ConnectReset,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        // Firewalls on the way or on this machine, and addresses that no route leads to.
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::InvalidInput => Reason::ConnectUnreachable,
        // No more file descriptors, no memory: nothing that the target did.
        _ => Reason::Internal,
    }
}

pub(crate) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by the peer".to_owned(),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "no route to that network from here".to_owned(),
        _ => error.to_string(),
    }
}

fn join(targets: &[SocketAddr]) -> String {
    let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
    targets.join(" or ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, UdpSocket};
    use tokio::task::JoinSet;

    use super::*;
    use crate::testing::{environment, observation, within};
    use crate::{Egress, Settings};

    /// A name server that turns every question into the same kind of answer.
    async fn name_server(
        answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
    ) -> (SocketAddr, JoinSet<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut question = [0; 512];
            while let Ok((read, from)) = socket.recv_from(&mut question).await {
                let answer = answer(&question[..read]);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        (address, tasks)
    }

    /// The question with its header's answer bit and this code set (RFC 1035 §4.1.1).
    fn with_code(question: &[u8], code: u8) -> Vec<u8> {
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer[3] = code;
        answer
    }

    /// One A record `192.0.2.7` for a question about A; nothing for others.
    fn with_address(question: &[u8]) -> Vec<u8> {
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let mut answer = with_code(&question[..end], 0);
        let is_a = question[end - 3] == 1;
        answer[6..12].copy_from_slice(&[0, u8::from(is_a), 0, 0, 0, 0]);
        if is_a {
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        answer
    }

    fn asking(resolver: SocketAddr) -> NetworkOptions {
        NetworkOptions {
            resolver: Some(resolver),
            ..NetworkOptions::default()
        }
    }

    async fn look_up(host: &str, network: &NetworkOptions) -> Result<Vec<IpAddr>, Failure> {
        let mut seen = observation();
        let found = resolve(&environment(Egress::open()), host, network, &mut seen).await;
        assert!(seen.phases.dns.is_some());
        found
    }

    #[tokio::test]
    async fn every_answer_of_a_name_server_has_its_reason() {
        for (code, reason) in [
            (0, Reason::DnsNoAddress),
            (2, Reason::DnsServfail),
            (3, Reason::DnsNxdomain),
            (4, Reason::DnsRcode),
            (5, Reason::DnsRefused),
        ] {
            let (server, _tasks) = name_server(move |question| with_code(question, code)).await;
            let failure = look_up("shop.example", &asking(server)).await.unwrap_err();
            assert_eq!(failure.reason, reason, "{}", failure.message);
            assert!(failure.message.contains("shop.example") && !failure.suspect);
        }
    }

    #[tokio::test]
    async fn a_name_becomes_addresses_and_is_asked_for_anew_each_time() {
        let (server, _tasks) = name_server(with_address).await;
        let network = asking(server);
        for _ in 0..2 {
            let found = look_up("shop.example", &network).await;
            assert_eq!(found, Ok(vec!["192.0.2.7".parse().unwrap()]));
        }
        let only_v6 = NetworkOptions {
            ip: IpPreference::V6,
            ..network
        };
        let failure = look_up("shop.example", &only_v6).await.unwrap_err();
        assert_eq!(failure.reason, Reason::DnsNoAddress);
    }

    #[tokio::test]
    async fn a_dead_name_server_of_the_monitors_own_is_found_out_at_once() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dead = socket.local_addr().unwrap();
        drop(socket);
        let failure = look_up("shop.example", &asking(dead)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::DnsTimeout);
        let said = format!("{dead} cannot be reached: nothing listens there");
        assert!(failure.message.contains(&said), "{}", failure.message);
        assert!(!failure.suspect, "{}", failure.message);
    }

    #[tokio::test]
    async fn a_silent_name_server_ends_with_the_deadline() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let network = asking(silent.local_addr().unwrap());
        let mut seen = within(Duration::from_millis(50));
        let environment = environment(Egress::open());
        let failure = resolve(&environment, "shop.example", &network, &mut seen).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.reason, Reason::DnsTimeout);
        assert!(
            failure.message.contains("`shop.example`") && !failure.suspect,
            "{failure:?}"
        );
    }

    #[tokio::test]
    async fn silence_of_the_checkers_own_name_server_may_be_the_checkers_fault() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let environment = Environment::new(Settings {
            resolver: Some(silent.local_addr().unwrap()),
            ..environment(Egress::open()).settings
        });
        let mut seen = within(Duration::from_millis(50));
        // A word of the usual sentence: the host is named all the same.
        let (host, network) = ("time", NetworkOptions::default());
        let failure = resolve(&environment.unwrap(), host, &network, &mut seen).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.reason, Reason::DnsTimeout);
        assert!(
            failure.suspect && failure.message.contains("`time`"),
            "{failure:?}"
        );
    }

    #[tokio::test]
    async fn this_machine_knows_localhost_without_asking() {
        let found = look_up("localhost", &NetworkOptions::default())
            .await
            .unwrap();
        assert!(found.contains(&"127.0.0.1".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_dead_address_does_not_keep_the_next_one_from_being_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = ["127.0.0.99", "127.0.0.1"].map(|address| address.parse().unwrap());
        let mut seen = observation();
        let (_, address) = connect(&addresses, port, &mut seen).await.unwrap();
        assert_eq!(address.to_string(), format!("127.0.0.1:{port}"));
        drop(listener);
        let failure = connect(&addresses, port, &mut seen).await.unwrap_err();
        assert_eq!(failure.reason, Reason::ConnectRefused);
        assert!(failure.message.contains("127.0.0.99") && failure.message.contains("127.0.0.1:"));
    }
}
