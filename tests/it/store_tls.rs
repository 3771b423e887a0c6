//! The way to a primary behind TLS: certificates are verified, and what speaks no TLS is not believed.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sonde_core::{SystemClock, WorkspaceId};
use sonde_store::ConfigStore;
use sonde_store::libsql::{LibsqlStore, Primary, Replica};
use sonde_tests::certificates::{Authority, Identity, Validity};
use sonde_tests::services::{self, Libsql};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::store_harness::{keys, monitor, path, primary, text};

/// A port that speaks TLS in front of the server.
struct Terminator {
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl Terminator {
    async fn start(server: &Libsql, identity: &Identity) -> Self {
        let target: SocketAddr = server.url.trim_start_matches("http://").parse().unwrap();
        let chain = CertificateDer::pem_slice_iter(identity.certificate_pem().as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(target).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self {
            address,
            _accepting: accepting,
        }
    }

    fn primary(&self, scheme: &str, ca: Option<&Authority>) -> Primary {
        Primary {
            url: format!("{scheme}://localhost:{}", self.address.port()),
            token: String::new(),
            ca: ca.map(Authority::pem),
        }
    }
}

#[tokio::test]
async fn reads_writes_and_replicas_go_through_tls() {
    let Some(server) = services::libsql().await else {
        return;
    };
    let authority = Authority::new("the store's");
    let terminator = Terminator::start(&server, &authority.localhost()).await;
    let folder = tempfile::tempdir().unwrap();
    let local = WorkspaceId::local();
    for scheme in ["https", "libsql"] {
        let primary = terminator.primary(scheme, Some(&authority));
        LibsqlStore::migrate(&primary).await.unwrap();
        let store = LibsqlStore::remote(&primary, keys()).await.unwrap();
        let expected = [monitor(scheme)];
        store.replace_monitors(&local, &expected).await.unwrap();
        let replica = Replica::open(&path(&folder), &primary, keys(), Arc::new(SystemClock)).await;
        let replica = replica.unwrap();
        replica.sync().await.unwrap();
        assert_eq!(
            replica.monitors(&local).await.unwrap().into_values(),
            expected
        );
    }
}

#[tokio::test]
async fn a_certificate_that_is_wrong_is_refused() {
    let Some(server) = services::libsql().await else {
        return;
    };
    let authority = Authority::new("the store's");
    let stranger = Authority::new("a stranger's");
    let expired = authority.issue(&["localhost"], Validity::Expired);
    let elsewhere = authority.issue(&["db.example"], Validity::Long);
    for (identity, trusted, reason) in [
        (authority.localhost(), None, "UnknownIssuer"),
        (authority.localhost(), Some(&stranger), "UnknownIssuer"),
        (expired, Some(&authority), "certificate expired"),
        (elsewhere, Some(&authority), "not valid for name"),
    ] {
        let terminator = Terminator::start(&server, &identity).await;
        let primary = terminator.primary("https", trusted);
        let error = text(&LibsqlStore::migrate(&primary).await.unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn tls_is_not_given_up_where_nobody_speaks_it() {
    let Some(server) = services::libsql().await else {
        return;
    };
    let plain = Primary {
        url: server.url.replace("http://", "https://"),
        ..primary(&server)
    };
    let error = text(&LibsqlStore::migrate(&plain).await.unwrap_err());
    assert!(error.contains("corrupt message"), "{error}");
}
