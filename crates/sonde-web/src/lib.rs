//! sonde-web
