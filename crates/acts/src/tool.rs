//! Tools of a server: which definition is accepted, and what class it has.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::catalogue::{HeldTool, Tool, ToolClass};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ServerName;
use sekisho_store::Tx;

use crate::{ActError, Invalid, Performer, role};

/// One tool, as it was shown to the person who decides.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its name.
    pub name: &'a str,
    /// The definition that was shown.
    pub seen: &'a Digest,
}

/// Gives a tool a class, and accepts the definition that was shown.
pub async fn classify(
    tx: &mut Tx,
    by: &Performer<'_>,
    server: &ServerName,
    tool: Shown<'_>,
    class: ToolClass,
) -> Result<(), ActError> {
    role::administers(tx, by).await?;
    if !tx.catalogue().classify(server, tool.name, class, tool.seen, by.now).await? {
        return Err(changed(server, tool.name));
    }
    let detail = format!("{}, as {}", named(tool), class.as_str());
    Ok(by.record(tx, about(by, ActKind::ToolClassified, server, detail)).await?)
}

/// Gives a tool a class and accepts its present definition. It is for callers to whom no definition can be shown.
pub async fn classify_present(
    tx: &mut Tx,
    by: &Performer<'_>,
    server: &ServerName,
    name: &str,
    class: ToolClass,
) -> Result<(), ActError> {
    let found = tx.catalogue().find(server, name).await?;
    let tool = found.ok_or_else(|| ActError::absent("tool", format!("{server}/{name}")))?;
    classify(tx, by, server, Shown { name, seen: &tool.seen }, class).await
}

/// Accepts the definition of a tool that is held back because it is new or changed. Its class stays as it is.
pub async fn accept(tx: &mut Tx, by: &Performer<'_>, server: &ServerName, tool: Shown<'_>) -> Result<(), ActError> {
    role::administers(tx, by).await?;
    if !tx.catalogue().accept(server, tool.name, tool.seen, by.now).await? {
        return Err(changed(server, tool.name));
    }
    Ok(by.record(tx, about(by, ActKind::ToolAccepted, server, named(tool))).await?)
}

/// Accepts tools that are held back: the named ones, or all if none is named. If a name comes with a [`fingerprint`],
/// the tool is accepted only in that form. Returns how many were accepted.
pub async fn accept_held(
    tx: &mut Tx,
    by: &Performer<'_>,
    server: &ServerName,
    names: &[(String, Option<String>)],
) -> Result<u64, ActError> {
    let held = tx.catalogue().held(server).await?;
    let chosen: Vec<&HeldTool> = if names.is_empty() {
        held.iter().collect()
    } else {
        names.iter().map(|(name, shown)| choose(&held, server, name, shown.as_deref())).collect::<Result<_, _>>()?
    };
    for held in &chosen {
        let Tool { name, seen, .. } = &held.tool;
        accept(tx, by, server, Shown { name, seen }).await?;
    }
    Ok(chosen.len() as u64)
}

fn choose<'a>(
    held: &'a [HeldTool],
    server: &ServerName,
    name: &str,
    shown: Option<&str>,
) -> Result<&'a HeldTool, ActError> {
    let found = held.iter().find(|held| held.tool.name == name);
    let found = found.ok_or_else(|| ActError::absent("held tool", format!("{server}/{name}")))?;
    match shown {
        Some(shown) if shown != fingerprint(&found.tool.seen) => Err(changed(server, name)),
        _ => Ok(found),
    }
}

fn changed(server: &ServerName, tool: &str) -> ActError {
    Invalid::ToolChanged { server: server.clone(), tool: tool.to_owned() }.into()
}

/// A part of a digest, 96 bits: enough that an attacker cannot make two definitions with the same part.
pub fn fingerprint(digest: &Digest) -> String {
    digest.to_string().chars().take(24).collect()
}

fn named(tool: Shown<'_>) -> String {
    format!("`{}` {}", tool.name, fingerprint(tool.seen))
}

fn about(by: &Performer<'_>, kind: ActKind, server: &ServerName, detail: String) -> Act {
    Act { server: Some(server.clone()), detail, ..by.act(kind) }
}
