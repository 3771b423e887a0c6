//! sonde-checker
