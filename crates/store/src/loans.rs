//! Loans: access that an owner lent to one subject, client and grant, for a time.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{AccessRequestId, ClientId, GrantId, LoanId, ServerName, TaskId};

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, conflict, grant_alive, json_opt, task_running, values};
use crate::tx::Tx;

/// The longest loan, in seconds.
pub const LOAN_SECONDS_MAX: u32 = 31 * 24 * 60 * 60;

/// A loan to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLoan {
    /// The identifier.
    pub id: LoanId,
    /// The subject that it is for. Subject, client and server have to be those of the grant.
    pub subject: Subject,
    /// The client that may use it.
    pub client: ClientId,
    /// The grant that it extends. It must be alive, and the loan ends with it.
    pub grant: GrantId,
    /// The task that it is limited to, if any. It must be running, and the loan ends with it.
    pub task: Option<TaskId>,
    /// The server of the tool.
    pub server: ServerName,
    /// The tool that may be called.
    pub tool: String,
    /// A JSON Schema for the allowed arguments; `None` allows any.
    pub bounds: Option<serde_json::Value>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A stored loan.
#[derive(Debug, Clone, PartialEq)]
pub struct Loan {
    /// The identifier.
    pub id: LoanId,
    /// The request that it answers, if there was one.
    pub request: Option<AccessRequestId>,
    /// The subject that it is for.
    pub subject: Subject,
    /// The client that may use it.
    pub client: ClientId,
    /// The grant that it extends.
    pub grant: GrantId,
    /// The task that it is limited to, if any.
    pub task: Option<TaskId>,
    /// The server of the tool.
    pub server: ServerName,
    /// The tool that may be called.
    pub tool: String,
    /// A JSON Schema for the allowed arguments; `None` allows any.
    pub bounds: Option<serde_json::Value>,
    /// Who lent it.
    pub granted_by: String,
    /// When it was lent.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was revoked, or ended with its grant or its task.
    pub revoked_at: Option<Timestamp>,
}

/// Loans. See [`Tx::loans`].
pub struct Loans<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Loans<'_> {
    /// Lends without a request. Returns `false` if the grant is not alive, or the task is over.
    pub async fn lend(&mut self, new: &NewLoan, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        if !self.hold(new, now).await? {
            return Ok(false);
        }
        self.insert(new, None, by, now).await?;
        Ok(true)
    }

    /// Locks the grant and the task of a loan until this transaction ends, so that whoever ends them waits, and then
    /// finds the loan. Returns `false` if one of them has ended.
    pub(crate) async fn hold(&mut self, new: &NewLoan, now: Timestamp) -> Result<bool, StoreError> {
        if !self.tx.grants().hold(new.grant, now).await? {
            return Ok(false);
        }
        match new.task {
            Some(task) => self.tx.tasks().hold(task, new.grant, now).await,
            None => Ok(true),
        }
    }

    /// Stores a loan whose grant and task are locked. Fails with [`StoreError::Conflict`] if the loan does not match
    /// its grant.
    pub(crate) async fn insert(
        &mut self,
        new: &NewLoan,
        request: Option<AccessRequestId>,
        by: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let inserted = self
            .tx
            .execute_one(
                "INSERT INTO loans (id, request, subject, client_id, grant_id, task, server, tool, bounds, granted_by,
                     created_at, expires_at)
                 SELECT $1, $2, grants.subject, grants.client_id, grants.id, $6, grants.server, $8, $9, $10, $11, $12
                 FROM grants
                 WHERE grants.id = $5 AND grants.subject = $3 AND grants.client_id = $4 AND grants.server = $7",
                values![
                    new.id,
                    request.as_ref(),
                    &new.subject,
                    &new.client,
                    new.grant,
                    new.task.as_ref(),
                    &new.server,
                    new.tool.as_str(),
                    json_opt(new.bounds.as_ref())?,
                    by,
                    now,
                    new.expires_at
                ],
            )
            .await?;
        if !inserted {
            return Err(conflict("a loan that does not fit its grant"));
        }
        self.tx.changed(ChangeKind::Loan, new.id);
        Ok(())
    }

    /// Returns the loan of this identifier, also if it has ended.
    pub async fn find(&mut self, id: LoanId) -> Result<Option<Loan>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM loans WHERE id = $1", values![id]).await?.map(read).transpose()
    }

    /// Returns the loans in force, oldest first: neither revoked nor expired, of a living grant, of no task or a
    /// running one, and not for a disabled user.
    ///
    /// Every end of a loan is announced as [`ChangeKind::Loan`], except that it expires.
    pub async fn list(&mut self, now: Timestamp) -> Result<Vec<Loan>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                concat!(
                    "SELECT loans.*, users.disabled AS user_disabled
                     FROM loans JOIN grants ON grants.id = loans.grant_id LEFT JOIN tasks ON tasks.id = loans.task
                         LEFT JOIN users ON users.id = loans.subject
                     WHERE loans.revoked_at IS NULL AND loans.expires_at > $1 AND ",
                    grant_alive!("$1"),
                    " AND (loans.task IS NULL OR (tasks.id IS NOT NULL AND ",
                    task_running!("$1"),
                    ")) ORDER BY loans.created_at, loans.id"
                ),
                values![now],
            )
            .await?;
        let mut loans = Vec::new();
        for row in rows {
            // A user without a row was deleted, and counts as disabled.
            let user_disabled = row.int_opt("user_disabled")?.is_none_or(|flag| flag != 0);
            let loan = read(row)?;
            if !(user_disabled && matches!(loan.subject, Subject::User(_))) {
                loans.push(loan);
            }
        }
        Ok(loans)
    }

    /// Revokes a loan. Returns `true` if it was neither revoked nor expired.
    pub async fn revoke(&mut self, id: LoanId, now: Timestamp) -> Result<bool, StoreError> {
        let revoked = self
            .tx
            .execute_one(
                "UPDATE loans SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2",
                values![id, now],
            )
            .await?;
        if revoked {
            self.tx.changed(ChangeKind::Loan, id);
        }
        Ok(revoked)
    }

    /// Passes the loans of a grant that are for no task on to the grant that replaces it, of the same user, client and
    /// server. Returns how many.
    pub async fn pass_on(&mut self, from: GrantId, to: GrantId, now: Timestamp) -> Result<u64, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "UPDATE loans SET grant_id = $2
                 WHERE grant_id = $1 AND task IS NULL AND revoked_at IS NULL AND expires_at > $3
                     AND EXISTS (SELECT 1 FROM grants WHERE grants.id = $2 AND grants.subject = loans.subject
                         AND grants.client_id = loans.client_id AND grants.server = loans.server)
                 RETURNING id",
                values![from, to, now],
            )
            .await?;
        self.announce(&rows)?;
        Ok(rows.len() as u64)
    }

    /// Ends the loans of a task that ends in this transaction.
    pub(crate) async fn end_of_task(&mut self, task: TaskId, now: Timestamp) -> Result<(), StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "UPDATE loans SET revoked_at = $2 WHERE task = $1 AND revoked_at IS NULL AND expires_at > $2
                 RETURNING id",
                values![task, now],
            )
            .await?;
        self.announce(&rows)
    }

    /// Ends the loans of grants that are revoked in this transaction.
    pub(crate) async fn end_of_revoked(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "UPDATE loans SET revoked_at = $1
                 WHERE revoked_at IS NULL AND expires_at > $1
                     AND grant_id IN (SELECT grants.id FROM grants WHERE grants.revoked_at IS NOT NULL)
                 RETURNING id",
                values![now],
            )
            .await?;
        self.announce(&rows)
    }

    /// Announces that the loans of a subject may have come into force or gone out of force.
    pub(crate) async fn announce_of_subject(&mut self, subject: &Subject) -> Result<(), StoreError> {
        let rows = self
            .tx
            .fetch_all("SELECT id FROM loans WHERE subject = $1 AND revoked_at IS NULL", values![subject])
            .await?;
        self.announce(&rows)
    }

    fn announce(&mut self, loans: &[Row]) -> Result<(), StoreError> {
        for loan in loans {
            self.tx.changed(ChangeKind::Loan, loan.text("id")?);
        }
        Ok(())
    }
}

fn read(row: Row) -> Result<Loan, StoreError> {
    Ok(Loan {
        id: row.parse("id")?,
        request: row.parse_opt("request")?,
        subject: row.parse("subject")?,
        client: row.parse("client_id")?,
        grant: row.parse("grant_id")?,
        task: row.parse_opt("task")?,
        server: row.parse("server")?,
        tool: row.text("tool")?,
        bounds: row.json_opt("bounds")?,
        granted_by: row.text("granted_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}
