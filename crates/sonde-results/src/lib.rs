//! sonde-results
