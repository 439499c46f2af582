//! Settings that are kept in the store: the base URL.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_store::{StoreError, Tx};

use crate::{ActError, Performer, role};

const BASE_URL: &str = "base_url";

/// The base URL, once it is known.
pub async fn base_url(tx: &mut Tx) -> Result<Option<String>, StoreError> {
    tx.settings().get(BASE_URL).await
}

/// Changes the base URL and says how many grants ended: the audience of every token and the name of its issuer are part of
/// it, so no grant survives the change.
pub async fn set_base_url(tx: &mut Tx, by: &Performer<'_>, url: &str) -> Result<u64, ActError> {
    role::owns(tx, by).await?;
    tx.settings().put(BASE_URL, url).await?;
    let count = tx.grants().revoke_all("the base URL changed", by.now).await?;
    by.record(tx, Act { detail: format!("`{url}`; {count} grants ended"), ..by.act(ActKind::BaseUrlChanged) }).await?;
    Ok(count)
}
