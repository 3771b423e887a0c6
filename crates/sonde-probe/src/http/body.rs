//! The body of an answer: decoded, counted, cut off at a limit, and kept as far as assertions look.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use hyper::body::{Body, Incoming};
use sonde_core::Reason;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::StreamReader;

use super::exchange::{Broke, Connection, drive};
use crate::environment::{BODY_UNIT, Environment};
use crate::observe::{Failure, Observation};

/// Bytes read of a body, decoded or not; more fails the check.
const LIMIT: u64 = 10 * 1024 * 1024;
/// Bytes that assertions can look at.
const KEPT: usize = 1024 * 1024;
/// Bytes kept as evidence.
const EVIDENCE: usize = 4 * 1024;
/// Codings on top of each other; servers use one.
const CODINGS: usize = 3;
/// The largest window that HTTP allows zstd to ask for: 8 MiB (RFC 9659). More is an attack on memory.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Reads the body to its end or its limit; the rest of `seen` about it is filled also when that fails.
pub(super) async fn read(
    environment: &Environment,
    connection: Connection<'_>,
    incoming: Incoming,
    seen: &mut Observation,
) -> Result<(), Broke> {
    let codings = codings(&seen.headers);
    let mut wire = Wire {
        connection,
        incoming,
        bytes: 0,
        broken: None,
    };
    let limit = if seen.looks_at_body { KEPT } else { EVIDENCE };
    let mut kept = Kept::new(environment.bodies.clone(), limit);
    let mut size = 0;
    let decoded = consume(&mut wire, &codings, &mut kept, &mut size).await;
    if let Some(http) = &mut seen.http {
        http.bytes = wire.bytes;
    }
    seen.evidence.body = kept.evidence();
    if let Some(error) = wire.broken {
        return Err(Broke::Connection(error));
    }
    if size > LIMIT || wire.bytes > LIMIT {
        let message = format!("the body is larger than {} MiB", LIMIT >> 20);
        return Err(Broke::Told(Failure::new(Reason::BodyTooLarge, message)));
    }
    decoded.map_err(|error| {
        let coding = codings.join(", ");
        let message = format!(
            "the body is not {coding}, as its headers say: {}",
            why(&error)
        );
        Broke::Told(Failure::new(Reason::BodyDecode, message))
    })?;
    if kept.given_up && seen.looks_at_body {
        let message =
            "this checker has no memory left to look at the body with: too many large ones at once";
        return Err(Broke::Told(Failure::new(Reason::Internal, message)));
    }
    seen.size = Some(size);
    seen.body = Some(Bytes::from_owner(kept));
    Ok(())
}

/// In words, also where a decoder has none.
fn why(error: &io::Error) -> String {
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ if text.contains("BufError") => "it is garbled".to_owned(),
        _ => text,
    }
}

/// The content codings in the order of their use; none when one of them is not known to us.
fn codings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let codings: Vec<String> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect();
    let known = |coding: &String| {
        matches!(
            coding.as_str(),
            "gzip" | "x-gzip" | "br" | "deflate" | "zstd"
        )
    };
    if codings.iter().all(known) {
        codings
    } else {
        Vec::new()
    }
}

async fn consume(
    wire: &mut Wire<'_>,
    codings: &[String],
    kept: &mut Kept,
    size: &mut u64,
) -> io::Result<()> {
    let mut reader = decoder(StreamReader::new(&mut *wire), codings).await?;
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            break;
        }
        kept.push(chunk);
        *size += chunk.len() as u64;
        let read = chunk.len();
        reader.consume(read);
        if *size > LIMIT {
            return Ok(());
        }
        // A small bomb unpacks without ever waiting for the network; others want to run too, and the deadline to be kept.
        tokio::task::coop::consume_budget().await;
    }
    drop(reader);
    // A decoder stops where its format ends; the connection may have more to say.
    while wire.bytes <= LIMIT && wire.next().await.transpose()?.is_some() {}
    Ok(())
}

type Reader<'a> = Box<dyn AsyncBufRead + Send + Unpin + 'a>;

/// Undoes the codings, the last one first. An empty body has none, whatever its headers say: so do answers to HEAD.
async fn decoder<'a>(
    wire: impl AsyncBufRead + Send + Unpin + 'a,
    codings: &[String],
) -> io::Result<Reader<'a>> {
    if codings.len() > CODINGS {
        return Err(io::Error::other("too many codings"));
    }
    let mut reader: Reader<'a> = Box::new(wire);
    for coding in codings.iter().rev() {
        let start = reader.fill_buf().await?;
        if start.is_empty() {
            break;
        }
        let wrapped = is_zlib(start);
        reader = match coding.as_str() {
            "br" => Box::new(BufReader::new(BrotliDecoder::new(reader))),
            "zstd" => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                Box::new(BufReader::new(ZstdDecoder::with_params(reader, &window)))
            }
            "deflate" if wrapped => Box::new(BufReader::new(ZlibDecoder::new(reader))),
            "deflate" => Box::new(BufReader::new(DeflateDecoder::new(reader))),
            _ => Box::new(BufReader::new(GzipDecoder::new(reader))),
        };
    }
    Ok(reader)
}

/// `deflate` means the zlib format (RFC 9110 §8.4.1.2), but some servers leave its two bytes of header (RFC 1950 §2.2) away.
fn is_zlib(start: &[u8]) -> bool {
    match start {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => true,
    }
}

/// The body's bytes as they come, the connection driven along.
struct Wire<'a> {
    connection: Connection<'a>,
    incoming: Incoming,
    bytes: u64,
    broken: Option<hyper::Error>,
}

impl Stream for Wire<'_> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        drive(self.connection.as_mut(), cx);
        loop {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.bytes += data.len() as u64;
                    return Poll::Ready(Some(Ok(data)));
                }
                Some(Err(error)) => {
                    self.broken = Some(error);
                    return Poll::Ready(Some(Err(io::Error::other("the connection broke"))));
                }
            }
        }
    }
}

/// The first part of a body, in memory that all checks share a budget of.
struct Kept {
    bytes: Vec<u8>,
    /// Bytes kept at most.
    limit: usize,
    budget: Arc<Semaphore>,
    permits: Option<OwnedSemaphorePermit>,
    /// Nothing more is kept: the budget was used up.
    given_up: bool,
}

impl Kept {
    fn new(budget: Arc<Semaphore>, limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            budget,
            permits: None,
            given_up: false,
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        let part = &chunk[..chunk.len().min(self.limit - self.bytes.len())];
        if self.given_up || part.is_empty() {
            return;
        }
        let held = self
            .permits
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let units = (self.bytes.len() + part.len()).div_ceil(BODY_UNIT);
        let more = u32::try_from(units.saturating_sub(held)).unwrap_or(u32::MAX);
        let Ok(permits) = self.budget.clone().try_acquire_many_owned(more) else {
            self.given_up = true;
            self.bytes.truncate(EVIDENCE);
            self.bytes.shrink_to_fit();
            self.permits = None;
            return;
        };
        match &mut self.permits {
            Some(held) => held.merge(permits),
            held => *held = Some(permits),
        }
        self.bytes.extend_from_slice(part);
    }

    fn evidence(&self) -> Option<String> {
        let start = &self.bytes[..self.bytes.len().min(EVIDENCE)];
        (!start.is_empty()).then(|| String::from_utf8_lossy(start).into_owned())
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
