//! What may be granted: a consent page shows this and nothing more.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::scope::{Scope, ScopeSet};

use crate::rights::Rights;

/// Every scope this subject could hand on at this server: the classes within reach, and the names of the tools
/// within reach. Empty where there is no right at all.
pub fn grantable(rights: &Rights, subject: &Subject, server: &ServerName, tools: &[Tool]) -> ScopeSet {
    let Some(reach) = rights.reach(subject, server) else {
        return ScopeSet::empty();
    };
    let classes = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive];
    let by_class = classes.into_iter().filter(|class| *class <= reach.up_to).map(Scope::of_class);
    let by_name = tools
        .iter()
        .filter(|tool| tool.class.unwrap_or(ToolClass::Destructive) <= reach.up_to)
        .map(|tool| Scope::tool(&tool.name));
    by_class.chain(by_name).collect()
}

/// What is left of a wish: what may be granted, and `offline_access`, which is about the token and not about
/// the server.
pub fn grantable_of(wish: &ScopeSet, grantable: &ScopeSet) -> ScopeSet {
    wish.iter().filter(|scope| **scope == Scope::offline_access() || grantable.satisfies(scope)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use sekisho_protocol::caller::Subject;
    use sekisho_protocol::catalogue::{Tool, ToolClass};
    use sekisho_protocol::digest::Digest;
    use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy};
    use sekisho_protocol::ids::UserId;

    use super::{grantable, grantable_of};
    use crate::rights::{Rights, ServerRights};

    /// AS-16, RS-39: a user hands on no more than the user has.
    #[test]
    fn a_user_grants_no_more_than_the_users_own_rights() {
        let user = UserId::generate(ManualClock::default().now(), &SeededEntropy::default());
        let server = "notes".parse().unwrap();
        let users = BTreeMap::from([(user, ToolClass::Read)]);
        let servers =
            BTreeMap::from([("notes".parse().unwrap(), ServerRights { public: false, everyone: None, users })]);
        let rights = Rights::new(BTreeSet::new(), servers);
        let tool = |name: &str, class| Tool {
            name: name.to_owned(),
            summary: String::new(),
            proposed: ToolClass::Read,
            class,
            seen: Digest::of(b""),
            accepted: None,
        };
        let tools =
            [tool("look", Some(ToolClass::Read)), tool("wipe", Some(ToolClass::Destructive)), tool("new", None)];
        let most = grantable(&rights, &Subject::User(user), &server, &tools);
        assert_eq!(most.to_string(), "mcp:read tool:look");
        let wish = "mcp:destructive mcp:read offline_access tool:wipe".parse().unwrap();
        assert_eq!(grantable_of(&wish, &most).to_string(), "mcp:read offline_access");
        assert!(grantable(&rights, &Subject::Anonymous, &server, &tools).is_empty());
    }
}
