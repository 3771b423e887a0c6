//! sonde-api
