//! Readings that decisions rest on. Each is written once: the user of a name, whether a grant is alive, the authority
//! behind it, the class of a tool.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_policy::grant::grantable;
use sekisho_policy::lending::{self, Hindrance, WantedTool};
use sekisho_policy::model::{Authority, Party, ToolState, Trust};
use sekisho_policy::rights::Rights;
use sekisho_policy::task::{BoundTask, Need};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, GrantId, ServerName};
use sekisho_protocol::registration::ClientOrigin;
use sekisho_protocol::scope::Scope;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::{Grant, GrantState, StoreError, Tx, User};

use crate::ActError;

/// Classes that the configuration gives, by server and tool; they win over what the store knows.
pub type Classes = BTreeMap<ServerName, BTreeMap<String, ToolClass>>;

/// The user of this name.
pub(crate) async fn user(tx: &mut Tx, name: &str) -> Result<User, ActError> {
    tx.users().find_by_name(name).await?.ok_or_else(|| ActError::absent("user", name))
}

/// Whether a grant is alive: it, its user, its client and all grants that it is derived from have to be.
pub async fn is_alive(tx: &mut Tx, grant: GrantId, now: Timestamp) -> Result<bool, StoreError> {
    Ok(living(tx, grant, now).await?.is_some())
}

/// Returns the grant as calls see it, if it is alive.
pub async fn living(tx: &mut Tx, grant: GrantId, now: Timestamp) -> Result<Option<GrantState>, StoreError> {
    let state = tx.grants().alive(grant).await?;
    Ok(state.filter(|state| state.honours(state.epoch, now)))
}

/// Returns the authority of a grant: the tasks that its tokens are held to, and how far its path is trusted.
pub fn authority(state: &GrantState) -> Authority {
    let tasks = state.tasks.iter().filter_map(|task| BoundTask::new(task.clone()).ok().map(Arc::new));
    let need = Need::named(state.task, &tasks.collect::<Vec<_>>());
    Authority { need, trust: trust(&state.origins).unwrap_or_default() }
}

/// How far a path is trusted: as far as the client on it that is trusted least. `None`: there is no client.
pub fn trust(origins: &[ClientOrigin]) -> Option<Trust> {
    origins.iter().copied().map(Trust::of).min()
}

/// The class of a tool that is in force: the configuration's, or else what an owner gave it. Whether the tool is held back is
/// another question.
pub fn class(configured: Option<&BTreeMap<String, ToolClass>>, tool: &Tool) -> Option<ToolClass> {
    configured.and_then(|classes| classes.get(&tool.name)).copied().or(tool.class)
}

/// Returns the state of a tool for a decision: held back, classified, unclassified, or unknown.
pub fn standing(configured: Option<&BTreeMap<String, ToolClass>>, tool: Option<&Tool>) -> ToolState {
    match tool {
        None => ToolState::Unknown,
        Some(tool) if tool.is_held() => ToolState::Held,
        Some(tool) => class(configured, tool).map_or(ToolState::Unclassified, ToolState::Classified),
    }
}

/// The tools of a server that are not held back, each with the class in force.
pub async fn tools(
    tx: &mut Tx,
    configured: Option<&BTreeMap<String, ToolClass>>,
    server: &ServerName,
) -> Result<Vec<Tool>, StoreError> {
    let mut tools = tx.catalogue().list(server).await?;
    tools.retain(|tool| !tool.is_held());
    for tool in &mut tools {
        tool.class = class(configured, tool);
    }
    Ok(tools)
}

/// Returns the tools of a grant's server that its user has a right to, and so could hand on. Other tools are left out,
/// as if they did not exist.
pub async fn offered_tools(
    tx: &mut Tx,
    rights: &Rights,
    servers: &ServerDirectory,
    grant: &Grant,
    now: Timestamp,
) -> Result<Vec<Tool>, StoreError> {
    let known = tools(tx, servers.find(&grant.server).map(|card| &card.classes), &grant.server).await?;
    let most = grantable(rights, Party { subject: &grant.subject, client: &grant.client }, &grant.server, &known, now);
    Ok(known.into_iter().filter(|tool| most.contains(&Scope::tool(&tool.name))).collect())
}

/// Returns the definitions of the tools of [`offered_tools`], by name, as the catalogue keeps them.
pub async fn offered_definitions(
    tx: &mut Tx,
    rights: &Rights,
    servers: &ServerDirectory,
    grant: &Grant,
    now: Timestamp,
) -> Result<BTreeMap<String, String>, StoreError> {
    let offered = offered_tools(tx, rights, servers, grant, now).await?;
    let mut definitions: BTreeMap<_, _> = tx.catalogue().definitions(&grant.server).await?.into_iter().collect();
    definitions.retain(|name, _| offered.iter().any(|tool| tool.name == *name));
    Ok(definitions)
}

/// A tool that somebody wants to use, through a client.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The user or service that wants it.
    pub subject: &'a Subject,
    /// Through which client.
    pub client: &'a ClientId,
    /// At which server.
    pub server: &'a ServerName,
    /// The tool.
    pub tool: &'a str,
}

/// Returns what would keep a loan of a tool from having an effect: a rule that forbids the tool even with a loan, or
/// that the tool is held back. `configured` is the class that the configuration gives it.
pub async fn hindrance(
    tx: &mut Tx,
    rights: &Rights,
    configured: Option<ToolClass>,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<Option<Hindrance>, StoreError> {
    let Wanted { subject, client, server, tool } = wanted;
    let known = tx.catalogue().find(server, tool).await?;
    let held = known.as_ref().is_some_and(Tool::is_held);
    let class = configured.or(known.and_then(|tool| tool.class));
    let wanted = WantedTool { server, name: tool, class, held };
    Ok(lending::hindrance(rights, Party { subject, client }, wanted, now))
}
