//! What rights are made from.

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
    /// The users that are not shut out.
    pub users: BTreeMap<UserId, RightsUser>,
    /// The mounted servers.
    pub servers: BTreeMap<ServerName, RightsServer>,
    /// The policy files.
    pub files: Vec<PolicyFile>,
    /// What owners lent.
    pub loans: Vec<RightsLoan>,
}

/// A user, as rights see one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RightsUser {
    /// The name.
    pub name: String,
    /// Whether the user owns the checkpoint.
    pub owner: bool,
    /// The groups the user is in.
    pub groups: Vec<String>,
}

/// A server, as rights see one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RightsServer {
    /// Whether nobody in particular may use it, too (`access = "public"`).
    pub public: bool,
    /// What every signed-in user may do, if anything.
    pub everyone: Option<ToolClass>,
    /// What single users may do beyond that.
    pub users: BTreeMap<UserId, ToolClass>,
    /// The groups of servers it is in.
    pub groups: Vec<String>,
    /// Whether it belongs to somebody else.
    pub third_party: bool,
    /// The tools that do not reach beyond it. Any other is of the open world.
    pub closed_world: BTreeSet<String>,
    /// Until then, a refusal by rights or need is put on record and let pass.
    pub observe_until: Option<Timestamp>,
}

/// One policy file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its name, for errors and rules.
    pub name: String,
    /// Its text.
    pub text: String,
}
