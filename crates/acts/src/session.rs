//! Browsers in which somebody is signed in: ending one, the others, or all of them.

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::UserId;
use sekisho_store::Tx;

use crate::{ActError, Performer, role};

/// Which sessions of a user are ended.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// All of them.
    All,
    /// The one with this digest.
    One(&'a Digest),
    /// All but the one with this digest.
    Others(&'a Digest),
}

/// Ends sessions of a user, and the grants that end with them, and says how many sessions that were. A person ends their own;
/// an owner or an operator those of anybody. If no such session is there, nothing is recorded.
pub async fn end(tx: &mut Tx, by: &Performer<'_>, user: UserId, which: Which<'_>) -> Result<u64, ActError> {
    let is_own = by.actor == Actor::User(user);
    if !is_own {
        role::owns(tx, by).await?;
    }
    let Some(found) = tx.users().find(user).await? else { return Err(ActError::absent("user", user)) };
    let count = match which {
        Which::All => tx.browser_sessions().delete_of_user(user, by.now).await?,
        Which::One(digest) => tx.browser_sessions().delete_one_of_user(user, digest, by.now).await?,
        Which::Others(stays) => tx.browser_sessions().delete_others_of_user(user, stays, by.now).await?,
    };
    if count == 0 {
        return Err(ActError::absent("session of", found.name));
    }
    let who = if is_own { "by its user" } else { "by somebody who runs the checkpoint" };
    let detail = format!("`{}`; {count} sessions ended {who}", found.name);
    by.record(tx, Act { subject: Some(Subject::User(user)), detail, ..by.act(ActKind::SessionsEnded) }).await?;
    Ok(count)
}
