//! The gateway's own children, which answer its own questions and never serve a caller.

use std::sync::{Arc, Mutex};

use sekisho_protocol::mcp::method::Revision;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::super::{ForwardError, Spoken};
use super::connection::Connection;

/// The number of our own children: one for each era. PyPI `mcp` 2.x and `fastmcp` 4.x keep to the era of the first
/// message, so one process cannot be asked in both.
const CHILDREN: usize = 2;

/// What is known of the program, and the children that told it.
#[derive(Debug)]
pub(super) struct OwnChildren {
    /// Places for our own children, which callers cannot take: without these children there is no list, and so no tool
    /// can be called.
    pub(super) permits: Arc<Semaphore>,
    pub(super) spoken: Mutex<Option<Arc<Spoken>>>,
    pub(super) probed: Mutex<Arc<OnceCell<Arc<Probed>>>>,
}

#[derive(Debug)]
pub(super) struct Probed {
    pub(super) spoken: Arc<Spoken>,
    /// The child of each era with its newest revision; the newer era first.
    pub(super) children: Vec<(Revision, Arc<Connection>)>,
}

impl Default for OwnChildren {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(CHILDREN)), spoken: Mutex::default(), probed: Mutex::default() }
    }
}

impl OwnChildren {
    /// Waits until there is a place for one more child.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, ForwardError> {
        self.permits.clone().acquire_owned().await.map_err(|_| ForwardError::Busy { sent: false })
    }
}
