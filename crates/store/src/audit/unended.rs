//! Permitted calls whose end is not on record, because the process was killed or could not write any more.

use std::collections::BTreeMap;

use sekisho_protocol::audit::{Event, Record, Verdict};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, RequestId, ServerName};

use super::{Audit, LINKS_AT_ONCE, link};
use crate::error::StoreError;
use crate::sql::{corrupt, values};

/// A permitted call without an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnendedCall {
    /// The call's identifier in the records.
    pub request: RequestId,
    /// The server that was called.
    pub server: ServerName,
}

/// Where the search for such calls continues. All records of exchanges that began within one span are in links of that
/// span, so spans can be searched one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnendedCursor {
    began: i64,
}

impl UnendedCursor {
    /// Starts the search with exchanges that began at this time.
    pub fn from(since: Timestamp) -> Self {
        Self { began: link::span(RequestId::first_at(since)) }
    }
}

impl Audit<'_> {
    /// Returns the permitted calls of a node in the next span that has any exchanges, as far as they have no outcome
    /// among the records up to `last`. `None`: no exchange began later.
    pub async fn unended(
        &mut self,
        node: NodeId,
        last: i64,
        cursor: &mut UnendedCursor,
    ) -> Result<Option<Vec<UnendedCall>>, StoreError> {
        let Some(chain) = self.chain(node).await? else { return Ok(None) };
        let (above, until) = (chain.place(0), chain.place(last));
        let next = self
            .tx
            .fetch_optional(
                "SELECT began FROM audit WHERE began >= $1 AND +place > $2 AND +place <= $3 ORDER BY began, place LIMIT 1",
                values![cursor.began, above, until],
            )
            .await?;
        let Some(next) = next else { return Ok(None) };
        let began = next.int("began")?;
        let mut open = BTreeMap::new();
        let mut place = above;
        loop {
            let rows = self
                .tx
                .fetch_all(
                    "SELECT place, records FROM audit WHERE began = $1 AND place > $2 AND place <= $3
                     ORDER BY place LIMIT $4",
                    values![began, place, until, LINKS_AT_ONCE as i64],
                )
                .await?;
            for row in &rows {
                place = row.int("place")?;
                link::unpack(&row.blob("records")?)?.lines().try_for_each(|line| note(&mut open, line))?;
            }
            if rows.len() < LINKS_AT_ONCE {
                break;
            }
        }
        cursor.began = began.saturating_add(1);
        Ok(Some(open.into_iter().map(|(request, server)| UnendedCall { request, server }).collect()))
    }
}

impl Audit<'_> {
    /// Returns the time noted by [`Audit::set_open_since`]: calls of a node that began later may have no outcome.
    pub async fn open_since(&mut self, node: NodeId) -> Result<Option<Timestamp>, StoreError> {
        let row =
            self.tx.fetch_optional("SELECT value FROM counters WHERE name = $1", values![open_since(node)]).await?;
        row.map(|row| row.time("value")).transpose()
    }

    /// Notes that every call of a node that began before this moment has its outcome on record.
    pub async fn set_open_since(&mut self, node: NodeId, since: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO counters (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                values![open_since(node), since],
            )
            .await?;
        Ok(())
    }
}

fn open_since(node: NodeId) -> String {
    format!("calls open since {node}")
}

/// Notes the call that a line opens or closes. For most lines, their beginning tells enough, without parsing them.
fn note(open: &mut BTreeMap<RequestId, ServerName>, line: &str) -> Result<(), StoreError> {
    if line.contains(r#""event":{"kind":"outcome""#) {
        let request = Record::request_of_line(line).ok_or_else(|| corrupt("records"))?;
        open.remove(&request);
    } else if line.contains(r#""event":{"kind":"decision""#) {
        let record = Record::read_line(line).map_err(|_| corrupt("records"))?;
        if let Event::Decision(decision) = record.event
            && decision.verdict == Verdict::Permit
        {
            open.insert(record.request, decision.server);
        }
    }
    Ok(())
}
