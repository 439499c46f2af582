//! Groups of a provider, and who is in them. For the policies a group is called after its provider, a slash, and its `displayName`.

use std::collections::BTreeSet;

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::ids::{ScimGroupId, UserId};
use sekisho_protocol::openid::groups::GROUP_BYTES_MAX;
use sekisho_protocol::text::check_name;
use sekisho_scim::error::ScimError;
use sekisho_store::{ScimGroupRow, StoreError, Tx};
use serde_json::{Map, Value, json};

use super::{ProvisioningClient, ProvisioningError, unique};
use crate::Performer;

/// A group of a provider, as it is kept.
#[derive(Debug, Clone)]
pub struct ProvisionedGroup {
    /// The group itself.
    pub row: ScimGroupRow,
    /// Who is in it. Empty where nobody asked.
    pub members: BTreeSet<UserId>,
}

impl ProvisionedGroup {
    /// The attributes as a client may change them.
    pub fn said(&self) -> Map<String, Value> {
        let mut said = Map::new();
        said.insert("displayName".to_owned(), Value::from(self.row.display_name.as_str()));
        if let Some(external_id) = &self.row.external_id {
            said.insert("externalId".to_owned(), Value::from(external_id.as_str()));
        }
        if !self.members.is_empty() {
            let members = self.members.iter().map(|user| json!({ "value": user.to_string() })).collect();
            said.insert("members".to_owned(), Value::Array(members));
        }
        said
    }
}

/// What a client says of a group, taken apart.
struct Said {
    display_name: String,
    name: String,
    external_id: Option<String>,
    members: BTreeSet<UserId>,
}

impl Said {
    fn read(client: &ProvisioningClient, resource: &Map<String, Value>) -> Result<Self, ScimError> {
        let text = |name: &str| resource.get(name).and_then(Value::as_str);
        let display_name = text("displayName").unwrap_or_default().to_owned();
        if check_name(&display_name).is_err() || display_name.len() > GROUP_BYTES_MAX {
            return Err(ScimError::InvalidValue(
                "`displayName`: a name of up to 256 bytes, all of it seen, without blanks around",
            ));
        }
        let mut members = BTreeSet::new();
        for member in resource.get("members").and_then(Value::as_array).into_iter().flatten() {
            let user = member.get("value").and_then(Value::as_str).and_then(|text| text.parse().ok());
            members.insert(user.ok_or(NOT_A_MEMBER)?);
        }
        Ok(Self {
            name: format!("{}/{display_name}", client.provider),
            external_id: text("externalId").map(str::to_owned),
            display_name,
            members,
        })
    }
}

const NOT_A_MEMBER: ScimError =
    ScimError::InvalidValue("`members`: each is the `id` of a user that this provider provisions, and not of a group");

/// The group of this identifier, if it is of the client's provider, with its members.
pub async fn find(
    tx: &mut Tx,
    client: &ProvisioningClient,
    id: ScimGroupId,
) -> Result<Option<ProvisionedGroup>, StoreError> {
    let Some(row) = tx.scim_groups().find(&client.provider, id).await? else { return Ok(None) };
    let members = tx.scim_groups().members(id).await?;
    Ok(Some(ProvisionedGroup { row, members }))
}

/// Makes a group.
pub async fn create(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    resource: &Map<String, Value>,
) -> Result<ScimGroupId, ProvisioningError> {
    let said = Said::read(client, resource)?;
    let row = ScimGroupRow {
        id: ScimGroupId::generate(by.now, by.entropy),
        provider: client.provider.clone(),
        display_name: said.display_name,
        name: said.name,
        external_id: said.external_id,
        version: 1,
        created_at: by.now,
        changed_at: by.now,
    };
    tx.scim_groups().insert(&row).await.map_err(|error| unique(error, "displayName or externalId"))?;
    let came = set_members(tx, &row, &said.members).await?.len();
    record(tx, by, client, ActKind::GroupAdded, format!("`{}`, {came} members", row.name)).await?;
    Ok(row.id)
}

/// Changes a group: `after` in place of what `before` says. Rights change with it. The same again changes nothing.
pub async fn change(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    before: &ProvisionedGroup,
    after: &Map<String, Value>,
) -> Result<(), ProvisioningError> {
    let said = Said::read(client, after)?;
    let row = ScimGroupRow {
        display_name: said.display_name,
        name: said.name,
        external_id: said.external_id,
        ..before.row.clone()
    };
    if row == before.row && said.members == before.members {
        return Ok(());
    }
    let row = ScimGroupRow { changed_at: by.now, ..row };
    let updated = tx.scim_groups().update(&row).await.map_err(|error| unique(error, "displayName or externalId"))?;
    if !updated {
        return Err(ScimError::PreconditionFailed.into());
    }
    let moved = set_members(tx, &row, &said.members).await?;
    let came = moved.intersection(&said.members).count();
    let detail = format!("`{}`; {came} came, {} went", row.name, moved.len() - came);
    record(tx, by, client, ActKind::GroupChanged, detail).await
}

/// Removes a group; nobody is in it any more.
pub async fn remove(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    before: &ProvisionedGroup,
) -> Result<(), ProvisioningError> {
    if !tx.scim_groups().remove(&client.provider, before.row.id).await? {
        return Err(ScimError::NotFound.into());
    }
    let detail = format!("`{}`, {} members", before.row.name, before.members.len());
    record(tx, by, client, ActKind::GroupRemoved, detail).await
}

/// Who came or went.
async fn set_members(
    tx: &mut Tx,
    row: &ScimGroupRow,
    members: &BTreeSet<UserId>,
) -> Result<BTreeSet<UserId>, ProvisioningError> {
    Ok(tx.scim_groups().set_members(row, members).await?.ok_or(NOT_A_MEMBER)?)
}

async fn record(
    tx: &mut Tx,
    by: &Performer<'_>,
    client: &ProvisioningClient,
    kind: ActKind,
    detail: String,
) -> Result<(), ProvisioningError> {
    let act = Act { detail: format!("{detail} by {}", client.named()), ..by.act(kind) };
    Ok(by.record(tx, act).await?)
}
