//! sonde-service
