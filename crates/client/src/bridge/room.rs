//! Places for large messages. If a client does not read, the server's messages must not fill our memory (ATK-225):
//! small messages are bounded by the number of requests, and a large one takes one of a few places until it is written.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest small message, in bytes: 64 requests with one such message each need 16 MiB.
pub(super) const SMALL_BYTES_MAX: usize = 256 * 1024;
/// How many large messages there may be at once, whether they are arriving, being checked, or waiting for the client.
const LARGE_MAX: usize = 4;

/// The places for large messages.
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_MAX)))
    }

    /// Waits for a place. The place is free again when the returned permit is dropped. The semaphore is never closed.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// A line for the client, without its line feed. A large line keeps its place until it is dropped, which happens after
/// it was written.
#[derive(Debug)]
pub struct OutLine {
    bytes: Vec<u8>,
    _place: Option<OwnedSemaphorePermit>,
}

impl OutLine {
    pub(super) fn new(bytes: Vec<u8>, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { bytes, _place: place }
    }

    /// Adds the line feed that ends the line.
    #[must_use]
    pub fn ended(mut self) -> Self {
        self.bytes.push(b'\n');
        self
    }

    /// The bytes of the line.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
