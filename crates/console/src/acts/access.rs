//! Access that is asked for and lent: list, grant, refuse, take back.

use sekisho_policy::bounds::check_schema;
use sekisho_policy::lending::{WantedTool, hindrance};
use sekisho_policy::rights::Rights;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{AccessRequestId, GrantId, LoanId};
use sekisho_store::{
    ACCESS_REASON_CHARS_MAX, AccessRequest, LOAN_SECONDS_MAX, Loan, NewAccessRequest, Store, StoreError,
};
use serde::{Deserialize, Serialize};

use super::users::Names;
use super::{AccessRow, ActError, Classes, LoanRow, Outcome, Performer, record};

/// What somebody wants who has not got it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    /// By which grant: its user, its client, its server, and the task that it is held to.
    pub grant: GrantId,
    /// Which tool.
    pub tool: String,
    /// Why; at most `ACCESS_REASON_CHARS_MAX` characters of it are kept.
    pub reason: String,
    /// Bounds on the arguments: a JSON Schema. Without: any.
    pub bounds: Option<String>,
}

/// How long an owner may take to answer, in seconds: as long as for a request from the page.
const REQUEST_SECONDS: u32 = 7 * 24 * 60 * 60;

pub(super) async fn file(store: &Store, who: Performer<'_>, wanted: Wanted) -> Result<Outcome, ActError> {
    let reason: String = wanted.reason.trim().chars().take(ACCESS_REASON_CHARS_MAX).collect();
    if reason.is_empty() || wanted.tool.is_empty() {
        return Err(ActError::Invalid("a request says which tool, and why".to_owned()));
    }
    let mut tx = store.begin().await?;
    let absent = || ActError::Absent { what: "grant", name: wanted.grant.to_string() };
    let grant = tx.grants().find(wanted.grant).await?.ok_or_else(absent)?;
    let bounds = match wanted.bounds.as_deref() {
        None => None,
        Some(text) => {
            let definition = tx.catalogue().definition(&grant.server, &wanted.tool).await?;
            Some(read_bounds(&wanted.tool, text, definition.as_deref())?)
        }
    };
    let new = NewAccessRequest {
        id: AccessRequestId::generate(who.now, who.entropy),
        subject: grant.subject,
        client: grant.client,
        grant: grant.id,
        task: grant.task,
        server: grant.server,
        tool: wanted.tool,
        bounds,
        reason,
        created_at: who.now,
        expires_at: after(who.now, REQUEST_SECONDS),
    };
    let filed = match tx.access_requests().file(&new).await {
        Err(StoreError::Conflict { .. }) => return Err(ActError::Invalid("the grant has ended".to_owned())),
        Err(StoreError::Full { .. }) => {
            let why = "its user has as many open requests as there may be: an owner has to answer some first";
            return Err(ActError::Invalid(why.to_owned()));
        }
        other => other?,
    };
    tx.audit().append(who.node, &record(who, "request ask", filed.id.to_string()), who.now).await?;
    let names = Names::read(&mut tx).await?;
    tx.commit().await?;
    Ok(Outcome::AccessRequests { requests: vec![row(&names, filed)] })
}

/// Bounds as they are written on a command line.
fn read_bounds(tool: &str, text: &str, definition: Option<&str>) -> Result<serde_json::Value, ActError> {
    let invalid = |error: &dyn std::fmt::Display| ActError::Invalid(format!("the bounds: {error}"));
    let schema = serde_json::from_str(text).map_err(|error| invalid(&error))?;
    check_schema(tool, &schema, definition).map_err(|error| invalid(&error))?;
    Ok(schema)
}

fn row(names: &Names, request: AccessRequest) -> AccessRow {
    AccessRow {
        id: request.id,
        subject: names.of(&request.subject),
        client: request.client,
        server: request.server,
        tool: request.tool,
        task: request.task,
        reason: request.reason,
        created: request.created_at,
        expires: request.expires_at,
    }
}

pub(super) async fn requests(store: &Store, who: Performer<'_>) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let names = Names::read(&mut tx).await?;
    let open = tx.access_requests().open(who.now).await?;
    Ok(Outcome::AccessRequests { requests: open.into_iter().map(|request| row(&names, request)).collect() })
}

/// What stands in the way of lending what is asked for, by the rights in force. `classes` are those of the configuration,
/// which win over what the store knows.
pub async fn weigh(
    store: &Store,
    rights: &Rights,
    classes: &Classes,
    id: AccessRequestId,
    now: Timestamp,
) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let absent = || ActError::Absent { what: "open request", name: id.to_string() };
    let asked = tx.access_requests().find(id).await?.ok_or_else(absent)?;
    let known = tx.catalogue().find(&asked.server, &asked.tool).await?;
    let configured = classes.get(&asked.server).and_then(|of| of.get(&asked.tool).copied());
    let wanted = WantedTool {
        server: &asked.server,
        name: &asked.tool,
        held: known.as_ref().is_some_and(Tool::is_held),
        class: configured.or(known.and_then(|tool| tool.class)),
    };
    let hindrance = hindrance(rights, (&asked.subject, &asked.client), wanted, now);
    Ok(Outcome::Hindered { server: asked.server, hindrance })
}

pub(super) async fn grant(
    store: &Store,
    who: Performer<'_>,
    id: AccessRequestId,
    seconds: u32,
    bounds: Option<&str>,
) -> Result<Outcome, ActError> {
    if seconds == 0 || seconds > LOAN_SECONDS_MAX {
        return Err(ActError::Invalid(format!("a loan lasts from one second to {} days", LOAN_SECONDS_MAX / 86_400)));
    }
    let absent = || ActError::Absent { what: "open request", name: id.to_string() };
    let mut tx = store.begin().await?;
    let asked = tx.access_requests().find(id).await?.ok_or_else(absent)?;
    let bounds = match bounds {
        None => asked.bounds.clone(),
        Some(text) => {
            let definition = tx.catalogue().definition(&asked.server, &asked.tool).await?;
            Some(read_bounds(&asked.tool, text, definition.as_deref())?)
        }
    };
    let expires = after(who.now, seconds);
    let loan = asked.loan_of(LoanId::generate(who.now, who.entropy), bounds, expires);
    if !tx.access_requests().grant(id, who.by, &loan, who.now).await? {
        return Err(absent());
    }
    tx.audit().append(who.node, &record(who, "request grant", format!("{id} {}", loan.id)), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Loan { id: loan.id, ends: expires })
}

pub(super) async fn refuse(store: &Store, who: Performer<'_>, id: AccessRequestId) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    if !tx.access_requests().refuse(id, who.by, who.now).await? {
        return Err(ActError::Absent { what: "open request", name: id.to_string() });
    }
    tx.audit().append(who.node, &record(who, "request refuse", id.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}

pub(super) async fn loans(store: &Store, who: Performer<'_>) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let names = Names::read(&mut tx).await?;
    let row = |loan: Loan| LoanRow {
        id: loan.id,
        subject: names.of(&loan.subject),
        client: loan.client,
        server: loan.server,
        tool: loan.tool,
        task: loan.task,
        bounds: loan.bounds,
        granted_by: loan.granted_by,
        ends: loan.expires_at,
    };
    Ok(Outcome::Loans { loans: tx.loans().list(who.now).await?.into_iter().map(row).collect() })
}

pub(super) async fn revoke(store: &Store, who: Performer<'_>, loan: LoanId) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    if !tx.loans().revoke(loan, who.now).await? {
        return Err(ActError::Absent { what: "loan in force", name: loan.to_string() });
    }
    tx.audit().append(who.node, &record(who, "loan revoke", loan.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}
