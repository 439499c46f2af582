//! Approvals: a person's answer to one exact call.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::ApprovalId;
use sekisho_store::{Approval, Tx};

use crate::reading::is_alive;
use crate::{ActError, Performer};

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The call may be made, once.
    Approve,
    /// The call may not be made.
    Decline,
}

/// Answers a question once, before it expires and while its grant is alive. `subject` is who was asked: the question of
/// another subject counts as absent.
pub async fn answer(
    tx: &mut Tx,
    by: &Performer<'_>,
    subject: &Subject,
    id: ApprovalId,
    answer: Answer,
) -> Result<Approval, ActError> {
    let absent = || ActError::absent("open approval", id);
    let found = tx.approvals().find(id).await?.filter(|found| found.subject == *subject && by.may_touch(subject));
    let found = found.ok_or_else(absent)?;
    let grant = tx.grants().find(found.grant).await?.ok_or_else(absent)?;
    let is_yes = answer == Answer::Approve;
    if !is_alive(tx, grant.id, by.now).await? || !tx.approvals().decide(id, subject, is_yes, by.now).await? {
        return Err(absent());
    }
    let kind = if is_yes { ActKind::ApprovalGiven } else { ActKind::ApprovalDeclined };
    let detail = format!("`{id}`: `{}`, asked for by `{}`", found.tool, found.rule);
    by.record(tx, Act { task: found.task, detail, ..by.act_on(kind, &grant) }).await?;
    Ok(found)
}
