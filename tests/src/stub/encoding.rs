//! Content encodings, and bodies that are small on the wire and huge once decoded.

use std::pin::Pin;

use async_compression::Level;
use async_compression::tokio::write::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Decoded size of a [`bomb`]: more than anyone reads of a body.
const BOMB_SIZE: usize = 128 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    Brotli,
    /// What HTTP calls `deflate`: the zlib format (RFC 9110 §8.4.1.2).
    Deflate,
    /// What some servers send as `deflate` instead: without the zlib header.
    RawDeflate,
    Zstd,
}

impl Encoding {
    pub const ALL: [Self; 5] = [
        Self::Gzip,
        Self::Brotli,
        Self::Deflate,
        Self::RawDeflate,
        Self::Zstd,
    ];

    /// As in `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Deflate | Self::RawDeflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    pub async fn encode(self, plain: &[u8]) -> Bytes {
        self.repeat(plain, 1).await
    }

    /// 128 MiB of zeros, encoded.
    pub async fn bomb(self) -> Bytes {
        let zeros = vec![0; 1024 * 1024];
        self.repeat(&zeros, BOMB_SIZE / zeros.len()).await
    }

    async fn repeat(self, part: &[u8], times: usize) -> Bytes {
        const NOT_IO: &str = "memory takes every byte";
        let mut wire = Vec::new();
        let mut encoder = self.encoder(&mut wire);
        for _ in 0..times {
            encoder.write_all(part).await.expect(NOT_IO);
        }
        encoder.shutdown().await.expect(NOT_IO);
        drop(encoder);
        wire.into()
    }

    fn encoder(self, wire: &mut Vec<u8>) -> Pin<Box<dyn AsyncWrite + '_>> {
        let level = Level::Fastest;
        match self {
            Self::Gzip => Box::pin(GzipEncoder::with_quality(wire, level)),
            Self::Brotli => Box::pin(BrotliEncoder::with_quality(wire, level)),
            Self::Deflate => Box::pin(ZlibEncoder::with_quality(wire, level)),
            Self::RawDeflate => Box::pin(DeflateEncoder::with_quality(wire, level)),
            Self::Zstd => Box::pin(ZstdEncoder::with_quality(wire, level)),
        }
    }
}
