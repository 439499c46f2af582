//! Accounts that people link for servers: what a server is shown in the name of the person who calls.

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_store::{AccountKey, LinkedAccount, NewLinkedAccount, Tx};

use crate::{ActError, Performer, role};

/// Links an account. Only the person whose account it becomes can, because nobody else may put one into their name.
pub async fn link(tx: &mut Tx, by: &Performer<'_>, new: &NewLinkedAccount<'_>) -> Result<(), ActError> {
    if by.actor != Actor::User(new.key.user) {
        return Err(ActError::NotAllowed("only the user can, who is signed in"));
    }
    tx.linked_accounts().put(new, by.now).await?;
    let detail = format!("{} at `{}`", named(new.account), new.issuer);
    Ok(by.record(tx, about(by, ActKind::AccountLinked, new.key, detail)).await?)
}

/// Removes an account and returns it, so that its tokens can be given back. Its user can, and an owner.
pub async fn unlink(tx: &mut Tx, by: &Performer<'_>, key: &AccountKey) -> Result<LinkedAccount, ActError> {
    if by.actor != Actor::User(key.user) {
        role::owns(tx, by).await?;
    }
    let removed = tx.linked_accounts().remove(key).await?;
    let removed = removed.ok_or_else(|| ActError::absent("account linked for", &key.server))?;
    let detail = format!("{} at `{}`", named(removed.account.as_deref()), removed.issuer);
    by.record(tx, about(by, ActKind::AccountUnlinked, key, detail)).await?;
    Ok(removed)
}

/// Notes that an account cannot be used any more, because its vendor says so. Returns `false` if it was linked anew or
/// has ended meanwhile.
pub async fn expire(
    tx: &mut Tx,
    by: &Performer<'_>,
    key: &AccountKey,
    generation: i64,
    reason: &str,
) -> Result<bool, ActError> {
    if !tx.linked_accounts().end(key, generation, reason).await? {
        return Ok(false);
    }
    by.record(tx, about(by, ActKind::AccountExpired, key, reason.to_owned())).await?;
    Ok(true)
}

fn named(account: Option<&str>) -> String {
    account.map_or_else(|| "an account".to_owned(), |account| format!("`{account}`"))
}

fn about(by: &Performer<'_>, kind: ActKind, key: &AccountKey, detail: String) -> Act {
    Act { subject: Some(Subject::User(key.user)), server: Some(key.server.clone()), detail, ..by.act(kind) }
}
