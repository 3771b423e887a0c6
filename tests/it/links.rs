//! A link fails exactly as a test asks it to.

use std::io::ErrorKind;
use std::time::Duration;

use sonde_tests::stub::Server;
use sonde_tests::stub::link::Link;
use sonde_tests::stub::tcp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Long enough for anything on loopback.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough to say that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

async fn client(server: &Server) -> (Link, TcpStream) {
    let link = Link::start(server.address()).await;
    let client = TcpStream::connect(link.address()).await.unwrap();
    (link, client)
}

async fn read(client: &mut TcpStream) -> String {
    let mut buffer = [0; 64];
    let read = timeout(PATIENCE, client.read(&mut buffer)).await.unwrap();
    String::from_utf8_lossy(&buffer[..read.unwrap()]).into_owned()
}

#[tokio::test]
async fn a_healthy_link_passes_bytes_and_the_end() {
    let server = tcp::answering("hello").await;
    let (_link, mut client) = client(&server).await;
    client.write_all(b"hi").await.unwrap();
    assert_eq!(read(&mut client).await, "hello");
    assert_eq!(read(&mut client).await, "");
}

#[tokio::test]
async fn a_cut_link_resets_what_is_open_and_takes_what_is_new() {
    let server = tcp::greeting("hello").await;
    let (link, mut client) = client(&server).await;
    assert_eq!(read(&mut client).await, "hello");
    link.cut();
    let broken = timeout(PATIENCE, client.read(&mut [0])).await.unwrap();
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    assert_eq!(read(&mut client).await, "hello");
}

#[tokio::test]
async fn a_silent_link_accepts_and_says_nothing_until_it_is_healed() {
    let server = tcp::greeting("hello").await;
    let (link, mut old) = client(&server).await;
    assert_eq!(read(&mut old).await, "hello");
    link.silence();
    let mut new = TcpStream::connect(link.address()).await.unwrap();
    assert!(timeout(SILENCE, new.read(&mut [0])).await.is_err());
    assert!(timeout(SILENCE, old.read(&mut [0])).await.is_err());
    assert_eq!(server.connections(), 1);
    link.heal();
    assert_eq!(read(&mut new).await, "hello");
}

#[tokio::test]
async fn a_slow_link_takes_its_time() {
    let server = tcp::greeting("hello").await;
    let link = Link::start(server.address()).await;
    link.delay(SILENCE);
    let begin = Instant::now();
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    assert_eq!(read(&mut client).await, "hello");
    assert!(begin.elapsed() >= SILENCE);
}

#[tokio::test]
async fn a_link_to_nowhere_resets() {
    let nowhere = tcp::Refusing::new();
    let link = Link::start(nowhere.address()).await;
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    let broken = timeout(PATIENCE, client.read(&mut [0])).await.unwrap();
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
