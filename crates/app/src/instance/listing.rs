//! Answers the issuer's requests to ask a server for its tools.

use std::sync::Arc;
use std::time::Duration;

use sekisho_issuer::ListingRequest;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::wiring::Instance;

/// How many servers are asked at one time. Further requests are not answered meanwhile.
const AT_ONCE: usize = 4;
/// How long one server may take: the first start of a program that has to be fetched takes a while.
const LISTING_TIMEOUT: Duration = Duration::from_mins(1);

impl Instance {
    /// Answers requests until the task is aborted. Only a server of which no tool is known is asked.
    pub(super) async fn list_for_consents(self: Arc<Self>, mut requests: mpsc::Receiver<ListingRequest>) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while let Some(request) = requests.recv().await {
            // The page goes on without an answer when its request is dropped.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let instance = Arc::clone(&self);
            tokio::spawn(async move {
                let ListingRequest { server, done } = request;
                if timeout(LISTING_TIMEOUT, instance.look_once(&server)).await.is_err() {
                    tracing::info!(%server, "the server did not say in time what it offers");
                }
                // The page may be gone.
                let _ = done.send(());
                drop(place);
            });
        }
    }
}
