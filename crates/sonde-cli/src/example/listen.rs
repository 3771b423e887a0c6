//! Binding, and one task per connection that ends with the service.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};

use super::Scope;

/// Waited after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}"))
}

/// Hands every connection to `handle`, in a task that is dropped when the service stops.
pub(super) async fn each_connection<F, Work>(listener: TcpListener, scope: Scope, handle: F)
where
    F: Fn(TcpStream) -> Work,
    Work: Future<Output = ()> + Send + 'static,
{
    let Scope { tasks, stop } = scope;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                // Answers in several writes must not wait for each other's acknowledgement.
                drop(stream.set_nodelay(true));
                tasks.spawn(stop.clone().run_until_cancelled_owned(handle(stream)));
            }
            Err(error) => {
                tracing::warn!(error = %error, "the example service cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
