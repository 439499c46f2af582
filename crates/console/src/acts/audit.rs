//! Reading the records.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{AuditFilter, AuditOrder, ChainCheck, SignedHead, Store, StoreError, StoredRecord, Tx};

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
    Ok(Outcome::Audit { chains, uncompared: None })
}

/// What the records contradict of heads that were kept elsewhere, chain by chain. Nothing is recomputed.
pub async fn contradictions(store: &Store, heads: &[SignedHead]) -> Result<Vec<String>, ActError> {
    let key = store.head_key();
    let mut tx = store.read().await?;
    let mut said = Vec::new();
    for head in heads {
        if !head.is_signed_by(&key) {
            said.push(format!(
                "the head of {} at {} is not one that this checkpoint signed, or was changed",
                head.node, head.seq
            ));
            continue;
        }
        let why = contradiction(&mut tx, &[head]).await?;
        said.extend(why.map(|why| format!("{}: {why}", head.node)));
    }
    Ok(said)
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

/// Removes old records, a few at a time. On a full disk with the room that is kept for that.
pub(super) async fn prune(store: &Store, who: Performer<'_>, before: Timestamp) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let mut ends = Vec::new();
    for node in tx.audit().nodes().await? {
        match tx.audit().prunable(node, before).await? {
            Ok(until) => ends.extend(until.map(|until| (node, until))),
            Err(_) => {
                let why = "its chain is not intact, and nothing is removed that could show why";
                return Err(ActError::Invalid(format!(
                    "nothing was pruned of {node}: {why}; see `sekisho audit verify`"
                )));
            }
        }
    }
    let mut count = 0;
    for (node, until) in &ends {
        let began = tx.audit().beginning(*node).await?.map_or(0, |beginning| beginning.seq);
        count += until.abs_diff(began);
    }
    drop(tx);
    let mut step = Step { ends, on: Some(format!("{count} records kept before {before}")) };
    loop {
        let done = match step.take(store, who).await {
            Err(error) if error.is_unavailable() && store.give_up_reserve().await? => step.take(store, who).await?,
            done => done?,
        };
        if done {
            return Ok(Outcome::Done { count });
        }
    }
}

/// What is left to prune: up to which record of which chain, and what is to be said of it.
struct Step {
    ends: Vec<(NodeId, i64)>,
    /// Until it is on record, with the first removal.
    on: Option<String>,
}

impl Step {
    /// Removes what one transaction takes. Whether that was all.
    async fn take(&mut self, store: &Store, who: Performer<'_>) -> Result<bool, StoreError> {
        let mut tx = store.begin().await?;
        let gone = match self.ends.last() {
            Some((node, until)) => tx.audit().prune(*node, *until, who.now).await?,
            None => 0,
        };
        if let Some(on) = &self.on {
            tx.audit().append(who.node, &record(who, "audit prune", on), who.now).await?;
        }
        tx.commit().await?;
        self.on = None;
        if gone == 0 {
            self.ends.pop();
        }
        Ok(self.ends.is_empty())
    }
}

/// Whoever reads what somebody asked of a tool is on record, too.
pub(super) async fn arguments(store: &Store, who: Performer<'_>, request: RequestId) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let found = tx.audit().arguments(request).await?;
    tx.audit().append(who.node, &record(who, "audit arguments", request.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Arguments { text: found.map(|bytes| String::from_utf8_lossy(bytes.expose()).into_owned()) })
}
