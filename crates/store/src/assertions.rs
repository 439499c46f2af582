//! Client assertions that were used (RFC 7523 §3, `jti`): each works once, on all nodes together.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;

use crate::error::StoreError;
use crate::sql::values;
use crate::tx::Tx;

/// How long past its end an assertion is remembered, in milliseconds: clocks differ, and may be set back.
pub(crate) const MARGIN_MILLIS: i64 = 600_000;

/// Client assertions that were used. See [`Tx::assertions`].
pub struct Assertions<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Assertions<'_> {
    /// Takes an assertion of a client (ATK-35). `true` for exactly one caller, ever.
    ///
    /// `expires_at` is the assertion's own end: whoever calls has refused expired ones already.
    pub async fn take(
        &mut self,
        client: &str,
        jti: &Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = Digest::of_list(&[client.as_bytes(), jti.as_bytes()]);
        // Never forgotten sooner than it could be presented again.
        let expires_at = expires_at.max(now);
        self.tx
            .execute_one(
                "INSERT INTO assertions (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
                values![key, expires_at],
            )
            .await
    }
}
