//! The parts from which rights are made.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ServerName, UserId};

use super::lent::RightsLoan;

/// The group whose members are the owners.
pub const OWNERS: &str = "owners";

/// Everything that rights are made from.
#[derive(Debug, Clone, Default)]
pub struct RightsParts {
    /// The users that are not disabled.
    pub users: BTreeMap<UserId, RightsUser>,
    /// The mounted servers.
    pub servers: BTreeMap<ServerName, RightsServer>,
    /// The policy files.
    pub files: Vec<PolicyFile>,
    /// The loans of owners.
    pub loans: Vec<RightsLoan>,
}

/// What rights know of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RightsUser {
    /// The name.
    pub name: String,
    /// Whether the user owns the checkpoint.
    pub owner: bool,
    /// The groups the user is in.
    pub groups: Vec<String>,
}

/// What rights know of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RightsServer {
    /// Whether anonymous callers may use it, too (`access = "public"`).
    pub public: bool,
    /// The highest class of tools that every signed-in user may call, if any. Resources and prompts come with it.
    pub everyone: Option<ToolClass>,
    /// The highest class of tools that single users may use beyond that.
    pub users: BTreeMap<UserId, ToolClass>,
    /// The groups of servers it is in.
    pub groups: Vec<String>,
    /// Whether somebody else runs it.
    pub third_party: bool,
    /// The tools that do not reach beyond the server. Any other counts as reaching the open world.
    pub closed_world: BTreeSet<String>,
    /// Until this moment, a call that rights or need refuse is recorded as such and let pass.
    pub observe_until: Option<Timestamp>,
}

/// One policy file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFile {
    /// The file's name, which errors and rules use.
    pub name: String,
    /// The file's text.
    pub text: String,
}
