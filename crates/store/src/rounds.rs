//! Rounds of one call: it was paid for, its upstream asked something back, and the answer comes as another request.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::GrantId;

use crate::error::StoreError;
use crate::sql::{grant_alive, values};
use crate::tx::Tx;

/// The most rounds of one grant that may wait for their answer. One more replaces the oldest, whose client has to make
/// that call again. So a client that leaves calls unanswered only harms itself.
pub const ROUNDS_PER_GRANT_MAX: i64 = 256;

/// More rows than one grant can have: SQLite requires a limit with an offset.
const ALL_ROWS: i64 = 1_000_000;

/// Rounds that wait for their answer. See [`Tx::rounds`].
pub struct Rounds<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Rounds<'_> {
    /// Allows the next round of a call. Beyond [`ROUNDS_PER_GRANT_MAX`] of one grant, the oldest are deleted. A round
    /// that exists fails with [`StoreError::Conflict`].
    pub async fn open(
        &mut self,
        grant: GrantId,
        digest: &Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.tx.execute("DELETE FROM rounds WHERE grant_id = $1 AND expires_at <= $2", values![grant, now]).await?;
        self.tx
            .execute(
                "DELETE FROM rounds WHERE digest IN (
                     SELECT digest FROM rounds WHERE grant_id = $1
                     ORDER BY expires_at DESC, digest LIMIT $2 OFFSET $3)",
                values![grant, ALL_ROWS, ROUNDS_PER_GRANT_MAX - 1],
            )
            .await?;
        self.tx
            .execute(
                "INSERT INTO rounds (digest, grant_id, expires_at) VALUES ($1, $2, $3)",
                values![digest, grant, expires_at],
            )
            .await?;
        Ok(())
    }

    /// Uses a round. Returns `true` for exactly one caller, only before it expires and while its grant is alive.
    pub async fn consume(&mut self, grant: GrantId, digest: &Digest, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                concat!(
                    "DELETE FROM rounds WHERE digest = $2 AND grant_id = $1 AND expires_at > $3
                         AND EXISTS (SELECT 1 FROM grants WHERE grants.id = rounds.grant_id AND ",
                    grant_alive!("$3"),
                    ")"
                ),
                values![grant, digest, now],
            )
            .await
    }
}
