//! Failed attempts, counted exactly and for all nodes together.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};

use crate::error::StoreError;
use crate::sql::values;
use crate::store::SWEEP_ROWS;
use crate::tx::Tx;

/// How many failures are free.
pub const FREE_FAILURES: i64 = 5;

/// After how many seconds without a failure all are forgotten.
pub const FORGET_SECONDS: u32 = 3_600;

/// The longest wait, in seconds.
pub const WAIT_SECONDS_MAX: u32 = 900;

/// How often something failed lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// Failures, this one included.
    pub count: i64,
    /// Until when the next attempt must wait.
    pub blocked_until: Option<Timestamp>,
}

/// Failed attempts by key: a user's name, an address, both. See [`Tx::throttle`].
///
/// The first [`FREE_FAILURES`] cost nothing; then each doubles the wait, from one second to
/// [`WAIT_SECONDS_MAX`]. Only the digest of a key is kept, so that rows are small whatever is typed.
pub struct Throttle<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Throttle<'_> {
    /// Counts a failure.
    pub async fn fail(&mut self, key: &str, now: Timestamp) -> Result<Attempts, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "INSERT INTO throttle (digest, failures, failed_at) VALUES ($1, 1, $2)
                 ON CONFLICT (digest) DO UPDATE SET
                     failures = CASE WHEN throttle.failed_at <= $2 - $3 THEN 1 ELSE throttle.failures + 1 END,
                     failed_at = $2
                 RETURNING failures",
                values![Digest::of(key.as_bytes()), now, i64::from(FORGET_SECONDS) * 1_000],
            )
            .await?;
        let count = row.map_or(Ok(1), |row| row.int("failures"))?;
        Ok(Attempts { count, blocked_until: wait_seconds(count).map(|seconds| after(now, seconds)) })
    }

    /// Forgets the failures of a key, after a success.
    pub async fn clear(&mut self, key: &str) -> Result<(), StoreError> {
        self.tx.execute("DELETE FROM throttle WHERE digest = $1", values![Digest::of(key.as_bytes())]).await?;
        Ok(())
    }

    /// Until when an attempt must wait; `None` when it need not.
    pub async fn blocked_until(&mut self, key: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT failures, failed_at FROM throttle WHERE digest = $1",
                values![Digest::of(key.as_bytes())],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let failed_at = row.time("failed_at")?;
        let until = wait_seconds(row.int("failures")?).map(|seconds| after(failed_at, seconds));
        Ok(until.filter(|until| *until > now))
    }

    /// Forgets keys whose last failure is long past, at most [`SWEEP_ROWS`] of them. Says how many.
    pub async fn sweep(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.tx
            .execute(
                "DELETE FROM throttle WHERE digest IN (
                     SELECT digest FROM throttle WHERE failed_at <= $1 - $2 LIMIT $3)",
                values![now, i64::from(FORGET_SECONDS) * 1_000, SWEEP_ROWS],
            )
            .await
    }
}

/// How long the next attempt waits after so many failures.
fn wait_seconds(failures: i64) -> Option<u32> {
    let beyond = failures.saturating_sub(FREE_FAILURES);
    if beyond <= 0 {
        return None;
    }
    let doublings = u32::try_from(beyond - 1).unwrap_or(u32::MAX);
    Some(1_u32.checked_shl(doublings).unwrap_or(WAIT_SECONDS_MAX).min(WAIT_SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::{WAIT_SECONDS_MAX, wait_seconds};

    #[test]
    fn the_wait_doubles_after_the_free_failures_and_has_an_end() {
        let waits: Vec<_> = [1, 5, 6, 7, 8, 15, 16, 100, i64::MAX].into_iter().map(wait_seconds).collect();
        let max = Some(WAIT_SECONDS_MAX);
        assert_eq!(waits, [None, None, Some(1), Some(2), Some(4), Some(512), max, max, max]);
    }
}
