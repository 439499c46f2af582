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

/// Access to be lent.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLoan {
    /// The identifier.
    pub id: LoanId,
    /// To whom. Like client and server that of the grant.
    pub subject: Subject,
    /// For use by which client.
    pub client: ClientId,
    /// By which grant. It must be alive, and the loan ends with it.
    pub grant: GrantId,
    /// For which task only. It must be running, and the loan ends with it.
    pub task: Option<TaskId>,
    /// Where.
    pub server: ServerName,
    /// What may be called.
    pub tool: String,
    /// With which arguments: a JSON Schema; `None` for any.
    pub bounds: Option<serde_json::Value>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A loan as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Loan {
    /// The identifier.
    pub id: LoanId,
    /// What it answers, when somebody asked.
    pub request: Option<AccessRequestId>,
    /// To whom.
    pub subject: Subject,
    /// For use by which client.
    pub client: ClientId,
    /// By which grant.
    pub grant: GrantId,
    /// For which task only.
    pub task: Option<TaskId>,
    /// Where.
    pub server: ServerName,
    /// What may be called.
    pub tool: String,
    /// With which arguments: a JSON Schema; `None` for any.
    pub bounds: Option<serde_json::Value>,
    /// Who lent it.
    pub granted_by: String,
    /// When it was lent.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was taken back, or ended with its grant or its task.
    pub revoked_at: Option<Timestamp>,
}

/// Access that owners lent for a time. See [`Tx::loans`].
pub struct Loans<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Loans<'_> {
    /// Lends without having been asked. `false`: the grant is not alive, or the task is over.
    pub async fn lend(&mut self, new: &NewLoan, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        if !self.hold(new, now).await? {
            return Ok(false);
        }
        self.insert(new, None, by, now).await?;
        Ok(true)
    }

    /// Keeps alive until this transaction ends what a loan is bound to: whoever ends it at this moment waits, and
    /// then finds the loan. `false`: it has ended.
    pub(crate) async fn hold(&mut self, new: &NewLoan, now: Timestamp) -> Result<bool, StoreError> {
        if !self.tx.grants().hold(new.grant, now).await? {
            return Ok(false);
        }
        match new.task {
            Some(task) => self.tx.tasks().hold(task, new.grant, now).await,
            None => Ok(true),
        }
    }

    /// Keeps a loan whose grant and task are held. One that does not fit its grant is [`StoreError::Conflict`].
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

    /// The loan of this identifier, also when it has ended.
    pub async fn find(&mut self, id: LoanId) -> Result<Option<Loan>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM loans WHERE id = $1", values![id]).await?.map(read).transpose()
    }

    /// The loans in force, oldest first: neither taken back nor expired, of a grant that is alive, of no task or one
    /// that is not over, and to nobody who is disabled.
    ///
    /// Whatever ends one is announced as [`ChangeKind::Loan`], but for the passing of time.
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
            // No row of a user means a user who is gone: as good as disabled.
            let user_disabled = row.int_opt("user_disabled")?.is_none_or(|flag| flag != 0);
            let loan = read(row)?;
            if !(user_disabled && matches!(loan.subject, Subject::User(_))) {
                loans.push(loan);
            }
        }
        Ok(loans)
    }

    /// Takes a loan back. `true` if it was neither taken back nor expired.
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

    /// Passes on what was lent to a grant, and to no task of it, to the grant that replaces it: of the same user, client and
    /// server. Says how many.
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

    /// Ends what was lent to a task that ends in this transaction.
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

    /// Ends what was lent to grants that are revoked in this transaction.
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

    /// Notes that the loans to a subject may have come into force, or may not be any more.
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
