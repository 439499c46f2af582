//! The known tools of servers, and the owner's decisions about them.

use sekisho_protocol::catalogue::{HeldTool, Tool, ToolClass, ToolSeen};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use serde::{Deserialize, Serialize};

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, values};
use crate::tx::Tx;

/// The most tools of one server that are kept although only callers were shown them: a server may make names up.
pub const TOOLS_OF_CALLERS_MAX: i64 = 100;

/// The shortest time between two announcements of tools of one server, in milliseconds: a server may change its tools
/// all the time.
pub const ANNOUNCED_EVERY_MILLIS: i64 = 60_000;
/// The most tools in one announcement. Further ones are announced next time.
pub const ANNOUNCED_MAX: i64 = 100;

/// A tool that a server did not show in its first list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenLater {
    /// Its name.
    pub name: String,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// Whether it is in the list that the server shows us. A tool outside that list cannot be accepted, so it cannot be
    /// called.
    pub listed: bool,
}

/// The known tools of servers. See [`Tx::catalogue`].
pub struct Catalogue<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Catalogue<'_> {
    /// Stores the tools that a server shows now. Returns how many rows changed; 0 announces nothing.
    ///
    /// The first tools that a server ever shows are accepted as they are; later ones are added and wait for
    /// [`Catalogue::accept`]. For known tools, the server's own statements are updated; the class and the accepted
    /// definition are the owner's, and are kept. Tools that are not shown any more are marked, not deleted.
    pub async fn sync(&mut self, server: &ServerName, tools: &[ToolSeen], now: Timestamp) -> Result<u64, StoreError> {
        let mut changed = 0;
        let first = !tools.is_empty() && self.is_first(server, now).await?;
        // Always in the same order, so that two nodes that update the same server do not deadlock.
        let mut tools: Vec<&ToolSeen> = tools.iter().collect();
        tools.sort_by(|one, other| one.name.cmp(&other.name));
        let known = self
            .tx
            .fetch_all(
                "SELECT name FROM tools WHERE server = $1 AND missing_since IS NULL ORDER BY name",
                values![server],
            )
            .await?;
        for tool in &tools {
            changed += self.see(server, tool, first, now).await?;
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

    /// Returns `true` exactly once for each server: when its first tools are seen.
    async fn is_first(&mut self, server: &ServerName, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "INSERT INTO catalogues (server, first_listed_at) VALUES ($1, $2) ON CONFLICT (server) DO NOTHING",
                values![server, now],
            )
            .await
    }

    async fn see(
        &mut self,
        server: &ServerName,
        tool: &ToolSeen,
        first: bool,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let digest = tool.digest();
        let first = first && !tool.is_of_several();
        self.tx
            .execute(
                "INSERT INTO tools (server, name, summary, proposed, definition, seen, seen_at,
                     accepted_definition, accepted, accepted_at, first_seen_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $7)
                 ON CONFLICT (server, name) DO UPDATE SET
                     summary = excluded.summary, proposed = excluded.proposed, definition = excluded.definition,
                     seen = excluded.seen, seen_at = excluded.seen_at, missing_since = NULL
                 WHERE tools.summary <> excluded.summary OR tools.proposed <> excluded.proposed
                     OR tools.seen <> excluded.seen OR tools.missing_since IS NOT NULL",
                values![
                    server,
                    tool.name.as_str(),
                    tool.summary.as_str(),
                    tool.proposed.as_str(),
                    tool.definition.as_str(),
                    digest,
                    now,
                    first.then_some(tool.definition.as_str()),
                    first.then_some(&digest),
                    first.then_some(now)
                ],
            )
            .await
    }

    /// Returns the tools that a server shows, sorted by name.
    pub async fn list(&mut self, server: &ServerName) -> Result<Vec<Tool>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT name, summary, proposed, class, seen, accepted FROM tools
                 WHERE server = $1 AND missing_since IS NULL ORDER BY name",
                values![server],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// Stores tools that a caller was shown and that are not in our own list. Known tools are not changed, and a server
    /// has at most [`TOOLS_OF_CALLERS_MAX`] such tools.
    pub async fn seen_by_callers(
        &mut self,
        server: &ServerName,
        names: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for name in names {
            self.tx
                .execute(
                    "INSERT INTO tools_of_callers (server, name, first_seen_at)
                     SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT) WHERE (SELECT COUNT(*) FROM tools_of_callers WHERE server = $1) < $4
                     ON CONFLICT (server, name) DO NOTHING",
                    values![server, name.as_str(), now, TOOLS_OF_CALLERS_MAX],
                )
                .await?;
        }
        Ok(())
    }

    /// Returns the tools that a server did not show in its first list, sorted by name: those that it shows now, and
    /// those that it shows only to callers.
    pub async fn seen_later(&mut self, server: &ServerName) -> Result<Vec<SeenLater>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT tools.name, tools.first_seen_at, CAST(1 AS BIGINT) AS listed FROM tools
                     JOIN catalogues ON catalogues.server = tools.server
                     WHERE tools.server = $1 AND missing_since IS NULL AND first_seen_at > first_listed_at
                 UNION ALL
                 SELECT name, first_seen_at, CAST(0 AS BIGINT) AS listed FROM tools_of_callers AS theirs
                     WHERE server = $1 AND NOT EXISTS (
                         SELECT 1 FROM tools WHERE tools.server = theirs.server AND tools.name = theirs.name
                             AND missing_since IS NULL)
                 ORDER BY 1",
                values![server],
            )
            .await?;
        let read = |row: &Row| {
            Ok(SeenLater {
                name: row.text("name")?,
                first_seen: row.time("first_seen_at")?,
                listed: row.count("listed")? == 1,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Returns one tool of a server, also if the server does not show it at the moment.
    pub async fn find(&mut self, server: &ServerName, name: &str) -> Result<Option<Tool>, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT * FROM tools WHERE server = $1 AND name = $2", values![server, name])
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Returns the accepted definition of a tool, as canonical JSON. `None`: nothing was accepted.
    pub async fn definition(&mut self, server: &ServerName, name: &str) -> Result<Option<String>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT accepted_definition FROM tools WHERE server = $1 AND name = $2",
                values![server, name],
            )
            .await?;
        Ok(row.map(|row| row.text_opt("accepted_definition")).transpose()?.flatten())
    }

    /// Returns the accepted definition of every tool that a server shows and that is not held back, sorted by name.
    pub async fn definitions(&mut self, server: &ServerName) -> Result<Vec<(String, String)>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT name, accepted_definition FROM tools
                 WHERE server = $1 AND missing_since IS NULL AND accepted = seen ORDER BY name",
                values![server],
            )
            .await?;
        rows.iter().map(|row| Ok((row.text("name")?, row.text("accepted_definition")?))).collect()
    }

    /// Returns the tools that a server shows and that are held back, sorted by name.
    pub async fn held(&mut self, server: &ServerName) -> Result<Vec<HeldTool>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM tools
                 WHERE server = $1 AND missing_since IS NULL AND (accepted IS NULL OR accepted <> seen) ORDER BY name",
                values![server],
            )
            .await?;
        let held = |row: &Row| {
            Ok(HeldTool {
                tool: read(row)?,
                definition: row.text("definition")?,
                accepted: row.text_opt("accepted_definition")?,
            })
        };
        rows.iter().map(held).collect()
    }

    /// Returns how many tools of each server are held back; servers without any are left out.
    pub async fn held_counts(&mut self) -> Result<Vec<(ServerName, u64)>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT server, COUNT(*) AS held FROM tools
                 WHERE missing_since IS NULL AND (accepted IS NULL OR accepted <> seen) GROUP BY server ORDER BY server",
                values![],
            )
            .await?;
        rows.iter().map(|row| Ok((row.parse("server")?, row.count("held")?))).collect()
    }

    /// Returns the servers with tools to announce: they are held back, were not announced as they are now, and no tool of
    /// the server was announced in the last [`ANNOUNCED_EVERY_MILLIS`]. At most 100 servers, in order.
    pub async fn with_unannounced(&mut self, now: Timestamp) -> Result<Vec<ServerName>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT DISTINCT tools.server FROM tools JOIN catalogues ON catalogues.server = tools.server
                 WHERE missing_since IS NULL AND (accepted IS NULL OR accepted <> seen)
                     AND (announced IS NULL OR announced <> seen)
                     AND (announced_at IS NULL OR announced_at <= $1 OR announced_at > $2)
                 ORDER BY tools.server LIMIT 100",
                values![now.as_millisecond().saturating_sub(ANNOUNCED_EVERY_MILLIS), now],
            )
            .await?;
        rows.iter().map(|row| row.parse("server")).collect()
    }

    /// Takes the tools of a server that are to be announced, sorted by name: at most [`ANNOUNCED_MAX`]. Of concurrent
    /// callers one gets them, the others get none. Roll back if there are none.
    pub async fn take_unannounced(&mut self, server: &ServerName, now: Timestamp) -> Result<Vec<Tool>, StoreError> {
        let is_due = self
            .tx
            .execute_one(
                "UPDATE catalogues SET announced_at = $3
                 WHERE server = $1 AND (announced_at IS NULL OR announced_at <= $2 OR announced_at > $3)",
                values![server, now.as_millisecond().saturating_sub(ANNOUNCED_EVERY_MILLIS), now],
            )
            .await?;
        if !is_due {
            return Ok(Vec::new());
        }
        let rows = self
            .tx
            .fetch_all(
                "UPDATE tools SET announced = seen
                 WHERE server = $1 AND name IN (
                     SELECT name FROM tools
                     WHERE server = $1 AND missing_since IS NULL AND (accepted IS NULL OR accepted <> seen)
                         AND (announced IS NULL OR announced <> seen)
                     ORDER BY name LIMIT $2
                 )
                 RETURNING *",
                values![server, ANNOUNCED_MAX],
            )
            .await?;
        let mut tools = rows.iter().map(read).collect::<Result<Vec<Tool>, StoreError>>()?;
        tools.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(tools)
    }

    /// Accepts the definition of a tool, if it still has the digest `seen`, which the owner was shown. Its class stays.
    /// Returns `false` if it has changed, there is no such tool, or several tools have the name
    /// ([`ToolSeen::is_of_several`]).
    pub async fn accept(
        &mut self,
        server: &ServerName,
        name: &str,
        seen: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let accepted = self
            .tx
            .execute_one(
                "UPDATE tools SET accepted = seen, accepted_definition = definition, accepted_at = $4
                 WHERE server = $1 AND name = $2 AND seen = $3 AND definition NOT LIKE '[%'",
                values![server, name, seen, now],
            )
            .await?;
        if accepted {
            self.tx.changed(ChangeKind::Catalogue, server);
        }
        Ok(accepted)
    }

    /// Gives a tool a class and accepts its definition, if it still has the digest `seen`, which the owner was shown.
    /// Returns `false` if it has changed, or there is no such tool.
    pub async fn classify(
        &mut self,
        server: &ServerName,
        name: &str,
        class: ToolClass,
        seen: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let accepted = self.accept(server, name, seen, now).await?;
        if accepted {
            self.tx
                .execute(
                    "UPDATE tools SET class = $3, classified_at = $4 WHERE server = $1 AND name = $2",
                    values![server, name, class.as_str(), now],
                )
                .await?;
        }
        Ok(accepted)
    }

    /// Forgets all tools of a server, so that the next ones it shows count as its first list again.
    pub async fn forget(&mut self, server: &ServerName) -> Result<(), StoreError> {
        self.tx.execute("DELETE FROM tools WHERE server = $1", values![server]).await?;
        self.tx.execute("DELETE FROM catalogues WHERE server = $1", values![server]).await?;
        self.tx.execute("DELETE FROM tools_of_callers WHERE server = $1", values![server]).await?;
        self.tx.changed(ChangeKind::Catalogue, server);
        Ok(())
    }
}

fn read(row: &Row) -> Result<Tool, StoreError> {
    Ok(Tool {
        name: row.text("name")?,
        summary: row.text("summary")?,
        proposed: row.parse("proposed")?,
        class: row.parse_opt("class")?,
        seen: row.parse("seen")?,
        accepted: row.parse_opt("accepted")?,
    })
}
