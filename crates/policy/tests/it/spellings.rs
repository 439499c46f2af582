//! Rules that take something away, and texts that servers may treat as the same URI or name.

use sekisho_policy::decide::{Decision, decide};
use sekisho_policy::model::{Authority, Call, Target};
use sekisho_policy::rights::Rights;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::uri::ResourceUri;

use crate::world::{caller, may, now, parts, rights, tool, user};

fn to(target: Target) -> Call {
    Call {
        server: "notes".parse().unwrap(),
        method: "",
        target,
        arguments: None,
        schema: None,
        params: None,
        arguments_digest: None,
        round: None,
        source: None,
    }
}

fn read(uri: &str) -> Call {
    to(Target::Resource { uri: ResourceUri::parse_template(uri).unwrap() })
}

fn get(name: &str) -> Call {
    to(Target::Prompt { name: name.to_owned() })
}

/// URIs that servers may take for `file:///priv/b`, although URL parsers keep them apart.
const LIKE_B: [&str; 9] = [
    "file:///priv/b",
    "file:///Priv/b",
    "file:///PRIV/B",
    "file:///priv/b/",
    "file:///priv/b.",
    "file:///priv/b?x=1",
    "file:///priv/b;v=1",
    "file:///priv/%EF%BD%82",
    "file:///priv/{name}",
];
const OTHERS: [&str; 4] = ["file:///pub/b", "file:///private/b", "file:///p_iv/b", "note://priv/b"];

/// ATK-104: a `forbid` by URI holds for every text that a server may take for the same resource.
#[test]
fn a_forbid_holds_for_every_reading() {
    let everything = "permit(principal is User, action, resource);";
    for rule in [
        r#"forbid(principal, action == Action::"read", resource) when { resource.uri like "file:///priv/*" };"#,
        r#"forbid(principal, action, resource) when { resource has uri && resource.uri like "FILE:///Priv/*" };"#,
        r#"forbid(principal, action == Action::"read", resource) unless { !(resource.uri like "file:///priv/*") };"#,
        r#"forbid(principal, action == Action::"read", resource)
           when { if resource.uri like "file:///priv/*" then true else false };"#,
    ] {
        let rights = rights(&format!("{everything} {rule}"));
        for uri in LIKE_B {
            assert!(!may(&rights, user(2), &read(uri)), "{rule}: {uri}");
        }
        for uri in OTHERS {
            assert!(may(&rights, user(2), &read(uri)), "{rule}: {uri}");
        }
    }
    for rule in [
        r#"forbid(principal, action, resource == Resource::"notes/file:///priv/b");"#,
        r#"forbid(principal, action == Action::"read", resource) when { resource.uri == "file:///priv/b" };"#,
        r#"forbid(principal, action == Action::"read", resource)
           when { ["file:///x", "file:///priv/b"].contains(resource.uri) };"#,
        r#"forbid(principal, action == Action::"read", resource)
           when { resource in [Resource::"notes/file:///priv/b", Resource::"notes/file:///priv/c"] };"#,
    ] {
        let rights = rights(&format!("{everything} {rule}"));
        for uri in &LIKE_B[..8] {
            assert!(!may(&rights, user(2), &read(uri)), "{rule}: {uri}");
            assert!(!may(&rights, user(2), &read(uri)), "the same from what is kept: {rule}: {uri}");
        }
        for uri in OTHERS {
            assert!(may(&rights, user(2), &read(uri)), "{rule}: {uri}");
        }
        let mut elsewhere = read("file:///priv/b");
        elsewhere.server = "news".parse().unwrap();
        let is_here = rule.contains("Resource::");
        assert_eq!(may(&rights, user(2), &elsewhere), is_here, "{rule}");
    }
}

/// ATK-104: a `permit` with an exception does not permit another spelling of what its condition excludes, and a
/// `permit` by URI permits exactly what it says.
#[test]
fn a_permit_gives_what_it_says_and_no_other_spelling() {
    for rule in [
        r#"permit(principal is User, action == Action::"read", resource) unless { resource.uri like "file:///priv/*" };"#,
        r#"permit(principal is User, action == Action::"read", resource) when { !(resource.uri like "file:///priv/*") };"#,
    ] {
        let rights = rights(rule);
        assert!(LIKE_B.iter().all(|uri| !may(&rights, user(2), &read(uri))), "{rule}");
        assert!(OTHERS.iter().all(|uri| may(&rights, user(2), &read(uri))), "{rule}");
    }
    let rights = rights(
        r#"permit(principal is User, action == Action::"read", resource) when { resource.uri like "file:///pub/*" };
           permit(principal is User, action == Action::"read", resource) when { resource.uri like "search://x?q=*" };
           permit(principal is User, action == Action::"get", resource == Prompt::"notes/open");"#,
    );
    for fine in ["file:///pub/b", "file:///pub/B?x=1", "search://x?q=a%2Fb"] {
        assert!(may(&rights, user(2), &read(fine)), "{fine}");
    }
    for other in ["file:///Pub/b", "file:///pub", "search://x", "search://X?q=a"] {
        assert!(!may(&rights, user(2), &read(other)), "{other}");
    }
    assert!(may(&rights, user(2), &get("open")));
    assert!(!may(&rights, user(2), &get("Open")) && !may(&rights, user(2), &get("ｏpen")));
}

/// ATK-105: a `forbid` by name holds for every name of a prompt or tool that folds to the same.
#[test]
fn a_forbid_by_name_holds_for_every_case_and_form() {
    for rule in [
        r#"forbid(principal, action, resource == Prompt::"notes/secret");"#,
        r#"forbid(principal, action, resource == Prompt::"notes/Secret");"#,
        r#"forbid(principal, action == Action::"get", resource) when { resource.name == "secret" };"#,
        r#"forbid(principal, action in [Action::"get", Action::"call"], resource) when { resource.name like "SEC*" };"#,
    ] {
        let rights = rights(&format!("permit(principal is User, action, resource); {rule}"));
        for name in ["secret", "Secret", "SECRET", "ｓecret", "ſecret"] {
            assert!(!may(&rights, user(2), &get(name)), "{rule}: {name}");
        }
        for name in ["sicret", "se-cret", "open", "", "my secret"] {
            assert!(may(&rights, user(2), &get(name)), "{rule}: {name}");
        }
    }
    let rights = rights(
        r#"permit(principal is User, action, resource);
           forbid(principal, action, resource == Tool::"notes/wipe");"#,
    );
    for (name, expected) in [("wipe", false), ("Wipe", false), ("wip", true), ("swipe", true)] {
        assert_eq!(may(&rights, user(2), &tool("notes", name, ToolClass::Read, "")), expected, "{name}");
    }
}

/// ATK-104: what a person has to approve cannot be done without an approval in another spelling.
#[test]
fn a_person_is_asked_about_every_reading() {
    let rules = r#"permit(principal is User, action, resource);
        @id("ask") @approval @reason("it is private")
        permit(principal is User, action == Action::"read", resource) when { resource.uri like "file:///priv/*" };
        @id("only") @task_required
        permit(principal is User, action == Action::"get", resource == Prompt::"notes/work");"#;
    let rights: Rights = rights(rules);
    let caller = caller(user(2), "mcp:read");
    let decided = |call: &Call| decide(&rights, &caller, &Authority::default(), call, now());
    for uri in LIKE_B {
        match decided(&read(uri)) {
            Decision::Ask(ask) => {
                assert_eq!((ask.rule.text().as_ref(), ask.reason.as_deref()), ("ask", Some("it is private")), "{uri}");
            }
            other => panic!("{uri}: {other:?}"),
        }
    }
    assert!(OTHERS.iter().all(|uri| matches!(decided(&read(uri)), Decision::Permit(_))));
    for (name, is_free) in [("work", false), ("Work", false), ("works", true)] {
        assert_eq!(matches!(decided(&get(name)), Decision::Permit(_)), is_free, "{name}");
    }
}

/// A rule must be clear about what it takes away: it is refused as a whole even if half of it is understood.
#[test]
fn a_rule_that_compares_comparisons_is_refused() {
    let rule = r#"forbid(principal, action == Action::"read", resource) when { (resource.uri like "a:*") == true };"#;
    let faults = Rights::new(parts(rule)).unwrap_err();
    assert!(faults[0].message.contains("resource.uri"), "{faults:?}");
}
