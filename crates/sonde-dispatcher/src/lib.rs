//! sonde-dispatcher
