//! The records: list, verify, prune, and read the arguments of a call.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{
    AuditFilter, AuditOrder, ChainCheck, SecretBytes, SignedHead, Store, StoreError, StoredRecord, Tx,
};

use crate::question::{ChainRow, RecordRow};
use crate::{ActError, Invalid, Performer, role};

/// The most records in one answer; the store's own bound is not smaller.
const PAGE_MAX: u32 = 500;

/// After a negative place, the newest `limit`; otherwise those that follow it. Always oldest first.
pub async fn list(
    tx: &mut Tx,
    after: i64,
    limit: u32,
    request: Option<RequestId>,
) -> Result<Vec<RecordRow>, StoreError> {
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
    Ok(found.into_iter().map(row).collect())
}

/// Recomputes the chain of every node from its beginning, and holds the heads that were kept elsewhere against it: only
/// they show a tail that was cut, or a chain that somebody with our keys computed anew (ATK-98).
pub async fn verify(store: &Store, heads: &[SignedHead]) -> Result<Vec<ChainRow>, ActError> {
    let key = store.head_key();
    if let Some(foreign) = heads.iter().find(|head| !head.is_signed_by(&key)) {
        return Err(Invalid::Head { node: foreign.node, seq: foreign.seq }.into());
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
    Ok(chains)
}

/// What the records contradict of heads that were kept elsewhere, chain by chain. Nothing is recomputed.
pub async fn contradictions(store: &Store, heads: &[SignedHead]) -> Result<Vec<String>, ActError> {
    let key = store.head_key();
    let mut tx = store.read().await?;
    let mut said = Vec::new();
    for head in heads {
        if !head.is_signed_by(&key) {
            said.push(Invalid::Head { node: head.node, seq: head.seq }.to_string());
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

/// Removes records that were kept before a moment, a few in each transaction, and says how many. On a full disk it uses the
/// room that is kept for that. The first removal is on record with it.
pub async fn prune(store: &Store, by: &Performer<'_>, before: Timestamp) -> Result<u64, ActError> {
    let mut tx = store.read().await?;
    role::owns(&mut tx, by).await?;
    let mut ends = Vec::new();
    for node in tx.audit().nodes().await? {
        match tx.audit().prunable(node, before).await? {
            Ok(until) => ends.extend(until.map(|until| (node, until))),
            Err(_) => return Err(Invalid::Chain(node).into()),
        }
    }
    let mut count = 0;
    for (node, until) in &ends {
        let began = tx.audit().beginning(*node).await?.map_or(0, |beginning| beginning.seq);
        count += until.abs_diff(began);
    }
    drop(tx);
    let act = Act { detail: format!("{count} records kept before {before}"), ..by.act(ActKind::RecordsPruned) };
    let mut step = Step { ends, act: Some(act) };
    loop {
        let done = match step.take(store, by).await {
            Err(error) if error.is_unavailable() && store.give_up_reserve().await? => step.take(store, by).await?,
            done => done?,
        };
        if done {
            return Ok(count);
        }
    }
}

/// The pruning that is still to do: up to which record of which chain, and the act until it is recorded.
struct Step {
    ends: Vec<(NodeId, i64)>,
    act: Option<Act>,
}

impl Step {
    /// Removes what one transaction takes. Whether that was all.
    async fn take(&mut self, store: &Store, by: &Performer<'_>) -> Result<bool, StoreError> {
        let mut tx = store.begin().await?;
        let gone = match self.ends.last() {
            Some((node, until)) => tx.audit().prune(*node, *until, by.now).await?,
            None => 0,
        };
        if let Some(act) = &self.act {
            by.record(&mut tx, act.clone()).await?;
        }
        tx.commit().await?;
        self.act = None;
        if gone == 0 {
            self.ends.pop();
        }
        Ok(self.ends.is_empty())
    }
}

/// Reads the arguments of a call, where they were kept; who reads is on record.
pub async fn arguments(tx: &mut Tx, by: &Performer<'_>, request: RequestId) -> Result<Option<SecretBytes>, ActError> {
    role::audits(tx, by).await?;
    let found = tx.audit().arguments(request).await?;
    let detail = if found.is_some() { format!("`{request}`") } else { format!("`{request}`; none were kept") };
    by.record(tx, Act { detail, ..by.act(ActKind::ArgumentsRead) }).await?;
    Ok(found)
}

/// Notes that the records disagree with heads that were kept in a second place: one act for each disagreement.
pub async fn note_contradictions(tx: &mut Tx, by: &Performer<'_>, details: Vec<String>) -> Result<(), StoreError> {
    for detail in details {
        by.record(tx, Act { detail, ..by.act(ActKind::RecordsContradicted) }).await?;
    }
    Ok(())
}
