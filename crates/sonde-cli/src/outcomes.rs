//! Results as they come in, for who follows them through the API.

use std::time::Duration;

use sonde_service::Service;
use tokio_util::sync::CancellationToken;

/// Between two tries of a broker that cannot be listened to.
const RETRY: Duration = Duration::from_secs(1);

/// Hears results until `stop`. What comes while the broker is away is in the store.
pub(crate) async fn hear(service: Service, stop: CancellationToken) -> anyhow::Result<()> {
    let hearing = async {
        loop {
            if let Err(error) = service.hear_outcomes().await {
                let error = sonde_core::chain(&error);
                tracing::debug!(error, "results cannot be heard: trying again");
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    stop.run_until_cancelled(hearing).await.unwrap_or(Ok(()))
}
