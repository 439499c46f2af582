//! Access beyond the rules: a user asks, an owner lends for a time, refuses, or takes back.

use sekisho_policy::bounds::check_schema;
use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{AccessRequestId, GrantId, LoanId, TaskId};
use sekisho_protocol::text::plain_text;
use sekisho_store::{
    ACCESS_REASON_CHARS_MAX, AccessRequest, Grant, LOAN_SECONDS_MAX, Loan, NewAccessRequest, StoreError, Tx,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::limits::BOUNDS_BYTES_MAX;
use crate::{ActError, Invalid, Performer, role};

/// How long an owner has to answer, in seconds.
const REQUEST_SECONDS: u32 = 7 * 24 * 60 * 60;

/// A request for access.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    /// The grant; the loan would be for its user, client and server, and for the task that it is held to.
    pub grant: GrantId,
    /// The task for which alone the loan would be, if it is not the one that the grant is held to now.
    pub task: Option<TaskId>,
    /// The tool.
    pub tool: String,
    /// The reason; at most [`ACCESS_REASON_CHARS_MAX`] characters.
    pub reason: String,
    /// Bounds on the arguments: a JSON Schema of at most [`BOUNDS_BYTES_MAX`] bytes. `None` allows any arguments.
    pub bounds: Option<String>,
}

/// Asks owners for a tool that the rules do not allow, for the user of a grant. If the same request is open already,
/// returns that one.
pub async fn ask(tx: &mut Tx, by: &Performer<'_>, ask: Ask) -> Result<AccessRequest, ActError> {
    let reason = plain_text(&ask.reason, ACCESS_REASON_CHARS_MAX + 1);
    if reason.is_empty() || reason.chars().count() > ACCESS_REASON_CHARS_MAX {
        return Err(Invalid::Reason.into());
    }
    if ask.tool.is_empty() {
        return Err(Invalid::Tool.into());
    }
    let absent = || ActError::absent("living grant", ask.grant);
    let grant = tx.grants().find(ask.grant).await?.filter(|grant| by.may_touch(&grant.subject)).ok_or_else(absent)?;
    let bounds = match ask.bounds.as_deref() {
        None => None,
        Some(text) => {
            let definition = tx.catalogue().definition(&grant.server, &ask.tool).await?;
            Some(read_bounds(&ask.tool, text, definition.as_deref())?)
        }
    };
    let new = request(by, grant, ask, reason, bounds);
    let filed = match tx.access_requests().file(&new).await {
        Err(StoreError::Conflict { .. }) => return Err(ActError::absent("living grant", new.grant)),
        Err(StoreError::Full { .. }) => return Err(Invalid::ManyRequests.into()),
        other => other?,
    };
    let detail = format!("`{}`: `{}`", filed.id, filed.tool);
    by.record(tx, about(by, ActKind::AccessAsked, &filed, detail)).await?;
    Ok(filed)
}

fn request(by: &Performer<'_>, grant: Grant, ask: Ask, reason: String, bounds: Option<Value>) -> NewAccessRequest {
    NewAccessRequest {
        id: AccessRequestId::generate(by.now, by.entropy),
        subject: grant.subject,
        client: grant.client,
        grant: grant.id,
        task: ask.task.or(grant.task),
        server: grant.server,
        tool: ask.tool,
        bounds,
        reason,
        created_at: by.now,
        expires_at: after(by.now, REQUEST_SECONDS),
    }
}

/// Reads bounds from their text. `definition`: the definition of the tool, if it is known.
fn read_bounds(tool: &str, text: &str, definition: Option<&str>) -> Result<Value, Invalid> {
    if text.len() > BOUNDS_BYTES_MAX {
        return Err(Invalid::BoundsLength);
    }
    let invalid = |error: &dyn std::fmt::Display| Invalid::Bounds(error.to_string());
    let schema = serde_json::from_str(text).map_err(|error| invalid(&error))?;
    check_schema(tool, &schema, definition).map_err(|error| invalid(&error))?;
    Ok(schema)
}

/// The terms of a loan.
#[derive(Debug, Clone, Copy)]
pub struct Lend<'a> {
    /// How long the loan lasts, in seconds; at most [`LOAN_SECONDS_MAX`].
    pub seconds: u32,
    /// Bounds on the arguments: a JSON Schema of at most [`BOUNDS_BYTES_MAX`] bytes. `None` keeps the bounds of the
    /// request.
    pub bounds: Option<&'a str>,
}

/// A loan that was made.
#[derive(Debug, Clone, Copy)]
pub struct Lent {
    /// Its identifier.
    pub loan: LoanId,
    /// When it ends.
    pub ends: Timestamp,
}

/// Answers a request with a loan: to its user, for use by its client, for a time.
pub async fn lend(tx: &mut Tx, by: &Performer<'_>, id: AccessRequestId, lend: Lend<'_>) -> Result<Lent, ActError> {
    let asked = find(tx, by, id).await?;
    if lend.seconds == 0 || lend.seconds > LOAN_SECONDS_MAX {
        return Err(Invalid::LoanLength.into());
    }
    let bounds = match lend.bounds {
        None => asked.bounds.clone(),
        Some(text) => {
            let definition = tx.catalogue().definition(&asked.server, &asked.tool).await?;
            Some(read_bounds(&asked.tool, text, definition.as_deref())?)
        }
    };
    let ends = after(by.now, lend.seconds);
    let loan = asked.loan_of(LoanId::generate(by.now, by.entropy), bounds, ends);
    if !tx.access_requests().grant(id, &by.by(), &loan, by.now).await? {
        return Err(absent(id));
    }
    let detail = format!("`{id}`: `{}`, lent as `{}` until {ends}", asked.tool, loan.id);
    by.record(tx, about(by, ActKind::AccessLent, &asked, detail)).await?;
    Ok(Lent { loan: loan.id, ends })
}

/// Answers a request with no.
pub async fn refuse(tx: &mut Tx, by: &Performer<'_>, id: AccessRequestId) -> Result<(), ActError> {
    let asked = find(tx, by, id).await?;
    if !tx.access_requests().refuse(id, &by.by(), by.now).await? {
        return Err(absent(id));
    }
    let detail = format!("`{id}`: `{}`", asked.tool);
    Ok(by.record(tx, about(by, ActKind::AccessRefused, &asked, detail)).await?)
}

/// Ends a loan before its time.
pub async fn take_back(tx: &mut Tx, by: &Performer<'_>, id: LoanId) -> Result<(), ActError> {
    let absent = || ActError::absent("loan in force", id);
    let loan = tx.loans().find(id).await?.ok_or_else(absent)?;
    role::answers(tx, by, &loan.subject).await?;
    if !tx.loans().revoke(id, by.now).await? {
        return Err(absent());
    }
    let Loan { subject, client, server, grant, task, tool, .. } = loan;
    let act = Act {
        subject: Some(subject),
        client: Some(client),
        server: Some(server),
        grant: Some(grant),
        task,
        detail: format!("`{id}`: `{tool}`"),
        ..by.act(ActKind::AccessTakenBack)
    };
    Ok(by.record(tx, act).await?)
}

/// Returns a request that the actor may answer. A request that is over is returned as well; the statement that answers
/// it refuses it.
async fn find(tx: &mut Tx, by: &Performer<'_>, id: AccessRequestId) -> Result<AccessRequest, ActError> {
    let asked = tx.access_requests().find(id).await?.ok_or_else(|| absent(id))?;
    role::answers(tx, by, &asked.subject).await?;
    Ok(asked)
}

fn absent(id: AccessRequestId) -> ActError {
    ActError::absent("open request", id)
}

fn about(by: &Performer<'_>, kind: ActKind, asked: &AccessRequest, detail: String) -> Act {
    Act {
        subject: Some(asked.subject.clone()),
        client: Some(asked.client.clone()),
        server: Some(asked.server.clone()),
        grant: Some(asked.grant),
        task: asked.task,
        detail,
        ..by.act(kind)
    }
}
