//! Identities at providers: who signs in with one, and which user it is.
//!
//! A user who is made for an identity is called `PROVIDER:NAME` (`name.rs`), like one whom the provider makes over SCIM.

use std::collections::BTreeSet;

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::openid::ProviderName;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::role::Role;
use sekisho_store::{LinkedIdentity, LoggedOut, Tx, User};

use crate::{ActError, Invalid, Performer, role};

pub(crate) mod name;

use name::free_name;

/// Somebody at a provider, and what its claims say.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The provider, by its name in the configuration.
    pub provider: &'a ProviderName,
    /// The subject there.
    pub identity: &'a Identity,
    /// What they are called there. It proves nothing.
    pub shown_name: Option<&'a str>,
    /// The groups that the claims name, as the policies call them.
    pub groups: &'a BTreeSet<String>,
}

/// The result of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedIn {
    /// The user.
    pub user: UserId,
    /// Whether the user's rights may have changed: the user is new, or is in other groups.
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

/// Links this identity to the user who acts. From now on the user can sign in with it, too.
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

/// The ways in that this checkpoint offers, whoever signs in.
#[derive(Debug, Clone, Copy)]
pub struct OpenWays<'a> {
    /// Whether passwords let people in.
    pub passwords: bool,
    /// The issuer identifiers of the providers at which people sign in.
    pub issuers: &'a [&'a str],
}

impl OpenWays<'_> {
    /// Whether this user could sign in without this identity.
    pub fn remain(&self, user: &User, identities: &[LinkedIdentity], without: &Identity) -> bool {
        let opens = |other: &LinkedIdentity| {
            other.identity != *without && self.issuers.contains(&other.identity.issuer.as_str())
        };
        (self.passwords && user.password.is_some()) || identities.iter().any(opens)
    }
}

/// A link to undo.
#[derive(Debug, Clone, Copy)]
pub struct Unlink<'a> {
    /// The user whose it is.
    pub user: UserId,
    /// The provider, by its names in the configuration: more than one if several clients are registered there, none if it is
    /// not in the configuration any more.
    pub providers: &'a [&'a ProviderName],
    /// Who the user is there.
    pub identity: &'a Identity,
    /// The ways in of this checkpoint.
    pub open: OpenWays<'a>,
}

/// Undoes a link. The groups of the provider are gone with it, and every session of the user ends, because any of them may
/// have begun there. A user who was made for the identity keeps it, and so does a user who would have no way in without it.
pub async fn unlink(tx: &mut Tx, by: &Performer<'_>, wish: Unlink<'_>) -> Result<(), ActError> {
    let Unlink { user, providers, identity, open } = wish;
    if by.actor != Actor::User(user) {
        role::owns(tx, by).await?;
    }
    let absent = || ActError::absent("link of this user to", &identity.issuer);
    // Of two links that are undone at once, the second sees that the first is gone.
    if !tx.users().hold(user).await? {
        return Err(absent());
    }
    let found = tx.users().find(user).await?.ok_or_else(absent)?;
    let all = tx.identities().of_user(user).await?;
    if !all.iter().any(|linked| linked.identity == *identity && !linked.made_user) {
        return Err(absent());
    }
    if !open.remain(&found, &all, identity) {
        return Err(Invalid::OnlyWayIn(found.name).into());
    }
    if !tx.identities().unlink(identity, user).await? {
        return Err(absent());
    }
    for provider in providers {
        tx.user_groups().replace(user, provider.as_str(), &BTreeSet::new()).await?;
    }
    let sessions = tx.browser_sessions().delete_of_user(user, by.now).await?;
    tx.grants()
        .revoke_of_identity(user, &identity.subject, "its user's account at the provider was unlinked", by.now)
        .await?;
    let detail = format!("from `{}`; {sessions} sessions ended", identity.issuer);
    Ok(by.record(tx, about(by, ActKind::IdentityUnlinked, user, detail)).await?)
}

/// A statement of a provider that sessions have ended.
#[derive(Debug, Clone, Copy)]
pub struct LogOut<'a> {
    /// The provider, by its name in the configuration.
    pub provider: &'a ProviderName,
    /// Its issuer identifier.
    pub issuer: &'a str,
    /// The sessions that it names.
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
    let shown = presented.shown_name.unwrap_or_default();
    let name = free_name(tx, presented.provider.as_str(), shown, id).await?;
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

async fn shut_out(tx: &mut Tx, user: UserId) -> Result<ActError, ActError> {
    let name = tx.users().find(user).await?.map_or_else(|| user.to_string(), |user| user.name);
    Ok(Invalid::UserShutOut(name).into())
}

fn about(by: &Performer<'_>, kind: ActKind, user: UserId, detail: String) -> Act {
    Act { subject: Some(Subject::User(user)), detail, ..by.act(kind) }
}
