//! What is known of servers' tools, and what the owner decided about them.

use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, values};
use crate::tx::Tx;

/// What is known of servers' tools. See [`Tx::catalogue`].
pub struct Catalogue<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Catalogue<'_> {
    /// Notes the tools that a server shows now. Says how many rows that changed; 0 announces nothing.
    ///
    /// New ones are added as they are given. Of known ones the summary, the proposed class and the digest seen
    /// follow the server; class and accepted digest are the owner's and stay. Those not shown are marked, not lost.
    pub async fn sync(&mut self, server: &ServerName, tools: &[Tool], now: Timestamp) -> Result<u64, StoreError> {
        let mut changed = 0;
        // Always in one order, so that two nodes that see the same server wait for each other and do not deadlock.
        let mut tools: Vec<&Tool> = tools.iter().collect();
        tools.sort_by(|one, other| one.name.cmp(&other.name));
        let known = self
            .tx
            .fetch_all(
                "SELECT name FROM tools WHERE server = $1 AND missing_since IS NULL ORDER BY name",
                values![server],
            )
            .await?;
        for tool in &tools {
            changed += self.see(server, tool, now).await?;
        }
        for row in known {
            let name = row.text("name")?;
            if tools.binary_search_by(|tool| tool.name.cmp(&name)).is_err() {
                changed += self
                    .tx
                    .execute(
                        "UPDATE tools SET missing_since = $3 WHERE server = $1 AND name = $2 AND missing_since IS NULL",
                        values![server, name, now],
                    )
                    .await?;
            }
        }
        if changed > 0 {
            self.tx.changed(ChangeKind::Catalogue, server);
        }
        Ok(changed)
    }

    async fn see(&mut self, server: &ServerName, tool: &Tool, now: Timestamp) -> Result<u64, StoreError> {
        self.tx
            .execute(
                "INSERT INTO tools (server, name, summary, proposed, class, seen, accepted, seen_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (server, name) DO UPDATE SET
                     summary = excluded.summary, proposed = excluded.proposed, seen = excluded.seen,
                     seen_at = excluded.seen_at, missing_since = NULL
                 WHERE tools.summary <> excluded.summary OR tools.proposed <> excluded.proposed
                     OR tools.seen <> excluded.seen OR tools.missing_since IS NOT NULL",
                values![
                    server,
                    tool.name.as_str(),
                    tool.summary.as_str(),
                    tool.proposed.as_str(),
                    tool.class.map(ToolClass::as_str),
                    tool.seen,
                    tool.accepted.as_ref(),
                    now
                ],
            )
            .await
    }

    /// The tools that a server shows, by name.
    pub async fn list(&mut self, server: &ServerName) -> Result<Vec<Tool>, StoreError> {
        let rows = self
            .tx
            .fetch_all("SELECT * FROM tools WHERE server = $1 AND missing_since IS NULL ORDER BY name", values![server])
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// One tool of a server, also when the server does not show it at the moment.
    pub async fn find(&mut self, server: &ServerName, name: &str) -> Result<Option<Tool>, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT * FROM tools WHERE server = $1 AND name = $2", values![server, name])
            .await?;
        row.map(read).transpose()
    }

    /// Keeps what the owner decided: the class, and the digest of the definition that was shown. `false`: no such
    /// tool.
    pub async fn classify(
        &mut self,
        server: &ServerName,
        name: &str,
        class: ToolClass,
        accepted: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let known = self
            .tx
            .execute_one(
                "UPDATE tools SET class = $3, accepted = $4, classified_at = $5 WHERE server = $1 AND name = $2",
                values![server, name, class.as_str(), accepted, now],
            )
            .await?;
        if known {
            self.tx.changed(ChangeKind::Catalogue, server);
        }
        Ok(known)
    }
}

fn read(row: Row) -> Result<Tool, StoreError> {
    Ok(Tool {
        name: row.text("name")?,
        summary: row.text("summary")?,
        proposed: row.parse("proposed")?,
        class: row.parse_opt("class")?,
        seen: row.parse("seen")?,
        accepted: row.parse_opt("accepted")?,
    })
}
