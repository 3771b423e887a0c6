//! libSQL
