//! Failed attempts, counted exactly across all nodes.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};

use crate::error::StoreError;
use crate::sql::values;
use crate::store::SWEEP_ROWS;
use crate::tx::Tx;

/// After how many seconds without a failure all failures are forgotten.
pub const FORGET_SECONDS: u32 = 3_600;

/// How attempts of one kind are slowed down. The first `free` failures have no consequence; each further one doubles
/// the wait, from one second to `wait_seconds_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// How many failures are free.
    pub free: i64,
    /// The longest wait, in seconds. Less than [`FORGET_SECONDS`].
    pub wait_seconds_max: u32,
}

impl Lane {
    /// Returns how many seconds the next attempt has to wait after this number of failures.
    fn wait_seconds(self, failures: i64) -> u32 {
        let beyond = failures.saturating_sub(self.free);
        if beyond <= 0 {
            return 0;
        }
        let doublings = u32::try_from(beyond - 1).unwrap_or(u32::MAX);
        1_u32.checked_shl(doublings).unwrap_or(self.wait_seconds_max).min(self.wait_seconds_max)
    }
}

/// Failed attempts by key: an account, an address, both. See [`Tx::throttle`].
///
/// An attempt counts as failed from its beginning until it is taken back, so that concurrent attempts have no advantage
/// over successive ones. Only the digest of a key is stored, so that rows are small whatever is typed.
pub struct Throttle<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Throttle<'_> {
    /// Begins an attempt, and counts it as failed. Returns `false` without counting if it has to wait.
    pub async fn take(&mut self, key: &str, lane: Lane, now: Timestamp) -> Result<bool, StoreError> {
        let digest = Digest::of(key.as_bytes());
        let row = self
            .tx
            .fetch_optional(
                // An end later than the longest wait was written by a wrong clock.
                "INSERT INTO throttle (digest, failures, failed_at, blocked_until) VALUES ($1, 1, $2, 0)
                 ON CONFLICT (digest) DO UPDATE SET
                     failures = CASE WHEN throttle.failed_at <= $2 - $3 THEN 1 ELSE throttle.failures + 1 END,
                     failed_at = $2
                 WHERE throttle.blocked_until <= $2 OR throttle.blocked_until > $4
                 RETURNING failures",
                values![digest, now, i64::from(FORGET_SECONDS) * 1_000, after(now, lane.wait_seconds_max)],
            )
            .await?;
        let Some(row) = row else { return Ok(false) };
        // The row is locked until the commit.
        let until = after(now, lane.wait_seconds(row.int("failures")?));
        self.tx.execute("UPDATE throttle SET blocked_until = $2 WHERE digest = $1", values![digest, until]).await?;
        Ok(true)
    }

    /// Takes back one attempt that turned out not to be a failure.
    pub async fn give_back(&mut self, key: &str) -> Result<(), StoreError> {
        self.tx
            .execute(
                "UPDATE throttle SET failures = failures - 1, blocked_until = 0 WHERE digest = $1 AND failures > 0",
                values![Digest::of(key.as_bytes())],
            )
            .await?;
        Ok(())
    }

    /// Forgets the failures of a key, after a success.
    pub async fn clear(&mut self, key: &str) -> Result<(), StoreError> {
        self.tx.execute("DELETE FROM throttle WHERE digest = $1", values![Digest::of(key.as_bytes())]).await?;
        Ok(())
    }

    /// Returns whether an attempt would have to wait. Only [`Throttle::take`] decides; this avoids its write.
    pub async fn is_blocked(&mut self, key: &str, lane: Lane, now: Timestamp) -> Result<bool, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT failures FROM throttle WHERE digest = $1 AND blocked_until > $2 AND blocked_until <= $3",
                values![Digest::of(key.as_bytes()), now, after(now, lane.wait_seconds_max)],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Deletes keys whose last failure is long past, at most [`SWEEP_ROWS`] of them. Returns how many.
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

#[cfg(test)]
mod tests {
    use super::Lane;

    #[test]
    fn the_wait_doubles_after_the_free_failures_and_has_an_end() {
        let lane = Lane { free: 5, wait_seconds_max: 900 };
        let waits: Vec<_> =
            [1, 5, 6, 7, 8, 15, 16, 100, i64::MAX].into_iter().map(|failures| lane.wait_seconds(failures)).collect();
        assert_eq!(waits, [0, 0, 1, 2, 4, 512, 900, 900, 900]);
    }
}
