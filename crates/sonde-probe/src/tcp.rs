//! The tcp kind.

use sonde_core::TcpSpec;

use crate::environment::Environment;
use crate::observe::{Failure, Observation};

pub(crate) async fn probe(
    environment: &Environment,
    spec: &TcpSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    todo!()
}
