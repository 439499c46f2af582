//! Finds what would keep a loan from having an effect.

use sekisho_policy::lending::Hindrance;
use sekisho_policy::rights::Rights;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{AccessRequestId, ServerName};
use sekisho_store::Store;

use crate::ActError;
use crate::reading::{Classes, Wanted, hindrance};

/// Returns the server of a request, and what would keep a loan for it from having an effect by the rights in force.
/// `classes` are those of the configuration; they win over those in the store.
pub async fn weigh(
    store: &Store,
    rights: &Rights,
    classes: &Classes,
    id: AccessRequestId,
    now: Timestamp,
) -> Result<(ServerName, Option<Hindrance>), ActError> {
    let mut tx = store.read().await?;
    let asked = tx.access_requests().find(id).await?.ok_or_else(|| ActError::absent("open request", id))?;
    let configured = classes.get(&asked.server).and_then(|of| of.get(&asked.tool).copied());
    let wanted = Wanted { subject: &asked.subject, client: &asked.client, server: &asked.server, tool: &asked.tool };
    let found = hindrance(&mut tx, rights, configured, wanted, now).await?;
    Ok((asked.server, found))
}
