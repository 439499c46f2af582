//! Who takes part in running the checkpoint, asked when an act is performed and not when its page was shown.

use sekisho_protocol::audit::Actor;
use sekisho_protocol::caller::Subject;
use sekisho_protocol::role::Role;
use sekisho_store::Tx;

use crate::{ActError, Performer};

/// Returns the role of the actor. `None`: an operator or the checkpoint itself, who may do everything.
async fn role(tx: &mut Tx, by: &Performer<'_>) -> Result<Option<Role>, ActError> {
    match by.actor {
        Actor::Checkpoint | Actor::Operator => Ok(None),
        Actor::User(user) => {
            let found = tx.users().find(user).await?.filter(|user| !user.disabled);
            found.map(|user| Some(user.role)).ok_or(ActError::NotAllowed("this user is shut out"))
        }
        Actor::Agent | Actor::Anonymous | Actor::Client | Actor::Provisioner => {
            Err(ActError::NotAllowed("only a person can"))
        }
    }
}

/// Lets an operator, owners and administrators pass.
pub(crate) async fn administers(tx: &mut Tx, by: &Performer<'_>) -> Result<(), ActError> {
    match role(tx, by).await? {
        Some(role) if !role.administers() => Err(ActError::NotAllowed("an owner or an administrator can")),
        _ => Ok(()),
    }
}

/// Lets an operator, owners and auditors pass.
pub(crate) async fn audits(tx: &mut Tx, by: &Performer<'_>) -> Result<(), ActError> {
    match role(tx, by).await? {
        Some(role) if !role.audits() => Err(ActError::NotAllowed("an owner or an auditor can")),
        _ => Ok(()),
    }
}

/// Lets those pass who answer what this subject asks for: an operator, owners, and administrators where it is not their own
/// request (decision 0029).
pub(crate) async fn answers(tx: &mut Tx, by: &Performer<'_>, asker: &Subject) -> Result<(), ActError> {
    let own = matches!(by.actor, Actor::User(user) if *asker == Subject::User(user));
    match role(tx, by).await? {
        None => Ok(()),
        Some(role) if role.owns() || (role.administers() && !own) => Ok(()),
        Some(_) => Err(ActError::NotAllowed("an owner can, or an administrator who did not ask for it")),
    }
}

/// Lets an operator and owners pass.
pub(crate) async fn owns(tx: &mut Tx, by: &Performer<'_>) -> Result<(), ActError> {
    match role(tx, by).await? {
        Some(role) if !role.owns() => Err(ActError::NotAllowed("an owner can")),
        _ => Ok(()),
    }
}
