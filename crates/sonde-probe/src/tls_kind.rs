//! The tls kind: the handshake alone, after the protocol's own way into TLS where it has one.

use sonde_core::TlsSpec;

use crate::dial;
use crate::dialogue::Dialogue;
use crate::environment::Environment;
use crate::observe::{Failure, Observation};
use crate::tls;

pub(crate) async fn probe(
    environment: &Environment,
    spec: &TlsSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let addresses = dial::resolve(environment, &spec.host, &spec.network, seen).await?;
    let (tcp, _) = dial::connect(&addresses, spec.port, seen).await?;
    match spec.starttls {
        None => tls::handshake(environment, tcp, &spec.host, &spec.tls, &[], seen)
            .await
            .map(drop),
        Some(protocol) => {
            let mut dialogue = Dialogue::new(environment, &spec.host, &spec.tls);
            dialogue.hold(Box::new(tcp), &protocol.steps(), seen).await
        }
    }
}
