//! Identities at providers: who signs in with one, and which user it is.
//!
//! A user who is made for an identity is called `PROVIDER:NAME`. A local name has no colon, so a name that somebody chose at
//! a provider never is one that the configuration gives something to (decision 0093).

use std::collections::BTreeSet;

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::openid::ProviderName;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::role::Role;
use sekisho_store::{LinkedIdentity, LoggedOut, Tx, User};

use crate::{ActError, Invalid, Performer, role};

/// The most characters of the part of a name that comes from the provider.
const SHOWN_CHARS_MAX: usize = 40;

/// How many users of one provider may have the same name at first; after them an identifier tells the next ones apart.
const SAME_NAME_MAX: u32 = 20;

/// Somebody at a provider, and what its claims say.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The provider, by its name in the configuration.
    pub provider: &'a ProviderName,
    /// Who it is there.
    pub identity: &'a Identity,
    /// What they are called there. It proves nothing.
    pub shown_name: Option<&'a str>,
    /// The groups that the claims name, as the policies call them.
    pub groups: &'a BTreeSet<String>,
}

/// Who signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedIn {
    /// The user.
    pub user: UserId,
    /// Whether the user may do something else than before: the user is new, or is in other groups.
    pub changed: bool,
}

/// Signs in whoever this identity is, and says which user that is. For an identity that is not known a user is made, with a
/// part in nothing. The groups of this provider are those of the claims from now on. A user who is shut out stays out.
///
/// Of two sign-ins that meet, one may find that the other made the user or took the name: [`ActError::Exists`] or a conflict
/// of the store. The same act succeeds afterwards, in a new transaction.
pub async fn sign_in(tx: &mut Tx, by: &Performer<'_>, presented: Presented<'_>) -> Result<SignedIn, ActError> {
    let Presented { provider, identity, groups, .. } = presented;
    let (user, made) = match tx.identities().sign_in(identity, by.now).await? {
        Some(user) => (user, false),
        None => match tx.identities().find(identity).await? {
            Some(known) => return Err(shut_out(tx, known.user).await?),
            None => (make(tx, by, presented).await?, true),
        },
    };
    let changed = tx.user_groups().replace(user, provider.as_str(), groups).await?;
    let how = match (made, changed) {
        (true, _) => format!("at `{provider}`, for the first time; {} groups", groups.len()),
        (false, true) => format!("at `{provider}`; its groups there changed, and are {} now", groups.len()),
        (false, false) => format!("at `{provider}`"),
    };
    let signed_in = Performer { actor: Actor::User(user), ..*by };
    let act = Act { subject: Some(Subject::User(user)), detail: how, ..signed_in.act(ActKind::IdentitySignedIn) };
    signed_in.record(tx, act).await?;
    Ok(SignedIn { user, changed: made || changed })
}

/// Says that this identity is this user, who signs in there as well from now on. The actor is that user.
pub async fn link(tx: &mut Tx, by: &Performer<'_>, presented: Presented<'_>) -> Result<(), ActError> {
    let Actor::User(user) = by.actor else { return Err(ActError::NotAllowed("only the user can, who is signed in")) };
    let Some(found) = tx.users().find(user).await? else { return Err(ActError::absent("user", user)) };
    if found.disabled {
        return Err(Invalid::UserShutOut(found.name).into());
    }
    let Presented { provider, identity, groups, .. } = presented;
    let linked = LinkedIdentity {
        identity: identity.clone(),
        user,
        made_user: false,
        created_at: by.now,
        signed_in_at: Some(by.now),
    };
    if !tx.identities().link(&linked).await? {
        return Err(ActError::Exists { what: "user with the account at", name: provider.to_string() });
    }
    tx.user_groups().replace(user, provider.as_str(), groups).await?;
    let detail = format!("`{}` at `{provider}`", found.name);
    Ok(by.record(tx, about(by, ActKind::IdentityLinked, user, detail)).await?)
}

/// Undoes a link. The groups of that provider are gone with it, and every session of the user ends, because any of them may
/// have begun there. A user who was made for the identity keeps it.
pub async fn unlink(
    tx: &mut Tx,
    by: &Performer<'_>,
    user: UserId,
    provider: &ProviderName,
    identity: &Identity,
) -> Result<(), ActError> {
    if by.actor != Actor::User(user) {
        role::owns(tx, by).await?;
    }
    if !tx.identities().unlink(identity, user).await? {
        return Err(ActError::absent("link of this user to", provider));
    }
    tx.user_groups().replace(user, provider.as_str(), &BTreeSet::new()).await?;
    tx.browser_sessions().delete_of_user(user, by.now).await?;
    tx.grants()
        .revoke_of_identity(user, &identity.subject, "its user's account at the provider was unlinked", by.now)
        .await?;
    Ok(by.record(tx, about(by, ActKind::IdentityUnlinked, user, format!("from `{provider}`"))).await?)
}

/// What a provider says is over.
#[derive(Debug, Clone, Copy)]
pub struct LogOut<'a> {
    /// The provider, by its name in the configuration.
    pub provider: &'a ProviderName,
    /// Its issuer identifier.
    pub issuer: &'a str,
    /// What it names.
    pub logged_out: LoggedOut<'a>,
    /// Whether the grants of those people end as well.
    pub with_grants: bool,
}

/// Ends the sessions that came from what a provider says is over, and says how many. With one record for each user.
pub async fn log_out(tx: &mut Tx, by: &Performer<'_>, wish: LogOut<'_>) -> Result<u64, ActError> {
    let ended = tx.provider_sessions().end(wish.issuer, wish.logged_out, by.now).await?;
    let users: BTreeSet<UserId> = ended.iter().copied().collect();
    for user in users {
        let sessions = ended.iter().filter(|of| **of == user).count();
        let grants = if wish.with_grants {
            tx.grants().revoke_of_user(user, "its provider signed its user out", by.now).await?
        } else {
            0
        };
        let detail = format!("by `{}`; {sessions} sessions and {grants} grants ended", wish.provider);
        by.record(tx, about(by, ActKind::SessionsEnded, user, detail)).await?;
    }
    Ok(ended.len() as u64)
}

/// A user for an identity that is not known.
pub(crate) async fn make(tx: &mut Tx, by: &Performer<'_>, presented: Presented<'_>) -> Result<UserId, ActError> {
    let id = UserId::generate(by.now, by.entropy);
    let name = free_name(tx, presented, id).await?;
    let user = User { id, name, password: None, role: Role::User, disabled: false, created_at: by.now, epoch: 0 };
    tx.users().insert(&user).await?;
    let linked = LinkedIdentity {
        identity: presented.identity.clone(),
        user: id,
        made_user: true,
        created_at: by.now,
        signed_in_at: Some(by.now),
    };
    if !tx.identities().link(&linked).await? {
        return Err(ActError::Exists { what: "user", name: user.name });
    }
    Ok(id)
}

/// A name that no user has, which only a user of this provider can have.
async fn free_name(tx: &mut Tx, presented: Presented<'_>, id: UserId) -> Result<String, ActError> {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+') { c } else { '-' };
    let shown: String = presented.shown_name.unwrap_or_default().chars().take(SHOWN_CHARS_MAX).map(plain).collect();
    let shown = if shown.chars().any(char::is_alphanumeric) { shown } else { "person".to_owned() };
    let name = format!("{}:{shown}", presented.provider);
    for number in 1..=SAME_NAME_MAX {
        let name = if number == 1 { name.clone() } else { format!("{name}-{number}") };
        if tx.users().find_by_name(&name).await?.is_none() {
            return Ok(name);
        }
    }
    Ok(format!("{name}-{id}"))
}

async fn shut_out(tx: &mut Tx, user: UserId) -> Result<ActError, ActError> {
    let name = tx.users().find(user).await?.map_or_else(|| user.to_string(), |user| user.name);
    Ok(Invalid::UserShutOut(name).into())
}

fn about(by: &Performer<'_>, kind: ActKind, user: UserId, detail: String) -> Act {
    Act { subject: Some(Subject::User(user)), detail, ..by.act(kind) }
}
