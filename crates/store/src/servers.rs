//! Servers that were added while running, in addition to those of the configuration file.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, values};
use crate::tx::Tx;

/// A server that was added while running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    /// Its name.
    pub name: ServerName,
    /// Its definition, in JSON that the configuration understands.
    pub definition: String,
    /// When it was first added.
    pub created_at: Timestamp,
    /// When the owner first agreed to the classes of its tools.
    pub first_consent_at: Option<Timestamp>,
}

/// Servers that were added while running. See [`Tx::servers`].
pub struct Servers<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Servers<'_> {
    /// Adds a server, or replaces its definition.
    pub async fn put(&mut self, name: &ServerName, definition: &str, now: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO servers (name, definition, created_at) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET definition = excluded.definition",
                values![name, definition, now],
            )
            .await?;
        self.tx.changed(ChangeKind::Server, name);
        Ok(())
    }

    /// Returns the server of this name.
    pub async fn find(&mut self, name: &ServerName) -> Result<Option<ServerRow>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM servers WHERE name = $1", values![name]).await?.map(read).transpose()
    }

    /// Returns every server, sorted by name.
    pub async fn list(&mut self) -> Result<Vec<ServerRow>, StoreError> {
        self.tx.fetch_all("SELECT * FROM servers ORDER BY name", values![]).await?.into_iter().map(read).collect()
    }

    /// Deletes a server. Its catalogue, credentials and grants stay. Returns `false` if there was none.
    pub async fn remove(&mut self, name: &ServerName) -> Result<bool, StoreError> {
        let removed = self.tx.execute_one("DELETE FROM servers WHERE name = $1", values![name]).await?;
        if removed {
            self.tx.changed(ChangeKind::Server, name);
        }
        Ok(removed)
    }

    /// Notes the owner's first consent. Returns `true` exactly once.
    pub async fn mark_consented(&mut self, name: &ServerName, now: Timestamp) -> Result<bool, StoreError> {
        let first = self
            .tx
            .execute_one(
                "UPDATE servers SET first_consent_at = $2 WHERE name = $1 AND first_consent_at IS NULL",
                values![name, now],
            )
            .await?;
        if first {
            self.tx.changed(ChangeKind::Server, name);
        }
        Ok(first)
    }
}

fn read(row: Row) -> Result<ServerRow, StoreError> {
    Ok(ServerRow {
        name: row.parse("name")?,
        definition: row.text("definition")?,
        created_at: row.time("created_at")?,
        first_consent_at: row.time_opt("first_consent_at")?,
    })
}
