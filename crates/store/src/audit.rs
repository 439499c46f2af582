//! The records: one chain per node, whose links are bound to the one before them by a keyed hash.
//!
//! A link is a row: the records of one exchange that were written together, a line each. Most calls begin and end within
//! one batch, so that what is known of them costs one row, one hash and one entry of the index.

use std::collections::HashMap;
use std::sync::LazyLock;

use sekisho_protocol::audit::Record;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, RequestId};

use crate::error::StoreError;
use crate::seal::{Purpose, SecretBytes};
use crate::sql::{Row, Rows, corrupt, values};
use crate::tx::Tx;

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecord {
    /// Whose chain it is in.
    pub node: NodeId,
    /// Its place there, from 1 without holes.
    pub seq: i64,
    /// What it says.
    pub record: Record,
    /// The keyed hash of its link: over place, the hash before it, the exchange, and the text of all its records.
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
    /// Something at this place is missing or is not what was written.
    Broken {
        /// The first place that does not fit.
        seq: i64,
    },
    /// Every record is there and as it was written, up to this head.
    Intact(AuditHead),
}

/// The links that a filter asks for, found by the index that the condition names, in its order.
macro_rules! select_audit {
    ($condition:literal, $order:literal) => {
        concat!(
            "SELECT * FROM audit
             WHERE ",
            $condition,
            " AND place > $1 AND place < $2 AND place % 1099511627776 > $7 AND ($3 IS NULL OR request = $3)
                 AND request >= $4 AND request < $5 ORDER BY ",
            $order,
            " LIMIT $6"
        )
    };
}

/// Places of one chain: as many as 2^40, so that a chain and a place in it are one number.
const CHAIN_PLACES: i64 = 1 << 40;

/// Columns of a link's row.
const COLUMNS: usize = 5;
/// How many rows one statement inserts, at most and when there are fewer: a statement costs more than a row.
const ROWS_AT_ONCE: [usize; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];

static INSERTS: LazyLock<[Rows; 9]> = LazyLock::new(|| ROWS_AT_ONCE.map(insert));

/// The statement that inserts so many rows.
fn insert(rows: usize) -> Rows {
    Rows::new("INSERT INTO audit (place, request, records, kept_at, mac) VALUES", rows, COLUMNS)
}

/// The records. See [`Tx::audit`].
pub struct Audit<'a> {
    pub(crate) tx: &'a mut Tx,
}

/// The hash before the first.
fn genesis() -> Digest {
    Digest::from_bytes([0; 32])
}

impl Audit<'_> {
    /// Appends records to the chain of a node, in this order.
    pub async fn append<'r>(
        &mut self,
        node: NodeId,
        batch: impl IntoIterator<Item = &'r Record>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let batch: Vec<&Record> = batch.into_iter().collect();
        if batch.is_empty() {
            return Ok(());
        }
        let (chain, head) = self.take_head(node).await?;
        let AuditHead { mut seq, mut mac } = head;
        let exchanges = exchanges(&batch)?;
        let node_text = node.to_string();
        let mut left = exchanges.as_slice();
        for (rows, insert) in ROWS_AT_ONCE.into_iter().zip(INSERTS.iter()) {
            while let Some((some, others)) = left.split_at_checked(rows) {
                let mut row_values = Vec::with_capacity(rows * COLUMNS);
                for Exchange { request, count, text } in some {
                    seq = seq.saturating_add(*count);
                    let request = request.to_string();
                    let link = Link { node: &node_text, seq, previous: mac, request: &request, kept_at: now, text };
                    mac = self.mac(&link);
                    row_values.extend(values![chain.place(seq), request, text.as_str(), now, mac]);
                }
                self.tx.execute_rows(insert, row_values).await?;
                left = others;
            }
        }
        self.tx.execute("UPDATE audit_heads SET seq = $2, mac = $3 WHERE node = $1", values![node, seq, mac]).await?;
        Ok(())
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
        let chains = self.chains().await?;
        let after = filter.after_seq.unwrap_or(0);
        let (above, below) = match filter.node {
            None => (0, i64::MAX),
            Some(node) => match chains.iter().find(|(known, _)| *known == node) {
                Some((_, chain)) => (chain.place(after), chain.next()),
                None => return Ok(Vec::new()),
            },
        };
        let rows = self
            .tx
            .fetch_all(
                select(filter),
                values![
                    above,
                    below,
                    filter.request.as_ref(),
                    RequestId::first_at(filter.since.unwrap_or(Timestamp::MIN)),
                    filter.before.unwrap_or_else(|| RequestId::first_at(Timestamp::MAX)),
                    i64::from(limit),
                    after
                ],
            )
            .await?;
        let mut found = Vec::new();
        for row in rows {
            let mut link = read(&row, &chains)?;
            link.retain(|stored| stored.seq > after);
            if filter.order == AuditOrder::NewestFirst {
                link.reverse();
            }
            found.extend(link);
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
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

    /// Removes the records of a node that were kept before a moment, and seals where the chain begins then. Says how many
    /// they were. A chain that is not intact is left alone, so that what is wrong with it stays to be seen.
    pub async fn prune(
        &mut self,
        node: NodeId,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Result<u64, ChainCheck>, StoreError> {
        let check = self.verify(node).await?;
        if matches!(check, ChainCheck::Broken { .. }) {
            return Ok(Err(check));
        }
        let Some(chain) = self.chain(node).await? else { return Ok(Ok(0)) };
        // The first that stays: moments do not fall along a chain, but for clocks that were set back.
        let row = self
            .tx
            .fetch_optional(
                "SELECT place, mac FROM audit WHERE place > $1 AND place < $2 AND kept_at < $3
                     AND place < COALESCE(
                         (SELECT MIN(place) FROM audit WHERE place > $1 AND place < $2 AND kept_at >= $3), place + 1)
                 ORDER BY place DESC LIMIT 1",
                values![chain.place(0), chain.next(), before],
            )
            .await?;
        let Some(row) = row else { return Ok(Ok(0)) };
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
        Ok(Ok(last.seq.abs_diff(began)))
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
                    values![chain.place(reached.seq), chain.next(), i64::from(AUDIT_PAGE_MAX)],
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
        let text = row.text("records")?;
        let (Ok(kept_at), Ok(written)) = (row.time("kept_at"), row.parse::<Digest>("mac")) else { return Ok(None) };
        let request = row.text("request")?;
        let seq = chain.seq(row.int("place")?);
        let node = node.to_string();
        let link = Link { node: &node, seq, previous: previous.mac, request: &request, kept_at, text: &text };
        let mac = self.mac(&link);
        // As many as the place says, and readable.
        let Ok(records) = row.parse("request").and_then(|request| records(request, &text)) else { return Ok(None) };
        let fits = i64::try_from(records.len()).is_ok_and(|count| previous.seq.saturating_add(count) == seq);
        Ok((mac == written && fits).then_some(AuditHead { seq, mac }))
    }

    fn mac(&self, link: &Link<'_>) -> Digest {
        self.tx.seal.audit_mac(&[
            link.node.as_bytes(),
            &link.seq.to_be_bytes(),
            link.previous.as_bytes(),
            link.request.as_bytes(),
            &link.kept_at.as_millisecond().to_be_bytes(),
            link.text.as_bytes(),
        ])
    }
}

/// The statement that finds soonest what the filter asks for.
fn select(filter: &AuditFilter) -> &'static str {
    match (filter.request, filter.node, filter.order) {
        (Some(_), _, AuditOrder::NewestFirst) => select_audit!("request = $3", "place DESC"),
        (Some(_), _, AuditOrder::OldestFirst) => select_audit!("request = $3", "place"),
        (None, Some(_), AuditOrder::NewestFirst) => select_audit!("0 = 0", "place DESC"),
        (None, Some(_), AuditOrder::OldestFirst) => select_audit!("0 = 0", "place"),
        (None, None, AuditOrder::NewestFirst) => select_audit!("0 = 0", "request DESC, place DESC"),
        (None, None, AuditOrder::OldestFirst) => select_audit!("0 = 0", "request, place"),
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
    request: &'a str,
    kept_at: Timestamp,
    text: &'a str,
}

/// The records of one exchange in a batch.
struct Exchange {
    request: RequestId,
    count: i64,
    /// A line each.
    text: String,
}

/// What is known of most exchanges, in bytes: room for so much is made at once.
const LINK_BYTES_USUAL: usize = 1024;

/// A batch by exchanges, in the order of their first records.
fn exchanges(batch: &[&Record]) -> Result<Vec<Exchange>, StoreError> {
    let mut exchanges: Vec<(RequestId, i64, Vec<u8>)> = Vec::with_capacity(batch.len());
    let mut begun: HashMap<RequestId, usize> = HashMap::with_capacity(batch.len());
    for record in batch {
        let at = *begun.entry(record.request).or_insert(exchanges.len());
        if at == exchanges.len() {
            exchanges.push((record.request, 0, Vec::with_capacity(LINK_BYTES_USUAL)));
        }
        let (_, count, lines) = exchanges.get_mut(at).ok_or_else(|| corrupt("records"))?;
        *count = count.saturating_add(1);
        record.write_line(lines).map_err(|error| StoreError::Corrupt { what: error.to_string() })?;
        lines.push(b'\n');
    }
    let exchange = |(request, count, lines)| match String::from_utf8(lines) {
        Ok(text) => Ok(Exchange { request, count, text }),
        Err(_) => Err(corrupt("records")),
    };
    exchanges.into_iter().map(exchange).collect()
}

/// The records of a link.
fn records(request: RequestId, text: &str) -> Result<Vec<Record>, StoreError> {
    let records: Result<Vec<Record>, _> = text.lines().map(|line| Record::read_line(request, line)).collect();
    records.map_err(|_| corrupt("records"))
}

/// The records of a row, in order.
fn read(row: &Row, chains: &[(NodeId, Chain)]) -> Result<Vec<StoredRecord>, StoreError> {
    let place = row.int("place")?;
    let number = place.div_euclid(CHAIN_PLACES);
    let (node, chain) = chains.iter().find(|(_, chain)| chain.0 == number).ok_or_else(|| corrupt("place"))?;
    let (records, mac) = (records(row.parse("request")?, &row.text("records")?)?, row.parse("mac")?);
    let seqs = (1..=chain.seq(place)).rev().take(records.len());
    let mut seqs: Vec<i64> = seqs.collect();
    seqs.reverse();
    Ok(records.into_iter().zip(seqs).map(|(record, seq)| StoredRecord { node: *node, seq, record, mac }).collect())
}
