//! Grants: list and end.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::GrantId;
use sekisho_store::{Grant, GrantFilter, Store};

use super::users::Names;
use super::{ActError, GrantRow, Outcome, Performer, record};

pub(super) async fn list(store: &Store, user: Option<&str>) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let names = Names::read(&mut tx).await?;
    let subject = match user {
        None => None,
        Some(name) => {
            let found = tx.users().find_by_name(name).await?;
            Some(Subject::User(found.ok_or_else(|| ActError::Absent { what: "user", name: name.to_owned() })?.id))
        }
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
