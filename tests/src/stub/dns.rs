//! A name server whose answers a test writes, over UDP and TCP on one port, and over TLS.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::tls::TlsServer;
use super::{ANY_PORT, Server, Stream};

/// What there is to say about a name.
#[derive(Debug, Clone)]
pub struct Answer {
    code: ResponseCode,
    records: Vec<RData>,
    authority: Vec<RData>,
    additional: Vec<RData>,
    delay: Duration,
    silent: bool,
    truncated: bool,
}

impl Answer {
    /// A query gets those of its type (and any CNAME), which may be none.
    pub fn records(records: impl IntoIterator<Item = RData>) -> Self {
        Self {
            code: ResponseCode::NoError,
            records: records.into_iter().collect(),
            authority: Vec::new(),
            additional: Vec::new(),
            delay: Duration::ZERO,
            silent: false,
            truncated: false,
        }
    }

    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::records(addresses.into_iter().map(|address| match address {
            IpAddr::V4(address) => RData::A(address.into()),
            IpAddr::V6(address) => RData::AAAA(address.into()),
        }))
    }

    /// `127.0.0.1`, where all the other stubs are.
    pub fn loopback() -> Self {
        Self::addresses([IpAddr::from([127, 0, 0, 1])])
    }

    pub fn code(code: ResponseCode) -> Self {
        Self {
            code,
            ..Self::records([])
        }
    }

    /// Never answered.
    pub fn silence() -> Self {
        Self {
            silent: true,
            ..Self::records([])
        }
    }

    /// Goes into the authority section, whatever is asked.
    #[must_use]
    pub fn authority(mut self, record: RData) -> Self {
        self.authority.push(record);
        self
    }

    /// Goes into the additional section, whatever is asked.
    #[must_use]
    pub fn additional(mut self, record: RData) -> Self {
        self.additional.push(record);
        self
    }

    /// Waits so long before answering.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Whole over TCP and TLS only; over UDP an empty answer that says so.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.truncated = true;
        self
    }
}

/// Names that no test gave do not exist (NXDOMAIN).
pub struct DnsStub {
    zone: Arc<Zone>,
    stream: Server,
    /// Dropping the set ends the UDP side.
    _udp: JoinSet<()>,
}

impl DnsStub {
    /// `zone` has absolute names, with or without the final dot.
    pub async fn start<const N: usize>(zone: [(&str, Answer); N]) -> Self {
        let zone = Arc::new(Zone::new(zone));
        let (socket, listener) = one_port_for_both().await;
        let mut udp = JoinSet::new();
        udp.spawn(serve_udp(Arc::new(socket), Arc::clone(&zone)));
        let on_stream = Arc::clone(&zone);
        let stream = Server::accept_on(listener, move |stream| {
            let zone = Arc::clone(&on_stream);
            async move { serve_stream(stream, &zone).await }
        });
        Self {
            zone,
            stream,
            _udp: udp,
        }
    }

    /// The same answers over TLS, on a port of its own (RFC 7858).
    pub async fn over_tls(&self, tls: TlsServer) -> Server {
        let zone = Arc::clone(&self.zone);
        Server::start(move |stream| {
            let (tls, zone) = (tls.clone(), Arc::clone(&zone));
            async move { serve_stream(tls.accept(stream).await?, &zone).await }
        })
        .await
    }

    pub fn address(&self) -> SocketAddr {
        self.stream.address()
    }

    /// Queries that arrived so far, over all transports.
    pub fn queries(&self) -> usize {
        self.zone.queries.load(Ordering::Relaxed)
    }

    /// Connections to the TCP side so far.
    pub fn connections(&self) -> usize {
        self.stream.connections()
    }
}

struct Zone {
    answers: HashMap<Name, Answer>,
    queries: AtomicUsize,
}

impl Zone {
    fn new<const N: usize>(answers: [(&str, Answer); N]) -> Self {
        let absolute = |name: &str| {
            let mut name = Name::from_ascii(name).expect("tests use valid names");
            name.set_fqdn(true);
            name
        };
        Self {
            answers: answers
                .into_iter()
                .map(|(name, answer)| (absolute(name), answer))
                .collect(),
            queries: AtomicUsize::new(0),
        }
    }

    /// The answer on the wire, or nothing for silence and for what is not a query.
    async fn answer(&self, query: &[u8], over_udp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?.clone();
        self.queries.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.get(&question.name).cloned();
        let answer = answer.unwrap_or_else(|| Answer::code(ResponseCode::NXDomain));
        if answer.silent {
            return None;
        }
        tokio::time::sleep(answer.delay).await;

        let mut response = Message::response(query.metadata.id, query.metadata.op_code);
        response.metadata.response_code = answer.code;
        response.metadata.recursion_desired = query.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.metadata.truncation = answer.truncated && over_udp;
        if !response.metadata.truncation {
            let asked = question.query_type;
            let fits =
                |kind| asked == RecordType::ANY || kind == asked || kind == RecordType::CNAME;
            let record = |data| {
                let mut record = Record::from_rdata(question.name.clone(), 60, data);
                record.dns_class = question.query_class;
                record
            };
            let records = answer.records.into_iter();
            let records = records.filter(|data| fits(data.record_type()));
            response.add_answers(records.map(record));
            response.add_authorities(answer.authority.into_iter().map(record));
            response.add_additionals(answer.additional.into_iter().map(record));
        }
        response.add_query(question);
        response.to_vec().ok()
    }
}

/// Another process may hold the TCP side of the port that UDP got: then another port is tried.
async fn one_port_for_both() -> (UdpSocket, TcpListener) {
    for _ in 0..16 {
        let socket = UdpSocket::bind(ANY_PORT).await;
        let socket = socket.expect("loopback has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        if let Ok(listener) = TcpListener::bind(address).await {
            return (socket, listener);
        }
    }
    unreachable!("sixteen ports in a row are free for UDP and taken for TCP");
}

async fn serve_udp(socket: Arc<UdpSocket>, zone: Arc<Zone>) {
    let mut answering = JoinSet::new();
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let query = buffer[..length].to_vec();
        let (socket, zone) = (Arc::clone(&socket), Arc::clone(&zone));
        answering.spawn(async move {
            if let Some(response) = zone.answer(&query, true).await {
                // A client that has gone away is no concern of the server's.
                let _ = socket.send_to(&response, peer).await;
            }
        });
        while answering.try_join_next().is_some() {}
    }
}

/// Messages with their length before them (RFC 1035 §4.2.2), until the client closes.
async fn serve_stream(mut stream: impl Stream, zone: &Zone) -> io::Result<()> {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await?;
        if let Some(response) = zone.answer(&query, false).await {
            let length = u16::try_from(response.len()).map_err(io::Error::other)?;
            let framed = [&length.to_be_bytes(), response.as_slice()].concat();
            stream.write_all(&framed).await?;
        }
    }
    Ok(())
}
