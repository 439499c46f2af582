//! Refresh tokens: a family per grant, of which exactly one member is unused.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::GrantId;

use crate::error::StoreError;
use crate::seal::{Purpose, SealError, SecretKey};
use crate::sql::{Row, values};
use crate::tx::Tx;

/// A stored refresh token, with the key of its family.
#[derive(Debug, Clone)]
pub struct RefreshRow {
    /// The digest of the token.
    pub digest: Digest,
    /// The grant whose family it belongs to.
    pub grant: GrantId,
    /// The family's key, with which a token's successor is computed from the token.
    pub family_key: SecretKey,
    /// The number of the token in its family, from 0.
    pub generation: i64,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// The digest of its successor.
    pub successor: Option<Digest>,
}

/// Refresh tokens and their families. See [`Tx::refresh_tokens`].
pub struct RefreshTokens<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl RefreshTokens<'_> {
    /// Stores the first token of a grant's family. A second family for a grant fails with [`StoreError::Conflict`].
    pub async fn insert_first(
        &mut self,
        grant: GrantId,
        token: &Digest,
        family_key: &SecretKey,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sealed = self.tx.seal.seal(Purpose::RefreshFamily, &[&grant.to_string()], family_key.expose())?;
        self.tx
            .execute("INSERT INTO refresh_families (grant_id, family_key) VALUES ($1, $2)", values![grant, sealed])
            .await?;
        self.insert(grant, token, 0, now, expires_at).await
    }

    async fn insert(
        &mut self,
        grant: GrantId,
        token: &Digest,
        generation: i64,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO refresh_tokens (digest, grant_id, generation, issued_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5)",
                values![token, grant, generation, now, expires_at],
            )
            .await?;
        Ok(())
    }

    /// Returns the token of this digest, also if it was used or has expired.
    pub async fn find(&mut self, token: &Digest) -> Result<Option<RefreshRow>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT refresh_tokens.*, refresh_families.family_key
                 FROM refresh_tokens JOIN refresh_families ON refresh_families.grant_id = refresh_tokens.grant_id
                 WHERE digest = $1",
                values![token],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    /// Replaces a token by its successor (ATK-37). Returns `true` for exactly one caller, only before the token expires
    /// and while its grant is alive.
    pub async fn rotate(
        &mut self,
        old: &Digest,
        successor: &Digest,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "UPDATE refresh_tokens SET used_at = $3, successor = $2
                 WHERE digest = $1 AND used_at IS NULL AND expires_at > $3
                     AND EXISTS (SELECT 1 FROM grants WHERE grants.id = refresh_tokens.grant_id
                         AND grants.revoked_at IS NULL AND (grants.expires_at IS NULL OR grants.expires_at > $3))
                 RETURNING grant_id, generation",
                values![old, successor, now],
            )
            .await?;
        let Some(row) = row else { return Ok(false) };
        let generation = row.int("generation")?.saturating_add(1);
        self.insert(row.parse("grant_id")?, successor, generation, now, expires_at).await?;
        Ok(true)
    }

    /// Returns whether the token exists and was never used.
    pub async fn is_unused(&mut self, token: &Digest) -> Result<bool, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT generation FROM refresh_tokens WHERE digest = $1 AND used_at IS NULL",
                values![token],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Deletes the refresh tokens of a grant with their family. Returns how many tokens there were.
    pub async fn delete_of_grant(&mut self, grant: GrantId) -> Result<u64, StoreError> {
        let deleted = self.tx.execute("DELETE FROM refresh_tokens WHERE grant_id = $1", values![grant]).await?;
        self.tx.execute("DELETE FROM refresh_families WHERE grant_id = $1", values![grant]).await?;
        Ok(deleted)
    }

    fn read(&self, row: &Row) -> Result<RefreshRow, StoreError> {
        let grant: GrantId = row.parse("grant_id")?;
        let opened = self.tx.seal.open(Purpose::RefreshFamily, &[&grant.to_string()], &row.blob("family_key")?)?;
        let family_key = <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| SealError::Broken)?;
        Ok(RefreshRow {
            digest: row.parse("digest")?,
            grant,
            family_key: SecretKey::from_bytes(family_key),
            generation: row.int("generation")?,
            issued_at: row.time("issued_at")?,
            expires_at: row.time("expires_at")?,
            used_at: row.time_opt("used_at")?,
            successor: row.parse_opt("successor")?,
        })
    }
}
