//! tls_kind
