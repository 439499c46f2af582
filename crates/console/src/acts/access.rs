//! Access that is asked for and lent: list, grant, refuse, take back.

use sekisho_policy::task::check_schema;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::{AccessRequestId, LoanId};
use sekisho_store::{AccessRequest, LOAN_SECONDS_MAX, Loan, Store};

use super::users::Names;
use super::{AccessRow, ActError, LoanRow, Outcome, Performer, record};

pub(super) async fn requests(store: &Store, who: Performer<'_>) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let names = Names::read(&mut tx).await?;
    let row = |request: AccessRequest| AccessRow {
        id: request.id,
        subject: names.of(&request.subject),
        client: request.client,
        server: request.server,
        tool: request.tool,
        task: request.task,
        reason: request.reason,
        created: request.created_at,
        expires: request.expires_at,
    };
    Ok(Outcome::AccessRequests { requests: tx.access_requests().open(who.now).await?.into_iter().map(row).collect() })
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
            let invalid = |error: &dyn std::fmt::Display| ActError::Invalid(format!("the bounds: {error}"));
            let schema = serde_json::from_str(text).map_err(|error| invalid(&error))?;
            check_schema(&asked.tool, &schema).map_err(|error| invalid(&error))?;
            Some(schema)
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
