//! Room for large answers. A client that does not read must not have us hold what its server sends (ATK-225): small
//! messages are bounded by the number of requests, and large ones take one of a few places until they are written.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to here a message is small: 64 requests with one each are 16 MiB.
pub(super) const SMALL_BYTES_MAX: usize = 256 * 1024;
/// Large messages at one time, in all states: as they arrive, as they are judged, as they wait for the client.
const LARGE_MAX: usize = 4;

/// The places for large messages.
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_MAX)))
    }

    /// Waits for a place, which is free again when what is returned is dropped. The semaphore is never closed.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// A line for the client, without its line feed. A large one keeps its place until it is dropped, which is when it was
/// written.
#[derive(Debug)]
pub struct OutLine {
    bytes: Vec<u8>,
    _place: Option<OwnedSemaphorePermit>,
}

impl OutLine {
    pub(super) fn new(bytes: Vec<u8>, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { bytes, _place: place }
    }

    /// With the line feed that ends it.
    #[must_use]
    pub fn ended(mut self) -> Self {
        self.bytes.push(b'\n');
        self
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
