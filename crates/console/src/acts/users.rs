//! Users: add, list, shut out, give a link.

use std::collections::BTreeMap;

use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::role::Role;
use sekisho_protocol::secret::SetupToken;
use sekisho_store::{SetupLink, Store, StoreError, Tx, User};

use super::{ActError, Outcome, Performer, UserRow, record};

/// A link for a first password works so long.
const LINK_MINUTES: u32 = 30;

/// What users are called, for lists.
pub(super) struct Names(BTreeMap<Subject, String>);

impl Names {
    pub(super) async fn read(tx: &mut Tx) -> Result<Self, StoreError> {
        Ok(Self(tx.users().list().await?.into_iter().map(|user| (Subject::User(user.id), user.name)).collect()))
    }

    /// The name, or the subject where it is no user's.
    pub(super) fn of(&self, subject: &Subject) -> String {
        self.0.get(subject).cloned().unwrap_or_else(|| subject.to_string())
    }
}

pub(super) async fn add(
    store: &Store,
    who: Performer<'_>,
    name: &str,
    role: Role,
    password: Option<String>,
) -> Result<Outcome, ActError> {
    let plain = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+'));
    if !plain || name.is_empty() || name.chars().count() > 64 {
        return Err(ActError::Invalid(format!(
            "`{name}` cannot name a user: use 1 to 64 letters, digits and . - _ @ +"
        )));
    }
    let mut tx = store.begin().await?;
    let user = User {
        id: UserId::generate(who.now, who.entropy),
        name: name.to_owned(),
        password,
        role,
        disabled: false,
        created_at: who.now,
        epoch: 0,
    };
    match tx.users().insert(&user).await {
        Err(StoreError::Conflict { .. }) => return Err(ActError::Exists { what: "user", name: name.to_owned() }),
        other => other?,
    }
    let link = match user.password {
        Some(_) => None,
        None => Some(make_link(&mut tx, who, user.id).await?),
    };
    tx.audit().append(who.node, &record(who, "user add", name), who.now).await?;
    tx.commit().await?;
    Ok(link.unwrap_or(Outcome::Done { count: 0 }))
}

pub(super) async fn list(store: &Store) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let users = tx.users().list().await?;
    let row = |user: User| UserRow {
        id: user.id,
        name: user.name,
        role: user.role,
        disabled: user.disabled,
        password: user.password.is_some(),
    };
    Ok(Outcome::Users { users: users.into_iter().map(row).collect() })
}

pub(super) async fn role(store: &Store, who: Performer<'_>, name: &str, role: Role) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let user = find(&mut tx, name).await?;
    if !tx.users().set_role(user.id, role).await? {
        return Err(only_owner(name));
    }
    tx.audit().append(who.node, &record(who, "user role", format!("{name} {role}")), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}

pub(super) async fn disable(store: &Store, who: Performer<'_>, name: &str) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let user = find(&mut tx, name).await?;
    if !tx.users().set_disabled(user.id, true).await? {
        return Err(only_owner(name));
    }
    let count = tx.grants().revoke_of_user(user.id, "user disabled", who.now).await?;
    tx.browser_sessions().delete_of_user(user.id, who.now).await?;
    tx.setup_links().end_of_user(user.id, who.now).await?;
    tx.audit().append(who.node, &record(who, "user disable", name), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count })
}

pub(super) async fn enable(store: &Store, who: Performer<'_>, name: &str) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let user = find(&mut tx, name).await?;
    tx.users().set_disabled(user.id, false).await?;
    tx.audit().append(who.node, &record(who, "user enable", name), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}

pub(super) async fn remove(store: &Store, who: Performer<'_>, name: &str) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let user = find(&mut tx, name).await?;
    // Before the user goes: its grants, with all that is derived from them and lent to them.
    let count = tx.grants().revoke_of_user(user.id, "user removed", who.now).await?;
    tx.browser_sessions().delete_of_user(user.id, who.now).await?;
    if !tx.users().remove(user.id).await? {
        return Err(only_owner(name));
    }
    tx.audit().append(who.node, &record(who, "user remove", format!("{name} {}", user.id)), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count })
}

fn only_owner(name: &str) -> ActError {
    ActError::Invalid(format!("`{name}` is the only owner who can sign in: make another one first"))
}

pub(super) async fn link(store: &Store, who: Performer<'_>, name: &str) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let user = find(&mut tx, name).await?;
    if user.disabled {
        return Err(ActError::Invalid(format!("`{name}` is shut out: `sekisho user enable {name}` comes first")));
    }
    let link = make_link(&mut tx, who, user.id).await?;
    tx.audit().append(who.node, &record(who, "user link", name), who.now).await?;
    tx.commit().await?;
    Ok(link)
}

async fn make_link(tx: &mut Tx, who: Performer<'_>, user: UserId) -> Result<Outcome, ActError> {
    let token = SetupToken::generate(who.entropy);
    let expires_at = after(who.now, LINK_MINUTES * 60);
    let link = SetupLink { digest: token.digest(), user, expires_at, used_at: None };
    tx.setup_links().insert(&link, who.now).await?;
    Ok(Outcome::Link { token: token.expose().to_owned(), minutes: LINK_MINUTES })
}

pub(super) async fn find(tx: &mut Tx, name: &str) -> Result<User, ActError> {
    tx.users().find_by_name(name).await?.ok_or_else(|| ActError::Absent { what: "user", name: name.to_owned() })
}
