//! Links for setting a first password.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::UserId;

use crate::error::StoreError;
use crate::sql::{Row, values};
use crate::tx::Tx;

/// A link for setting a password: single use, short-lived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupLink {
    /// The digest of the token in the link.
    pub digest: Digest,
    /// The user whose password it sets.
    pub user: UserId,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// Links for setting a first password. See [`Tx::setup_links`].
pub struct SetupLinks<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl SetupLinks<'_> {
    /// Stores a link, and ends every older unused link of the same user, so that only the newest one works.
    pub async fn insert(&mut self, link: &SetupLink, now: Timestamp) -> Result<(), StoreError> {
        // Locks the user until the commit, so that of two links that are made at the same time only one works.
        self.tx.execute("UPDATE users SET epoch = epoch WHERE id = $1", values![link.user]).await?;
        self.end_of_user(link.user, now).await?;
        self.tx
            .execute(
                "INSERT INTO setup_links (digest, user_id, expires_at, used_at) VALUES ($1, $2, $3, $4)",
                values![link.digest, link.user, link.expires_at, link.used_at],
            )
            .await?;
        Ok(())
    }

    /// Ends every unused link of a user. Returns how many there were.
    pub async fn end_of_user(&mut self, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
        self.tx
            .execute("UPDATE setup_links SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL", values![user, now])
            .await
    }

    /// Returns the link of this digest, also if it was used or has expired.
    pub async fn find(&mut self, digest: &Digest) -> Result<Option<SetupLink>, StoreError> {
        self.tx
            .fetch_optional("SELECT * FROM setup_links WHERE digest = $1", values![digest])
            .await?
            .map(read)
            .transpose()
    }

    /// Uses a link. Returns the user to exactly one caller, only before the link expires, and only while the user is
    /// enabled.
    pub async fn consume(&mut self, digest: &Digest, now: Timestamp) -> Result<Option<UserId>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "UPDATE setup_links SET used_at = $2
                 WHERE digest = $1 AND used_at IS NULL AND expires_at > $2
                     AND EXISTS (SELECT 1 FROM users WHERE users.id = setup_links.user_id AND users.disabled = 0)
                 RETURNING user_id",
                values![digest, now],
            )
            .await?;
        row.map(|row| row.parse("user_id")).transpose()
    }
}

fn read(row: Row) -> Result<SetupLink, StoreError> {
    Ok(SetupLink {
        digest: row.parse("digest")?,
        user: row.parse("user_id")?,
        expires_at: row.time("expires_at")?,
        used_at: row.time_opt("used_at")?,
    })
}
