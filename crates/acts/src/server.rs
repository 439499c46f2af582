//! Servers that `run` keeps.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_store::{GrantFilter, StoreError, Tx};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ActError, Performer, reading, role};

/// A server handed over by `run`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Add {
    /// Its name.
    pub name: ServerName,
    /// Its definition as JSON, without any value that could be a secret.
    pub definition: String,
    /// Values by the name under which the definition refers to them. They are sealed.
    pub secrets: Vec<(String, String)>,
}

impl std::fmt::Debug for Add {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Add").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Adds a server, or replaces the one of that name with all its secrets.
pub async fn add(tx: &mut Tx, by: &Performer<'_>, server: Add) -> Result<(), ActError> {
    role::owns(tx, by).await?;
    tx.servers().put(&server.name, &server.definition, by.now).await?;
    for old in tx.credentials().list_names(&server.name).await? {
        tx.credentials().remove(&server.name, &old).await?;
    }
    for (name, value) in server.secrets {
        tx.credentials().put(&server.name, &name, &UpstreamSecret::from_outside(value)).await?;
    }
    Ok(by.record(tx, Act { server: Some(server.name), ..by.act(ActKind::ServerAdded) }).await?)
}

/// A server as it is kept, secrets included: to put it back when what replaced it does not work.
pub async fn kept(tx: &mut Tx, name: &ServerName) -> Result<Option<Add>, StoreError> {
    let Some(row) = tx.servers().find(name).await? else { return Ok(None) };
    let mut secrets = Vec::new();
    for key in tx.credentials().list_names(name).await? {
        if let Some(value) = tx.credentials().find(name, &key).await? {
            secrets.push((key, value.expose().to_owned()));
        }
    }
    Ok(Some(Add { name: row.name, definition: row.definition, secrets }))
}

/// Says up to which class a user may use the tools of a server of `run`, or that the user may use none.
pub async fn set_reach(
    tx: &mut Tx,
    by: &Performer<'_>,
    name: &ServerName,
    user: &str,
    class: Option<ToolClass>,
) -> Result<(), ActError> {
    role::owns(tx, by).await?;
    let user = reading::user(tx, user).await?;
    let row = tx.servers().find(name).await?.ok_or_else(|| ActError::absent("server that `run` keeps", name))?;
    let mut definition = definition(&row.definition)?;
    let users = definition.entry("users").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(users) = users {
        match class {
            Some(class) => users.insert(user.name.clone(), class.as_str().into()),
            None => users.remove(&user.name),
        };
    }
    tx.servers().put(name, &Value::Object(definition).to_string(), by.now).await?;
    let detail = format!("`{}`: {}", user.name, class.map_or("nothing", ToolClass::as_str));
    let act = Act {
        subject: Some(Subject::User(user.id)),
        server: Some(name.clone()),
        detail,
        ..by.act(ActKind::ReachChanged)
    };
    Ok(by.record(tx, act).await?)
}

/// Takes a user's name out of every server that `run` keeps: the next user of that name is another person.
pub(crate) async fn forget_user(tx: &mut Tx, user: &str, now: Timestamp) -> Result<(), ActError> {
    for row in tx.servers().list().await? {
        let mut definition = definition(&row.definition)?;
        if let Some(Value::Object(users)) = definition.get_mut("users")
            && users.remove(user).is_some()
        {
            tx.servers().put(&row.name, &Value::Object(definition).to_string(), now).await?;
        }
    }
    Ok(())
}

fn definition(text: &str) -> Result<Map<String, Value>, ActError> {
    let what = || StoreError::Corrupt { what: "servers.definition".to_owned() };
    serde_json::from_str(text).map_err(|_| what().into())
}

/// Removes a server and says how many grants ended.
pub async fn remove(tx: &mut Tx, by: &Performer<'_>, name: &ServerName) -> Result<u64, ActError> {
    role::owns(tx, by).await?;
    if !tx.servers().remove(name).await? {
        return Err(ActError::absent("server", name));
    }
    for secret in tx.credentials().list_names(name).await? {
        tx.credentials().remove(name, &secret).await?;
    }
    // A server that is added later under this name is another one. Its tools have to be accepted anew.
    tx.catalogue().forget(name).await?;
    let mut count = 0;
    for grant in tx.grants().list(&GrantFilter { server: Some(name.clone()), ..GrantFilter::default() }).await? {
        count += u64::from(tx.grants().revoke(grant.id, "its server was removed", by.now).await?);
    }
    let detail = format!("{count} grants ended");
    by.record(tx, Act { server: Some(name.clone()), detail, ..by.act(ActKind::ServerRemoved) }).await?;
    Ok(count)
}
