//! Reading the records.

use sekisho_protocol::ids::RequestId;
use sekisho_store::{AuditFilter, AuditOrder, ChainCheck, Store, StoredRecord};

use super::{ActError, ChainRow, Outcome, RecordRow};

/// The most records in one answer; the store's own bound is not smaller.
const PAGE_MAX: u32 = 500;

/// After a negative place, the newest `limit`; otherwise those that follow it. Always oldest first.
pub(super) async fn list(
    store: &Store,
    after: i64,
    limit: u32,
    request: Option<RequestId>,
) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let limit = limit.clamp(1, PAGE_MAX);
    let newest = after < 0;
    let order = if newest { AuditOrder::NewestFirst } else { AuditOrder::OldestFirst };
    // Pages go by number, so the order has to be the chain's own: by time, a read that was recorded a moment later
    // would be skipped or come twice at the edge of a page.
    let node = match *tx.audit().nodes().await?.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let filter =
        AuditFilter { node, request, after_seq: (!newest).then_some(after), order, limit, ..AuditFilter::default() };
    let mut found = tx.audit().list(&filter).await?;
    if newest {
        found.reverse();
    }
    let row = |stored: StoredRecord| RecordRow { seq: stored.seq, node: stored.node, record: stored.record };
    Ok(Outcome::Records { records: found.into_iter().map(row).collect() })
}

/// Recomputes the chain of every node from its beginning (ATK-98).
pub(super) async fn verify(store: &Store) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let mut chains = Vec::new();
    for node in tx.audit().nodes().await? {
        let row = match tx.audit().verify(node).await? {
            ChainCheck::Intact(head) => {
                ChainRow { node, records: Some(head.seq), head: Some(head.mac.to_string()), broken_at: None }
            }
            ChainCheck::Broken { seq } => ChainRow { node, records: None, head: None, broken_at: Some(seq) },
        };
        chains.push(row);
    }
    Ok(Outcome::Audit { chains })
}
