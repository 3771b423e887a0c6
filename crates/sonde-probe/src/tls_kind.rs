//! The tls kind.

use sonde_core::TlsSpec;

use crate::environment::Environment;
use crate::observe::{Failure, Observation};

pub(crate) async fn probe(
    environment: &Environment,
    spec: &TlsSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    todo!()
}
