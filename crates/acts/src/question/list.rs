//! Lists of what there is.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::{HeldTool, Tool};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::task::Task;
use sekisho_store::{Grant, GrantFilter, LinkedAccount, Loan, StoreError, StoredClient, TaskFilter, Tx, User};

use super::{
    AccessRow, ClientRow, GrantRow, HeldRow, LinkRow, LoanRow, Names, ServerRow, TaskRow, UserRow, access_row,
};
use crate::tool::fingerprint;
use crate::{ActError, reading};

async fn subject(tx: &mut Tx, user: Option<&str>) -> Result<Option<Subject>, ActError> {
    match user {
        None => Ok(None),
        Some(name) => Ok(Some(Subject::User(reading::user(tx, name).await?.id))),
    }
}

/// What users ask owners for and nobody has answered, oldest first.
pub async fn access_requests(tx: &mut Tx, now: Timestamp) -> Result<Vec<AccessRow>, StoreError> {
    let names = Names::read(tx).await?;
    let open = tx.access_requests().open(now).await?;
    Ok(open.into_iter().map(|request| access_row(&names, request)).collect())
}

/// All clients but those that are known by their metadata document only.
pub async fn clients(tx: &mut Tx) -> Result<Vec<ClientRow>, StoreError> {
    let row = |stored: StoredClient| ClientRow {
        id: stored.client.id,
        name: stored.client.name,
        origin: stored.client.origin.as_str().to_owned(),
        created: stored.created_at,
    };
    Ok(tx.clients().list().await?.into_iter().map(row).collect())
}

/// Grants, newest first; of one user, if it is named.
pub async fn grants(tx: &mut Tx, user: Option<&str>, now: Timestamp) -> Result<Vec<GrantRow>, ActError> {
    let names = Names::read(tx).await?;
    let subject = subject(tx, user).await?;
    let found = tx.grants().list(&GrantFilter { subject, ..GrantFilter::default() }).await?;
    let row = |grant: Grant| GrantRow {
        id: grant.id,
        subject: names.of(&grant.subject),
        keeps_out: grant.keeps_out(),
        issuer: grant.issuer,
        client: grant.client,
        server: grant.server,
        scopes: grant.scopes.to_string(),
        created: grant.created_at,
        ends: grant.expires_at,
        revoked: grant.revoked_at.is_some(),
        ended: grant.revoked_at.is_some() || grant.expires_at.is_some_and(|end| end <= now),
    };
    Ok(found.into_iter().map(row).collect())
}

/// Accounts that people linked, by server: of one user, or of all.
pub async fn links(tx: &mut Tx, user: Option<&str>) -> Result<Vec<LinkRow>, ActError> {
    let names = Names::read(tx).await?;
    let user = match user {
        Some(user) => Some(reading::user(tx, user).await?.id),
        None => None,
    };
    let row = |linked: LinkedAccount| LinkRow {
        user: names.of(&Subject::User(linked.key.user)),
        server: linked.key.server,
        issuer: linked.issuer,
        account: linked.account,
        scopes: linked.scopes,
        created: linked.created_at,
        last_used: linked.last_used_at,
        ended: linked.ended_reason,
    };
    Ok(tx.linked_accounts().list(user).await?.into_iter().map(row).collect())
}

/// The tools of a server that are held back, and in what each differs from what was accepted.
pub async fn held_tools(tx: &mut Tx, server: &ServerName) -> Result<Vec<HeldRow>, StoreError> {
    let row = |held: HeldTool| {
        let (differences, more) = held.differences();
        HeldRow {
            is_new: held.is_new(),
            fingerprint: fingerprint(&held.tool.seen),
            differences,
            more: more as u64,
            tool: held.tool,
        }
    };
    Ok(tx.catalogue().held(server).await?.into_iter().map(row).collect())
}

/// What is lent, oldest first.
pub async fn loans(tx: &mut Tx, now: Timestamp) -> Result<Vec<LoanRow>, StoreError> {
    let names = Names::read(tx).await?;
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
    Ok(tx.loans().list(now).await?.into_iter().map(row).collect())
}

/// Servers that `run` keeps.
pub async fn servers(tx: &mut Tx) -> Result<Vec<ServerRow>, StoreError> {
    let rows = tx.servers().list().await?;
    Ok(rows.into_iter().map(|row| ServerRow { name: row.name, definition: row.definition }).collect())
}

/// Tasks, oldest first; of one user, if it is named; with those that are over, if asked for.
pub async fn tasks(
    tx: &mut Tx,
    user: Option<&str>,
    include_over: bool,
    now: Timestamp,
) -> Result<Vec<TaskRow>, ActError> {
    let filter = TaskFilter { subject: subject(tx, user).await?, include_over, ..TaskFilter::default() };
    let row = |task: Task| TaskRow {
        over: task.is_over(now),
        id: task.id,
        grant: task.grant,
        server: task.server,
        origin: task.origin,
        definition: task.definition,
        calls_left: task.calls_left,
        ends: task.ends_at,
    };
    Ok(tx.tasks().list(&filter, now).await?.into_iter().map(row).collect())
}

/// The tools of a server, as the catalogue keeps them.
pub async fn tools(tx: &mut Tx, server: &ServerName) -> Result<Vec<Tool>, StoreError> {
    tx.catalogue().list(server).await
}

/// All users.
pub async fn users(tx: &mut Tx) -> Result<Vec<UserRow>, StoreError> {
    let row = |user: User| UserRow {
        id: user.id,
        name: user.name,
        role: user.role,
        disabled: user.disabled,
        password: user.password.is_some(),
    };
    Ok(tx.users().list().await?.into_iter().map(row).collect())
}
