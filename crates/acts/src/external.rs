//! Callers with tokens of external authorization servers: which user one is, and the grant that stands behind its calls.
//!
//! The issuer let the client in, so nobody is asked here. What was let in is kept as a grant all the same: it is listed,
//! held to a task and ended like any other. An ended one keeps its client out until its user lets the client in again
//! (decision 0104).

use std::collections::BTreeSet;

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::ids::{ClientId, GrantId, UserId};
use sekisho_protocol::openid::ProviderName;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::server::ServerCard;
use sekisho_store::{Grant, GrantIssuer, NewGrant, StoreError, Tx};

use crate::identity::{self, Presented};
use crate::{ActError, Performer};

/// What a token of an external authorization server says, after it was verified.
#[derive(Debug, Clone, Copy)]
pub struct ExternalToken<'a> {
    /// The provider at which the same people sign in.
    pub provider: &'a ProviderName,
    /// The issuer of the token.
    pub issuer: &'a str,
    /// Who the token is about.
    pub identity: &'a Identity,
    /// What that person is called there. It proves nothing.
    pub shown_name: Option<&'a str>,
    /// The client, as it is called here ([`client_of`]).
    pub client: &'a ClientId,
    /// The server that the token is for.
    pub server: &'a ServerCard,
    /// What the token permits there, in our scopes.
    pub scopes: &'a ScopeSet,
}

/// What stands behind a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A living grant of this user.
    Granted {
        /// The user.
        user: UserId,
        /// The grant.
        grant: GrantId,
    },
    /// The grant was ended here, and its user has not let the client in again.
    Ended(GrantId),
    /// The user may not come in.
    ShutOut,
}

/// The result of [`admit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// What stands behind the token now.
    pub standing: Standing,
    /// Whether a user was made for it.
    pub made_user: bool,
}

/// Returns how a client of an external authorization server is called here. The name of the provider stands before it: no
/// identifier of our own has a colon in that place, so nothing that was said of one of our clients holds for another's.
pub fn client_of(provider: &ProviderName, client: &ClientId) -> Option<ClientId> {
    ClientId::parse(&format!("{provider}:{client}")).ok()
}

/// Returns what stands behind a token without writing anything. `None`: something has to be written first, by [`admit`].
pub async fn standing(tx: &mut Tx, token: ExternalToken<'_>) -> Result<Option<Standing>, StoreError> {
    let Some(linked) = tx.identities().find(token.identity).await? else { return Ok(None) };
    Ok(known(tx, linked.user, token).await?.and_then(|(standing, grant)| is_enough(&grant, token).then_some(standing)))
}

/// Makes what is missing: the user, as a sign-in at the provider would make one, without groups; the grant; its further
/// scopes. Each is on record.
///
/// Of two that meet, one may find that the other was first: [`ActError::Exists`] or a conflict of the store. The same act
/// succeeds afterwards, in a new transaction.
pub async fn admit(tx: &mut Tx, by: &Performer<'_>, token: ExternalToken<'_>) -> Result<Admitted, ActError> {
    let (user, made_user) = match tx.identities().find(token.identity).await? {
        Some(linked) => (linked.user, false),
        None => (make_user(tx, by, token).await?, true),
    };
    let standing = match known(tx, user, token).await? {
        Some((standing, Some(grant))) if !is_enough(&Some(grant.clone()), token) => {
            widen(tx, by, &grant, token).await?;
            standing
        }
        Some((standing, _)) => standing,
        None => Standing::Granted { user, grant: make_grant(tx, by, user, token).await? },
    };
    Ok(Admitted { standing, made_user })
}

/// Lets the client of an ended grant in again: its next token makes a new grant. A person does so for their own grants.
pub async fn release(tx: &mut Tx, by: &Performer<'_>, id: GrantId) -> Result<(), ActError> {
    let absent = || ActError::absent("ended grant of an external authorization server", id);
    let grant = tx.grants().find(id).await?.filter(|grant| by.may_touch(&grant.subject)).ok_or_else(absent)?;
    if !tx.grants().release(id, by.now).await? {
        return Err(absent());
    }
    Ok(by.record(tx, by.act_on(ActKind::GrantReleased, &grant)).await?)
}

/// What stands behind a token of a known user, with its grant. `None`: there is no grant yet.
async fn known(
    tx: &mut Tx,
    user: UserId,
    token: ExternalToken<'_>,
) -> Result<Option<(Standing, Option<Grant>)>, StoreError> {
    if tx.users().find(user).await?.is_none_or(|user| user.disabled) {
        return Ok(Some((Standing::ShutOut, None)));
    }
    let grant = tx.grants().find_external(&Subject::User(user), token.client, &token.server.name).await?;
    Ok(grant.map(|grant| match grant.revoked_at {
        Some(_) => (Standing::Ended(grant.id), None),
        None => (Standing::Granted { user, grant: grant.id }, Some(grant)),
    }))
}

/// Whether a living grant has all scopes of the token.
fn is_enough(grant: &Option<Grant>, token: ExternalToken<'_>) -> bool {
    grant.as_ref().is_none_or(|grant| grant.scopes.satisfies_all(token.scopes))
}

async fn make_user(tx: &mut Tx, by: &Performer<'_>, token: ExternalToken<'_>) -> Result<UserId, ActError> {
    let ExternalToken { provider, identity, shown_name, .. } = token;
    let groups = BTreeSet::new();
    let user = identity::make(tx, by, Presented { provider, identity, shown_name, groups: &groups }).await?;
    let detail = format!("by an access token of `{provider}`; groups come with the first sign-in there");
    let act = Act { subject: Some(Subject::User(user)), detail, ..by.act(ActKind::UserAdded) };
    by.record(tx, act).await?;
    Ok(user)
}

async fn make_grant(
    tx: &mut Tx,
    by: &Performer<'_>,
    user: UserId,
    token: ExternalToken<'_>,
) -> Result<GrantId, ActError> {
    let new = NewGrant {
        id: GrantId::generate(by.now, by.entropy),
        subject: Subject::User(user),
        client: token.client.clone(),
        server: token.server.name.clone(),
        resource: token.server.resource.as_str().to_owned(),
        scopes: token.scopes.clone(),
        path: ActorPath::direct(token.client.clone()),
        parent: None,
        task: None,
        created_at: by.now,
        expires_at: None,
    };
    let of = GrantIssuer { issuer: token.issuer, subject: &token.identity.subject };
    tx.grants().insert_external(&new, of).await?;
    let act = Act {
        subject: Some(new.subject),
        client: Some(new.client),
        server: Some(new.server),
        grant: Some(new.id),
        scopes: new.scopes,
        detail: by_issuer(token),
        ..Act::new(Actor::Client, ActKind::GrantMade)
    };
    by.record(tx, act).await?;
    Ok(new.id)
}

async fn widen(tx: &mut Tx, by: &Performer<'_>, grant: &Grant, token: ExternalToken<'_>) -> Result<(), ActError> {
    let scopes = grant.scopes.union(token.scopes).shortened();
    if !tx.grants().set_scopes(grant.id, &scopes).await? {
        return Err(ActError::absent("living grant", grant.id));
    }
    let act = Act { actor: Actor::Client, scopes, detail: by_issuer(token), ..by.act_on(ActKind::GrantWidened, grant) };
    Ok(by.record(tx, act).await?)
}

/// The issuer is configured text, so it is short enough for a record.
fn by_issuer(token: ExternalToken<'_>) -> String {
    format!("by a token of `{}`", token.issuer)
}
