//! Servers that `run` keeps, and the classes of their tools.

use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_store::{GrantFilter, Store};

use super::{ActError, Outcome, Performer, ServerAdd, ServerRow, record};

pub(super) async fn add(store: &Store, who: Performer<'_>, server: ServerAdd) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    tx.servers().put(&server.name, &server.definition, who.now).await?;
    for old in tx.credentials().list_names(&server.name).await? {
        tx.credentials().remove(&server.name, &old).await?;
    }
    for (name, value) in server.secrets {
        tx.credentials().put(&server.name, &name, &UpstreamSecret::from_outside(value)).await?;
    }
    tx.audit().append(who.node, &record(who, "server add", server.name.as_str()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}

pub(super) async fn kept(store: &Store, name: &ServerName) -> Result<Option<ServerAdd>, ActError> {
    let mut tx = store.read().await?;
    let Some(row) = tx.servers().find(name).await? else { return Ok(None) };
    let mut secrets = Vec::new();
    for key in tx.credentials().list_names(name).await? {
        if let Some(value) = tx.credentials().find(name, &key).await? {
            secrets.push((key, value.expose().to_owned()));
        }
    }
    Ok(Some(ServerAdd { name: row.name, definition: row.definition, secrets }))
}

pub(super) async fn list(store: &Store) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let rows = tx.servers().list().await?;
    Ok(Outcome::Servers {
        servers: rows.into_iter().map(|row| ServerRow { name: row.name, definition: row.definition }).collect(),
    })
}

pub(super) async fn remove(store: &Store, who: Performer<'_>, name: &ServerName) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    if !tx.servers().remove(name).await? {
        return Err(absent(name));
    }
    for secret in tx.credentials().list_names(name).await? {
        tx.credentials().remove(name, &secret).await?;
    }
    let mut count = 0;
    for grant in tx.grants().list(&GrantFilter { server: Some(name.clone()), ..GrantFilter::default() }).await? {
        count += u64::from(tx.grants().revoke(grant.id, "server removed", who.now).await?);
    }
    tx.audit().append(who.node, &record(who, "server remove", name.as_str()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count })
}

pub(super) async fn tools(store: &Store, server: &ServerName) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    Ok(Outcome::Tools { tools: tx.catalogue().list(server).await? })
}

pub(super) async fn classify(
    store: &Store,
    who: Performer<'_>,
    server: &ServerName,
    classes: &[(String, ToolClass)],
) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    for (name, class) in classes {
        let tool = tx
            .catalogue()
            .find(server, name)
            .await?
            .ok_or_else(|| ActError::Absent { what: "tool", name: format!("{server}/{name}") })?;
        tx.catalogue().classify(server, name, *class, &tool.seen, who.now).await?;
        tx.audit()
            .append(who.node, &record(who, "server classify", format!("{server}/{name}={}", class.as_str())), who.now)
            .await?;
    }
    tx.commit().await?;
    Ok(Outcome::Done { count: classes.len() as u64 })
}

fn absent(name: &ServerName) -> ActError {
    ActError::Absent { what: "server", name: name.to_string() }
}
