//! What surfaces know of a protected server: its name, its identifier, what ordinary use of it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::account::AccountRule;
use crate::catalogue::ToolClass;
use crate::external::ExternalIssuer;
use crate::ids::ServerName;
use crate::resource::ResourceId;
use crate::scope::ScopeSet;
use crate::task::TaskDefinition;

/// A task that a person can choose for a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskTemplate {
    /// Its name in the configuration.
    pub name: String,
    /// What it needs.
    pub definition: TaskDefinition,
}

/// One protected server, as the issuer and the gateway both see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCard {
    /// The last segment of its URL.
    pub name: ServerName,
    /// A name for people.
    pub title: String,
    /// `{base_url}/mcp/{name}`: the only audience its tokens carry.
    pub resource: ResourceId,
    /// What ordinary use needs: the 401 challenge, the metadata and a missing `scope` say this (RS-10, RS-17).
    pub scopes_default: ScopeSet,
    /// Whether it was opened on purpose (`access = "public"`).
    pub public: bool,
    /// The classes that the operator gave its tools; they take precedence over other sources.
    pub classes: BTreeMap<String, ToolClass>,
    /// Tasks that the owner offers on the grant page.
    pub templates: Vec<TaskTemplate>,
    /// Whether the owner's first consent also classifies its tools (servers of `run`).
    pub classify_at_consent: bool,
    /// The external authorization server whose tokens the server accepts. `None`: only our own issuer grants access.
    pub external: Option<Arc<ExternalIssuer>>,
    /// The accounts that people link for it, if it is shown the account of the person who calls.
    pub account: Option<Arc<AccountRule>>,
}

impl ServerCard {
    /// Whether the server accepts access tokens of our own issuer.
    pub fn takes_ours(&self) -> bool {
        self.external.as_ref().is_none_or(|external| external.ours_too)
    }
}

/// All servers in force. Made whole on every change of configuration; never altered in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerDirectory {
    servers: BTreeMap<ServerName, ServerCard>,
}

impl ServerDirectory {
    /// A directory of these servers; of two with one name the last stays.
    pub fn new(cards: impl IntoIterator<Item = ServerCard>) -> Self {
        Self { servers: cards.into_iter().map(|card| (card.name.clone(), card)).collect() }
    }

    /// The server of this name.
    pub fn find(&self, name: &ServerName) -> Option<&ServerCard> {
        self.servers.get(name)
    }

    /// The server with this identifier (RFC 8707 `resource`), if our own issuer grants access to it.
    pub fn of_resource(&self, resource: &ResourceId) -> Option<&ServerCard> {
        self.servers.values().find(|card| card.resource == *resource).filter(|card| card.takes_ours())
    }

    /// All servers by name.
    pub fn iter(&self) -> impl Iterator<Item = &ServerCard> {
        self.servers.values()
    }

    /// The only server to which our own issuer grants access, if there is exactly one.
    pub fn single(&self) -> Option<&ServerCard> {
        let mut cards = self.servers.values().filter(|card| card.takes_ours());
        cards.next().filter(|_| cards.next().is_none())
    }
}
