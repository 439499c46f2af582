//! Servers that `run` keeps, and the classes of their tools.

use sekisho_protocol::catalogue::{HeldTool, Tool, ToolClass};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_store::{GrantFilter, Store};

use super::{ActError, HeldRow, Outcome, Performer, ServerAdd, ServerRow, record};

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
    // Whatever is put there next is another server, whose tools nobody has seen.
    tx.catalogue().forget(name).await?;
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
    let (tools, later) = (tx.catalogue().list(server).await?, tx.catalogue().seen_later(server).await?);
    Ok(Outcome::Tools { tools, later })
}

/// What the tools of a server promise that are not held back.
pub(super) async fn definitions(store: &Store, server: &ServerName) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    Ok(Outcome::Definitions { definitions: tx.catalogue().definitions(server).await?.into_iter().collect() })
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
        if !tx.catalogue().classify(server, name, *class, &tool.seen, who.now).await? {
            return Err(ActError::Invalid(format!("the tool `{server}/{name}` changed in this moment; try again")));
        }
        tx.audit()
            .append(who.node, &record(who, "server classify", format!("{server}/{name}={}", class.as_str())), who.now)
            .await?;
    }
    tx.commit().await?;
    Ok(Outcome::Done { count: classes.len() as u64 })
}

/// What is held back, and in what it differs from what was accepted.
pub(super) async fn held(store: &Store, server: &ServerName) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let row = |held: HeldTool| {
        let (differences, more) = held.differences();
        HeldRow {
            is_new: held.is_new(),
            fingerprint: fingerprint(&held.tool.seen),
            differences,
            more: more as u64,
            tool: held.tool,
        }
    };
    Ok(Outcome::Held { tools: tx.catalogue().held(server).await?.into_iter().map(row).collect() })
}

/// Accepts tools that are held back: those that are named, each as it was shown if its fingerprint is given; all, if
/// none is named.
pub(super) async fn accept(
    store: &Store,
    who: Performer<'_>,
    server: &ServerName,
    named: &[(String, Option<String>)],
) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    let held = tx.catalogue().held(server).await?;
    let chosen: Vec<&HeldTool> = if named.is_empty() {
        held.iter().collect()
    } else {
        named.iter().map(|(name, shown)| choose(&held, server, name, shown.as_deref())).collect::<Result<_, _>>()?
    };
    for held in &chosen {
        let Tool { name, seen, .. } = &held.tool;
        if !tx.catalogue().accept(server, name, seen, who.now).await? {
            return Err(changed(server, name));
        }
        let on = format!("{server}/{name} {}", fingerprint(seen));
        tx.audit().append(who.node, &record(who, "server tools accept", on), who.now).await?;
    }
    tx.commit().await?;
    Ok(Outcome::Done { count: chosen.len() as u64 })
}

fn choose<'a>(
    held: &'a [HeldTool],
    server: &ServerName,
    name: &str,
    shown: Option<&str>,
) -> Result<&'a HeldTool, ActError> {
    let found = held.iter().find(|held| held.tool.name == name);
    let found = found.ok_or_else(|| ActError::Absent { what: "held tool", name: format!("{server}/{name}") })?;
    match shown {
        Some(shown) if shown != fingerprint(&found.tool.seen) => Err(changed(server, name)),
        _ => Ok(found),
    }
}

fn changed(server: &ServerName, name: &str) -> ActError {
    ActError::Invalid(format!("the tool `{server}/{name}` is not what was shown any more; look at it once more"))
}

/// Enough of a digest to tell two definitions apart that somebody made on purpose.
fn fingerprint(digest: &Digest) -> String {
    digest.to_string().chars().take(24).collect()
}

fn absent(name: &ServerName) -> ActError {
    ActError::Absent { what: "server", name: name.to_string() }
}
