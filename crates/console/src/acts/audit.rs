//! Reading the records.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::RequestId;
use sekisho_store::{AuditFilter, AuditOrder, ChainCheck, SignedHead, Store, StoredRecord, Tx};

use super::{ActError, ChainRow, Outcome, Performer, RecordRow, record};

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

/// Recomputes the chain of every node from its beginning, and holds the heads that were kept elsewhere against it: only
/// they show a tail that was cut, or a chain that somebody with our keys computed anew (ATK-98).
pub(super) async fn verify(store: &Store, heads: &[SignedHead]) -> Result<Outcome, ActError> {
    let key = store.head_key();
    if let Some(foreign) = heads.iter().find(|head| !head.is_signed_by(&key)) {
        let why = "is not one that this checkpoint signed, or was changed";
        return Err(ActError::Invalid(format!("the head of {} at {} {why}", foreign.node, foreign.seq)));
    }
    let mut tx = store.read().await?;
    let mut nodes = tx.audit().nodes().await?;
    // A chain that is gone altogether is missed by its heads alone.
    nodes.extend(heads.iter().map(|head| head.node));
    nodes.sort_unstable();
    nodes.dedup();
    let mut chains = Vec::new();
    for node in nodes {
        let own: Vec<&SignedHead> = heads.iter().filter(|head| head.node == node).collect();
        let (records, head, broken_at) = match tx.audit().verify(node).await? {
            ChainCheck::Intact(head) => (Some(head.seq), Some(head.mac.to_string()), None),
            ChainCheck::Broken { seq } => (None, None, Some(seq)),
        };
        let contradicted = contradiction(&mut tx, &own).await?;
        chains.push(ChainRow { node, records, head, broken_at, contradicted, heads: own.len() as u64 });
    }
    Ok(Outcome::Audit { chains })
}

/// The first head that the chain does not bear out.
async fn contradiction(tx: &mut Tx, heads: &[&SignedHead]) -> Result<Option<String>, ActError> {
    for head in heads {
        let begins = match tx.audit().beginning(head.node).await? {
            Ok(begins) => begins,
            // Told as broken already.
            Err(_) => return Ok(None),
        };
        // What was pruned since cannot be looked at; where it was cut off, it is sealed.
        if head.seq < begins.seq || (head.seq == begins.seq && head.mac == begins.mac) {
            continue;
        }
        let why = match tx.audit().mac_at(head.node, head.seq).await? {
            Some(mac) if mac == head.mac => continue,
            Some(_) => "another record stands there now",
            None => "no such record is there any more",
        };
        return Ok(Some(format!("at {} it had come to record {}: {why}", head.at, head.seq)));
    }
    Ok(None)
}

pub(super) async fn prune(store: &Store, who: Performer<'_>, before: Timestamp) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let mut count = 0;
    for node in tx.audit().nodes().await? {
        match tx.audit().prune(node, before, who.now).await? {
            Ok(gone) => count += gone,
            Err(_) => {
                let why = "its chain is not intact, and nothing is removed that could show why";
                return Err(ActError::Invalid(format!(
                    "nothing was pruned of {node}: {why}; see `sekisho audit verify`"
                )));
            }
        }
    }
    let on = format!("{count} records kept before {before}");
    tx.audit().append(who.node, &record(who, "audit prune", on), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count })
}

/// Whoever reads what somebody asked of a tool is on record, too.
pub(super) async fn arguments(store: &Store, who: Performer<'_>, request: RequestId) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let found = tx.audit().arguments(request).await?;
    tx.audit().append(who.node, &record(who, "audit arguments", request.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Arguments { text: found.map(|bytes| String::from_utf8_lossy(bytes.expose()).into_owned()) })
}
