//! What may be granted: a consent page shows this and nothing more.

use std::collections::BTreeSet;

use sekisho_protocol::caller::{ActorPath, Caller, Subject};
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, ServerName};
use sekisho_protocol::scope::{Scope, ScopeSet};

use crate::model::{Authority, Call, Target, ToolStanding};
use crate::rights::Rights;
use crate::task::Asked;

/// Every scope this subject could hand on at this server: the classes of which it may call some tool, and the names
/// of the tools that it may call. Empty where there is no right at all.
///
/// A class stands for tools that are not there yet, too: it may be handed on if the rights allow a tool of that
/// class that has no name they know, or any that they do.
///
/// `client` is the one that is to get it: what was lent to the subject is for one client alone.
pub fn grantable(
    rights: &Rights,
    (subject, client): (&Subject, &ClientId),
    server: &ServerName,
    tools: &[Tool],
    now: Timestamp,
) -> ScopeSet {
    let caller = Caller {
        subject: subject.clone(),
        client: Some(client.clone()),
        path: Some(ActorPath::direct(client.clone())),
        ..Caller::anonymous(ScopeSet::empty())
    };
    let may = |target: Target| {
        let call = Call {
            server: server.clone(),
            method: "",
            target,
            arguments: None,
            arguments_digest: None,
            round: None,
            source: None,
        };
        rights.answer(&caller, &Authority::default(), &call, Asked::Any, now).permitted
    };
    let may_call = |name: &str, standing| may(Target::Tool { name: name.to_owned(), standing });
    let standing = |tool: &Tool| tool.class.map_or(ToolStanding::Unclassified, ToolStanding::Classified);
    let classes = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive].into_iter().filter(|class| {
        let any = may_call("", ToolStanding::Classified(*class));
        let known = || tools.iter().any(|tool| tool.class == Some(*class) && may_call(&tool.name, standing(tool)));
        // Resources and prompts are read, too.
        let looks = || {
            *class == ToolClass::Read
                && (may(Target::Resource { uri: String::new() }) || may(Target::Prompt { name: String::new() }))
        };
        any || known() || looks()
    });
    let by_class = classes.map(Scope::of_class);
    let by_name = tools.iter().filter(|tool| may_call(&tool.name, standing(tool))).map(|tool| Scope::tool(&tool.name));
    by_class.chain(by_name).collect()
}

/// What is left of a wish: what may be granted, and `offline_access`, which is about the token and not about
/// the server.
pub fn grantable_of(wish: &ScopeSet, grantable: &ScopeSet) -> ScopeSet {
    wish.iter().filter(|scope| **scope == Scope::offline_access() || grantable.satisfies(scope)).cloned().collect()
}

/// What is left of a grant when single tools are unticked: exactly what is ticked. A class is kept where all its known
/// tools are; below it, single tools are named.
///
/// `tools` are the known tools of the server, `ticked` the names that stay.
pub fn narrowed(scopes: &ScopeSet, tools: &[Tool], ticked: &BTreeSet<&str>) -> ScopeSet {
    let classes = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive];
    let held = classes.into_iter().filter(|class| scopes.satisfies(&Scope::of_class(*class))).max();
    let is_whole = |class: ToolClass| {
        tools
            .iter()
            .filter(|tool| tool.class.is_some_and(|own| own <= class))
            .all(|tool| ticked.contains(tool.name.as_str()))
    };
    let kept = classes.into_iter().filter(|class| held.is_some_and(|held| *class <= held) && is_whole(*class)).max();
    let by_class = kept.map(Scope::of_class);
    let by_name = tools.iter().filter(|tool| {
        let granted = scopes.contains(&Scope::tool(&tool.name))
            || tool.class.is_some_and(|class| held.is_some_and(|held| class <= held));
        let covered = tool.class.is_some_and(|class| kept.is_some_and(|kept| class <= kept));
        granted && !covered && ticked.contains(tool.name.as_str())
    });
    let by_name = by_name.map(|tool| Scope::tool(&tool.name));
    let offline = scopes.iter().filter(|scope| **scope == Scope::offline_access()).cloned();
    by_class.into_iter().chain(by_name).chain(offline).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use sekisho_protocol::caller::Subject;
    use sekisho_protocol::catalogue::{Tool, ToolClass};
    use sekisho_protocol::digest::Digest;
    use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy};
    use sekisho_protocol::ids::{ClientId, UserId};

    use super::{grantable, grantable_of, narrowed};
    use crate::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};

    fn tool(name: &str, class: Option<ToolClass>) -> Tool {
        Tool {
            name: name.to_owned(),
            summary: String::new(),
            proposed: ToolClass::Read,
            class,
            seen: Digest::of(b""),
            accepted: None,
        }
    }

    fn tools() -> [Tool; 4] {
        [
            tool("look", Some(ToolClass::Read)),
            tool("edit", Some(ToolClass::Write)),
            tool("wipe", Some(ToolClass::Destructive)),
            tool("new", None),
        ]
    }

    /// AS-16, RS-39: a user hands on no more than the user has.
    #[test]
    fn a_user_grants_no_more_than_the_users_own_rights() {
        let now = ManualClock::default().now();
        let user = UserId::generate(now, &SeededEntropy::default());
        let server = "notes".parse().unwrap();
        let client = ClientId::parse("cli_a").unwrap();
        let most = |rights: RightsServer, policies: &str| {
            let parts = RightsParts {
                users: BTreeMap::from([(user, RightsUser::default())]),
                servers: BTreeMap::from([("notes".parse().unwrap(), rights)]),
                files: vec![PolicyFile { name: "rules.cedar".to_owned(), text: policies.to_owned() }],
                ..RightsParts::default()
            };
            grantable(&Rights::new(parts).unwrap(), (&Subject::User(user), &client), &server, &tools(), now)
        };
        let reader = RightsServer { users: BTreeMap::from([(user, ToolClass::Read)]), ..RightsServer::default() };
        let may = most(reader.clone(), "");
        assert_eq!(may.to_string(), "mcp:read tool:look");
        let wish = "mcp:destructive mcp:read offline_access tool:wipe".parse().unwrap();
        assert_eq!(grantable_of(&wish, &may).to_string(), "mcp:read offline_access");
        assert!(most(RightsServer::default(), "").is_empty());
        // By name alone: the class of the one tool may be handed on, for the rights hold whatever is granted.
        let by_name = r#"permit(principal, action == Action::"call", resource == Tool::"notes/wipe");"#;
        assert_eq!(most(RightsServer::default(), by_name).to_string(), "mcp:destructive tool:wipe");
        let forbidden = r#"forbid(principal, action, resource == Tool::"notes/look");"#;
        assert_eq!(most(reader, forbidden).to_string(), "mcp:read");
    }

    #[test]
    fn what_is_granted_is_exactly_what_is_ticked() {
        for (scopes, ticked, expected) in [
            ("mcp:write offline_access", &["look", "edit"][..], "mcp:write offline_access"),
            ("mcp:write", &["look"], "mcp:read"),
            ("mcp:write", &["edit"], "tool:edit"),
            ("mcp:destructive", &["look", "wipe"], "mcp:read tool:wipe"),
            ("mcp:read tool:wipe", &["look", "wipe"], "mcp:read tool:wipe"),
            ("mcp:read tool:wipe", &["look"], "mcp:read"),
            ("mcp:read", &["look", "wipe"], "mcp:read"),
            ("tool:new", &["new"], "tool:new"),
            ("mcp:read", &[], ""),
        ] {
            let ticked: BTreeSet<&str> = ticked.iter().copied().collect();
            let left = narrowed(&scopes.parse().unwrap(), &tools(), &ticked);
            assert_eq!(left.to_string(), expected, "{scopes} {ticked:?}");
        }
    }
}
