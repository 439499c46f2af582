//! Requests for access: what a user asked an owner to lend, and the owner's answer.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{AccessRequestId, ClientId, GrantId, LoanId, ServerName, TaskId};

use crate::error::StoreError;
use crate::loans::NewLoan;
use crate::sql::{Row, conflict, grant_alive, json_opt, values};
use crate::tx::Tx;

/// The most requests of one subject that may wait for an owner at a time.
pub const ACCESS_REQUESTS_OPEN_PER_SUBJECT_MAX: i64 = 16;

/// The longest reason, in characters. The table refuses a longer one as a fault of this program.
pub const ACCESS_REASON_CHARS_MAX: usize = 500;

/// A request for access to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAccessRequest {
    /// The identifier, which is used if there is no open request for the same.
    pub id: AccessRequestId,
    /// The subject that asks. Subject, client and server have to be those of the grant.
    pub subject: Subject,
    /// The client that may use the access.
    pub client: ClientId,
    /// The grant that the access is for. It must be alive.
    pub grant: GrantId,
    /// The task that the access is limited to, if any.
    pub task: Option<TaskId>,
    /// The server of the tool.
    pub server: ServerName,
    /// The tool to call.
    pub tool: String,
    /// A JSON Schema for the allowed arguments; `None` allows any.
    pub bounds: Option<serde_json::Value>,
    /// The reason, in the user's words; at most [`ACCESS_REASON_CHARS_MAX`] characters.
    pub reason: String,
    /// When the request is made.
    pub created_at: Timestamp,
    /// When the request expires.
    pub expires_at: Timestamp,
}

/// A stored request.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessRequest {
    /// The identifier.
    pub id: AccessRequestId,
    /// The subject that asks.
    pub subject: Subject,
    /// The client that may use the access.
    pub client: ClientId,
    /// The grant that the access is for.
    pub grant: GrantId,
    /// The task that the access is limited to, if any.
    pub task: Option<TaskId>,
    /// The server of the tool.
    pub server: ServerName,
    /// The tool to call.
    pub tool: String,
    /// A JSON Schema for the allowed arguments; `None` allows any.
    pub bounds: Option<serde_json::Value>,
    /// The reason, in the user's words.
    pub reason: String,
    /// When the request was made.
    pub created_at: Timestamp,
    /// When the request expires.
    pub expires_at: Timestamp,
    /// When the request was answered.
    pub decided_at: Option<Timestamp>,
    /// Who answered the request.
    pub decided_by: Option<String>,
    /// The loan that was granted. `None` in an answered request: it was refused.
    pub loan: Option<LoanId>,
}

impl AccessRequest {
    /// Makes the loan that answers this request, with the bounds and the end that the owner chose.
    pub fn loan_of(&self, id: LoanId, bounds: Option<serde_json::Value>, expires_at: Timestamp) -> NewLoan {
        NewLoan {
            id,
            subject: self.subject.clone(),
            client: self.client.clone(),
            grant: self.grant,
            task: self.task,
            server: self.server.clone(),
            tool: self.tool.clone(),
            bounds,
            expires_at,
        }
    }

    /// Returns whether the request can still be answered.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.decided_at.is_none() && now < self.expires_at
    }
}

/// Requests for access. See [`Tx::access_requests`].
pub struct AccessRequests<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl AccessRequests<'_> {
    /// Returns the open request for this grant, server, tool and task, or stores this new one if there is none. Fails
    /// with [`StoreError::Conflict`] if the grant has ended or has another subject, client or server, and with
    /// [`StoreError::Full`] if the subject has [`ACCESS_REQUESTS_OPEN_PER_SUBJECT_MAX`] open requests.
    pub async fn file(&mut self, new: &NewAccessRequest) -> Result<AccessRequest, StoreError> {
        // The requests of one subject are counted, so only one may be made at a time.
        self.tx.grants().hold_subject(&new.subject).await?;
        if !self.tx.grants().hold(new.grant, new.created_at).await? {
            return Err(conflict("a request for a grant that has ended"));
        }
        self.tx
            .execute(
                "UPDATE access_requests SET closed_at = $2
                 WHERE subject = $1 AND closed_at IS NULL AND expires_at <= $2",
                values![&new.subject, new.created_at],
            )
            .await?;
        match self.open_or_insert(new).await? {
            Some(open) => Ok(open),
            None if self.tx.grants().fits(new.grant, &new.subject, &new.client, &new.server).await? => {
                Err(StoreError::Full { what: "one more request for access of this user" })
            }
            None => Err(conflict("a request that does not fit its grant")),
        }
    }

    /// Finds or stores the request in one statement: between two, an open request could be answered.
    async fn open_or_insert(&mut self, new: &NewAccessRequest) -> Result<Option<AccessRequest>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "INSERT INTO access_requests (id, subject, client_id, grant_id, task, server, tool, bounds, reason,
                     created_at, expires_at)
                 SELECT $1, grants.subject, grants.client_id, grants.id, $5, grants.server, $7, $8, $9, $10, $11
                 FROM grants
                 WHERE grants.id = $4 AND grants.subject = $2 AND grants.client_id = $3 AND grants.server = $6
                     AND (
                         (SELECT COUNT(*) FROM access_requests WHERE subject = $2 AND closed_at IS NULL) < $12
                         OR EXISTS (
                             SELECT 1 FROM access_requests
                             WHERE grant_id = $4 AND tool = $7 AND COALESCE(task, '') = COALESCE($5, '')
                                 AND closed_at IS NULL
                         )
                     )
                 ON CONFLICT (grant_id, server, tool, COALESCE(task, '')) WHERE closed_at IS NULL
                     DO UPDATE SET tool = excluded.tool
                 RETURNING *",
                values![
                    new.id,
                    &new.subject,
                    &new.client,
                    new.grant,
                    new.task.as_ref(),
                    &new.server,
                    new.tool.as_str(),
                    json_opt(new.bounds.as_ref())?,
                    new.reason.as_str(),
                    new.created_at,
                    new.expires_at,
                    ACCESS_REQUESTS_OPEN_PER_SUBJECT_MAX
                ],
            )
            .await?;
        row.map(read).transpose()
    }

    /// Returns the request of this identifier, also if it was answered or has expired.
    pub async fn find(&mut self, id: AccessRequestId) -> Result<Option<AccessRequest>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM access_requests WHERE id = $1", values![id]).await?.map(read).transpose()
    }

    /// Returns the requests that wait for an owner, oldest first: neither answered nor expired, and of a living grant.
    pub async fn open(&mut self, now: Timestamp) -> Result<Vec<AccessRequest>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                concat!(
                    "SELECT access_requests.* FROM access_requests JOIN grants ON grants.id = access_requests.grant_id
                     WHERE closed_at IS NULL AND access_requests.expires_at > $1 AND ",
                    grant_alive!("$1"),
                    " ORDER BY access_requests.created_at, access_requests.id"
                ),
                values![now],
            )
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Takes the oldest open request that nobody has announced. Concurrent callers get different requests.
    pub async fn take_unannounced(&mut self, now: Timestamp) -> Result<Option<AccessRequest>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "UPDATE access_requests SET announced_at = $1
                 WHERE id = (
                     SELECT id FROM access_requests
                     WHERE announced_at IS NULL AND closed_at IS NULL AND expires_at > $1
                     ORDER BY created_at, id LIMIT 1
                 ) AND announced_at IS NULL
                 RETURNING *",
                values![now],
            )
            .await?;
        row.map(read).transpose()
    }

    /// Returns the requests of a subject that are still kept, answered or not, oldest first.
    pub async fn of_subject(&mut self, subject: &Subject) -> Result<Vec<AccessRequest>, StoreError> {
        let rows = self
            .tx
            .fetch_all("SELECT * FROM access_requests WHERE subject = $1 ORDER BY created_at, id", values![subject])
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Refuses a request. Returns `true` for exactly one caller, and only before the request expires.
    pub async fn refuse(&mut self, id: AccessRequestId, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE access_requests SET decided_at = $3, decided_by = $2, closed_at = $3
                 WHERE id = $1 AND closed_at IS NULL AND expires_at > $3",
                values![id, by, now],
            )
            .await
    }

    /// Grants a request with a loan. Returns `true` for exactly one caller, only before the request expires, while the
    /// grant is alive and the task is not over.
    ///
    /// The loan has to be for the requested grant, server and tool, and for the task if one was named; otherwise the
    /// result is `false`. The owner decides everything else. A loan for another subject than the grant's fails with
    /// [`StoreError::Conflict`].
    pub async fn grant(
        &mut self,
        id: AccessRequestId,
        by: &str,
        loan: &NewLoan,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if !self.tx.loans().hold(loan, now).await? {
            return Ok(false);
        }
        let granted = self
            .tx
            .execute_one(
                "UPDATE access_requests SET decided_at = $3, decided_by = $2, loan = $4, closed_at = $3
                 WHERE id = $1 AND closed_at IS NULL AND expires_at > $3 AND grant_id = $5 AND server = $6
                     AND tool = $7 AND (task IS NULL OR task = $8)",
                values![id, by, now, loan.id, loan.grant, &loan.server, loan.tool.as_str(), loan.task.as_ref()],
            )
            .await?;
        if granted {
            self.tx.loans().insert(loan, Some(id), by, now).await?;
        }
        Ok(granted)
    }
}

fn read(row: Row) -> Result<AccessRequest, StoreError> {
    Ok(AccessRequest {
        id: row.parse("id")?,
        subject: row.parse("subject")?,
        client: row.parse("client_id")?,
        grant: row.parse("grant_id")?,
        task: row.parse_opt("task")?,
        server: row.parse("server")?,
        tool: row.text("tool")?,
        bounds: row.json_opt("bounds")?,
        reason: row.text("reason")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        decided_at: row.time_opt("decided_at")?,
        decided_by: row.text_opt("decided_by")?,
        loan: row.parse_opt("loan")?,
    })
}
