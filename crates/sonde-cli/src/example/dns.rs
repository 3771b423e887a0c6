//! The DNS part: one zone of its own on UDP and TCP, and NXDOMAIN for everything else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{Scope, listen};

/// The zone; it and every name below it have one address.
const ZONE: &str = "example.example-corp.internal.";
const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TTL: u32 = 60;

/// Tries to find a port that is free for UDP and TCP alike, when any port will do.
const BIND_ATTEMPTS: usize = 16;

const IDLE: Duration = Duration::from_secs(10);

pub(super) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Sockets {
    pub(super) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let mut bound = Self::try_bind(address).await;
        for _ in 1..BIND_ATTEMPTS {
            if bound.is_ok() || address.port() != 0 {
                break;
            }
            bound = Self::try_bind(address).await;
        }
        bound.with_context(|| format!("cannot listen on {address} (UDP and TCP)"))
    }

    async fn try_bind(address: SocketAddr) -> io::Result<Self> {
        let udp = UdpSocket::bind(address).await?;
        let address = udp.local_addr()?;
        let tcp = TcpListener::bind(address).await?;
        Ok(Self { udp, tcp, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn serve(self, scope: &Scope) {
        let zone = Arc::new(Name::from_str(ZONE).expect("a fixed name is valid"));
        let over_udp = serve_udp(self.udp, zone.clone());
        let stop = scope.stop.clone();
        scope.tasks.spawn(stop.run_until_cancelled_owned(over_udp));
        let over_tcp = listen::each_connection(self.tcp, scope.clone(), move |stream| {
            let zone = zone.clone();
            async move {
                // The peer went away or sent no DNS: nothing to answer.
                let _ = serve_tcp(stream, &zone).await;
            }
        });
        scope.tasks.spawn(over_tcp);
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Name>) {
    let mut buffer = [0; 4096];
    loop {
        // Errors are those of earlier answers (port unreachable): the socket itself stays good.
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if let Some(response) = respond(&buffer[..length], &zone) {
            let _ = socket.send_to(&response, peer).await;
        }
    }
}

/// Messages with a length before each (RFC 1035, section 4.2.2).
async fn serve_tcp(mut stream: TcpStream, zone: &Name) -> io::Result<()> {
    loop {
        let length = tokio::time::timeout(IDLE, stream.read_u16()).await??;
        let mut query = vec![0; usize::from(length)];
        tokio::time::timeout(IDLE, stream.read_exact(&mut query)).await??;
        let Some(response) = respond(&query, zone) else {
            return Ok(());
        };
        let length = u16::try_from(response.len()).map_err(io::Error::other)?;
        stream.write_u16(length).await?;
        stream.write_all(&response).await?;
    }
}

/// The answer to a query; nothing for what is not one.
fn respond(query: &[u8], zone: &Name) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    match query.queries.first() {
        Some(question) if query.metadata.op_code == OpCode::Query => {
            response.add_query(question.clone());
            let known = zone.zone_of(question.name()) && question.query_class() == DNSClass::IN;
            response.metadata.authoritative = known;
            if !known {
                response.metadata.response_code = ResponseCode::NXDomain;
            } else if question.query_type() == RecordType::A {
                let data = RData::A(A(ADDRESS));
                response.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
            }
        }
        _ => response.metadata.response_code = ResponseCode::NotImp,
    }
    response.to_vec().ok()
}
