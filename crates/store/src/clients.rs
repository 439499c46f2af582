//! OAuth clients of every origin.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::{Client, ClientOrigin};

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, json, values};
use crate::store::SWEEP_ROWS;
use crate::tx::Tx;

/// A client to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClient {
    /// The client.
    pub client: Client,
    /// The digest of its secret, if it has one.
    pub secret: Option<Digest>,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it is deleted unless it is used before.
    pub expires_at: Option<Timestamp>,
}

/// A stored client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredClient {
    /// The client.
    pub client: Client,
    /// The digest of its secret, if it has one.
    pub secret: Option<Digest>,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last used, to the hour.
    pub last_used_at: Option<Timestamp>,
    /// When it is deleted; `None` once it was used.
    pub expires_at: Option<Timestamp>,
}

/// How often the use of a client is written at most, in milliseconds.
const TOUCH_MILLIS: i64 = 3_600_000;

/// OAuth clients. See [`Tx::clients`].
pub struct Clients<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Clients<'_> {
    /// Adds a client. An identifier that exists is [`StoreError::Conflict`].
    pub async fn insert(&mut self, new: &NewClient) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO clients (id, origin, definition, secret, disabled, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                fields(new)?,
            )
            .await?;
        self.tx.changed(ChangeKind::Client, &new.client.id);
        Ok(())
    }

    /// Adds a client, or replaces its metadata (of a document that was fetched again). Whether it is disabled, its age
    /// and its last use are not changed.
    pub async fn put(&mut self, new: &NewClient) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO clients (id, origin, definition, secret, disabled, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (id) DO UPDATE SET
                     origin = excluded.origin, definition = excluded.definition, secret = excluded.secret",
                fields(new)?,
            )
            .await?;
        self.tx.changed(ChangeKind::Client, &new.client.id);
        Ok(())
    }

    /// Returns the client of this identifier.
    pub async fn find(&mut self, id: &ClientId) -> Result<Option<StoredClient>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM clients WHERE id = $1", values![id]).await?.map(read).transpose()
    }

    /// Returns every client, oldest first.
    pub async fn list(&mut self) -> Result<Vec<StoredClient>, StoreError> {
        let rows = self.tx.fetch_all("SELECT * FROM clients ORDER BY created_at, id", values![]).await?;
        rows.into_iter().map(read).collect()
    }

    /// Notes that the client was used, so that it no longer expires. Written at most once an hour.
    pub async fn touch(&mut self, id: &ClientId, now: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                "UPDATE clients SET last_used_at = $2, expires_at = NULL
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $2 - $3 OR expires_at IS NOT NULL)",
                values![id, now, TOUCH_MILLIS],
            )
            .await?;
        Ok(())
    }

    /// Disables or enables a client. Returns `false` if there is no such client.
    ///
    /// Like disabling a user, this revokes no grant, but tokens made before stay invalid.
    pub async fn set_disabled(&mut self, id: &ClientId, disabled: bool) -> Result<bool, StoreError> {
        let set = self.tx.execute_one("UPDATE clients SET disabled = $2 WHERE id = $1", values![id, disabled]).await?;
        if set {
            self.tx.execute("UPDATE grants SET epoch = epoch + 1 WHERE client_id = $1", values![id]).await?;
            self.tx.changed(ChangeKind::Client, id);
        }
        Ok(set)
    }

    /// Deletes a client, and ends its grants with everything derived from them. Returns `false` if there is no such
    /// client.
    pub async fn remove(&mut self, id: &ClientId, now: Timestamp) -> Result<bool, StoreError> {
        let removed = self.tx.execute_one("DELETE FROM clients WHERE id = $1", values![id]).await?;
        self.tx.grants().revoke_of_client(id, "client removed", now).await?;
        if removed {
            self.tx.changed(ChangeKind::Client, id);
        }
        Ok(removed)
    }

    /// Returns how many clients registered themselves.
    pub async fn count_dynamic(&mut self) -> Result<u64, StoreError> {
        let origin = ClientOrigin::Dynamic.as_str();
        let row = self
            .tx
            .fetch_optional("SELECT COUNT(*) AS clients FROM clients WHERE origin = $1", values![origin])
            .await?;
        row.map_or(Ok(0), |row| row.count("clients"))
    }

    /// Deletes the oldest self-registered client that was never used (ATK-24). Returns `false` if all were used.
    pub async fn forget_oldest_unused(&mut self) -> Result<bool, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "DELETE FROM clients WHERE id = (
                     SELECT id FROM clients
                     WHERE origin = $1 AND expires_at IS NOT NULL
                         AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.client_id = clients.id)
                     ORDER BY created_at, id LIMIT 1)
                 RETURNING id",
                values![ClientOrigin::Dynamic.as_str()],
            )
            .await?;
        let Some(row) = row else { return Ok(false) };
        self.tx.changed(ChangeKind::Client, row.text("id")?);
        Ok(true)
    }

    /// Deletes clients that expired without ever being used (ATK-24), at most [`SWEEP_ROWS`] of them. A client with a
    /// grant counts as used.
    pub async fn delete_expired(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "DELETE FROM clients WHERE id IN (
                     SELECT id FROM clients WHERE expires_at <= $1
                         AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.client_id = clients.id)
                     LIMIT $2)
                 RETURNING id",
                values![now, SWEEP_ROWS],
            )
            .await?;
        for row in &rows {
            self.tx.changed(ChangeKind::Client, row.text("id")?);
        }
        Ok(rows.len() as u64)
    }
}

fn fields(new: &NewClient) -> Result<Vec<crate::sql::Value>, StoreError> {
    Ok(values![
        &new.client.id,
        new.client.origin.as_str(),
        json(&new.client)?,
        new.secret.as_ref(),
        new.client.disabled,
        new.created_at,
        new.expires_at
    ])
}

fn read(row: Row) -> Result<StoredClient, StoreError> {
    let mut client: Client = row.json("definition")?;
    client.disabled = row.flag("disabled")?;
    Ok(StoredClient {
        client,
        secret: row.parse_opt("secret")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        expires_at: row.time_opt("expires_at")?,
    })
}
