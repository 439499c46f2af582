//! Grants: list and end.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::GrantId;
use sekisho_store::{Grant, GrantFilter, Store};

use super::users::{self, Names};
use super::{ActError, GrantRow, Outcome, Performer, record};

pub(super) async fn list(store: &Store, user: Option<&str>) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let names = Names::read(&mut tx).await?;
    let subject = match user {
        None => None,
        Some(name) => Some(Subject::User(users::find(&mut tx, name).await?.id)),
    };
    let found = tx.grants().list(&GrantFilter { subject, ..GrantFilter::default() }).await?;
    let row = |grant: Grant| GrantRow {
        id: grant.id,
        subject: names.of(&grant.subject),
        client: grant.client,
        server: grant.server,
        scopes: grant.scopes.to_string(),
        created: grant.created_at,
        revoked: grant.revoked_at.is_some(),
    };
    Ok(Outcome::Grants { grants: found.into_iter().map(row).collect() })
}

pub(super) async fn revoke(store: &Store, who: Performer<'_>, grant: GrantId) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    if !tx.grants().revoke(grant, "revoked by an operator", who.now).await? {
        return Err(ActError::Absent { what: "living grant", name: grant.to_string() });
    }
    tx.audit().append(who.node, &record(who, "grant revoke", grant.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}

pub(super) async fn revoke_all(store: &Store, who: Performer<'_>, user: Option<&str>) -> Result<Outcome, ActError> {
    const BECAUSE: &str = "every agent ended by an operator";
    let mut tx = store.begin().await?;
    let (count, of) = match user {
        None => (tx.grants().revoke_all(BECAUSE, who.now).await?, "everybody".to_owned()),
        Some(name) => {
            let user = users::find(&mut tx, name).await?;
            (tx.grants().revoke_of_user(user.id, BECAUSE, who.now).await?, user.name)
        }
    };
    tx.audit().append(who.node, &record(who, "grant revoke all", of), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count })
}
