//! sonde-ingester
