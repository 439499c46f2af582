//! Signed-in browsers.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::UserId;

use crate::error::StoreError;
use crate::seal::{Purpose, SealError, SecretKey};
use crate::sql::{Row, values};
use crate::tx::Tx;

/// A browser in which a user is signed in.
#[derive(Debug, Clone)]
pub struct BrowserSession {
    /// The digest of the session's secret.
    pub digest: Digest,
    /// The user who is signed in.
    pub user: UserId,
    /// The key of the CSRF tokens of this session's forms.
    pub csrf: SecretKey,
    /// When the session began.
    pub created_at: Timestamp,
    /// When the session ends.
    pub expires_at: Timestamp,
    /// When the user last proved who they are.
    pub authenticated_at: Timestamp,
}

/// Signed-in browsers. See [`Tx::browser_sessions`].
pub struct BrowserSessions<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl BrowserSessions<'_> {
    /// Stores a session.
    pub async fn insert(&mut self, session: &BrowserSession) -> Result<(), StoreError> {
        let csrf = self.tx.seal.seal(Purpose::BrowserSession, &[&session.digest.to_string()], session.csrf.expose())?;
        self.tx
            .execute(
                "INSERT INTO browser_sessions (digest, user_id, csrf, created_at, expires_at, authenticated_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                values![
                    session.digest,
                    session.user,
                    csrf,
                    session.created_at,
                    session.expires_at,
                    session.authenticated_at
                ],
            )
            .await?;
        Ok(())
    }

    /// Returns the session of this digest, unless it has ended or its user is disabled.
    pub async fn find(&mut self, digest: &Digest, now: Timestamp) -> Result<Option<BrowserSession>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT browser_sessions.* FROM browser_sessions JOIN users ON users.id = browser_sessions.user_id
                 WHERE digest = $1 AND expires_at > $2 AND users.disabled = 0",
                values![digest, now],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    /// Locks a session until this transaction ends, so that nobody ends it meanwhile. Returns when it ends, or `None`
    /// if it has ended.
    pub async fn hold(&mut self, digest: &Digest, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "UPDATE browser_sessions SET expires_at = expires_at WHERE digest = $1 AND expires_at > $2
                 RETURNING expires_at",
                values![digest, now],
            )
            .await?;
        row.map(|row| row.time("expires_at")).transpose()
    }

    /// Ends a session, and the grants that end with it. Returns `false` if there is no such session.
    pub async fn delete(&mut self, digest: &Digest, now: Timestamp) -> Result<bool, StoreError> {
        let deleted = self.tx.execute_one("DELETE FROM browser_sessions WHERE digest = $1", values![digest]).await?;
        self.tx.grants().revoke_of_session(digest, now).await?;
        Ok(deleted)
    }

    /// Ends a session because the browser was signed in again. If the user is the same, grants that would end with the
    /// old session end with the new one instead; otherwise they end now.
    pub async fn renew(&mut self, old: &Digest, new: &BrowserSession, now: Timestamp) -> Result<(), StoreError> {
        let same = self
            .tx
            .execute_one("DELETE FROM browser_sessions WHERE digest = $1 AND user_id = $2", values![old, new.user])
            .await?;
        if !same {
            self.delete(old, now).await?;
            return Ok(());
        }
        self.tx.execute("UPDATE grants SET session = $2 WHERE session = $1", values![old, new.digest]).await?;
        Ok(())
    }

    /// Ends every session of a user, and the grants that end with them. Returns how many sessions there were.
    pub async fn delete_of_user(&mut self, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
        let rows = self
            .tx
            .fetch_all("DELETE FROM browser_sessions WHERE user_id = $1 RETURNING digest", values![user])
            .await?;
        for row in &rows {
            let digest: Digest = row.parse("digest")?;
            self.tx.grants().revoke_of_session(&digest, now).await?;
        }
        Ok(rows.len() as u64)
    }

    fn read(&self, row: &Row) -> Result<BrowserSession, StoreError> {
        let digest: Digest = row.parse("digest")?;
        let opened = self.tx.seal.open(Purpose::BrowserSession, &[&digest.to_string()], &row.blob("csrf")?)?;
        let csrf = <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| SealError::Broken)?;
        Ok(BrowserSession {
            digest,
            user: row.parse("user_id")?,
            csrf: SecretKey::from_bytes(csrf),
            created_at: row.time("created_at")?,
            expires_at: row.time("expires_at")?,
            authenticated_at: row.time("authenticated_at")?,
        })
    }
}
