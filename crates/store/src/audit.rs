//! The records: one chain per node, whose links are bound to the one before them by a keyed hash.
//!
//! A link is a row: the records of a batch whose exchanges began within a second. So what is known of a call costs a few
//! bytes, and a row, a hash and an entry of the index are shared by hundreds.

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

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecord {
    /// Whose chain it is in.
    pub node: NodeId,
    /// Its place there, from 1 without holes.
    pub seq: i64,
    /// What it says.
    pub record: Record,
    /// The keyed hash of its link: over its place, the hash before it, and all that was written with it.
    pub mac: Digest,
}

/// Which records are wanted. A field that is `None` asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of which node's chain. Then their order is that of the chain, otherwise that in which exchanges began, to the
    /// millisecond.
    pub node: Option<NodeId>,
    /// Of exchanges that began at this moment or later.
    pub since: Option<Timestamp>,
    /// Of this exchange.
    pub request: Option<RequestId>,
    /// Of exchanges before this one, in the order in which they began: to go on with the next older page.
    pub before: Option<RequestId>,
    /// After this place of the chain: to read on, give `node` too.
    pub after_seq: Option<i64>,
    /// Which come first, and so which a limit leaves out.
    pub order: AuditOrder,
    /// How many at most; 0 is [`AUDIT_PAGE_MAX`], and no page is longer.
    pub limit: u32,
}

/// Which records come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuditOrder {
    /// The newest.
    NewestFirst,
    /// The oldest.
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

/// What recomputing a chain found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainCheck {
    /// A record is missing or is not what was written.
    Broken {
        /// The first record of the first link that does not fit: it, or one that was written with it.
        seq: i64,
    },
    /// Every record is there and as it was written, up to this head.
    Intact(AuditHead),
}

/// The links that may hold what a filter asks for, in the order that is named first, from where the page before ended. The
/// plus keeps a database from looking for them in another order and sorting them.
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

/// Places of one chain: as many as 2^40, so that a chain and a place in it are one number.
const CHAIN_PLACES: i64 = 1 << 40;

/// How many links are read at once.
const LINKS_AT_ONCE: usize = 64;
/// How many pages of records are held before those that will not be on the page go.
const PAGES_HELD: usize = 4;

/// The records. See [`Tx::audit`].
pub struct Audit<'a> {
    pub(crate) tx: &'a mut Tx,
}

/// The hash before the first.
fn genesis() -> Digest {
    Digest::from_bytes([0; 32])
}

impl Audit<'_> {
    /// Appends records to the chain of a node, in this order. Gives the head that the chain has once this is committed.
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

    /// Whether a chain has come to this head, or further: so it is known what became of a commit that was not answered.
    /// Waits for a transaction of this node that is still being committed.
    pub async fn has_come_to(&mut self, node: NodeId, head: AuditHead) -> Result<bool, StoreError> {
        self.take_head(node).await?;
        Ok(self.mac_at(node, head.seq).await? == Some(head.mac))
    }

    /// The end of a node's chain, which is begun if need be. Writing to the head's row makes a second writer of this node
    /// wait until we are committed.
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

    /// The records that the filter asks for.
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
        // Where it goes on: as yet, before all.
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
                // Exchanges that began in one span are in no order there.
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

    /// Every node with the number of its chain.
    async fn chains(&mut self) -> Result<Vec<(NodeId, Chain)>, StoreError> {
        let rows = self.tx.fetch_all("SELECT node, chain FROM audit_heads ORDER BY node", values![]).await?;
        rows.iter().map(|row| Ok((row.parse("node")?, Chain(row.int("chain")?)))).collect()
    }

    async fn chain(&mut self, node: NodeId) -> Result<Option<Chain>, StoreError> {
        let row = self.tx.fetch_optional("SELECT chain FROM audit_heads WHERE node = $1", values![node]).await?;
        row.map(|row| row.int("chain").map(Chain)).transpose()
    }

    /// The end of a node's chain, to be kept in a second place. `None`: the node never wrote.
    pub async fn head(&mut self, node: NodeId) -> Result<Option<AuditHead>, StoreError> {
        let row = self.tx.fetch_optional("SELECT seq, mac FROM audit_heads WHERE node = $1", values![node]).await?;
        row.map(|row| Ok(AuditHead { seq: row.int("seq")?, mac: row.parse("mac")? })).transpose()
    }

    /// When the last records of a node were kept: its clock stood there once. `None`: there are none, or not any more.
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

    /// The nodes that ever wrote.
    pub async fn nodes(&mut self) -> Result<Vec<NodeId>, StoreError> {
        Ok(self.chains().await?.into_iter().map(|(node, _)| node).collect())
    }

    /// The hash of the link of a chain that ends with this record, as every head does. `None`: there is none, or not any
    /// more.
    pub async fn mac_at(&mut self, node: NodeId, seq: i64) -> Result<Option<Digest>, StoreError> {
        let Some(chain) = self.chain(node).await? else { return Ok(None) };
        let row = self.tx.fetch_optional("SELECT mac FROM audit WHERE place = $1", values![chain.place(seq)]).await?;
        row.map(|row| row.parse("mac")).transpose()
    }

    /// Where the chain of a node begins: after what was pruned. `Err(seq)`: what says so was changed.
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

    /// Keeps the arguments of a call beside the chain, sealed, until they expire.
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

    /// The arguments of a call. `None`: they were not kept, or are not any more.
    pub async fn arguments(&mut self, request: RequestId) -> Result<Option<SecretBytes>, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT arguments FROM audit_arguments WHERE request = $1", values![request])
            .await?;
        let Some(row) = row else { return Ok(None) };
        let opened = self.tx.seal.open(Purpose::AuditArguments, &[&request.to_string()], &row.blob("arguments")?)?;
        Ok(Some(SecretBytes::new(opened.to_vec())))
    }

    /// Recomputes the chain of a node from its beginning (ATK-98). Compare the head with the one kept elsewhere:
    /// only that shows a tail that was cut together with the head. Records of a chain that has no head any more break
    /// every chain: nobody can say whose they were.
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

    /// The end of the next link, if it is the one that was written after `previous`.
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
        // As many as the place says, and readable.
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
    /// Whether the order is that of a chain.
    fn is_by_place(&self) -> bool {
        self.node.is_some() && self.request.is_none()
    }

    /// The first and the last span in which exchanges that are wanted began.
    fn spans(&self) -> (i64, i64) {
        let since = self.since.map(|since| link::span(RequestId::first_at(since)));
        let before = self.before.map(link::span);
        match self.request.map(link::span) {
            Some(span) => (span, span),
            None => (since.unwrap_or(0), before.unwrap_or(i64::MAX)),
        }
    }

    /// The statement that finds soonest what is asked for.
    fn select(&self) -> &'static str {
        match (self.is_by_place(), self.order) {
            (true, AuditOrder::NewestFirst) => select_audit!(by place, "<", "DESC"),
            (true, AuditOrder::OldestFirst) => select_audit!(by place, ">", "ASC"),
            (false, AuditOrder::NewestFirst) => select_audit!(by beginning, "<", "DESC"),
            (false, AuditOrder::OldestFirst) => select_audit!(by beginning, ">", "ASC"),
        }
    }

    /// Whether a record of this exchange at this place is wanted.
    fn wants(&self, request: RequestId, seq: i64) -> bool {
        self.after_seq.is_none_or(|after| seq > after)
            && self.request.is_none_or(|wanted| request == wanted)
            && self.since.is_none_or(|since| request >= RequestId::first_at(since))
            && self.before.is_none_or(|before| request < before)
    }

    /// The first of what was found, in order.
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
    /// Where a record stands among those of all chains.
    fn place(self, seq: i64) -> i64 {
        self.0.saturating_mul(CHAIN_PLACES).saturating_add(seq.clamp(0, CHAIN_PLACES - 1))
    }

    /// Where the next chain begins.
    fn next(self) -> i64 {
        self.0.saturating_add(1).saturating_mul(CHAIN_PLACES)
    }

    /// The place of a record in this chain.
    fn seq(self, place: i64) -> i64 {
        place.saturating_sub(self.place(0))
    }
}

/// What one hash of the chain covers.
struct Link<'a> {
    node: &'a str,
    seq: i64,
    previous: Digest,
    began: i64,
    kept_at: Timestamp,
    packed: &'a [u8],
}

/// Adds what is wanted of a row.
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
