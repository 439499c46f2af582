//! Approvals: a person's permission for one exact call, which is asked for, given or declined, and used once.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ApprovalId, ClientId, GrantId, RequestId, ServerName, TaskId};

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::seal::{Purpose, SecretBytes};
use crate::sql::{Row, conflict, grant_alive, values};
use crate::tx::Tx;

/// The most approvals of one grant that may wait to be answered or used at a time.
pub const APPROVALS_OPEN_PER_GRANT_MAX: i64 = 32;

/// The most bytes of one text of a call that are stored with its approval. This is more than a page shows, and few
/// enough that writing them does not delay SQLite's other writers.
pub const APPROVAL_TEXT_BYTES_MAX: usize = 32 * 1024;

/// The word that makes the seal of `beside` different from that of `arguments`.
const BESIDE: &str = "beside";

/// A call for which a person is to be asked.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// The identifier, which is used if there is no open approval of this call.
    pub id: ApprovalId,
    /// The digest of the call: user, client, server, tool and canonical arguments.
    pub digest: Digest,
    /// The subject that is asked. Subject, client and server have to be those of the grant.
    pub subject: Subject,
    /// The client that calls.
    pub client: ClientId,
    /// The grant of the call. It must be alive.
    pub grant: GrantId,
    /// The server of the tool.
    pub server: ServerName,
    /// The tool that is called.
    pub tool: String,
    /// The beginning of the arguments as canonical JSON, to show to the person. Kept sealed; at most
    /// [`APPROVAL_TEXT_BYTES_MAX`].
    pub arguments: Option<SecretBytes>,
    /// How many characters of the arguments are left out.
    pub arguments_left_out: u64,
    /// What the call sends beside its arguments, as canonical JSON, to show to the person. Kept sealed; at most
    /// [`APPROVAL_TEXT_BYTES_MAX`].
    pub beside: Option<SecretBytes>,
    /// The task that the call belongs to.
    pub task: Option<TaskId>,
    /// The rule that requires a person.
    pub rule: String,
    /// The rule's reason.
    pub reason: Option<String>,
    /// The request that made the call.
    pub request: RequestId,
    /// When the approval can no longer be answered or used.
    pub expires_at: Timestamp,
}

/// A stored approval.
#[derive(Debug, Clone)]
pub struct Approval {
    /// The identifier.
    pub id: ApprovalId,
    /// The digest of the call.
    pub digest: Digest,
    /// The subject that is asked.
    pub subject: Subject,
    /// The client that calls.
    pub client: ClientId,
    /// The grant of the call.
    pub grant: GrantId,
    /// The server of the tool.
    pub server: ServerName,
    /// The tool that is called.
    pub tool: String,
    /// The beginning of the arguments as canonical JSON, to show to the person.
    pub arguments: Option<SecretBytes>,
    /// How many characters of the arguments are left out.
    pub arguments_left_out: u64,
    /// What the call sends beside its arguments, as canonical JSON.
    pub beside: Option<SecretBytes>,
    /// The task that the call belongs to.
    pub task: Option<TaskId>,
    /// The rule that requires a person.
    pub rule: String,
    /// The rule's reason.
    pub reason: Option<String>,
    /// The first request that made the call.
    pub request: RequestId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the approval can no longer be answered or used.
    pub expires_at: Timestamp,
    /// When the person answered.
    pub decided_at: Option<Timestamp>,
    /// Whether the person approved, once answered.
    pub approved: Option<bool>,
    /// When the approval was used.
    pub used_at: Option<Timestamp>,
}

impl Approval {
    /// Returns whether the approval can still be answered or used.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && self.approved != Some(false) && now < self.expires_at
    }
}

/// Approvals of single calls. See [`Tx::approvals`].
pub struct Approvals<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Approvals<'_> {
    /// Returns the open approval of this call, answered or not, or stores this new one if there is none. Fails with
    /// [`StoreError::Conflict`] if the grant has ended or has another subject, client or server, and with
    /// [`StoreError::Full`] if the grant has [`APPROVALS_OPEN_PER_GRANT_MAX`] open approvals.
    pub async fn ask(&mut self, new: &NewApproval, now: Timestamp) -> Result<Approval, StoreError> {
        if !self.tx.grants().hold(new.grant, now).await? {
            return Err(conflict("an approval for a grant that has ended"));
        }
        self.tx
            .execute(
                "UPDATE approvals SET closed_at = $2 WHERE grant_id = $1 AND closed_at IS NULL AND expires_at <= $2",
                values![new.grant, now],
            )
            .await?;
        match self.open_or_insert(new, now).await? {
            Some(open) => Ok(open),
            None if self.tx.grants().fits(new.grant, &new.subject, &new.client, &new.server).await? => {
                Err(StoreError::Full { what: "one more call of this grant that waits for a person" })
            }
            None => Err(conflict("an approval that does not fit its grant")),
        }
    }

    /// Finds or stores the approval in one statement: between two, an open approval could be used.
    async fn open_or_insert(&mut self, new: &NewApproval, now: Timestamp) -> Result<Option<Approval>, StoreError> {
        let id = new.id.to_string();
        let sealed = new.arguments.as_ref().map(|text| self.seal(&[&id], text)).transpose()?;
        let beside = new.beside.as_ref().map(|text| self.seal(&[&id, BESIDE], text)).transpose()?;
        let row = self
            .tx
            .fetch_optional(
                "INSERT INTO approvals (id, digest, subject, client_id, grant_id, server, tool, arguments, task, rule,
                     reason, request, created_at, expires_at, beside, arguments_left_out)
                 SELECT $1, $2, grants.subject, grants.client_id, grants.id, grants.server, $7, $8, $9, $10,
                     $11, $12, $13, $14, $16, $17
                 FROM grants
                 WHERE grants.id = $5 AND grants.subject = $3 AND grants.client_id = $4 AND grants.server = $6
                     AND (
                         (SELECT COUNT(*) FROM approvals WHERE grant_id = $5 AND closed_at IS NULL) < $15
                         OR EXISTS (SELECT 1 FROM approvals WHERE grant_id = $5 AND digest = $2 AND closed_at IS NULL)
                     )
                 ON CONFLICT (grant_id, digest) WHERE closed_at IS NULL DO UPDATE SET digest = excluded.digest
                 RETURNING *",
                values![
                    id.as_str(),
                    new.digest,
                    &new.subject,
                    &new.client,
                    new.grant,
                    &new.server,
                    new.tool.as_str(),
                    sealed,
                    new.task.as_ref(),
                    new.rule.as_str(),
                    new.reason.as_deref(),
                    new.request,
                    now,
                    new.expires_at,
                    APPROVALS_OPEN_PER_GRANT_MAX,
                    beside,
                    i64::try_from(new.arguments_left_out).unwrap_or(i64::MAX)
                ],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    /// Returns the approval of this identifier, whatever its state. It is kept for a day after it expired.
    pub async fn find(&mut self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let row = self.tx.fetch_optional("SELECT * FROM approvals WHERE id = $1", values![id]).await?;
        row.map(|row| self.read(&row)).transpose()
    }

    /// Returns the approval of this call that can still be answered or used.
    pub async fn open_of(
        &mut self,
        grant: GrantId,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<Approval>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT * FROM approvals
                 WHERE grant_id = $1 AND digest = $2 AND closed_at IS NULL AND expires_at > $3",
                values![grant, digest, now],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    /// Returns the approvals that this subject still has to answer, oldest first.
    pub async fn pending_of_subject(&mut self, subject: &Subject, now: Timestamp) -> Result<Vec<Approval>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                concat!(
                    "SELECT approvals.* FROM approvals JOIN grants ON grants.id = approvals.grant_id
                     WHERE approvals.subject = $1 AND decided_at IS NULL AND closed_at IS NULL
                         AND approvals.expires_at > $2 AND ",
                    grant_alive!("$2"),
                    " ORDER BY approvals.created_at, approvals.id"
                ),
                values![subject, now],
            )
            .await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// Answers an approval. Returns `true` for exactly one caller: only for the subject that is asked, before it
    /// expires, and while its grant is alive.
    pub async fn decide(
        &mut self,
        id: ApprovalId,
        by: &Subject,
        approve: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let decided = self
            .tx
            .execute_one(
                concat!(
                    "UPDATE approvals
                     SET decided_at = $4, approved = $3, closed_at = CASE WHEN $3 = 1 THEN NULL ELSE $4 END
                     WHERE id = $1 AND subject = $2 AND decided_at IS NULL AND closed_at IS NULL AND expires_at > $4
                         AND EXISTS (SELECT 1 FROM grants WHERE grants.id = approvals.grant_id AND ",
                    grant_alive!("$4"),
                    ")"
                ),
                values![id, by, approve, now],
            )
            .await?;
        if decided {
            self.tx.changed(ChangeKind::Approval, id);
        }
        Ok(decided)
    }

    /// Uses an approval. Returns `true` for exactly one caller, only before it expires and while its grant is alive.
    pub async fn consume(&mut self, grant: GrantId, digest: &Digest, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                concat!(
                    "UPDATE approvals SET used_at = $3, closed_at = $3
                     WHERE grant_id = $1 AND digest = $2 AND closed_at IS NULL AND approved = 1 AND expires_at > $3
                         AND EXISTS (SELECT 1 FROM grants WHERE grants.id = approvals.grant_id AND ",
                    grant_alive!("$3"),
                    ")"
                ),
                values![grant, digest, now],
            )
            .await
    }

    /// Makes the approval of this call that was used last usable again, if nothing was sent. Returns `false` if none
    /// was used, it has expired, its grant has ended, or a person is already being asked for the same call again.
    ///
    /// If you also call [`crate::Tasks::give_back`], call this first: grants are written to before tasks.
    pub async fn unuse(&mut self, grant: GrantId, digest: &Digest, now: Timestamp) -> Result<bool, StoreError> {
        // Concurrent requests for the same call wait, because a call can have only one open approval.
        if !self.tx.grants().hold(grant, now).await? {
            return Ok(false);
        }
        self.tx
            .execute_one(
                "UPDATE approvals SET used_at = NULL, closed_at = NULL
                 WHERE id = (
                     SELECT used.id FROM approvals used
                     WHERE used.grant_id = $1 AND used.digest = $2 AND used.used_at IS NOT NULL AND used.expires_at > $3
                     ORDER BY used.used_at DESC, used.id DESC LIMIT 1
                 ) AND NOT EXISTS (
                     SELECT 1 FROM approvals again
                     WHERE again.grant_id = $1 AND again.digest = $2 AND again.closed_at IS NULL
                 )",
                values![grant, digest, now],
            )
            .await
    }

    fn seal(&self, about: &[&str], text: &SecretBytes) -> Result<Vec<u8>, StoreError> {
        if text.expose().len() > APPROVAL_TEXT_BYTES_MAX {
            return Err(conflict("more of a call than is kept with an approval"));
        }
        Ok(self.tx.seal.seal(Purpose::ApprovalArguments, about, text.expose())?)
    }

    fn read(&self, row: &Row) -> Result<Approval, StoreError> {
        let id: ApprovalId = row.parse("id")?;
        let name = id.to_string();
        let open = |sealed: Vec<u8>, about: &[&str]| self.tx.seal.open(Purpose::ApprovalArguments, about, &sealed);
        let arguments = row.blob_opt("arguments")?.map(|sealed| open(sealed, &[&name])).transpose()?;
        let beside = row.blob_opt("beside")?.map(|sealed| open(sealed, &[&name, BESIDE])).transpose()?;
        Ok(Approval {
            id,
            digest: row.parse("digest")?,
            subject: row.parse("subject")?,
            client: row.parse("client_id")?,
            grant: row.parse("grant_id")?,
            server: row.parse("server")?,
            tool: row.text("tool")?,
            arguments: arguments.map(|opened| SecretBytes::new(opened.to_vec())),
            arguments_left_out: row.count("arguments_left_out")?,
            beside: beside.map(|opened| SecretBytes::new(opened.to_vec())),
            task: row.parse_opt("task")?,
            rule: row.text("rule")?,
            reason: row.text_opt("reason")?,
            request: row.parse("request")?,
            created_at: row.time("created_at")?,
            expires_at: row.time("expires_at")?,
            decided_at: row.time_opt("decided_at")?,
            approved: row.int_opt("approved")?.map(|flag| flag != 0),
            used_at: row.time_opt("used_at")?,
        })
    }
}
