//! A client for plain HTTP on loopback.

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, IntoUrl, Response};

pub fn client() -> Client {
    built(Client::builder())
}

/// It does not go where answers send it to.
pub fn client_that_stays() -> Client {
    built(Client::builder().redirect(Policy::none()))
}

/// The binary installs the provider of its TLS in `main`, which tests do not go through; nothing here is trusted.
fn built(builder: ClientBuilder) -> Client {
    // Fails only when a provider is already installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = builder.tls_certs_only([]).build();
    client.expect("a client for plain HTTP can be built")
}

/// The answer to a GET.
pub async fn get(url: impl IntoUrl) -> reqwest::Result<Response> {
    client().get(url).send().await
}
