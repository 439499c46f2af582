//! Clients: who they are, however they came to be known, and how their words are shown.

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_web::Visit;
use sekisho_web::error::Fault;

use crate::Issuer;

pub(crate) mod authenticate;
pub(crate) mod documents;
pub(crate) mod dynamic;
mod known;
pub(crate) mod metadata_document;
pub(crate) mod registered;

pub(crate) use known::KnownClient;

use metadata_document::DocumentError;

/// Why there is no such client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("the client has been disabled by the operator")]
    Disabled,
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Internal(#[from] Fault),
    #[error("no client of this identifier is registered here")]
    Unknown,
}

/// Finds a client: in the store, or by its metadata document (AS-22, AS-24). No transaction is held meanwhile.
pub(crate) async fn find(issuer: &Issuer, visit: &Visit, id: &ClientId) -> Result<KnownClient, LookupError> {
    let stored = registered::find(issuer, id).await?;
    if stored.as_ref().is_some_and(|known| known.client.disabled) {
        return Err(LookupError::Disabled);
    }
    if id.is_metadata_document() && stored.as_ref().is_none_or(KnownClient::came_from_its_document) {
        // The stored copy of a document only names the client of grants. A request is checked against the document as
        // it is now.
        let client = metadata_document::find(issuer, visit, id, stored.is_some()).await?;
        return Ok(KnownClient { client: (*client).clone(), secret: None });
    }
    stored.ok_or(LookupError::Unknown)
}

/// The same for a client that comes with what it was given before. A document that cannot be fetched at the moment does not
/// end the work of a public client that somebody let in: what it is given depends on its code or its refresh token alone,
/// and nobody is sent to an address of the document here.
pub(crate) async fn find_again(issuer: &Issuer, visit: &Visit, id: &ClientId) -> Result<KnownClient, LookupError> {
    let passing = match find(issuer, visit, id).await {
        Err(LookupError::Document(error)) if error.is_passing() => error,
        other => return other,
    };
    let stored = registered::find(issuer, id).await?;
    stored
        .filter(|known| known.client.authentication == ClientAuthentication::None && !known.client.disabled)
        .ok_or(LookupError::Document(passing))
}
