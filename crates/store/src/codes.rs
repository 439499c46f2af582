//! Authorization codes: consents that the client has not redeemed yet.

use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, GrantId, ServerName};
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::sql::{Row, json, values};
use crate::tx::Tx;

/// How many wrong attempts a code survives.
pub const CODE_FAILURES_MAX: i64 = 5;

/// The conditions that a person set on a grant, besides its scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// When it ends by itself. `None`: only when it is revoked.
    pub ends_at: Option<Timestamp>,
    /// The task it is for.
    pub task: Option<GrantTask>,
    /// The browser session that it ends with, by the digest of its cookie. `None`: it outlasts the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Digest>,
}

/// The task that a grant is for from its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTask {
    /// Who declared it.
    pub origin: TaskOrigin,
    /// The definition of the task.
    pub definition: TaskDefinition,
}

/// An authorization code (RFC 6749 §4.1.2) and the grant it will become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The digest of the code.
    pub digest: Digest,
    /// The client.
    pub client: ClientId,
    /// The redirect URI of the request, which the client must repeat.
    pub redirect_uri: String,
    /// The PKCE challenge (`S256`).
    pub challenge: String,
    /// The subject that agreed.
    pub subject: Subject,
    /// The server.
    pub server: ServerName,
    /// The resource identifier of that server.
    pub resource: String,
    /// The granted scopes.
    pub scopes: ScopeSet,
    /// The clients that act, the first one first.
    pub path: ActorPath,
    /// The conditions of the grant.
    pub conditions: Conditions,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires: at most 60 seconds later.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// The grant it became.
    pub grant: Option<GrantId>,
    /// How many wrong attempts were made with it.
    pub failures: i64,
}

/// Authorization codes. See [`Tx::codes`].
pub struct Codes<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Codes<'_> {
    /// Stores a code.
    pub async fn insert(&mut self, code: &Code) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO codes (digest, client_id, redirect_uri, challenge, subject, server, resource, scopes, path,
                     issued_at, expires_at, used_at, grant_id, failures, conditions)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
                values![
                    code.digest,
                    &code.client,
                    code.redirect_uri.as_str(),
                    code.challenge.as_str(),
                    &code.subject,
                    &code.server,
                    code.resource.as_str(),
                    &code.scopes,
                    json(&code.path)?,
                    code.issued_at,
                    code.expires_at,
                    code.used_at,
                    code.grant.as_ref(),
                    code.failures,
                    json(&code.conditions)?
                ],
            )
            .await?;
        Ok(())
    }

    /// Returns the code of this digest. Used and expired codes are kept for a day, so that a replay is recognised.
    pub async fn find(&mut self, digest: &Digest) -> Result<Option<Code>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM codes WHERE digest = $1", values![digest]).await?.map(read).transpose()
    }

    /// Uses a code for a grant (RFC 6749 §4.1.2: single use). Returns `true` for exactly one caller, only before it
    /// expires, and only after fewer than [`CODE_FAILURES_MAX`] wrong attempts.
    pub async fn consume(&mut self, digest: &Digest, grant: GrantId, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE codes SET used_at = $3, grant_id = $2
                 WHERE digest = $1 AND used_at IS NULL AND expires_at > $3 AND failures < $4",
                values![digest, grant, now, CODE_FAILURES_MAX],
            )
            .await
    }

    /// Counts a wrong attempt, and returns how many there were. 0: no such code.
    pub async fn fail(&mut self, digest: &Digest) -> Result<i64, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "UPDATE codes SET failures = failures + 1 WHERE digest = $1 RETURNING failures",
                values![digest],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("failures"))
    }
}

fn read(row: Row) -> Result<Code, StoreError> {
    Ok(Code {
        digest: row.parse("digest")?,
        client: row.parse("client_id")?,
        redirect_uri: row.text("redirect_uri")?,
        challenge: row.text("challenge")?,
        subject: row.parse("subject")?,
        server: row.parse("server")?,
        resource: row.text("resource")?,
        scopes: row.parse("scopes")?,
        path: row.json("path")?,
        conditions: row.json_opt("conditions")?.unwrap_or_default(),
        issued_at: row.time("issued_at")?,
        expires_at: row.time("expires_at")?,
        used_at: row.time_opt("used_at")?,
        grant: row.parse_opt("grant_id")?,
        failures: row.int("failures")?,
    })
}
