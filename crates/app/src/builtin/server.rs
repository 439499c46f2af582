//! The state of the built-in server, from which its tools answer.

use std::sync::Arc;

use sekisho_client::http::HttpClient;
use sekisho_policy::rights::Rights;
use sekisho_protocol::env::Clock;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::Store;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The most calls that are processed at once, since each may keep a processor busy for a while. Others wait.
const AT_ONCE_MAX: usize = 2;

/// The state of the built-in server.
#[derive(Debug)]
pub(crate) struct CheckpointServer {
    /// Records, grants, tasks.
    pub(super) store: Store,
    /// What users may do.
    pub(super) rights: watch::Receiver<Arc<Rights>>,
    /// The servers, and the classes that the configuration gives their tools.
    pub(super) directory: watch::Receiver<Arc<ServerDirectory>>,
    pub(super) clock: Arc<dyn Clock>,
    /// The client for documents that callers name.
    pub(super) http: Arc<dyn HttpClient>,
    /// The issuer identifier: pages that a person has to open begin with it.
    pub(super) base_url: String,
    busy: Arc<Semaphore>,
}

/// The parts that a [`CheckpointServer`] is made from.
pub(crate) struct CheckpointParts {
    /// Records, grants, tasks.
    pub(crate) store: Store,
    /// What users may do.
    pub(crate) rights: watch::Receiver<Arc<Rights>>,
    /// The servers, and the classes that the configuration gives their tools.
    pub(crate) directory: watch::Receiver<Arc<ServerDirectory>>,
    /// The clock of the instance.
    pub(crate) clock: Arc<dyn Clock>,
    /// The client for documents that callers name.
    pub(crate) http: Arc<dyn HttpClient>,
    /// The issuer identifier: pages that a person has to open begin with it.
    pub(crate) base_url: String,
}

/// The result of a tool: text for the model, and the same as data if there is any.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) data: Option<Value>,
}

impl From<String> for Found {
    fn from(text: String) -> Self {
        Self { text, data: None }
    }
}

impl CheckpointServer {
    pub(crate) fn new(parts: CheckpointParts) -> Self {
        let CheckpointParts { store, rights, directory, clock, http, base_url } = parts;
        Self { store, rights, directory, clock, http, base_url, busy: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// Waits for one of the [`AT_ONCE_MAX`] places. The work holds the permit, because it may outlast the request.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, String> {
        // The semaphore is never closed.
        Arc::clone(&self.busy).acquire_owned().await.map_err(|error| error.to_string())
    }
}
