//! A client as the store or its document describes it.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::registration::{Client, ClientOrigin};

/// A client that may ask, and the digest of its secret if it has one.
#[derive(Debug, Clone)]
pub(crate) struct KnownClient {
    pub(crate) client: Client,
    pub(crate) secret: Option<Digest>,
}

impl KnownClient {
    pub(super) fn came_from_its_document(&self) -> bool {
        self.client.origin == ClientOrigin::MetadataDocument
    }
}
