//! Step-ups: a client was refused for lack of scopes, and a refresh with the same grant cannot add any (decision 0070).
//! The note is stored with the grant, because gateway and token endpoint may be on two nodes.

use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::scope::ScopeSet;

use crate::error::StoreError;
use crate::grants::Grants;
use crate::sql::values;

/// How long after a refusal a refresh is answered with it, in seconds. Clients that refresh because of the refusal do
/// so at once, after at most a few fetches of metadata.
pub const STEP_UP_SECONDS: u32 = 20;
/// How long after that no new note is made, in milliseconds; until then every refresh with the grant succeeds.
const QUIET_MILLIS: i64 = 30_000;

impl Grants<'_> {
    /// Notes that a call with this grant was refused because it lacks these scopes. Nothing is noted while an earlier
    /// note is valid, nor for half a minute after it, so that constant refusals of some token of the grant do not keep
    /// the client from refreshing.
    pub async fn note_step_up(&mut self, id: GrantId, lacks: &ScopeSet, now: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                "UPDATE grants SET step_up_scopes = $2, step_up_until = $3
                 WHERE id = $1 AND (step_up_until IS NULL OR step_up_until <= $4 - $5)",
                values![id, lacks, after(now, STEP_UP_SECONDS), now, QUIET_MILLIS],
            )
            .await?;
        Ok(())
    }

    /// Takes the scopes that a recent call with this grant lacked. Each note is returned only once, so a client that
    /// refreshes again succeeds. A note from the future was made when the clock was wrong, and does not count.
    pub async fn take_step_up(&mut self, id: GrantId, now: Timestamp) -> Result<Option<ScopeSet>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "UPDATE grants SET step_up_until = $2
                 WHERE id = $1 AND step_up_until > $2 AND step_up_until <= $3 RETURNING step_up_scopes",
                values![id, now, after(now, STEP_UP_SECONDS)],
            )
            .await?;
        row.map(|row| row.parse("step_up_scopes")).transpose()
    }
}
