//! Watches the bytes under hyper, which tells nobody when the request was out and when the answer began.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use sonde_core::{Phase, Reason};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::observe::Observation;

/// When the bytes of one exchange passed.
#[derive(Debug, Clone, Copy)]
struct Marks {
    /// Bytes still to write before the request can be out: at least its body, and something at all.
    missing: usize,
    /// The last write before the answer began.
    sent: Option<Instant>,
    /// The first read after the request was out.
    first: Option<Instant>,
    /// The first byte read, be it before the request was out.
    heard: Option<u8>,
}

/// The marks of one exchange, shared with the stream under hyper.
#[derive(Debug, Clone)]
pub(super) struct Times {
    start: Instant,
    marks: Arc<Mutex<Marks>>,
}

impl Times {
    /// Starts the clock of a request with a body of this many bytes.
    pub(super) fn start(body: usize) -> Self {
        let marks = Marks {
            missing: body.max(1),
            sent: None,
            first: None,
            heard: None,
        };
        Self {
            start: Instant::now(),
            marks: Arc::new(Mutex::new(marks)),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Marks) -> T) -> T {
        act(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wrote(&self, bytes: usize) {
        self.with(|marks| {
            marks.missing = marks.missing.saturating_sub(bytes);
            if marks.first.is_none() {
                marks.sent = Some(Instant::now());
            }
        });
    }

    fn read(&self, byte: u8) {
        self.with(|marks| {
            marks.heard.get_or_insert(byte);
            if marks.first.is_none() && marks.missing == 0 {
                marks.first = Some(Instant::now());
            }
        });
    }

    /// Adds the phases of an exchange that ends now. `head` is when its head was complete, if it came to that;
    /// in HTTP/2, where other frames come first, that is when the answer began.
    pub(super) fn record(&self, h2: bool, head: Option<Instant>, seen: &mut Observation) {
        let now = Instant::now();
        let marks = self.with(|marks| *marks);
        let began = if h2 { head } else { marks.first.or(head) };
        let sent = match marks.sent {
            Some(sent) if marks.missing == 0 || began.is_some() => sent,
            _ => return seen.add(Phase::Send, now - self.start),
        };
        seen.add(Phase::Send, sent - self.start);
        let until = began.unwrap_or(now);
        seen.add(Phase::Wait, until.saturating_duration_since(sent));
        if let Some(began) = began {
            seen.add(Phase::Receive, now - began);
        }
    }

    /// What was under way, for a deadline that has just cut it.
    pub(super) fn timeout(&self, h2: bool, head: Option<Instant>) -> Reason {
        let marks = self.with(|marks| *marks);
        match marks {
            _ if head.is_some() => Reason::ReceiveTimeout,
            Marks { first: Some(_), .. } if !h2 => Reason::ReceiveTimeout,
            Marks { missing: 0, .. } => Reason::WaitTimeout,
            _ => Reason::SendTimeout,
        }
    }

    /// The first byte that the other side said.
    pub(super) fn heard(&self) -> Option<u8> {
        self.with(|marks| marks.heard)
    }
}

/// A stream that keeps [`Times`].
pub(super) struct Metered<S> {
    inner: S,
    times: Times,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, times: Times) -> Self {
        Self { inner, times }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        if let Some(byte) = buffer.filled().get(before) {
            self.times.read(*byte);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.times.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, slices))?;
        self.times.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
