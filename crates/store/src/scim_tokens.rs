//! The tokens of provisioning clients (SCIM, RFC 7644 §2): digests only.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, values};
use crate::tx::Tx;

/// A token of a provisioning client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimTokenRow {
    /// The digest of the token.
    pub digest: Digest,
    /// The provider whose people it provisions, by its name in the configuration.
    pub provider: String,
    /// The operator's name for it. Unique at its provider, also after it was revoked.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Tokens of provisioning clients. See [`Tx::scim_tokens`].
pub struct ScimTokens<'a> {
    pub(crate) tx: &'a mut Tx,
}

/// How often the last use is written at most, in milliseconds: a provisioning client sends thousands of requests in a
/// row.
const USE_MILLIS: i64 = 60_000;

impl ScimTokens<'_> {
    /// Stores a token. Fails with [`StoreError::Conflict`] if its provider has a token of this label.
    pub async fn insert(&mut self, token: &ScimTokenRow) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO scim_tokens (digest, provider, label, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5)",
                values![
                    token.digest,
                    token.provider.as_str(),
                    token.label.as_str(),
                    token.created_at,
                    token.expires_at
                ],
            )
            .await?;
        Ok(())
    }

    /// Returns the token of this digest, if it is valid now.
    pub async fn find(&mut self, digest: &Digest, now: Timestamp) -> Result<Option<ScimTokenRow>, StoreError> {
        self.tx
            .fetch_optional(
                "SELECT * FROM scim_tokens
                 WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
                values![digest, now],
            )
            .await?
            .map(read)
            .transpose()
    }

    /// Notes that a token was used, at most once a minute.
    pub async fn used(&mut self, digest: &Digest, now: Timestamp) -> Result<(), StoreError> {
        let before = now.as_millisecond().saturating_sub(USE_MILLIS);
        self.tx
            .execute(
                "UPDATE scim_tokens SET last_used_at = $2 WHERE digest = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
                values![digest, now, before],
            )
            .await?;
        Ok(())
    }

    /// Notes that a token changes something in this transaction, and keeps it from being revoked until the transaction has
    /// ended. Returns `false` if the token is not valid now.
    pub async fn hold(&mut self, digest: &Digest, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE scim_tokens SET last_used_at = $2
                 WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
                values![digest, now],
            )
            .await
    }

    /// Returns every token, also revoked ones, sorted by provider and label.
    pub async fn list(&mut self) -> Result<Vec<ScimTokenRow>, StoreError> {
        let rows = self.tx.fetch_all("SELECT * FROM scim_tokens ORDER BY provider, label", values![]).await?;
        rows.into_iter().map(read).collect()
    }

    /// Revokes a token. Returns `false` if there is none of this label, or it was revoked already.
    pub async fn revoke(&mut self, provider: &str, label: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE scim_tokens SET revoked_at = $3 WHERE provider = $1 AND label = $2 AND revoked_at IS NULL",
                values![provider, label, now],
            )
            .await
    }
}

fn read(row: Row) -> Result<ScimTokenRow, StoreError> {
    Ok(ScimTokenRow {
        digest: row.parse("digest")?,
        provider: row.text("provider")?,
        label: row.text("label")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}
