//! Questions and answers on the wire (RFC 1035, EDNS of RFC 6891), and answers as text.

use std::fmt::Write as _;
use std::net::IpAddr;

use hickory_proto::op::{Edns, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use sonde_core::{DnsClass, DnsDetail, DnsRecord, DnsSpec, Reason};

use crate::observe::Failure;

pub(super) use hickory_proto::op::Message;

/// Largest answer asked for over UDP: what passes every path unfragmented (DNS flag day 2020).
pub(super) const UDP_SIZE: u16 = 1232;

/// Records kept per section; compressed names could make megabytes of text out of one message.
const RECORDS: usize = 256;

const HEADER: usize = 12;
const TRUNCATED: u8 = 0b10;

/// A question with a random id, ready to be sent.
pub(super) struct Question {
    id: u16,
    query: Query,
    bytes: Vec<u8>,
}

/// What a datagram or a frame turned out to be.
pub(super) enum Decoded {
    Whole(Message),
    /// Ask again over TCP.
    Truncated,
    /// An answer to another question: late, or forged.
    Foreign,
}

impl Question {
    pub(super) fn new(spec: &DnsSpec) -> Result<Self, Failure> {
        let unfit = |what: &str| Failure::new(Reason::Unsupported, what);
        let kind = record_type(&spec.record_type)
            .ok_or_else(|| unfit(&format!("`{}` is not a record type", spec.record_type)))?;
        let name = name(&spec.name, kind)
            .ok_or_else(|| unfit(&format!("`{}` is not a domain name", spec.name)))?;
        let mut query = Query::query(name, kind);
        query.set_query_class(match spec.class {
            DnsClass::In => DNSClass::IN,
            DnsClass::Ch => DNSClass::CH,
            DnsClass::Hs => DNSClass::HS,
            DnsClass::Any => DNSClass::ANY,
        });
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_SIZE);
        let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = spec.recursion;
        message.add_query(query.clone());
        message.set_edns(edns);
        let bytes = message.to_vec();
        let bytes = bytes.map_err(|error| unfit(&format!("cannot ask for it: {error}")))?;
        Ok(Self {
            id: message.metadata.id,
            query,
            bytes,
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// With its length in front, as streams want it.
    pub(super) fn framed(&self) -> Vec<u8> {
        let length = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        [&length.to_be_bytes(), self.bytes.as_slice()].concat()
    }

    /// `None` when this is no DNS message at all.
    pub(super) fn decode(&self, bytes: &[u8]) -> Option<Decoded> {
        let header = bytes.get(..HEADER)?;
        if header[..2] != self.id.to_be_bytes() {
            return Some(Decoded::Foreign);
        }
        // Before decoding: some servers cut a record in the middle.
        if header[2] & TRUNCATED != 0 {
            return Some(Decoded::Truncated);
        }
        let message = Message::from_vec(bytes).ok()?;
        let ours = match message.queries.as_slice() {
            [query] => self.is_asked_by(query),
            // A server that could not read the question need not repeat it.
            [] => message.metadata.response_code != ResponseCode::NoError,
            _ => false,
        };
        let ours = ours && message.metadata.message_type == MessageType::Response;
        Some(if ours {
            Decoded::Whole(message)
        } else {
            Decoded::Foreign
        })
    }

    fn is_asked_by(&self, query: &Query) -> bool {
        query.name == self.query.name
            && query.query_type == self.query.query_type
            && query.query_class == self.query.query_class
    }
}

/// Reads `MX` or `TYPE15`, in either case.
pub(super) fn record_type(text: &str) -> Option<RecordType> {
    let text = text.to_ascii_uppercase();
    match text.strip_prefix("TYPE") {
        Some(number) => number.parse::<u16>().ok().map(RecordType::from),
        None if text == "IXFR" => Some(RecordType::IXFR),
        None => text.parse().ok(),
    }
}

/// Always absolute. An address asked for as `PTR` becomes its reverse name.
fn name(text: &str, kind: RecordType) -> Option<Name> {
    let address = text.parse::<IpAddr>().ok();
    if let Some(address) = address.filter(|_| kind == RecordType::PTR) {
        return Some(Name::from(address));
    }
    let mut name = Name::from_str_relaxed(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

pub(super) fn detail(message: &Message, transport: &str, server: String) -> DnsDetail {
    DnsDetail {
        rcode: rcode(message.metadata.response_code),
        transport: transport.to_owned(),
        server,
        authoritative: message.metadata.authoritative,
        answer: records(&message.answers),
        authority: records(&message.authorities),
        additional: records(&message.additionals),
    }
}

/// The label of the IANA registry: `NOERROR`, `NXDOMAIN`, …
pub(crate) fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::Unknown(number) => format!("RCODE{number}"),
        // The variants are those labels, but for their case.
        known => format!("{known:?}").to_ascii_uppercase(),
    }
}

fn records(records: &[Record]) -> Vec<DnsRecord> {
    let shown = records.iter().take(RECORDS).map(|record| DnsRecord {
        name: record.name.to_string(),
        record_type: type_name(record.record_type()),
        ttl: record.ttl,
        data: data(&record.data),
    });
    shown.collect()
}

fn type_name(kind: RecordType) -> String {
    match kind {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

/// In presentation form; that of RFC 3597 for types which are not known.
fn data(data: &RData) -> String {
    let mut text = String::new();
    if let RData::Unknown { rdata, .. } = data {
        let bytes = &rdata.anything;
        text = format!("\\# {} ", bytes.len());
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
    } else if write!(text, "{data}").is_err() {
        // Some have no text.
        text.clear();
    }
    text
}
