//! Removes old records, a few at a time, and seals where the chain then begins.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::NodeId;

use super::{Audit, AuditHead, ChainCheck};
use crate::error::StoreError;
use crate::sql::values;

/// The most links that one transaction removes: others get a turn in between, and on a full disk little has to be
/// written before the first pages are free.
const PRUNE_LINKS: i64 = 1_000;

impl Audit<'_> {
    /// Returns the last record to remove if the records of a node from before a given time are removed. `None`: there
    /// is nothing to remove. A broken chain is left alone, so that the damage can still be examined.
    pub async fn prunable(
        &mut self,
        node: NodeId,
        before: Timestamp,
    ) -> Result<Result<Option<i64>, ChainCheck>, StoreError> {
        let check = self.verify(node).await?;
        if matches!(check, ChainCheck::Broken { .. }) {
            return Ok(Err(check));
        }
        let Some(chain) = self.chain(node).await? else { return Ok(Ok(None)) };
        // The first record that stays: times never decrease along a chain, except if a clock was set back.
        let row = self
            .tx
            .fetch_optional(
                "SELECT place FROM audit WHERE place > $1 AND place < $2 AND kept_at < $3
                     AND place < COALESCE(
                         (SELECT MIN(place) FROM audit WHERE place > $1 AND place < $2 AND kept_at >= $3), place + 1)
                 ORDER BY place DESC LIMIT 1",
                values![chain.place(0), chain.next(), before],
            )
            .await?;
        Ok(Ok(row.map(|row| row.int("place").map(|place| chain.seq(place))).transpose()?))
    }

    /// Removes the oldest links of a chain that end at or before the record that [`Audit::prunable`] returned, as many
    /// as fit into one transaction. Returns how many records they held; 0 means that nothing is left to remove.
    pub async fn prune(&mut self, node: NodeId, until: i64, now: Timestamp) -> Result<u64, StoreError> {
        let Some(chain) = self.chain(node).await? else { return Ok(0) };
        let row = self
            .tx
            .fetch_optional(
                "SELECT place, mac FROM audit WHERE place = (
                     SELECT MAX(place) FROM (
                         SELECT place FROM audit WHERE place > $1 AND place <= $2 ORDER BY place LIMIT $3) AS oldest)",
                values![chain.place(0), chain.place(until), PRUNE_LINKS],
            )
            .await?;
        let Some(row) = row else { return Ok(0) };
        let began = self.beginning(node).await?.map_or(0, |beginning| beginning.seq);
        let last = AuditHead { seq: chain.seq(row.int("place")?), mac: row.parse("mac")? };
        let sealed = self.checkpoint_mac(node, last);
        self.tx
            .execute(
                "INSERT INTO audit_checkpoints (node, seq, mac, sealed, pruned_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, mac = excluded.mac, sealed = excluded.sealed,
                     pruned_at = excluded.pruned_at",
                values![node, last.seq, last.mac, sealed, now],
            )
            .await?;
        self.tx
            .execute(
                "DELETE FROM audit WHERE place > $1 AND place <= $2",
                values![chain.place(0), chain.place(last.seq)],
            )
            .await?;
        Ok(last.seq.abs_diff(began))
    }
}
