//! Grants: what users consented to. Each grant is for one client and one server, and knows its lineage.

use std::collections::HashSet;

use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, GrantId, ServerName, TaskId, UserId};
use sekisho_protocol::registration::ClientOrigin;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::task::Task;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, Value, corrupt, grant_alive, json, values};
use crate::tx::Tx;

/// A grant to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// The identifier.
    pub id: GrantId,
    /// The subject that the client may act for.
    pub subject: Subject,
    /// The client that may act: the last one of `path`.
    pub client: ClientId,
    /// The server.
    pub server: ServerName,
    /// The resource identifier of that server.
    pub resource: String,
    /// The granted scopes.
    pub scopes: ScopeSet,
    /// The clients that act, the first one first.
    pub path: ActorPath,
    /// The grant this one is derived from. It must be alive.
    pub parent: Option<GrantId>,
    /// The declared task it is bound to.
    pub task: Option<TaskId>,
    /// When it is made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A stored grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The identifier.
    pub id: GrantId,
    /// The subject that the client may act for.
    pub subject: Subject,
    /// The client that may act.
    pub client: ClientId,
    /// The server.
    pub server: ServerName,
    /// The resource identifier of that server.
    pub resource: String,
    /// The granted scopes.
    pub scopes: ScopeSet,
    /// The clients that act, the first one first.
    pub path: ActorPath,
    /// The grant this one is derived from.
    pub parent: Option<GrantId>,
    /// The declared task it is bound to.
    pub task: Option<TaskId>,
    /// A number that grows to invalidate all tokens made before: a token is valid only with the epoch of its grant.
    pub epoch: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// The external authorization server whose token brought it. `None`: our own issuer made it.
    pub issuer: Option<String>,
    /// When its client was let in again after it had ended.
    pub released_at: Option<Timestamp>,
}

impl Grant {
    /// Whether it has ended and keeps its client out, because it came from an external authorization server whose tokens
    /// are still good. Its user can let the client in again.
    pub fn keeps_out(&self) -> bool {
        self.issuer.is_some() && self.revoked_at.is_some() && self.released_at.is_none()
    }
}

/// Which grants to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// The subject of the grant.
    pub subject: Option<Subject>,
    /// The client of the grant.
    pub client: Option<ClientId>,
    /// The server of the grant.
    pub server: Option<ServerName>,
}

/// The state of a grant that caches keep: everything that decides whether its tokens are valid, and what they may do.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantState {
    /// The grant.
    pub grant: GrantId,
    /// The epoch that a token must carry.
    pub epoch: i64,
    /// The subject of the grant.
    pub subject: Subject,
    /// The client that acts.
    pub client: ClientId,
    /// The server.
    pub server: ServerName,
    /// Whether the user is disabled or deleted; always `false` for a service.
    pub user_disabled: bool,
    /// Whether the client, or any client of the grants this one is derived from, is disabled.
    pub client_disabled: bool,
    /// Whether the grant was ended.
    pub revoked: bool,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What was granted.
    pub scopes: ScopeSet,
    /// The clients that act, the first one first.
    pub path: ActorPath,
    /// The origins of the clients of this grant and of those it is derived from, the first one first. A client that is
    /// not stored any more counts as self-registered.
    pub origins: Vec<ClientOrigin>,
    /// The current task, which limits every token. If it is not among `tasks`, nothing is allowed.
    pub task: Option<TaskId>,
    /// The tasks that were not ended, and the current one in any case; oldest first.
    pub tasks: Vec<Task>,
}

/// The number of grants in one query.
const ASKED_AT_ONCE: usize = 64;

/// The placeholders of [`ASKED_AT_ONCE`] identifiers; `$65` is the current time.
macro_rules! places {
    () => {
        "$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30,\
         $31,$32,$33,$34,$35,$36,$37,$38,$39,$40,$41,$42,$43,$44,$45,$46,$47,$48,$49,$50,$51,$52,$53,$54,$55,$56,$57,$58,\
         $59,$60,$61,$62,$63,$64"
    };
}

/// Selects the living grants among some. A grant is not alive if a client of it or of a grant that it is derived from
/// is disabled, or if its user is disabled or deleted.
const ALIVE_AMONG: &str = concat!(
    "WITH RECURSIVE lineage (root, id, parent, client_id) AS (
         SELECT id, id, parent, client_id FROM grants WHERE id IN (",
    places!(),
    ")
         UNION SELECT lineage.root, up.id, up.parent, up.client_id FROM grants up JOIN lineage ON up.id = lineage.parent
     )
     SELECT grants.id FROM grants LEFT JOIN users ON users.id = grants.subject
     WHERE grants.id IN (",
    places!(),
    ") AND ",
    grant_alive!("$65"),
    " AND (grants.subject LIKE 'service:%' OR users.disabled = 0)
      AND NOT EXISTS (SELECT 1 FROM lineage JOIN clients ON clients.id = lineage.client_id
                      WHERE lineage.root = grants.id AND clients.disabled <> 0)"
);

impl GrantState {
    /// Returns whether a token of this grant with this epoch is valid now.
    pub fn honours(&self, epoch: i64, now: Timestamp) -> bool {
        let ended = self.revoked || self.user_disabled || self.client_disabled;
        !ended && self.epoch == epoch && self.expires_at.is_none_or(|end| now < end)
    }
}

/// The exact subject of a consent (ATK-14): if any part differs, it is another consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The user who agreed.
    pub user: UserId,
    /// The client.
    pub client: ClientId,
    /// The redirect URI of the client.
    pub redirect_uri: String,
    /// The server.
    pub server: ServerName,
    /// The exact scopes.
    pub scopes: ScopeSet,
}

impl Consent {
    fn key(&self) -> Digest {
        Digest::of_list(&[
            self.user.to_string().as_bytes(),
            self.client.as_str().as_bytes(),
            self.redirect_uri.as_bytes(),
            self.server.as_str().as_bytes(),
            self.scopes.to_string().as_bytes(),
        ])
    }
}

/// How often the use of a grant is written at most, in milliseconds.
const TOUCH_MILLIS: i64 = 60_000;

/// Ends the grants that match the condition, and everything derived from them.
macro_rules! revoke_where {
    ($condition:literal) => {
        concat!(
            "WITH RECURSIVE lineage (id) AS (
                 SELECT id FROM grants WHERE ",
            $condition,
            " UNION SELECT child.id FROM grants child JOIN lineage ON child.parent = lineage.id
             )
             UPDATE grants SET revoked_at = $1, revoked_because = $2, epoch = epoch + 1
             WHERE revoked_at IS NULL AND id IN (SELECT id FROM lineage)
             RETURNING id"
        )
    };
}

/// Brings the end of a grant, and of everything derived from it, forward.
const END_AT: &str = "WITH RECURSIVE lineage (id) AS (
                 SELECT id FROM grants WHERE id = $2
                 UNION SELECT child.id FROM grants child JOIN lineage ON child.parent = lineage.id
             )
             UPDATE grants SET expires_at = $1
             WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) AND id IN (SELECT id FROM lineage)
             RETURNING id";

/// Grants. See [`Tx::grants`].
pub struct Grants<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Grants<'_> {
    /// Stores a grant. Fails with [`StoreError::Conflict`] if its parent is not alive, or its identifier exists.
    pub async fn insert(&mut self, new: &NewGrant) -> Result<(), StoreError> {
        if let Some(parent) = new.parent {
            // Writing to the parent's row makes us and a concurrent revocation wait for each other.
            let alive = self
                .tx
                .execute_one(
                    "UPDATE grants SET last_used_at = $2
                     WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
                    values![parent, new.created_at],
                )
                .await?;
            if !alive {
                return Err(StoreError::Conflict { what: "a grant derived from one that has ended".to_owned() });
            }
        }
        self.tx
            .execute(
                "INSERT INTO grants (id, subject, client_id, server, resource, scopes, path, parent, task,
                     epoch, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11)",
                values![
                    new.id,
                    &new.subject,
                    &new.client,
                    &new.server,
                    new.resource.as_str(),
                    &new.scopes,
                    json(&new.path)?,
                    new.parent.as_ref(),
                    new.task.as_ref(),
                    new.created_at,
                    new.expires_at
                ],
            )
            .await?;
        self.tx.changed(ChangeKind::Grant, new.id);
        Ok(())
    }

    /// Makes a new grant end with a browser session, whose row the same transaction has locked
    /// ([`crate::BrowserSessions::hold`]).
    pub async fn end_with_session(&mut self, id: GrantId, session: &Digest) -> Result<(), StoreError> {
        self.tx.execute("UPDATE grants SET session = $2 WHERE id = $1", values![id, session]).await?;
        Ok(())
    }

    /// Returns the grant of this identifier, also if it has ended.
    pub async fn find(&mut self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM grants WHERE id = $1", values![id]).await?.map(read).transpose()
    }

    /// Returns the grants that match the filter, also those that have ended, oldest first.
    pub async fn list(&mut self, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM grants
                 WHERE ($1 IS NULL OR subject = $1) AND ($2 IS NULL OR client_id = $2) AND ($3 IS NULL OR server = $3)
                 ORDER BY created_at, id",
                values![filter.subject.as_ref(), filter.client.as_ref(), filter.server.as_ref()],
            )
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Returns the state of a grant, or `None` if there is no such grant.
    ///
    /// This runs three queries: use a transaction from [`crate::Store::read`], where all three see the same snapshot.
    pub async fn alive(&mut self, id: GrantId) -> Result<Option<GrantState>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT grants.*, users.disabled AS user_disabled
                 FROM grants LEFT JOIN users ON users.id = grants.subject WHERE grants.id = $1",
                values![id],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let clients = self
            .tx
            .fetch_all(
                "WITH RECURSIVE lineage (id, parent, client_id, created_at) AS (
                     SELECT id, parent, client_id, created_at FROM grants WHERE id = $1
                     UNION SELECT up.id, up.parent, up.client_id, up.created_at
                     FROM grants up JOIN lineage ON up.id = lineage.parent
                 )
                 SELECT lineage.client_id, clients.origin, clients.disabled
                 FROM lineage LEFT JOIN clients ON clients.id = lineage.client_id
                 ORDER BY lineage.created_at, lineage.id",
                values![id],
            )
            .await?;
        let tasks = self.tx.tasks().of_grant(id).await?;
        read_state(row, &clients, tasks).map(Some)
    }

    /// Returns which of these grants are alive now, as [`GrantState::honours`] says, apart from the epoch. Asks about
    /// many in one statement, because many may have ended at once.
    pub async fn alive_among(&mut self, ids: &[GrantId], now: Timestamp) -> Result<HashSet<GrantId>, StoreError> {
        let mut alive = HashSet::with_capacity(ids.len());
        for some in ids.chunks(ASKED_AT_ONCE) {
            let Some(last) = some.last() else { continue };
            // A statement has a fixed number of placeholders; the last identifier fills the remaining ones.
            let padded = some.iter().chain(std::iter::repeat(last));
            let mut values: Vec<Value> = padded.take(ASKED_AT_ONCE).map(|id| Value::from(*id)).collect();
            values.push(now.into());
            for row in self.tx.fetch_all(ALIVE_AMONG, values).await? {
                alive.insert(row.parse("id")?);
            }
        }
        Ok(alive)
    }

    /// Locks a grant until this transaction ends, so that it cannot be revoked meanwhile. Returns `false` if it is not
    /// alive.
    pub(crate) async fn hold(&mut self, id: GrantId, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                concat!("UPDATE grants SET epoch = epoch WHERE grants.id = $1 AND ", grant_alive!("$2")),
                values![id, now],
            )
            .await
    }

    /// Returns whether a grant has this subject, client and server.
    pub(crate) async fn fits(
        &mut self,
        id: GrantId,
        subject: &Subject,
        client: &ClientId,
        server: &ServerName,
    ) -> Result<bool, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT id FROM grants WHERE id = $1 AND subject = $2 AND client_id = $3 AND server = $4",
                values![id, subject, client, server],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Locks a subject until this transaction ends. Not every kind of subject has a row of its own, so this locks the
    /// first of its grants, which nobody deletes.
    pub(crate) async fn hold_subject(&mut self, subject: &Subject) -> Result<(), StoreError> {
        self.tx
            .execute(
                "UPDATE grants SET epoch = epoch WHERE id = (SELECT MIN(id) FROM grants WHERE subject = $1)",
                values![subject],
            )
            .await?;
        Ok(())
    }

    /// Makes a living grant, and everything derived from it, end at `end`; what ends sooner is left as it is. Returns
    /// `true` if the grant itself would have ended later.
    pub async fn end_at(&mut self, id: GrantId, end: Timestamp) -> Result<bool, StoreError> {
        let mut ends = Vec::new();
        loop {
            let rows = self.tx.fetch_all(END_AT, values![end, id]).await?;
            if rows.is_empty() {
                return Ok(ends.contains(&id));
            }
            for row in rows {
                let id: GrantId = row.parse("id")?;
                // Gateways remember when a grant ends, and read it again when it has changed.
                self.tx.changed(ChangeKind::Grant, id);
                ends.push(id);
            }
        }
    }

    /// Ends a grant and everything derived from it, with their tasks and what was lent. `true` if it was alive.
    pub async fn revoke(&mut self, id: GrantId, reason: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute(
                "DELETE FROM consents WHERE EXISTS (
                     SELECT 1 FROM grants WHERE grants.id = $1 AND grants.subject = consents.user_id
                         AND grants.client_id = consents.client_id AND grants.server = consents.server)",
                values![id],
            )
            .await?;
        let ended = self.revoke_lineage(revoke_where!("id = $3"), values![now, reason, id], now).await?;
        Ok(ended.contains(&id))
    }

    /// Ends every grant of a user with everything derived from them, deletes the user's consents, and invalidates
    /// unused codes. Returns how many grants ended.
    pub async fn revoke_of_user(&mut self, user: UserId, reason: &str, now: Timestamp) -> Result<u64, StoreError> {
        let subject = Subject::User(user);
        self.tx.execute("DELETE FROM consents WHERE user_id = $1", values![user]).await?;
        self.tx
            .execute("UPDATE codes SET used_at = $2 WHERE subject = $1 AND used_at IS NULL", values![&subject, now])
            .await?;
        let ended = self.revoke_lineage(revoke_where!("subject = $3"), values![now, reason, &subject], now).await?;
        Ok(ended.len() as u64)
    }

    /// Ends every grant that ends with this browser session. Returns how many ended.
    ///
    /// Delete the session's row first: making such a grant locks that row, so no further one can be made.
    pub async fn revoke_of_session(&mut self, session: &Digest, now: Timestamp) -> Result<u64, StoreError> {
        let because = "its browser session ended";
        let ended = self.revoke_lineage(revoke_where!("session = $3"), values![now, because, session], now).await?;
        Ok(ended.len() as u64)
    }

    /// Ends every grant of a client with everything derived from them, deletes the consents to it, and invalidates
    /// unused codes. Returns how many grants ended.
    pub async fn revoke_of_client(
        &mut self,
        client: &ClientId,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.tx.execute("DELETE FROM consents WHERE client_id = $1", values![client]).await?;
        self.tx
            .execute("UPDATE codes SET used_at = $2 WHERE client_id = $1 AND used_at IS NULL", values![client, now])
            .await?;
        let ended = self.revoke_lineage(revoke_where!("client_id = $3"), values![now, reason, client], now).await?;
        Ok(ended.len() as u64)
    }

    /// Does the same for everybody.
    pub async fn revoke_all(&mut self, reason: &str, now: Timestamp) -> Result<u64, StoreError> {
        self.tx.execute("DELETE FROM consents", values![]).await?;
        self.tx.execute("UPDATE codes SET used_at = $1 WHERE used_at IS NULL", values![now]).await?;
        let ended = self.revoke_lineage(revoke_where!("revoked_at IS NULL"), values![now, reason], now).await?;
        Ok(ended.len() as u64)
    }

    /// Runs a revoking statement until it ends no more grants. Then no tasks or loans can be added to them, and those
    /// that exist are ended.
    ///
    /// Each run sees the rows as they were when it began. A grant that was being derived meanwhile made the run wait at
    /// its parent's row, and is seen by the next run; nothing can be derived from a grant that has ended.
    async fn revoke_lineage(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
        now: Timestamp,
    ) -> Result<Vec<GrantId>, StoreError> {
        let mut ended = Vec::new();
        loop {
            let rows = self.tx.fetch_all(sql, values.clone()).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let id: GrantId = row.parse("id")?;
                self.tx.changed(ChangeKind::Grant, id);
                ended.push(id);
            }
        }
        if !ended.is_empty() {
            self.tx.tasks().end_of_revoked(now).await?;
        }
        Ok(ended)
    }

    /// Notes that a grant was used. Written at most once a minute.
    pub async fn touch(&mut self, id: GrantId, now: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                "UPDATE grants SET last_used_at = $2
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $2 - $3)",
                values![id, now, TOUCH_MILLIS],
            )
            .await?;
        Ok(())
    }

    /// Returns whether the user gave exactly this consent before and has not withdrawn it.
    pub async fn consented(&mut self, consent: &Consent) -> Result<bool, StoreError> {
        let row =
            self.tx.fetch_optional("SELECT given_at FROM consents WHERE digest = $1", values![consent.key()]).await?;
        Ok(row.is_some())
    }

    /// Remembers exactly this consent, until the grant, user or client ends.
    pub async fn remember_consent(&mut self, consent: &Consent, now: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO consents (digest, user_id, client_id, server, given_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (digest) DO UPDATE SET given_at = excluded.given_at",
                values![consent.key(), consent.user, &consent.client, &consent.server, now],
            )
            .await?;
        Ok(())
    }
}

pub(crate) fn read(row: Row) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: row.parse("id")?,
        subject: row.parse("subject")?,
        client: row.parse("client_id")?,
        server: row.parse("server")?,
        resource: row.text("resource")?,
        scopes: row.parse("scopes")?,
        path: row.json("path")?,
        parent: row.parse_opt("parent")?,
        task: row.parse_opt("task")?,
        epoch: row.int("epoch")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        revoked_at: row.time_opt("revoked_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        issuer: row.text_opt("issuer")?,
        released_at: row.time_opt("released_at")?,
    })
}

/// Returns the origin of a client of the lineage.
fn origin(client: &Row) -> Result<ClientOrigin, StoreError> {
    let Some(word) = client.text_opt("origin")? else {
        let id: ClientId = client.parse("client_id")?;
        // A client with a metadata document needs no row. Nobody vouches for any other client without one.
        return Ok(if id.is_metadata_document() { ClientOrigin::MetadataDocument } else { ClientOrigin::Dynamic });
    };
    [ClientOrigin::Dynamic, ClientOrigin::MetadataDocument, ClientOrigin::Registered]
        .into_iter()
        .find(|origin| origin.as_str() == word)
        .ok_or_else(|| corrupt("clients.origin"))
}

fn read_state(row: Row, clients: &[Row], tasks: Vec<Task>) -> Result<GrantState, StoreError> {
    // A user without a row was deleted, and counts as disabled.
    let user_disabled = row.int_opt("user_disabled")?.is_none_or(|flag| flag != 0);
    let mut client_disabled = false;
    for client in clients {
        client_disabled |= client.int_opt("disabled")?.is_some_and(|flag| flag != 0);
    }
    let grant = read(row)?;
    Ok(GrantState {
        grant: grant.id,
        epoch: grant.epoch,
        user_disabled: matches!(grant.subject, Subject::User(_)) && user_disabled,
        client_disabled,
        subject: grant.subject,
        client: grant.client,
        server: grant.server,
        revoked: grant.revoked_at.is_some(),
        expires_at: grant.expires_at,
        scopes: grant.scopes,
        path: grant.path,
        origins: clients.iter().map(origin).collect::<Result<_, _>>()?,
        task: grant.task,
        tasks,
    })
}
