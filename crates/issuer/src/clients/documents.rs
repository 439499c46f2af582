//! The metadata documents that are known at the moment.

use std::sync::Arc;

use moka::future::Cache;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::Client;

/// How many documents are kept.
const DOCUMENTS_MAX: u64 = 1_000;

/// How many documents are known to have been read, to have a share of fetches of their own.
const GOOD_MAX: u64 = 10_000;

/// A document as it was understood, and until when it is believed.
#[derive(Debug, Clone)]
pub(super) struct Believed {
    pub(super) client: Arc<Client>,
    pub(super) until: Timestamp,
}

/// The documents known at the moment. Bounded; one fetch at a time for one URL; failures are not kept.
pub(crate) struct Documents {
    pub(super) cache: Cache<ClientId, Believed>,
    /// The last version of each document that was read, also if it has expired.
    pub(super) good: Cache<ClientId, Believed>,
}

impl Documents {
    pub(crate) fn new() -> Self {
        Self { cache: Cache::new(DOCUMENTS_MAX), good: Cache::new(GOOD_MAX) }
    }
}
