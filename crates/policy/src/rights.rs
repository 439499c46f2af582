//! Rights: what a subject may do at a server, whatever was granted to whom.
//!
//! Owners may do everything at every server; other users what a server's configuration allows them, up to a
//! class. Nothing said means no.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::ids::{ServerName, UserId};

/// The rights in force. Made whole when users or configuration change; never altered in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    owners: BTreeSet<UserId>,
    servers: BTreeMap<ServerName, ServerRights>,
}

/// Who may do what at one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerRights {
    /// Whether nobody in particular may use it, too (`access = "public"`).
    pub public: bool,
    /// What every signed-in user may do, if anything.
    pub everyone: Option<ToolClass>,
    /// What single users may do beyond that.
    pub users: BTreeMap<UserId, ToolClass>,
}

/// The rule that allowed something, in the words of the configuration; for the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleId(pub String);

/// What a subject may do at a server, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The most that any rule allows.
    pub up_to: ToolClass,
    /// That rule.
    pub rule: RuleId,
}

impl Rights {
    /// The rights of these owners and these servers.
    pub fn new(owners: BTreeSet<UserId>, servers: BTreeMap<ServerName, ServerRights>) -> Self {
        Self { owners, servers }
    }

    /// Whether this user owns the checkpoint.
    pub fn is_owner(&self, user: UserId) -> bool {
        self.owners.contains(&user)
    }

    /// How far the subject reaches at this server; `None` is no right at all.
    pub fn reach(&self, subject: &Subject, server: &ServerName) -> Option<Reach> {
        let rights = self.servers.get(server)?;
        match subject {
            Subject::Anonymous if rights.public => Some(reach(ToolClass::Destructive, server, "public")),
            Subject::Anonymous | Subject::Service(_) => None,
            Subject::User(user) if self.is_owner(*user) => Some(reach(ToolClass::Destructive, server, "owner")),
            Subject::User(user) => {
                let own = rights.users.get(user).map(|class| reach(*class, server, "users"));
                let shared = rights.everyone.map(|class| reach(class, server, "everyone"));
                // The larger wins, and an equal one is credited to the rule that names the user.
                match (own, shared) {
                    (Some(own), Some(shared)) if shared.up_to > own.up_to => Some(shared),
                    (Some(own), _) => Some(own),
                    (None, shared) => shared,
                }
            }
        }
    }
}

fn reach(up_to: ToolClass, server: &ServerName, rule: &str) -> Reach {
    Reach { up_to, rule: RuleId(format!("servers.{server}.{rule}")) }
}
