//! The tcp kind: a connection, TLS where asked for, and a dialogue.

use sonde_core::{Step, TcpDetail, TcpSpec, TlsOptions};

use crate::dial::{self, Stream};
use crate::dialogue::Dialogue;
use crate::environment::Environment;
use crate::observe::{Failure, Observation};
use crate::tls;

/// `seen.tcp` has what the peer said also when the dialogue fails.
pub(crate) async fn probe(
    environment: &Environment,
    spec: &TcpSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let addresses = dial::resolve(environment, &spec.host, &spec.network, seen).await?;
    let (tcp, _) = dial::connect(&addresses, spec.port, seen).await?;
    let in_dialogue = spec.dialogue.contains(&Step::StartTls);
    let stream: Box<dyn Stream> = match &spec.tls {
        Some(options) if !in_dialogue => {
            Box::new(tls::handshake(environment, tcp, &spec.host, options, &[], seen).await?)
        }
        _ => Box::new(tcp),
    };
    let defaults = TlsOptions::default();
    let options = spec.tls.as_ref().unwrap_or(&defaults);
    let mut dialogue = Dialogue::new(environment, &spec.host, options);
    let held = dialogue.hold(stream, &spec.dialogue, seen).await;
    let reply = dialogue.into_reply();
    seen.tcp = Some(TcpDetail { reply });
    held
}
