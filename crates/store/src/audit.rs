//! The records: one chain per node, each entry bound to the one before it by a keyed hash.

use std::sync::LazyLock;

use sekisho_protocol::audit::Record;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, RequestId};

use crate::error::StoreError;
use crate::seal::{Purpose, SecretBytes};
use crate::sql::{Row, Rows, corrupt, json, values};
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
    /// The keyed hash over place, the hash before it, and its text.
    pub mac: Digest,
}

/// Which records are wanted. A field that is `None` asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of which node's chain. Then their order is that of the chain, otherwise that of time.
    pub node: Option<NodeId>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of this exchange.
    pub request: Option<RequestId>,
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

/// The records that a filter asks for, found by the index that the condition names, in its order.
macro_rules! select_audit {
    ($condition:literal, $order:literal) => {
        concat!(
            "SELECT * FROM audit
             WHERE ",
            $condition,
            " AND ($1 IS NULL OR node = $1) AND ($2 IS NULL OR request = $2)
                 AND recorded_at >= $3 AND recorded_at < $4 AND seq > $5 ORDER BY ",
            $order,
            " LIMIT $6"
        )
    };
}

/// Columns of a record's row.
const COLUMNS: usize = 7;
/// How many rows one statement inserts, at most and when there are fewer: a statement costs more than a row.
const ROWS_AT_ONCE: [usize; 4] = [128, 32, 8, 1];

static INSERTS: LazyLock<[Rows; 4]> = LazyLock::new(|| ROWS_AT_ONCE.map(insert));

/// The statement that inserts so many rows.
fn insert(rows: usize) -> Rows {
    Rows::new("INSERT INTO audit (node, seq, recorded_at, request, record, kept_at, mac) VALUES", rows, COLUMNS)
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
        // Writing to the head's row makes a second writer of this node wait until we are committed.
        let row = self
            .tx
            .fetch_optional(
                "INSERT INTO audit_heads (node, seq, mac) VALUES ($1, 0, $2)
                 ON CONFLICT (node) DO UPDATE SET seq = audit_heads.seq
                 RETURNING seq, mac",
                values![node, genesis()],
            )
            .await?;
        let row = row.ok_or_else(|| corrupt("audit_heads"))?;
        let (mut seq, mut mac): (i64, Digest) = (row.int("seq")?, row.parse("mac")?);
        let mut left = batch.as_slice();
        for (rows, insert) in ROWS_AT_ONCE.into_iter().zip(INSERTS.iter()) {
            while let Some((some, others)) = left.split_at_checked(rows) {
                let mut row_values = Vec::with_capacity(rows * COLUMNS);
                for record in some {
                    seq = seq.saturating_add(1);
                    let text = json(record)?;
                    mac = self.mac(&Link { node, seq, previous: mac, kept_at: now, text: &text });
                    row_values.extend(values![node, seq, record.at, record.request, text, now, mac]);
                }
                self.tx.execute_rows(insert, row_values).await?;
                left = others;
            }
        }
        self.tx.execute("UPDATE audit_heads SET seq = $2, mac = $3 WHERE node = $1", values![node, seq, mac]).await?;
        Ok(())
    }

    /// The records that the filter asks for.
    pub async fn list(&mut self, filter: &AuditFilter) -> Result<Vec<StoredRecord>, StoreError> {
        let limit = if filter.limit == 0 { AUDIT_PAGE_MAX } else { filter.limit.min(AUDIT_PAGE_MAX) };
        let rows = self
            .tx
            .fetch_all(
                select(filter),
                values![
                    filter.node.as_ref(),
                    filter.request.as_ref(),
                    filter.since.unwrap_or(Timestamp::MIN),
                    filter.until.unwrap_or(Timestamp::MAX),
                    filter.after_seq.unwrap_or(0),
                    i64::from(limit)
                ],
            )
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// The end of a node's chain, to be kept in a second place. `None`: the node never wrote.
    pub async fn head(&mut self, node: NodeId) -> Result<Option<AuditHead>, StoreError> {
        let row = self.tx.fetch_optional("SELECT seq, mac FROM audit_heads WHERE node = $1", values![node]).await?;
        row.map(|row| Ok(AuditHead { seq: row.int("seq")?, mac: row.parse("mac")? })).transpose()
    }

    /// The nodes that ever wrote.
    pub async fn nodes(&mut self) -> Result<Vec<NodeId>, StoreError> {
        let rows = self.tx.fetch_all("SELECT node FROM audit_heads ORDER BY node", values![]).await?;
        rows.iter().map(|row| row.parse("node")).collect()
    }

    /// The hash of one record of a chain. `None`: it is not there, or not any more.
    pub async fn mac_at(&mut self, node: NodeId, seq: i64) -> Result<Option<Digest>, StoreError> {
        let row =
            self.tx.fetch_optional("SELECT mac FROM audit WHERE node = $1 AND seq = $2", values![node, seq]).await?;
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
        // The first that stays: moments do not fall along a chain, but for clocks that were set back.
        let row = self
            .tx
            .fetch_optional(
                "SELECT seq, mac FROM audit WHERE node = $1 AND kept_at < $2
                     AND seq < COALESCE((SELECT MIN(seq) FROM audit WHERE node = $1 AND kept_at >= $2), seq + 1)
                 ORDER BY seq DESC LIMIT 1",
                values![node, before],
            )
            .await?;
        let Some(row) = row else { return Ok(Ok(0)) };
        let last = AuditHead { seq: row.int("seq")?, mac: row.parse("mac")? };
        let sealed = self.checkpoint_mac(node, last);
        self.tx
            .execute(
                "INSERT INTO audit_checkpoints (node, seq, mac, sealed, pruned_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, mac = excluded.mac, sealed = excluded.sealed,
                     pruned_at = excluded.pruned_at",
                values![node, last.seq, last.mac, sealed, now],
            )
            .await?;
        let gone = self.tx.execute("DELETE FROM audit WHERE node = $1 AND seq <= $2", values![node, last.seq]).await?;
        Ok(Ok(gone))
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
    /// only that shows a tail that was cut together with the head.
    pub async fn verify(&mut self, node: NodeId) -> Result<ChainCheck, StoreError> {
        let head = self.head(node).await?.unwrap_or(AuditHead { seq: 0, mac: genesis() });
        let mut reached = match self.beginning(node).await? {
            Ok(beginning) => beginning,
            Err(seq) => return Ok(ChainCheck::Broken { seq }),
        };
        loop {
            let rows = self
                .tx
                .fetch_all(
                    "SELECT * FROM audit WHERE node = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                    values![node, reached.seq, i64::from(AUDIT_PAGE_MAX)],
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
                let seq = reached.seq.saturating_add(1);
                match self.follow(node, seq, reached.mac, &row)? {
                    Some(mac) => reached = AuditHead { seq, mac },
                    None => return Ok(ChainCheck::Broken { seq }),
                }
            }
        }
    }

    /// The hash of the next record, if it is the one that was written after `previous`.
    fn follow(&self, node: NodeId, seq: i64, previous: Digest, row: &Row) -> Result<Option<Digest>, StoreError> {
        let text = row.text("record")?;
        let (Ok(kept_at), Ok(written)) = (row.time("kept_at"), row.parse::<Digest>("mac")) else { return Ok(None) };
        let mac = self.mac(&Link { node, seq, previous, kept_at, text: &text });
        // The columns that only serve searching must say what the record says.
        let searchable = serde_json::from_str::<Record>(&text).is_ok_and(|record| {
            row.int("recorded_at").ok() == Some(record.at.as_millisecond())
                && row.parse("request").ok() == Some(record.request)
        });
        Ok((row.int("seq")? == seq && mac == written && searchable).then_some(mac))
    }

    fn mac(&self, link: &Link<'_>) -> Digest {
        self.tx.seal.audit_mac(&[
            link.node.to_string().as_bytes(),
            &link.seq.to_be_bytes(),
            link.previous.as_bytes(),
            &link.kept_at.as_millisecond().to_be_bytes(),
            link.text.as_bytes(),
        ])
    }
}

/// The statement that finds soonest what the filter asks for.
fn select(filter: &AuditFilter) -> &'static str {
    match (filter.request, filter.node, filter.order) {
        (Some(_), _, AuditOrder::NewestFirst) => select_audit!("request = $2", "recorded_at DESC, node DESC, seq DESC"),
        (Some(_), _, AuditOrder::OldestFirst) => select_audit!("request = $2", "recorded_at, node, seq"),
        (None, Some(_), AuditOrder::NewestFirst) => select_audit!("node = $1", "seq DESC"),
        (None, Some(_), AuditOrder::OldestFirst) => select_audit!("node = $1", "seq"),
        (None, None, AuditOrder::NewestFirst) => select_audit!("0 = 0", "recorded_at DESC, node DESC, seq DESC"),
        (None, None, AuditOrder::OldestFirst) => select_audit!("0 = 0", "recorded_at, node, seq"),
    }
}

/// What one hash of the chain covers.
struct Link<'a> {
    node: NodeId,
    seq: i64,
    previous: Digest,
    kept_at: Timestamp,
    text: &'a str,
}

fn read(row: Row) -> Result<StoredRecord, StoreError> {
    Ok(StoredRecord {
        node: row.parse("node")?,
        seq: row.int("seq")?,
        record: row.json("record")?,
        mac: row.parse("mac")?,
    })
}
