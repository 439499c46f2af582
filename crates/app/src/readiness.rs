//! `/readyz`: whether calls are answered at the moment. They are not while nothing can be put on record.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use sekisho_gateway::Gateway;
use sekisho_store::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// For how long an answer is given again: so asking costs one small write a second at most, whoever asks how often.
const KEPT: Duration = Duration::from_secs(1);
/// How long the write may take. With [`KEPT`], an answer is true within two seconds.
const PROBE_WAIT: Duration = Duration::from_millis(900);

/// What was found last, and when it was asked for.
#[derive(Debug)]
pub(crate) struct Readiness {
    store: Store,
    gateway: Arc<Gateway>,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    pub(crate) fn new(store: Store, gateway: Arc<Gateway>) -> Arc<Self> {
        Arc::new(Self { store, gateway, last: Mutex::default() })
    }

    /// Writes a row, unless that was done a moment ago. Whoever asks meanwhile waits for the same answer.
    async fn is_ready(&self) -> bool {
        let mut last = self.last.lock().await;
        let writes = match *last {
            Some((asked, writes)) if asked.elapsed() < KEPT => writes,
            _ => {
                let asked = Instant::now();
                let writes = tokio::time::timeout(PROBE_WAIT, self.store.probe()).await.is_ok_and(|done| done.is_ok());
                *last = Some((asked, writes));
                writes
            }
        };
        writes && self.gateway.is_recording()
    }
}

/// `GET /readyz`.
pub(crate) async fn show(State(readiness): State<Arc<Readiness>>) -> (StatusCode, &'static str) {
    if readiness.is_ready().await {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "nothing can be recorded at the moment, so no call is answered\n")
    }
}
