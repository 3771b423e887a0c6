//! sonde-config
