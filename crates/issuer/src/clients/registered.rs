//! Clients that the store knows: registered by an operator, by themselves, or remembered from a document.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::{Client, ClientOrigin};
use sekisho_store::{NewClient, StoreError, Tx};
use sekisho_web::error::Fault;

use super::known::KnownClient;
use crate::Issuer;

/// The client of this identifier, if the store knows it.
pub(crate) async fn find(issuer: &Issuer, id: &ClientId) -> Result<Option<KnownClient>, Fault> {
    let mut tx = issuer.site.store.read().await?;
    let stored = tx.clients().find(id).await?;
    Ok(stored.map(|stored| KnownClient { client: stored.client, secret: stored.secret }))
}

/// Remembers that a client was let in: it no longer expires, and one known by its document gets the row by which
/// an operator can see and disable it.
pub(crate) async fn remember(tx: &mut Tx, now: Timestamp, client: &Client) -> Result<(), StoreError> {
    if client.origin == ClientOrigin::MetadataDocument {
        let new = NewClient { client: client.clone(), secret: None, created_at: now, expires_at: None };
        tx.clients().put(&new).await?;
    }
    tx.clients().touch(&client.id, now).await
}
