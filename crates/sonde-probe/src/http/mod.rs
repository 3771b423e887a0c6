//! The http kind.

use sonde_core::HttpSpec;

use crate::environment::Environment;
use crate::observe::{Failure, Observation};

pub(crate) async fn probe(
    environment: &Environment,
    spec: &HttpSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    todo!()
}
