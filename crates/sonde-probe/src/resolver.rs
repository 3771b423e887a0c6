//! Names to addresses, each time by fresh queries: nothing is cached or shared between checks, so that the Dns phase is true.
//!
//! The hosts file comes first, then the name servers in order, as the system's own resolver does it. Names are absolute:
//! search domains do not apply.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioRuntimeProvider};
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, NameServerPool, PoolContext, TlsConfig};
use sonde_core::IpPreference;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long a name server may stay silent before the next one is asked. UDP queries are repeated twice within the first second.
const FAILOVER: Duration = Duration::from_secs(2);
/// How long an answer for the preferred family waits for the other one (RFC 8305 §3, "Resolution Delay").
const OTHER_FAMILY: Duration = Duration::from_millis(50);
/// Longer than any check: its deadline is what ends a query.
const UNBOUNDED: Duration = Duration::from_hours(1);

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The name exists, but has no address of the families asked for.
    NoAddress,
    /// What the server answered instead of addresses; `NXDomain` is the most frequent.
    Rcode(ResponseCode, SocketAddr),
    /// Neither this server nor one before it could be talked to.
    Unreachable(SocketAddr, String),
    /// The system names no server.
    NoServers,
    Malformed(String),
}

/// The hosts file and the system's name servers, read once.
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    hosts: Hosts,
    context: Arc<PoolContext>,
    provider: Provider,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

impl Resolver {
    /// With the name server `instead` of those that the system is configured with.
    pub(crate) fn new(instead: Option<SocketAddr>) -> Result<Self, NetError> {
        let mut options = ResolverOpts::default();
        options.timeout = UNBOUNDED;
        options.os_port_selection = true;
        Ok(Self {
            servers: instead.map_or_else(system_servers, |server| vec![server]),
            hosts: Hosts::from_system().unwrap_or_default(),
            context: Arc::new(PoolContext::new(options, TlsConfig::new()?)),
            provider: Provider::default(),
        })
    }

    pub(crate) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// What this machine knows without asking: the hosts file, and `localhost` (RFC 6761 §6.3).
    pub(crate) fn local(&self, name: &Name, ip: IpPreference) -> Vec<IpAddr> {
        let found: Vec<IpAddr> = families(ip)
            .into_iter()
            .flatten()
            .filter_map(|family| {
                let query = Query::query(name.clone(), family);
                self.hosts.lookup_static_host(&query)
            })
            .flat_map(|lookup| lookup.answers().to_vec())
            .filter_map(|record| record.data.ip_addr())
            .collect();
        if found.is_empty() && name.is_localhost() {
            return families(ip).into_iter().flatten().map(loopback).collect();
        }
        found
    }

    /// Asks `servers` for the addresses of `name`; never empty when `Ok`, the preferred family first.
    pub(crate) async fn lookup(
        &self,
        servers: &[SocketAddr],
        name: &Name,
        ip: IpPreference,
    ) -> Result<Vec<IpAddr>, LookupError> {
        let [preferred, other] = families(ip);
        let first = preferred.map(|family| self.query(servers, name, family));
        let second = other.map(|family| self.query(servers, name, family));
        let (first, second) = match (first, second) {
            (Some(first), Some(second)) => both(first, second).await,
            (Some(only), None) | (None, Some(only)) => return only.await,
            (None, None) => return Err(LookupError::NoAddress),
        };
        match (first, second) {
            (Ok(first), Ok(second)) => Ok([first, second].concat()),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(LookupError::NoAddress), Err(error)) | (Err(error), Err(_)) => Err(error),
        }
    }

    async fn query(
        &self,
        servers: &[SocketAddr],
        name: &Name,
        family: RecordType,
    ) -> Result<Vec<IpAddr>, LookupError> {
        let mut worst = LookupError::NoServers;
        for (n, &server) in servers.iter().enumerate() {
            let asked = self.ask(server, name, family);
            let answer = if n + 1 == servers.len() {
                asked.await
            } else {
                let silent = || Err(LookupError::Unreachable(server, "no answer".to_owned()));
                timeout(FAILOVER, asked).await.unwrap_or_else(|_| silent())
            };
            match answer {
                Err(error) if error.asks_elsewhere() => {
                    if !matches!(worst, LookupError::Rcode(..)) {
                        worst = error;
                    }
                }
                settled => return settled,
            }
        }
        Err(worst)
    }

    /// One question to one server, over UDP, and again over TCP when the answer is truncated.
    async fn ask(
        &self,
        server: SocketAddr,
        name: &Name,
        family: RecordType,
    ) -> Result<Vec<IpAddr>, LookupError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
            way.port = server.port();
            way
        });
        let config = NameServerConfig::new(server.ip(), true, connections.to_vec());
        // A pool joins equal questions into one, and the second asker would measure only the rest of the first one's wait.
        let pool =
            NameServerPool::from_config([config], self.context.clone(), self.provider.clone());
        let query = Query::query(name.clone(), family);
        match pool
            .lookup(query, DnsRequestOptions::default())
            .next()
            .await
        {
            Some(Ok(response)) => addresses(&response, server),
            Some(Err(error)) => Err(LookupError::new(error, server)),
            None => Err(LookupError::Unreachable(server, "no answer".to_owned())),
        }
    }
}

type Answer = Result<Vec<IpAddr>, LookupError>;

/// Waits for both families, but not long for the second once the first has addresses.
async fn both(
    first: impl Future<Output = Answer>,
    second: impl Future<Output = Answer>,
) -> (Answer, Answer) {
    match select(pin!(first), pin!(second)).await {
        Either::Left((Ok(first), second)) => {
            let second = timeout(OTHER_FAMILY, second).await;
            (Ok(first), second.unwrap_or(Err(LookupError::NoAddress)))
        }
        Either::Left((failed, second)) => (failed, second.await),
        Either::Right((second, first)) => (first.await, second),
    }
}

/// The record types to ask for, the preferred one first.
const fn families(ip: IpPreference) -> [Option<RecordType>; 2] {
    match ip {
        IpPreference::PreferV4 => [Some(RecordType::A), Some(RecordType::AAAA)],
        IpPreference::PreferV6 => [Some(RecordType::AAAA), Some(RecordType::A)],
        IpPreference::V4 => [Some(RecordType::A), None],
        IpPreference::V6 => [Some(RecordType::AAAA), None],
    }
}

fn loopback(family: RecordType) -> IpAddr {
    match family {
        RecordType::AAAA => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// The servers of the system's configuration; none where it has no such thing, as in the barest containers.
fn system_servers() -> Vec<SocketAddr> {
    match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, _)) => config
            .name_servers()
            .iter()
            .map(|server| SocketAddr::new(server.ip, 53))
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "no name servers: only literal addresses can be checked");
            Vec::new()
        }
    }
}

/// The answer's addresses; aliases (CNAME) were already followed by the server.
fn addresses(response: &DnsResponse, server: SocketAddr) -> Answer {
    let records = response.answers.iter();
    let found: Vec<IpAddr> = records.filter_map(|record| record.data.ip_addr()).collect();
    match response.response_code {
        _ if !found.is_empty() => Ok(found),
        ResponseCode::NoError => Err(LookupError::NoAddress),
        code => Err(LookupError::Rcode(code, server)),
    }
}

impl LookupError {
    fn new(error: NetError, server: SocketAddr) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NoError => Self::NoAddress,
                code => Self::Rcode(code, server),
            },
            NetError::Dns(DnsError::ResponseCode(code)) => Self::Rcode(code, server),
            NetError::Io(error) => Self::Unreachable(server, error.to_string()),
            // What the pool makes of errors of the socket.
            NetError::NoConnections => {
                Self::Unreachable(server, "nothing listens there".to_owned())
            }
            NetError::Timeout | NetError::Busy => Self::Unreachable(server, "no answer".to_owned()),
            other => Self::Malformed(other.to_string()),
        }
    }

    /// Whether another of the system's servers may know better.
    fn asks_elsewhere(&self) -> bool {
        match self {
            Self::NoAddress | Self::Rcode(ResponseCode::NXDomain, _) => false,
            Self::Rcode(..) | Self::Unreachable(..) | Self::NoServers | Self::Malformed(_) => true,
        }
    }
}

/// Tokio's runtime, but with UDP sockets that hear of a server that is not there.
#[derive(Clone, Default)]
struct Provider(TokioRuntimeProvider);

impl RuntimeProvider for Provider {
    type Handle = <TokioRuntimeProvider as RuntimeProvider>::Handle;
    type Timer = <TokioRuntimeProvider as RuntimeProvider>::Timer;
    type Udp = Connected;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        wait: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        self.0.connect_tcp(server, local, wait)
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(local).await?;
            // Elsewhere a connected socket refuses `send_to`.
            if cfg!(target_os = "linux") {
                socket.connect(server).await?;
            }
            Ok(Connected(socket))
        })
    }
}

/// Only a connected socket is told by the kernel that nobody listens, and only one that waits for errors hears it.
struct Connected(UdpSocket);

#[async_trait]
impl DnsUdpSocket for Connected {
    type Time = <TokioRuntimeProvider as RuntimeProvider>::Timer;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        DnsUdpSocket::poll_recv_from(&self.0, cx, buffer)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let interest = Interest::READABLE | Interest::ERROR;
        let receive = || match self.0.take_error()? {
            Some(error) => Err(error),
            None => self.0.try_recv_from(buffer),
        };
        self.0.async_io(interest, receive).await
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        server: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, bytes, server)
    }
}
