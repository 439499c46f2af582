//! Users of a provider: provisioned, changed, shut out, removed.
//!
//! A provisioned user is an ordinary user, and is called as one whom a sign-in makes: `PROVIDER:NAME` (`identity/name.rs`).

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::role::Role;
use sekisho_protocol::text::check_name;
use sekisho_scim::error::ScimError;
use sekisho_store::{LinkedIdentity, ScimUserRow, StoreError, Tx, User};
use serde_json::{Map, Value};

use super::{ProvisioningClient, ProvisioningError, unique};
use crate::identity::name::{free_name, name_of};
use crate::{Performer, user};

/// The longest `userName`, in characters.
const USER_NAME_CHARS_MAX: usize = 128;

/// A user of a provider, as it is kept.
#[derive(Debug, Clone)]
pub struct ProvisionedUser {
    /// What the provider says.
    pub row: ScimUserRow,
    /// The user here.
    pub user: User,
    /// The attributes as the client wrote them, with `externalId` and `active`.
    pub said: Map<String, Value>,
}

impl ProvisionedUser {
    /// Whether the user can come in: the provider says so, and nobody here has shut them out.
    pub fn is_active(&self) -> bool {
        !self.user.disabled && is_active(&self.said)
    }
}

/// What a client says of a user, taken apart.
struct Said {
    folded: String,
    user_name: String,
    external_id: Option<String>,
    /// All but `externalId`, as JSON.
    attributes: String,
    active: bool,
    identity: Option<Identity>,
}

impl Said {
    fn read(client: &ProvisioningClient, mut resource: Map<String, Value>) -> Result<Self, ScimError> {
        let identity = match &client.rule {
            Some(rule) => rule.identity(&resource)?,
            None => None,
        };
        let user_name = resource.get("userName").and_then(Value::as_str).unwrap_or_default().to_owned();
        if check_name(&user_name).is_err() || user_name.chars().count() > USER_NAME_CHARS_MAX {
            return Err(ScimError::InvalidValue(
                "`userName`: 1 to 128 characters that are seen, without blanks around",
            ));
        }
        let active = is_active(&resource);
        let external_id = resource.remove("externalId").and_then(|value| value.as_str().map(str::to_owned));
        let (attributes, folded) = (Value::Object(resource).to_string(), user_name.to_lowercase());
        Ok(Self { folded, user_name, external_id, attributes, active, identity })
    }
}

/// RFC 7643 §4.1.1 leaves the default to us: who is provisioned can come in.
fn is_active(resource: &Map<String, Value>) -> bool {
    resource.get("active").and_then(Value::as_bool).unwrap_or(true)
}

/// The user of this identifier, if the client's provider provisions them.
pub async fn find(tx: &mut Tx, client: &ProvisioningClient, id: UserId) -> Result<Option<ProvisionedUser>, StoreError> {
    match tx.scim_users().find(&client.provider, id).await? {
        Some(row) => read(tx, row).await.map(Some),
        None => Ok(None),
    }
}

/// A row with the user that it is about.
pub async fn read(tx: &mut Tx, row: ScimUserRow) -> Result<ProvisionedUser, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt { what: what.to_owned() };
    let user = tx.users().find(row.user).await?.ok_or_else(|| corrupt("scim_users.user_id"))?;
    let said: Map<String, Value> =
        serde_json::from_str(&row.attributes).map_err(|_| corrupt("scim_users.attributes"))?;
    let mut said = said;
    if let Some(external_id) = &row.external_id {
        said.insert("externalId".to_owned(), Value::from(external_id.as_str()));
    }
    said.insert("active".to_owned(), Value::Bool(is_active(&said)));
    Ok(ProvisionedUser { row, user, said })
}

/// Provisions a user. Somebody who has signed in before is known by the provider's own identifier, and stays the same user.
pub async fn create(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    resource: Map<String, Value>,
) -> Result<UserId, ProvisioningError> {
    let said = Said::read(client, resource)?;
    check_unique(tx, client, &said, None).await?;
    let known = match &said.identity {
        Some(identity) => tx.identities().find(identity).await?,
        None => None,
    };
    let (id, kind, ended) = match known {
        Some(linked) => {
            if tx.scim_users().find(&client.provider, linked.user).await?.is_some() {
                return Err(ScimError::Uniqueness("externalId").into());
            }
            let found = tx.users().find(linked.user).await?.ok_or(ScimError::NotFound)?;
            let (kind, ended) = set_active(tx, by, &found, !found.disabled, said.active).await?;
            (found.id, kind, ended)
        }
        None => (make(tx, by, client, &said).await?, ActKind::UserAdded, 0),
    };
    let row = ScimUserRow {
        provider: client.provider.clone(),
        user: id,
        user_name_folded: said.folded.clone(),
        external_id: said.external_id.clone(),
        attributes: said.attributes.clone(),
        version: 1,
        created_at: by.now,
        changed_at: by.now,
    };
    tx.scim_users().insert(&row).await.map_err(|error| unique(error, "userName"))?;
    record(tx, by, client, About { id, kind, user_name: &said.user_name, ended }).await?;
    Ok(id)
}

/// A new user, who has no password and no role.
async fn make(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    said: &Said,
) -> Result<UserId, ProvisioningError> {
    let id = UserId::generate(by.now, by.entropy);
    let new = User {
        id,
        name: free_name(tx, &client.provider, &said.user_name, id).await?,
        password: None,
        role: Role::User,
        disabled: !said.active,
        created_at: by.now,
        epoch: 0,
    };
    tx.users().insert(&new).await.map_err(|error| unique(error, "userName"))?;
    link(tx, by, said, &new).await?;
    Ok(id)
}

/// Changes what a provider says of a user: `after` in place of what `before` says. The same again changes nothing.
pub async fn change(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    before: &ProvisionedUser,
    after: Map<String, Value>,
) -> Result<(), ProvisioningError> {
    let was_active = is_active(&before.said);
    let mut after = after;
    // An update that does not say whether somebody is active leaves that as it is: nobody is let in by leaving it out.
    let active = after.get("active").and_then(Value::as_bool).unwrap_or(was_active);
    after.insert("active".to_owned(), Value::Bool(active));
    if after == before.said {
        return Ok(());
    }
    let said = Said::read(client, after)?;
    let id = before.user.id;
    check_unique(tx, client, &said, Some(id)).await?;
    link(tx, by, &said, &before.user).await?;
    let row = ScimUserRow {
        user_name_folded: said.folded.clone(),
        external_id: said.external_id.clone(),
        attributes: said.attributes.clone(),
        changed_at: by.now,
        ..before.row.clone()
    };
    let updated = tx.scim_users().update(&row).await.map_err(|error| unique(error, "userName"))?;
    if !updated {
        return Err(ScimError::PreconditionFailed.into());
    }
    rename(tx, client, before, &said.user_name).await?;
    let (kind, ended) = set_active(tx, by, &before.user, was_active, said.active).await?;
    record(tx, by, client, About { id, kind, user_name: &said.user_name, ended }).await
}

/// The provider knows the user no more. Who has another way to be known here (an identity at a provider, or a password) is shut out
/// and kept, so that signing in once more does not make somebody new of them; others are forgotten.
pub async fn remove(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    before: &ProvisionedUser,
) -> Result<(), ProvisioningError> {
    let found = &before.user;
    let kept = found.password.is_some() || !tx.identities().of_user(found.id).await?.is_empty();
    let (kind, ended) = if kept {
        (ActKind::UserDisabled, user::shut_out(tx, by, found).await?)
    } else {
        (ActKind::UserRemoved, user::forget(tx, by, found).await?)
    };
    let gone = tx.scim_users().remove(&client.provider, found.id).await?;
    if kept && !gone {
        return Err(ScimError::NotFound.into());
    }
    let user_name = before.said.get("userName").and_then(Value::as_str).unwrap_or_default();
    record(tx, by, client, About { id: found.id, kind, user_name, ended }).await
}

/// That no other user of the provider has this `userName` or `externalId`.
async fn check_unique(
    tx: &mut Tx,
    client: &ProvisioningClient,
    said: &Said,
    own: Option<UserId>,
) -> Result<(), ProvisioningError> {
    let named = tx.scim_users().find_name(&client.provider, &said.folded).await?;
    if named.is_some_and(|row| Some(row.user) != own) {
        return Err(ScimError::Uniqueness("userName").into());
    }
    if let Some(external_id) = &said.external_id {
        let known = tx.scim_users().find_external(&client.provider, external_id).await?;
        if known.is_some_and(|row| Some(row.user) != own) {
            return Err(ScimError::Uniqueness("externalId").into());
        }
    }
    Ok(())
}

/// Says who the user is at sign-in. Once that is known it stays: otherwise the person of before could still come in as this user,
/// or somebody else could from now on.
async fn link(tx: &mut Tx, by: &Performer<'_>, said: &Said, user: &User) -> Result<(), ProvisioningError> {
    let Some(identity) = &said.identity else { return Ok(()) };
    let known = tx.identities().of_user(user.id).await?;
    if let Some(known) = known.iter().find(|known| known.identity.issuer == identity.issuer) {
        let stays = known.identity == *identity;
        return if stays { Ok(()) } else { Err(ScimError::Mutability("externalId").into()) };
    }
    let linked = LinkedIdentity {
        identity: identity.clone(),
        user: user.id,
        // Who has a password could sign in before.
        made_user: user.password.is_none(),
        created_at: by.now,
        signed_in_at: None,
    };
    if tx.identities().link(&linked).await? { Ok(()) } else { Err(ScimError::Uniqueness("externalId").into()) }
}

/// Does what `active` asks for: which kind of act that is, and how many grants ended. Somebody who was active for the provider
/// before is not let in by an update, because an operator may have shut them out; somebody who is not active for the provider is
/// shut out by every update.
async fn set_active(
    tx: &mut Tx,
    by: &Performer<'_>,
    found: &User,
    before: bool,
    after: bool,
) -> Result<(ActKind, u64), ProvisioningError> {
    match (before, after) {
        (_, false) if before || !found.disabled => Ok((ActKind::UserDisabled, user::shut_out(tx, by, found).await?)),
        (false, true) => {
            tx.users().set_disabled(found.id, false).await?;
            Ok((ActKind::UserEnabled, 0))
        }
        _ => Ok((ActKind::UserChanged, 0)),
    }
}

/// A user who was named after their `userName` is named after the new one, if that is free.
async fn rename(
    tx: &mut Tx,
    client: &ProvisioningClient,
    before: &ProvisionedUser,
    user_name: &str,
) -> Result<(), ProvisioningError> {
    let old = before.said.get("userName").and_then(Value::as_str).unwrap_or_default();
    let (was, wanted) = (name_of(&client.provider, old), name_of(&client.provider, user_name));
    if was == wanted || before.user.name != was {
        return Ok(());
    }
    let holder = tx.users().find_by_name(&wanted).await?;
    if holder.is_none_or(|holder| holder.id == before.user.id) {
        tx.users().rename(before.user.id, &wanted).await.map_err(|error| unique(error, "userName"))?;
    }
    Ok(())
}

/// What a record is about.
struct About<'a> {
    id: UserId,
    kind: ActKind,
    user_name: &'a str,
    ended: u64,
}

async fn record(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    about: About<'_>,
) -> Result<(), ProvisioningError> {
    let ended = match about.kind {
        ActKind::UserDisabled | ActKind::UserRemoved => format!("; {} grants ended", about.ended),
        _ => String::new(),
    };
    let detail = format!("`{}` by {}{ended}", about.user_name, client.named());
    let act = Act { subject: Some(Subject::User(about.id)), detail, ..by.act(about.kind) };
    Ok(by.record(tx, act).await?)
}
