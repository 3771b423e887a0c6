//! The TCP part: a line of greeting, then everything comes back.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Scope, listen};

const BANNER: &[u8] = b"sonde example service ready\r\n";

/// A peer that says nothing for so long is let go.
const IDLE: Duration = Duration::from_secs(30);

pub(super) async fn serve(listener: TcpListener, scope: Scope) {
    listen::each_connection(listener, scope, async |stream| {
        // The peer went away in the middle: its own business.
        let _ = echo(stream).await;
    })
    .await;
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(BANNER).await?;
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(IDLE, stream.read(&mut buffer)).await??;
        if read == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..read]).await?;
    }
}
