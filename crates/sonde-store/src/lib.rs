//! sonde-store
