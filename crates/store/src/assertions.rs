//! Used client assertions (RFC 7523 §3, `jti`): each works only once across all nodes.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;

use crate::error::StoreError;
use crate::sql::values;
use crate::tx::Tx;

/// How long an assertion is remembered after its end, in milliseconds: clocks differ, and may be set back.
pub(crate) const MARGIN_MILLIS: i64 = 600_000;

/// Used client assertions. See [`Tx::assertions`].
pub struct Assertions<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Assertions<'_> {
    /// Marks an assertion of a client as used (ATK-35). Returns `true` for exactly one caller.
    ///
    /// `expires_at` is the assertion's own end: refuse expired assertions before you call this.
    pub async fn take(
        &mut self,
        client: &str,
        jti: &Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = Digest::of_list(&[client.as_bytes(), jti.as_bytes()]);
        // An assertion must not be forgotten while it could still be presented again.
        let expires_at = expires_at.max(now);
        self.tx
            .execute_one(
                "INSERT INTO assertions (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
                values![key, expires_at],
            )
            .await
    }
}
