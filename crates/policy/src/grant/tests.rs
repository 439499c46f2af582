use std::collections::{BTreeMap, BTreeSet};

use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, after};
use sekisho_protocol::ids::{ClientId, LoanId, UserId};
use sekisho_protocol::scope::ScopeSet;

use super::{grantable, grantable_of, narrowed};
use crate::model::Party;
use crate::rights::{PolicyFile, Rights, RightsLoan, RightsParts, RightsServer, RightsUser};

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

/// The most that a user with these rights can grant a client at `notes`.
fn most(parts: RightsParts, client: &str) -> ScopeSet {
    let users = BTreeMap::from([(user(), RightsUser::default())]);
    let rights = Rights::new(RightsParts { users, ..parts }).unwrap();
    let (subject, client) = (Subject::User(user()), ClientId::parse(client).unwrap());
    let to = Party { subject: &subject, client: &client };
    grantable(&rights, to, &"notes".parse().unwrap(), &tools(), ManualClock::default().now())
}

fn user() -> UserId {
    UserId::generate(ManualClock::default().now(), &SeededEntropy::default())
}

fn parts(server: RightsServer, policies: &str) -> RightsParts {
    RightsParts {
        servers: BTreeMap::from([("notes".parse().unwrap(), server)]),
        files: vec![PolicyFile { name: "rules.cedar".to_owned(), text: policies.to_owned() }],
        ..RightsParts::default()
    }
}

/// AS-16, RS-39: a user grants no more than the user's own rights.
#[test]
fn a_user_grants_no_more_than_the_users_own_rights() {
    let reader = RightsServer { users: BTreeMap::from([(user(), ToolClass::Read)]), ..RightsServer::default() };
    for (server, policies, expected) in [
        (reader.clone(), "", "mcp:read tool:look"),
        (RightsServer::default(), "", ""),
        // The rule names only one tool, and its class can be granted: the rights apply whatever is granted.
        (
            RightsServer::default(),
            r#"permit(principal, action == Action::"call", resource == Tool::"notes/wipe");"#,
            "mcp:destructive tool:wipe",
        ),
        (reader, r#"forbid(principal, action, resource == Tool::"notes/look");"#, "mcp:read"),
        // A user that may call no tool may still read resources or get prompts, and both count as reading.
        (RightsServer::default(), r#"permit(principal, action == Action::"read", resource);"#, "mcp:read"),
        (RightsServer::default(), r#"permit(principal, action == Action::"get", resource);"#, "mcp:read"),
        (RightsServer::default(), r#"permit(principal, action == Action::"list", resource);"#, ""),
        // The same holds if the rules name the resources that may be read.
        (
            RightsServer::default(),
            r#"permit(principal, action == Action::"read", resource) when { resource.uri like "file:///pub/*" };"#,
            "mcp:read",
        ),
        (
            RightsServer::default(),
            r#"permit(principal, action in [Action::"get", Action::"list"], resource == Prompt::"notes/open");"#,
            "mcp:read",
        ),
        (
            RightsServer::default(),
            r#"permit(principal, action == Action::"list", resource) when { resource in Server::"notes" };"#,
            "",
        ),
    ] {
        assert_eq!(most(parts(server, policies), "cli_a").to_string(), expected, "{policies}");
    }
    let may = "mcp:read tool:look".parse().unwrap();
    let wish = "mcp:destructive mcp:read offline_access tool:wipe".parse().unwrap();
    assert_eq!(grantable_of(&wish, &may).to_string(), "mcp:read offline_access");
}

/// What was lent to a user for one client can be granted to that client, and to no other.
#[test]
fn what_was_lent_for_one_client_is_handed_on_to_it_alone() {
    let now = ManualClock::default().now();
    let loan = RightsLoan {
        id: LoanId::generate(now, &SeededEntropy::default()),
        subject: Subject::User(user()),
        client: ClientId::parse("cli_a").unwrap(),
        task: None,
        server: "notes".parse().unwrap(),
        tool: "wipe".to_owned(),
        bounds: None,
        expires: after(now, 60),
    };
    for (client, expected) in [("cli_a", "mcp:destructive tool:wipe"), ("cli_b", "")] {
        let parts = RightsParts { loans: vec![loan.clone()], ..parts(RightsServer::default(), "") };
        assert_eq!(most(parts, client).to_string(), expected, "{client}");
    }
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
