//! Tokens of provisioning clients: an operator makes them, and takes them back.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::openid::ProviderName;
use sekisho_protocol::secret::ScimToken;
use sekisho_protocol::text::check_name;
use sekisho_store::{ScimTokenRow, StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::{ActError, Invalid, Performer, role};

/// The most characters of a token's name.
pub const LABEL_CHARS_MAX: usize = 64;
/// The longest life of a token that has an end, in seconds: two years.
pub const TOKEN_SECONDS_MAX: u32 = 2 * 365 * 86_400;

/// A token to make.
#[derive(Debug, Clone, Copy)]
pub struct Add<'a> {
    /// The provider whose people its client provisions, as the configuration names it.
    pub provider: &'a str,
    /// What to call it: 1 to [`LABEL_CHARS_MAX`] characters that are seen.
    pub label: &'a str,
    /// For how many seconds it is good, up to [`TOKEN_SECONDS_MAX`]. `None`: until it is removed.
    pub seconds: Option<u32>,
}

/// A token, without what only its client knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScimTokenLine {
    /// The provider.
    pub provider: String,
    /// What an operator calls it.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends. `None`: it does not.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// Makes a token. It is shown this once; the store keeps its digest.
pub async fn add(tx: &mut Tx, by: &Performer<'_>, wanted: Add<'_>) -> Result<ScimToken, ActError> {
    role::owns(tx, by).await?;
    let Add { provider, label, seconds } = wanted;
    if provider.parse::<ProviderName>().is_err() {
        return Err(Invalid::ProviderName(provider.to_owned()).into());
    }
    if check_name(label).is_err() || label.chars().count() > LABEL_CHARS_MAX {
        return Err(Invalid::ScimTokenName(label.to_owned()).into());
    }
    if seconds.is_some_and(|seconds| !(1..=TOKEN_SECONDS_MAX).contains(&seconds)) {
        return Err(Invalid::ScimTokenLength.into());
    }
    let token = ScimToken::generate(by.entropy);
    let row = ScimTokenRow {
        digest: token.digest(),
        provider: provider.to_owned(),
        label: label.to_owned(),
        created_at: by.now,
        expires_at: seconds.map(|seconds| after(by.now, seconds)),
        last_used_at: None,
        revoked_at: None,
    };
    match tx.scim_tokens().insert(&row).await {
        Err(StoreError::Conflict { .. }) => {
            return Err(ActError::Exists { what: "SCIM token", name: label.to_owned() });
        }
        other => other?,
    }
    record(tx, by, ActKind::ScimTokenAdded, provider, label).await?;
    Ok(token)
}

/// Takes a token back: from now on its client is a stranger. What it provisioned stays.
pub async fn remove(tx: &mut Tx, by: &Performer<'_>, provider: &str, label: &str) -> Result<(), ActError> {
    role::owns(tx, by).await?;
    if !tx.scim_tokens().revoke(provider, label, by.now).await? {
        return Err(ActError::absent("SCIM token in force", label));
    }
    record(tx, by, ActKind::ScimTokenRemoved, provider, label).await
}

/// Every token, also those that were taken back.
pub async fn list(tx: &mut Tx) -> Result<Vec<ScimTokenLine>, StoreError> {
    let line = |row: ScimTokenRow| ScimTokenLine {
        provider: row.provider,
        label: row.label,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    };
    Ok(tx.scim_tokens().list().await?.into_iter().map(line).collect())
}

async fn record(tx: &mut Tx, by: &Performer<'_>, kind: ActKind, provider: &str, label: &str) -> Result<(), ActError> {
    let act = Act { detail: format!("`{label}` of `{provider}`"), ..by.act(kind) };
    Ok(by.record(tx, act).await?)
}
