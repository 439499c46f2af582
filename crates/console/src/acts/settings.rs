//! The base URL.

use sekisho_store::Store;

use super::{ActError, Outcome, Performer, record};

const BASE_URL: &str = "base_url";

pub(super) async fn base_url(store: &Store) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    Ok(Outcome::BaseUrl { url: tx.settings().get(BASE_URL).await? })
}

/// Every grant ends with the URL: its audience and its issuer are gone.
pub(super) async fn set_base_url(store: &Store, who: Performer<'_>, url: &str) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    tx.settings().put(BASE_URL, url).await?;
    let count = tx.grants().revoke_all("base URL changed", who.now).await?;
    tx.audit().append(who.node, &record(who, "base-url set", url), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count })
}
