//! The records: one chain per node, in which each link contains a keyed hash over the link before it.
//!
//! A link is a row with the records of one batch whose exchanges began within about a second. A call therefore costs
//! only a few bytes: hundreds of records share one row, one hash and one index entry.

mod link;
mod prune;
mod unended;

use sekisho_protocol::audit::Record;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, RequestId};

use crate::error::StoreError;
use crate::seal::{Purpose, SecretBytes};
use crate::sql::{Row, corrupt, values};
use crate::tx::Tx;

use self::link::NewLink;

pub use self::unended::{UnendedCall, UnendedCursor};

/// A stored record.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecord {
    /// The node whose chain holds the record.
    pub node: NodeId,
    /// Its sequence number in that chain, from 1 without gaps.
    pub seq: i64,
    /// The record.
    pub record: Record,
    /// The keyed hash of its link: over its place, the hash before it, and all records of the link.
    pub mac: Digest,
}

/// Which records to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Records of this node's chain, in the order of the chain. Without it, records are ordered by the start of their
    /// exchanges, to the millisecond.
    pub node: Option<NodeId>,
    /// Records of exchanges that began at this time or later.
    pub since: Option<Timestamp>,
    /// Records of this exchange.
    pub request: Option<RequestId>,
    /// Records of exchanges that began before this one: the next older page.
    pub before: Option<RequestId>,
    /// Records after this place of the chain; use it together with `node` to read the next page.
    pub after_seq: Option<i64>,
    /// Which records come first; `limit` cuts off the last ones.
    pub order: AuditOrder,
    /// The most records to return; 0 means [`AUDIT_PAGE_MAX`], which is also the maximum.
    pub limit: u32,
}

/// Which records come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuditOrder {
    /// The newest records.
    NewestFirst,
    /// The oldest records.
    #[default]
    OldestFirst,
}

/// The longest page of records.
pub const AUDIT_PAGE_MAX: u32 = 1_000;

/// The end of a node's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The place of the last record; 0 for an empty chain.
    pub seq: i64,
    /// Its hash.
    pub mac: Digest,
}

/// The result of recomputing a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainCheck {
    /// A record is missing or was changed.
    Broken {
        /// The first record of the first link that does not match; this record or another one of the link is wrong.
        seq: i64,
    },
    /// Every record up to this head is there and unchanged.
    Intact(AuditHead),
}

/// Selects the links that may hold the wanted records, in the order of the first column, from where the page before
/// ended. The `+` keeps a database from using another index and then sorting.
macro_rules! select_audit {
    (by place, $after:literal, $order:literal) => {
        concat!(
            "SELECT * FROM audit WHERE place > $1 AND place < $2 AND +began >= $3 AND +began <= $4
                 AND (place, began) ",
            $after,
            " ($6, $5) ORDER BY place ",
            $order,
            " LIMIT $7"
        )
    };
    (by beginning, $after:literal, $order:literal) => {
        concat!(
            "SELECT * FROM audit WHERE +place > $1 AND +place < $2 AND began >= $3 AND began <= $4
                 AND (began, place) ",
            $after,
            " ($5, $6) ORDER BY began ",
            $order,
            ", place ",
            $order,
            " LIMIT $7"
        )
    };
}

/// The number of places of one chain, 2^40, so that a chain and a place in it fit into one number.
const CHAIN_PLACES: i64 = 1 << 40;

/// How many links are read at once.
const LINKS_AT_ONCE: usize = 64;
/// How many pages of records are held in memory before those that cannot be on the page are dropped.
const PAGES_HELD: usize = 4;

/// The records. See [`Tx::audit`].
pub struct Audit<'a> {
    pub(crate) tx: &'a mut Tx,
}

/// Returns the hash that stands before the first link.
fn genesis() -> Digest {
    Digest::from_bytes([0; 32])
}

impl Audit<'_> {
    /// Appends records to the chain of a node, in this order. Returns the head that the chain has after the commit.
    pub async fn append<'r>(
        &mut self,
        node: NodeId,
        batch: impl IntoIterator<Item = &'r Record>,
        now: Timestamp,
    ) -> Result<AuditHead, StoreError> {
        let links = link::links(batch)?;
        let (chain, head) = self.take_head(node).await?;
        let AuditHead { mut seq, mut mac } = head;
        let node_text = node.to_string();
        for NewLink { began, count, packed } in links {
            seq = seq.saturating_add(count);
            mac = self.mac(&Link { node: &node_text, seq, previous: mac, began, kept_at: now, packed: &packed });
            self.tx
                .execute(
                    "INSERT INTO audit (place, began, kept_at, records, mac) VALUES ($1, $2, $3, $4, $5)",
                    values![chain.place(seq), began, now, packed, mac],
                )
                .await?;
        }
        self.tx.execute("UPDATE audit_heads SET seq = $2, mac = $3 WHERE node = $1", values![node, seq, mac]).await?;
        Ok(AuditHead { seq, mac })
    }

    /// Returns whether a chain has reached this head, which tells whether a commit without an answer succeeded. Waits
    /// for a transaction of this node that is still being committed.
    pub async fn has_come_to(&mut self, node: NodeId, head: AuditHead) -> Result<bool, StoreError> {
        self.take_head(node).await?;
        Ok(self.mac_at(node, head.seq).await? == Some(head.mac))
    }

    /// Returns the end of a node's chain, starting the chain if needed. Writes to the head's row, so that a second
    /// writer of this node waits until our commit.
    async fn take_head(&mut self, node: NodeId) -> Result<(Chain, AuditHead), StoreError> {
        const TAKE: &str = "UPDATE audit_heads SET seq = seq WHERE node = $1 RETURNING chain, seq, mac";
        let mut row = self.tx.fetch_optional(TAKE, values![node]).await?;
        if row.is_none() {
            self.tx.execute("UPDATE counters SET value = value + 1 WHERE name = 'chains'", values![]).await?;
            self.tx
                .execute(
                    "INSERT INTO audit_heads (node, chain, seq, mac)
                     SELECT $1, value, 0, $2 FROM counters WHERE name = 'chains' ON CONFLICT (node) DO NOTHING",
                    values![node, genesis()],
                )
                .await?;
            row = self.tx.fetch_optional(TAKE, values![node]).await?;
        }
        let row = row.ok_or_else(|| corrupt("audit_heads"))?;
        Ok((Chain(row.int("chain")?), AuditHead { seq: row.int("seq")?, mac: row.parse("mac")? }))
    }

    /// Returns the records that match the filter.
    pub async fn list(&mut self, filter: &AuditFilter) -> Result<Vec<StoredRecord>, StoreError> {
        let limit = if filter.limit == 0 { AUDIT_PAGE_MAX } else { filter.limit.min(AUDIT_PAGE_MAX) };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let chains = self.chains().await?;
        let (above, below) = match filter.node {
            None => (0, i64::MAX),
            Some(node) => match chains.iter().find(|(known, _)| *known == node) {
                Some((_, chain)) => (chain.place(filter.after_seq.unwrap_or(0)), chain.next()),
                None => return Ok(Vec::new()),
            },
        };
        let (from, to) = filter.spans();
        // Where the next read continues; at first, before everything.
        let (mut began, mut place) = match filter.order {
            AuditOrder::NewestFirst => (i64::MAX, i64::MAX),
            AuditOrder::OldestFirst => (-1, -1),
        };
        let mut found = Vec::new();
        loop {
            let bounds = values![above, below, from, to, began, place, LINKS_AT_ONCE as i64];
            let rows = self.tx.fetch_all(filter.select(), bounds).await?;
            let is_last = rows.len() < LINKS_AT_ONCE;
            for row in rows {
                let before = std::mem::replace(&mut began, row.int("began")?);
                // Exchanges that began in one span are not sorted, so a span has to be read to its end.
                if found.len() >= limit && (filter.is_by_place() || before != began) {
                    return Ok(filter.page(found, limit));
                }
                place = row.int("place")?;
                read(&row, &chains, filter, &mut found)?;
                if found.len() > limit.saturating_mul(PAGES_HELD) {
                    found = filter.page(found, limit);
                }
            }
            if is_last {
                return Ok(filter.page(found, limit));
            }
        }
    }

    /// Returns every node with the number of its chain.
    async fn chains(&mut self) -> Result<Vec<(NodeId, Chain)>, StoreError> {
        let rows = self.tx.fetch_all("SELECT node, chain FROM audit_heads ORDER BY node", values![]).await?;
        rows.iter().map(|row| Ok((row.parse("node")?, Chain(row.int("chain")?)))).collect()
    }

    async fn chain(&mut self, node: NodeId) -> Result<Option<Chain>, StoreError> {
        let row = self.tx.fetch_optional("SELECT chain FROM audit_heads WHERE node = $1", values![node]).await?;
        row.map(|row| row.int("chain").map(Chain)).transpose()
    }

    /// Returns the end of a node's chain, or `None` if the node never wrote.
    pub async fn head(&mut self, node: NodeId) -> Result<Option<AuditHead>, StoreError> {
        let row = self.tx.fetch_optional("SELECT seq, mac FROM audit_heads WHERE node = $1", values![node]).await?;
        row.map(|row| Ok(AuditHead { seq: row.int("seq")?, mac: row.parse("mac")? })).transpose()
    }

    /// Returns when the last records of a node were stored, which is a time that its clock showed. `None`: it has no
    /// records, or none any more.
    pub async fn last_kept_at(&mut self, node: NodeId) -> Result<Option<Timestamp>, StoreError> {
        let Some(chain) = self.chain(node).await? else { return Ok(None) };
        let row = self
            .tx
            .fetch_optional(
                "SELECT kept_at FROM audit WHERE place > $1 AND place < $2 ORDER BY place DESC LIMIT 1",
                values![chain.place(0), chain.next()],
            )
            .await?;
        row.map(|row| row.time("kept_at")).transpose()
    }

    /// Returns all nodes that ever wrote.
    pub async fn nodes(&mut self) -> Result<Vec<NodeId>, StoreError> {
        Ok(self.chains().await?.into_iter().map(|(node, _)| node).collect())
    }

    /// Returns the hash of the link of a chain that ends with this record, as every head does. `None`: there is no such
    /// link, or not any more.
    pub async fn mac_at(&mut self, node: NodeId, seq: i64) -> Result<Option<Digest>, StoreError> {
        let Some(chain) = self.chain(node).await? else { return Ok(None) };
        let row = self.tx.fetch_optional("SELECT mac FROM audit WHERE place = $1", values![chain.place(seq)]).await?;
        row.map(|row| row.parse("mac")).transpose()
    }

    /// Returns where the chain of a node begins: after the pruned records. `Err(seq)`: the row that says so was
    /// tampered with.
    pub async fn beginning(&mut self, node: NodeId) -> Result<Result<AuditHead, i64>, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT seq, mac, sealed FROM audit_checkpoints WHERE node = $1", values![node])
            .await?;
        let Some(row) = row else { return Ok(Ok(AuditHead { seq: 0, mac: genesis() })) };
        let head = AuditHead { seq: row.int("seq")?, mac: row.parse("mac")? };
        let sealed: Digest = row.parse("sealed")?;
        Ok(if sealed == self.checkpoint_mac(node, head) { Ok(head) } else { Err(head.seq) })
    }

    fn checkpoint_mac(&self, node: NodeId, head: AuditHead) -> Digest {
        self.tx.seal.audit_mac(&[
            b"checkpoint",
            node.to_string().as_bytes(),
            &head.seq.to_be_bytes(),
            head.mac.as_bytes(),
        ])
    }

    /// Stores the arguments of a call outside the chain, sealed, until they expire.
    pub async fn keep_arguments(
        &mut self,
        request: RequestId,
        arguments: &[u8],
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sealed = self.tx.seal.seal(Purpose::AuditArguments, &[&request.to_string()], arguments)?;
        self.tx
            .execute(
                "INSERT INTO audit_arguments (request, arguments, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (request) DO NOTHING",
                values![request, sealed, expires_at],
            )
            .await?;
        Ok(())
    }

    /// Returns the arguments of a call. `None`: they were not kept, or not any more.
    pub async fn arguments(&mut self, request: RequestId) -> Result<Option<SecretBytes>, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT arguments FROM audit_arguments WHERE request = $1", values![request])
            .await?;
        let Some(row) = row else { return Ok(None) };
        let opened = self.tx.seal.open(Purpose::AuditArguments, &[&request.to_string()], &row.blob("arguments")?)?;
        Ok(Some(SecretBytes::new(opened.to_vec())))
    }

    /// Recomputes the chain of a node from its beginning (ATK-98). Compare the head with one that was stored elsewhere:
    /// nothing else reveals that the last records were cut off together with the head. Records of a chain without a
    /// head make every chain broken, because nobody can say whose they were.
    pub async fn verify(&mut self, node: NodeId) -> Result<ChainCheck, StoreError> {
        let orphan = self
            .tx
            .fetch_optional(
                "SELECT place FROM audit WHERE place / 1099511627776 NOT IN (SELECT chain FROM audit_heads)
                 ORDER BY place LIMIT 1",
                values![],
            )
            .await?;
        if let Some(orphan) = orphan {
            return Ok(ChainCheck::Broken { seq: orphan.int("place")?.rem_euclid(CHAIN_PLACES) });
        }
        let head = self.head(node).await?.unwrap_or(AuditHead { seq: 0, mac: genesis() });
        let mut reached = match self.beginning(node).await? {
            Ok(beginning) => beginning,
            Err(seq) => return Ok(ChainCheck::Broken { seq }),
        };
        let chain = self.chain(node).await?.unwrap_or(Chain(0));
        loop {
            let rows = self
                .tx
                .fetch_all(
                    "SELECT * FROM audit WHERE place > $1 AND place < $2 ORDER BY place LIMIT $3",
                    values![chain.place(reached.seq), chain.next(), LINKS_AT_ONCE as i64],
                )
                .await?;
            if rows.is_empty() {
                let whole = reached == head;
                return Ok(if whole {
                    ChainCheck::Intact(head)
                } else {
                    ChainCheck::Broken { seq: reached.seq.saturating_add(1) }
                });
            }
            for row in rows {
                match self.follow(node, chain, reached, &row)? {
                    Some(next) => reached = next,
                    None => return Ok(ChainCheck::Broken { seq: reached.seq.saturating_add(1) }),
                }
            }
        }
    }

    /// Returns the end of the next link, if it is the one that was written after `previous`.
    fn follow(
        &self,
        node: NodeId,
        chain: Chain,
        previous: AuditHead,
        row: &Row,
    ) -> Result<Option<AuditHead>, StoreError> {
        let (Ok(kept_at), Ok(written)) = (row.time("kept_at"), row.parse::<Digest>("mac")) else { return Ok(None) };
        let (began, packed) = (row.int("began")?, row.blob("records")?);
        let seq = chain.seq(row.int("place")?);
        let node = node.to_string();
        let mac = self.mac(&Link { node: &node, seq, previous: previous.mac, began, kept_at, packed: &packed });
        if mac != written {
            return Ok(None);
        }
        // The link has to have as many lines as its place says, and all have to be readable.
        let Ok(lines) = link::unpack(&packed) else { return Ok(None) };
        let readable = lines.lines().all(|line| Record::read_line(line).is_ok());
        let fits = i64::try_from(lines.lines().count()).is_ok_and(|count| previous.seq.saturating_add(count) == seq);
        Ok((readable && fits).then_some(AuditHead { seq, mac }))
    }

    fn mac(&self, link: &Link<'_>) -> Digest {
        self.tx.seal.audit_mac(&[
            link.node.as_bytes(),
            &link.seq.to_be_bytes(),
            link.previous.as_bytes(),
            &link.began.to_be_bytes(),
            &link.kept_at.as_millisecond().to_be_bytes(),
            link.packed,
        ])
    }
}

impl AuditFilter {
    /// Returns whether the order is that of a chain.
    fn is_by_place(&self) -> bool {
        self.node.is_some() && self.request.is_none()
    }

    /// Returns the first and the last span in which wanted exchanges began.
    fn spans(&self) -> (i64, i64) {
        let since = self.since.map(|since| link::span(RequestId::first_at(since)));
        let before = self.before.map(link::span);
        match self.request.map(link::span) {
            Some(span) => (span, span),
            None => (since.unwrap_or(0), before.unwrap_or(i64::MAX)),
        }
    }

    /// Returns the statement that finds the wanted records fastest.
    fn select(&self) -> &'static str {
        match (self.is_by_place(), self.order) {
            (true, AuditOrder::NewestFirst) => select_audit!(by place, "<", "DESC"),
            (true, AuditOrder::OldestFirst) => select_audit!(by place, ">", "ASC"),
            (false, AuditOrder::NewestFirst) => select_audit!(by beginning, "<", "DESC"),
            (false, AuditOrder::OldestFirst) => select_audit!(by beginning, ">", "ASC"),
        }
    }

    /// Returns whether a record of this exchange at this place is wanted.
    fn wants(&self, request: RequestId, seq: i64) -> bool {
        self.after_seq.is_none_or(|after| seq > after)
            && self.request.is_none_or(|wanted| request == wanted)
            && self.since.is_none_or(|since| request >= RequestId::first_at(since))
            && self.before.is_none_or(|before| request < before)
    }

    /// Returns the first `limit` of the found records, in order.
    fn page(&self, mut found: Vec<StoredRecord>, limit: usize) -> Vec<StoredRecord> {
        if self.is_by_place() {
            found.sort_by_key(|stored| stored.seq);
        } else {
            found.sort_by_key(|stored| (stored.record.request, stored.node, stored.seq));
        }
        if self.order == AuditOrder::NewestFirst {
            found.reverse();
        }
        found.truncate(limit);
        found
    }
}

/// The number of a node's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chain(i64);

impl Chain {
    /// Returns the place of a record among those of all chains.
    fn place(self, seq: i64) -> i64 {
        self.0.saturating_mul(CHAIN_PLACES).saturating_add(seq.clamp(0, CHAIN_PLACES - 1))
    }

    /// Returns where the next chain begins.
    fn next(self) -> i64 {
        self.0.saturating_add(1).saturating_mul(CHAIN_PLACES)
    }

    /// Returns the sequence number of a place in this chain.
    fn seq(self, place: i64) -> i64 {
        place.saturating_sub(self.place(0))
    }
}

/// The data that one hash of the chain covers.
struct Link<'a> {
    node: &'a str,
    seq: i64,
    previous: Digest,
    began: i64,
    kept_at: Timestamp,
    packed: &'a [u8],
}

/// Adds the wanted records of a row.
fn read(
    row: &Row,
    chains: &[(NodeId, Chain)],
    filter: &AuditFilter,
    found: &mut Vec<StoredRecord>,
) -> Result<(), StoreError> {
    let place = row.int("place")?;
    let number = place.div_euclid(CHAIN_PLACES);
    let (node, chain) = chains.iter().find(|(_, chain)| chain.0 == number).ok_or_else(|| corrupt("place"))?;
    let (lines, mac) = (link::unpack(&row.blob("records")?)?, row.parse("mac")?);
    let last = chain.seq(place);
    for (line, back) in lines.lines().rev().zip(0..) {
        let seq = last.saturating_sub(back);
        let request = Record::request_of_line(line).ok_or_else(|| corrupt("records"))?;
        if filter.wants(request, seq) {
            let record = Record::read_line(line).map_err(|_| corrupt("records"))?;
            found.push(StoredRecord { node: *node, seq, record, mac });
        }
    }
    Ok(())
}
