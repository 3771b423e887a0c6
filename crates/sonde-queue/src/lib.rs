//! sonde-queue
