//! Signing keys: the private half sealed, the public half as it is published.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::KeyId;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::seal::{Purpose, SecretBytes};
use crate::sql::{Row, values};
use crate::tx::Tx;

/// A signing key.
#[derive(Debug, Clone)]
pub struct SigningKeyRow {
    /// The identifier (`kid`).
    pub id: KeyId,
    /// The algorithm (`alg`, RFC 7518 §3.1).
    pub algorithm: String,
    /// The private key, PKCS#8.
    pub private: SecretBytes,
    /// The public key as a JWK in JSON.
    pub public_jwk: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it starts to sign; it is published before.
    pub active_from: Timestamp,
    /// When it stops signing; its signatures are still accepted.
    pub retires_at: Option<Timestamp>,
    /// When it stops being published.
    pub removed_at: Option<Timestamp>,
}

/// Signing keys. See [`Tx::keys`].
pub struct Keys<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Keys<'_> {
    /// Stores a key.
    pub async fn insert(&mut self, key: &SigningKeyRow) -> Result<(), StoreError> {
        let private = self.tx.seal.seal(Purpose::SigningKey, &[&key.id.to_string()], key.private.expose())?;
        self.tx
            .execute(
                "INSERT INTO signing_keys (id, algorithm, private, public_jwk, created_at, active_from, retires_at, removed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                values![
                    key.id,
                    key.algorithm.as_str(),
                    private,
                    key.public_jwk.as_str(),
                    key.created_at,
                    key.active_from,
                    key.retires_at,
                    key.removed_at
                ],
            )
            .await?;
        self.tx.changed(ChangeKind::Key, key.id);
        Ok(())
    }

    /// Returns every key that is still published, oldest first.
    pub async fn list(&mut self, now: Timestamp) -> Result<Vec<SigningKeyRow>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM signing_keys WHERE removed_at IS NULL OR removed_at > $1 ORDER BY active_from, id",
                values![now],
            )
            .await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// Sets when a key stops signing. Returns `false` if there is no such key.
    pub async fn retire(&mut self, id: KeyId, at: Timestamp) -> Result<bool, StoreError> {
        let known =
            self.tx.execute_one("UPDATE signing_keys SET retires_at = $2 WHERE id = $1", values![id, at]).await?;
        if known {
            self.tx.changed(ChangeKind::Key, id);
        }
        Ok(known)
    }

    /// Sets when a key stops being published; its signatures are then invalid. Returns `false` if there is no such key.
    pub async fn remove(&mut self, id: KeyId, at: Timestamp) -> Result<bool, StoreError> {
        let known =
            self.tx.execute_one("UPDATE signing_keys SET removed_at = $2 WHERE id = $1", values![id, at]).await?;
        if known {
            self.tx.changed(ChangeKind::Key, id);
        }
        Ok(known)
    }

    fn read(&self, row: &Row) -> Result<SigningKeyRow, StoreError> {
        let id: KeyId = row.parse("id")?;
        let private = self.tx.seal.open(Purpose::SigningKey, &[&id.to_string()], &row.blob("private")?)?;
        Ok(SigningKeyRow {
            id,
            algorithm: row.text("algorithm")?,
            private: SecretBytes::new(private.to_vec()),
            public_jwk: row.text("public_jwk")?,
            created_at: row.time("created_at")?,
            active_from: row.time("active_from")?,
            retires_at: row.time_opt("retires_at")?,
            removed_at: row.time_opt("removed_at")?,
        })
    }
}
