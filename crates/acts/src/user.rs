//! Users: add, give a role, shut out, let in again, remove, make a link for a password.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::role::Role;
use sekisho_protocol::secret::SetupToken;
use sekisho_store::{SetupLink, StoreError, Tx, User};

use crate::{ActError, Invalid, Performer, reading, role, server};

/// How long a link for a password works, in minutes.
pub const LINK_MINUTES: u32 = 30;
/// The most characters of a user's name.
const NAME_CHARS_MAX: usize = 64;

/// A user to add.
#[derive(Debug, Clone)]
pub struct Add<'a> {
    /// The name to sign in with: 1 to 64 letters, digits and `. - _ @ +`.
    pub name: &'a str,
    /// The user's part in running the checkpoint.
    pub role: Role,
    /// The password's PHC string. Without one, a link is made with which the user sets it.
    pub password: Option<String>,
}

/// Adds a user. Without a password there is a link for it.
pub async fn add(tx: &mut Tx, by: &Performer<'_>, user: Add<'_>) -> Result<Option<SetupToken>, ActError> {
    role::owns(tx, by).await?;
    let name = user.name;
    let plain = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+'));
    if !plain || name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(Invalid::UserName(name.to_owned()).into());
    }
    let new = User {
        id: UserId::generate(by.now, by.entropy),
        name: name.to_owned(),
        password: user.password,
        role: user.role,
        disabled: false,
        created_at: by.now,
        epoch: 0,
    };
    match tx.users().insert(&new).await {
        Err(StoreError::Conflict { .. }) => {
            return Err(ActError::Exists { what: "user", name: name.to_owned() });
        }
        other => other?,
    }
    let link = match new.password {
        Some(_) => None,
        None => Some(make_link(tx, by, new.id).await?),
    };
    let detail = format!("`{name}`, {}", user.role);
    by.record(tx, about(by, ActKind::UserAdded, new.id, detail)).await?;
    Ok(link)
}

/// Gives a user another role. The last owner who can sign in stays one.
pub async fn set_role(tx: &mut Tx, by: &Performer<'_>, name: &str, role: Role) -> Result<(), ActError> {
    role::owns(tx, by).await?;
    let user = reading::user(tx, name).await?;
    if !tx.users().set_role(user.id, role).await? {
        return Err(only_owner(user.name));
    }
    let detail = format!("`{}`, {role}", user.name);
    Ok(by.record(tx, about(by, ActKind::UserRoleChanged, user.id, detail)).await?)
}

/// Shuts a user out and says how many grants ended; sessions and links end, too. The last owner who can sign in stays able
/// to.
pub async fn disable(tx: &mut Tx, by: &Performer<'_>, name: &str) -> Result<u64, ActError> {
    role::owns(tx, by).await?;
    let user = reading::user(tx, name).await?;
    let count = shut_out(tx, by, &user).await?;
    let detail = format!("`{}`; {count} grants ended", user.name);
    by.record(tx, about(by, ActKind::UserDisabled, user.id, detail)).await?;
    Ok(count)
}

/// Lets a user sign in again. What ended when the user was shut out stays ended.
pub async fn enable(tx: &mut Tx, by: &Performer<'_>, name: &str) -> Result<(), ActError> {
    role::owns(tx, by).await?;
    let user = reading::user(tx, name).await?;
    tx.users().set_disabled(user.id, false).await?;
    let detail = format!("`{}`", user.name);
    Ok(by.record(tx, about(by, ActKind::UserEnabled, user.id, detail)).await?)
}

/// Removes a user and says how many grants ended; sessions and links end, too, and the name is free.
pub async fn remove(tx: &mut Tx, by: &Performer<'_>, name: &str) -> Result<u64, ActError> {
    role::owns(tx, by).await?;
    let user = reading::user(tx, name).await?;
    let count = forget(tx, by, &user).await?;
    let detail = format!("`{}`; {count} grants ended", user.name);
    by.record(tx, about(by, ActKind::UserRemoved, user.id, detail)).await?;
    Ok(count)
}

/// Shuts a user out without a record of it, and says how many grants ended.
pub(crate) async fn shut_out(tx: &mut Tx, by: &Performer<'_>, user: &User) -> Result<u64, ActError> {
    if !tx.users().set_disabled(user.id, true).await? {
        return Err(only_owner(user.name.clone()));
    }
    let count = tx.grants().revoke_of_user(user.id, "its user was shut out", by.now).await?;
    tx.browser_sessions().delete_of_user(user.id, by.now).await?;
    tx.setup_links().end_of_user(user.id, by.now).await?;
    Ok(count)
}

/// Removes a user without a record of it, and says how many grants ended.
pub(crate) async fn forget(tx: &mut Tx, by: &Performer<'_>, user: &User) -> Result<u64, ActError> {
    // Before the user goes: its grants, with all that is derived from them and lent to them.
    let count = tx.grants().revoke_of_user(user.id, "its user was removed", by.now).await?;
    tx.browser_sessions().delete_of_user(user.id, by.now).await?;
    if !tx.users().remove(user.id).await? {
        return Err(only_owner(user.name.clone()));
    }
    server::forget_user(tx, &user.name, by.now).await?;
    Ok(count)
}

/// Makes a link with which a user sets a password, for [`LINK_MINUTES`]. It ends every older link of this user.
pub async fn link(tx: &mut Tx, by: &Performer<'_>, name: &str) -> Result<SetupToken, ActError> {
    role::owns(tx, by).await?;
    let user = reading::user(tx, name).await?;
    if user.disabled {
        return Err(Invalid::UserShutOut(user.name).into());
    }
    let token = make_link(tx, by, user.id).await?;
    let detail = format!("`{}`", user.name);
    by.record(tx, about(by, ActKind::SetupLinkMade, user.id, detail)).await?;
    Ok(token)
}

async fn make_link(tx: &mut Tx, by: &Performer<'_>, user: UserId) -> Result<SetupToken, ActError> {
    let token = SetupToken::generate(by.entropy);
    let expires_at = after(by.now, LINK_MINUTES * 60);
    tx.setup_links().insert(&SetupLink { digest: token.digest(), user, expires_at, used_at: None }, by.now).await?;
    Ok(token)
}

fn only_owner(name: String) -> ActError {
    Invalid::OnlyOwner(name).into()
}

fn about(by: &Performer<'_>, kind: ActKind, user: UserId, detail: String) -> Act {
    Act { subject: Some(Subject::User(user)), detail, ..by.act(kind) }
}
