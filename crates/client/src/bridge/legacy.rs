//! The transport of 2024-11-05, HTTP+SSE: one stream on which the server sends everything, and one URL to which
//! everything for the server is sent.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sekisho_protocol::mcp::message::{Id, Kind, Message};
use sekisho_protocol::mcp::strict::Limits;
use tokio::sync::Notify;

use crate::http::Destination;

/// A connection of that time. `connection` opens one and sends by it.
pub(super) struct Legacy {
    pub(super) endpoint: Destination,
    pub(super) waiting: Mutex<HashSet<Id>>,
    /// Questions of ours, whose answers are not for the client.
    pub(super) own: Mutex<HashSet<Id>>,
    pub(super) answered: Notify,
    pub(super) reader: tokio::task::JoinHandle<()>,
}

impl Drop for Legacy {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Legacy {
    pub(super) fn waiting(&self) -> std::sync::MutexGuard<'_, HashSet<Id>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer may have come. Whether it is to a question of ours.
    pub(super) fn note(&self, bytes: &[u8]) -> bool {
        let Ok(message) = Message::read(bytes, &Limits::upstream()) else { return false };
        let (Kind::Response { .. }, Some(id)) = (message.kind(), message.id()) else { return false };
        self.waiting().remove(id);
        self.answered.notify_waiters();
        self.own.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}
