//! Passwords: set with a link, or changed by the person who is signed in.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::secret::SetupToken;
use sekisho_store::Tx;

use crate::{ActError, Performer};

/// What authorizes somebody to set a password.
#[derive(Debug, Clone, Copy)]
pub enum Basis<'a> {
    /// A link that an operator made. Setting the password uses it up.
    Link(&'a SetupToken),
    /// The old password of this user, which was checked a moment ago.
    Present(UserId),
}

/// Sets a password, given as its PHC string, and says whose. Every browser session and every grant of the user ends: what
/// was begun with the old password must not outlive it.
pub async fn set(tx: &mut Tx, by: &Performer<'_>, basis: Basis<'_>, phc: &str) -> Result<UserId, ActError> {
    let (user, how) = match basis {
        Basis::Link(link) => {
            let used = tx.setup_links().consume(&link.digest(), by.now).await?;
            (used.ok_or_else(|| ActError::absent("unused link", "for this password"))?, "by a link")
        }
        Basis::Present(user) => (user, "by its user"),
    };
    if !tx.users().set_password(user, phc, by.now).await? {
        return Err(ActError::absent("user", user));
    }
    let ended = tx.grants().revoke_of_user(user, "its user set a new password", by.now).await?;
    tx.browser_sessions().delete_of_user(user, by.now).await?;
    tx.setup_links().end_of_user(user, by.now).await?;
    let detail = if ended == 0 { how.to_owned() } else { format!("{how}; {ended} grants ended") };
    by.record(tx, Act { subject: Some(Subject::User(user)), detail, ..by.act(ActKind::PasswordSet) }).await?;
    Ok(user)
}
