//! Grants: end one, or many at once.

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::registration::ClientOrigin;
use sekisho_store::{GrantFilter, Tx};

use crate::{ActError, Performer, reading, role};

/// Ends a grant and everything derived from it. A person ends their own only.
pub async fn revoke(tx: &mut Tx, by: &Performer<'_>, id: GrantId) -> Result<(), ActError> {
    let absent = || ActError::absent("living grant", id);
    let grant = tx.grants().find(id).await?.filter(|grant| by.may_touch(&grant.subject)).ok_or_else(absent)?;
    if !tx.grants().revoke(id, reason(by.actor), by.now).await? {
        return Err(absent());
    }
    Ok(by.record(tx, by.act_on(ActKind::GrantRevoked, &grant)).await?)
}

/// How long a grant lives on, in seconds, after its client was let in anew. A client that asks for more in the middle of a
/// session goes on in that session with its new token: the session would end if the older grant ended before the first call
/// with the new one.
const REPLACED_SECONDS: u32 = 60;

/// Makes the older living grants of the same user at the same server through the same client, which has just been let in
/// anew, end a minute from now, and returns how many. Their loans move to the new grant at once. Only of a client that
/// registered itself, so that its identifier is one installation: a client that publishes its identifier may run on several
/// machines of one user.
pub async fn replace_older(tx: &mut Tx, by: &Performer<'_>, new: GrantId) -> Result<u64, ActError> {
    let absent = || ActError::absent("living grant", new);
    let grant = tx.grants().find(new).await?.ok_or_else(absent)?;
    let client = tx.clients().find(&grant.client).await?;
    if client.is_none_or(|client| client.client.origin != ClientOrigin::Dynamic) {
        return Ok(0);
    }
    let filter = GrantFilter {
        subject: Some(grant.subject.clone()),
        client: Some(grant.client.clone()),
        server: Some(grant.server.clone()),
    };
    let end = after(by.now, REPLACED_SECONDS);
    let mut count = 0;
    for old in tx.grants().list(&filter).await? {
        if old.id == new || old.parent.is_some() || old.revoked_at.is_some() {
            continue;
        }
        tx.loans().pass_on(old.id, new, by.now).await?;
        if tx.grants().end_at(old.id, end).await? {
            let detail = format!("replaced by `{new}`");
            by.record(tx, Act { detail, ..by.act_on(ActKind::GrantReplaced, &old) }).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// The user whose grants are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Those of all users and services.
    Everybody,
    /// Those of the person who acts.
    Own,
    /// Those of the user of this name.
    User(&'a str),
}

/// Ends every grant with everything derived from it, and says how many lived. A person ends their own only.
pub async fn revoke_all(tx: &mut Tx, by: &Performer<'_>, whose: Whose<'_>) -> Result<u64, ActError> {
    let user = match (whose, by.actor) {
        (Whose::Own, Actor::User(user)) => Some(user),
        (Whose::Own, _) => return Err(ActError::NotAllowed("only a person has grants of their own")),
        (Whose::Everybody, _) => {
            role::owns(tx, by).await?;
            None
        }
        (Whose::User(name), _) => {
            role::owns(tx, by).await?;
            Some(reading::user(tx, name).await?.id)
        }
    };
    let count = match user {
        None => tx.grants().revoke_all(reason(by.actor), by.now).await?,
        Some(user) => tx.grants().revoke_of_user(user, reason(by.actor), by.now).await?,
    };
    let detail = if user.is_some() { format!("{count} grants") } else { format!("{count} grants, of all users") };
    let act = Act { subject: user.map(Subject::User), detail, ..by.act(ActKind::GrantsRevoked) };
    by.record(tx, act).await?;
    Ok(count)
}

/// The text that is kept with a grant and says why it ended.
fn reason(actor: Actor) -> &'static str {
    match actor {
        Actor::Agent | Actor::Client => "ended by its client",
        Actor::Anonymous | Actor::Checkpoint => "ended by the checkpoint",
        Actor::Operator => "ended by an operator",
        Actor::Provisioner => "ended by its identity provider",
        Actor::User(_) => "ended by its user",
    }
}
