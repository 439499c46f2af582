//! Authorization requests that nobody has answered yet.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, PendingId, ServerName, UserId};
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::task::TaskDefinition;

use crate::error::StoreError;
use crate::sql::{Row, json_opt, values};
use crate::tx::Tx;

/// A checked authorization request that waits for a person's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The identifier.
    pub id: PendingId,
    /// The client that asks.
    pub client: ClientId,
    /// The redirect URI for the answer, exactly as requested and checked.
    pub redirect_uri: String,
    /// The client's `state`, which is returned unchanged.
    pub state: Option<String>,
    /// The PKCE challenge (`S256`).
    pub challenge: String,
    /// The resource identifier (RFC 8707 §2).
    pub resource: String,
    /// The server of that resource.
    pub server: ServerName,
    /// The requested scopes.
    pub scopes: ScopeSet,
    /// The task that the client declares (RFC 9396 §2).
    pub task: Option<TaskDefinition>,
    /// The parameter `prompt`, in the issuer's own form.
    pub prompt_flags: String,
    /// The digest of the cookie of the browser that this is bound to.
    pub browser: Option<Digest>,
    /// The user who logged in for it.
    pub user: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was answered, whatever the answer.
    pub answered_at: Option<Timestamp>,
}

/// Authorization requests that nobody has answered yet. See [`Tx::pendings`].
pub struct Pendings<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Pendings<'_> {
    /// Stores a request.
    pub async fn insert(&mut self, pending: &Pending) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO pendings (id, client_id, redirect_uri, state, challenge, resource, server, scopes,
                     prompt_flags, browser, user_id, created_at, expires_at, answered_at, task)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
                values![
                    pending.id,
                    &pending.client,
                    pending.redirect_uri.as_str(),
                    pending.state.as_deref(),
                    pending.challenge.as_str(),
                    pending.resource.as_str(),
                    &pending.server,
                    &pending.scopes,
                    pending.prompt_flags.as_str(),
                    pending.browser.as_ref(),
                    pending.user.as_ref(),
                    pending.created_at,
                    pending.expires_at,
                    pending.answered_at,
                    json_opt(pending.task.as_ref())?.as_deref()
                ],
            )
            .await?;
        Ok(())
    }

    /// Returns the request of this identifier, also if it has expired or was answered.
    pub async fn find(&mut self, id: PendingId) -> Result<Option<Pending>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM pendings WHERE id = $1", values![id]).await?.map(read).transpose()
    }

    /// Binds a request to a browser and, if given, to the user who logged in there.
    ///
    /// Returns `false` if the request is already bound to another browser or was answered. A `user` of `None` leaves
    /// the bound user as it is.
    pub async fn bind(&mut self, id: PendingId, browser: &Digest, user: Option<UserId>) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE pendings SET browser = $2, user_id = COALESCE($3, user_id)
                 WHERE id = $1 AND answered_at IS NULL AND (browser IS NULL OR browser = $2)",
                values![id, browser, user.as_ref()],
            )
            .await
    }

    /// Marks a request as answered. Returns `true` for exactly one caller, and only before it expires.
    pub async fn answer(&mut self, id: PendingId, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE pendings SET answered_at = $2 WHERE id = $1 AND answered_at IS NULL AND expires_at > $2",
                values![id, now],
            )
            .await
    }
}

fn read(row: Row) -> Result<Pending, StoreError> {
    Ok(Pending {
        id: row.parse("id")?,
        client: row.parse("client_id")?,
        redirect_uri: row.text("redirect_uri")?,
        state: row.text_opt("state")?,
        challenge: row.text("challenge")?,
        resource: row.text("resource")?,
        server: row.parse("server")?,
        scopes: row.parse("scopes")?,
        task: row.json_opt("task")?,
        prompt_flags: row.text("prompt_flags")?,
        browser: row.parse_opt("browser")?,
        user: row.parse_opt("user_id")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        answered_at: row.time_opt("answered_at")?,
    })
}
