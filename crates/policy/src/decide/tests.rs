use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use sekisho_protocol::caller::{ActorPath, Caller, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_protocol::ids::{ClientId, GrantId, ServerName, TaskId, UserId};
use sekisho_protocol::scope::{Scope, ScopeSet};

use super::{Decision, Reason, decide, may_see};
use crate::model::{Call, Target, ToolStanding};
use crate::rights::{Rights, ServerRights};

fn now() -> Timestamp {
    ManualClock::default().now()
}

fn user(seed: u64) -> UserId {
    UserId::generate(now(), &SeededEntropy::from_seed(seed))
}

fn server(name: &str) -> ServerName {
    name.parse().unwrap()
}

/// User 1 owns; user 2 may read, user 3 may write at `notes`; everybody may read at `news`; `open` is public.
fn rights() -> Rights {
    let users = BTreeMap::from([(user(2), ToolClass::Read), (user(3), ToolClass::Write)]);
    let servers = BTreeMap::from([
        (server("notes"), ServerRights { public: false, everyone: None, users }),
        (server("news"), ServerRights { public: false, everyone: Some(ToolClass::Read), users: BTreeMap::new() }),
        (server("open"), ServerRights { public: true, everyone: None, users: BTreeMap::new() }),
    ]);
    Rights::new(BTreeSet::from([user(1)]), servers)
}

fn caller(subject: Subject, scopes: &str) -> Caller {
    let client = ClientId::parse("cli_a").unwrap();
    Caller {
        subject,
        path: Some(ActorPath::direct(client.clone())),
        client: Some(client),
        grant: Some(GrantId::generate(now(), &SeededEntropy::default())),
        scopes: scopes.parse().unwrap(),
        task: None,
        token: None,
        expires: after(now(), 60),
    }
}

fn tool(at: &str, name: &str, standing: ToolStanding) -> Call {
    Call {
        server: server(at),
        method: "tools/call",
        target: Target::Tool { name: name.to_owned(), standing },
        arguments: None,
    }
}

fn classified(class: ToolClass) -> ToolStanding {
    ToolStanding::Classified(class)
}

/// Product §4: rights no → deny by rights, whatever was granted.
#[test]
fn a_grant_gives_no_right() {
    let everything = "mcp:destructive tool:wipe";
    for (subject, call) in [
        (Subject::User(user(9)), tool("notes", "read", classified(ToolClass::Read))),
        (Subject::User(user(2)), tool("notes", "wipe", classified(ToolClass::Write))),
        (Subject::User(user(3)), tool("notes", "wipe", ToolStanding::Unclassified)),
        (Subject::User(user(1)), tool("gone", "read", classified(ToolClass::Read))),
        (Subject::User(user(1)), tool("notes", "ghost", ToolStanding::Unknown)),
        (Subject::Anonymous, tool("notes", "read", classified(ToolClass::Read))),
        (Subject::Service(ClientId::parse("cli_a").unwrap()), tool("open", "read", classified(ToolClass::Read))),
    ] {
        let answer = decide(&rights(), &caller(subject, everything), &call, now());
        assert_eq!(answer, Decision::Deny(Reason::Rights), "{call:?}");
    }
}

/// RS-20, RS-25, RS-39: the scope decides only what rights allow, and a broader one satisfies a narrower need.
#[test]
fn rights_without_scope_are_a_step_up_that_names_every_scope() {
    let call = tool("notes", "edit", classified(ToolClass::Write));
    let answer = decide(&rights(), &caller(Subject::User(user(3)), "mcp:read"), &call, now());
    let Decision::StepUp(step) = answer else { panic!("{answer:?}") };
    assert_eq!(step.scopes.to_string(), "mcp:write");
    for enough in ["mcp:write", "mcp:destructive", "tool:edit"] {
        let answer = decide(&rights(), &caller(Subject::User(user(3)), enough), &call, now());
        assert!(matches!(answer, Decision::Permit(_)), "{enough}");
    }
}

#[test]
fn an_unclassified_tool_needs_a_scope_of_its_own_name() {
    let call = tool("notes", "new tool", ToolStanding::Unclassified);
    let step = decide(&rights(), &caller(Subject::User(user(1)), "mcp:destructive"), &call, now());
    let Decision::StepUp(step) = step else { panic!("{step:?}") };
    assert_eq!(step.scopes.to_string(), "tool:new%20tool");
    let answer = decide(&rights(), &caller(Subject::User(user(1)), "tool:new%20tool"), &call, now());
    assert!(matches!(answer, Decision::Permit(_)));
}

/// RS-53: a job of somebody else is as unknown as one that never was.
#[test]
fn a_foreign_job_is_refused_by_rights() {
    for (own, permitted) in [(true, true), (false, false)] {
        let call = Call {
            server: server("notes"),
            method: "tasks/get",
            target: Target::Job { id: "j".to_owned(), own },
            arguments: None,
        };
        let answer = decide(&rights(), &caller(Subject::User(user(2)), ""), &call, now());
        assert_eq!(matches!(answer, Decision::Permit(_)), permitted);
    }
}

#[test]
fn an_ended_token_permits_nothing() {
    let call = tool("notes", "read", classified(ToolClass::Read));
    let caller = caller(Subject::User(user(1)), "mcp:read");
    assert!(matches!(decide(&rights(), &caller, &call, caller.expires), Decision::Deny(Reason::Expired)));
}

#[test]
fn a_task_that_is_not_known_permits_nothing() {
    let mut caller = caller(Subject::User(user(1)), "mcp:destructive");
    caller.task = Some(TaskId::generate(now(), &SeededEntropy::default()));
    let call = tool("notes", "read", classified(ToolClass::Read));
    assert_eq!(decide(&rights(), &caller, &call, now()), Decision::Deny(Reason::OutsideTask));
}

/// Product §7: decisions on anything but reads are on record before their effect.
#[test]
fn only_reads_may_be_recorded_late() {
    for (standing, first) in [
        (classified(ToolClass::Read), false),
        (classified(ToolClass::Write), true),
        (classified(ToolClass::Destructive), true),
        (ToolStanding::Unclassified, true),
    ] {
        let answer = decide(
            &rights(),
            &caller(Subject::User(user(1)), "mcp:destructive tool:t"),
            &tool("notes", "t", standing),
            now(),
        );
        let Decision::Permit(permit) = answer else { panic!("{answer:?}") };
        assert_eq!(permit.owes().record_first, first);
    }
}

/// The table of product §4 once more, written as plainly as possible and sharing no code with `decide`.
fn oracle(who: u64, anonymous: bool, at: &str, target: &Target, scopes: &ScopeSet) -> &'static str {
    let most = match (anonymous, who, at) {
        (true, _, "open") | (false, 1, "notes" | "news" | "open") => 3,
        (false, 2, "notes") => 1,
        (false, 3, "notes") => 2,
        (false, _, "news") => 1,
        _ => 0,
    };
    let (weight, wanted): (u8, Vec<String>) = match target {
        Target::Server => (1, vec![]),
        Target::Job { own: true, .. } => (1, vec![]),
        Target::Job { own: false, .. } => (9, vec![]),
        Target::Prompt { .. } | Target::Resource { .. } => {
            (1, vec!["mcp:read".into(), "mcp:write".into(), "mcp:destructive".into()])
        }
        Target::Tool { name, standing } => {
            let own = format!("tool:{name}");
            match standing {
                ToolStanding::Unknown => (9, vec![]),
                ToolStanding::Unclassified => (3, vec![own]),
                ToolStanding::Classified(ToolClass::Read) => {
                    (1, vec![own, "mcp:read".into(), "mcp:write".into(), "mcp:destructive".into()])
                }
                ToolStanding::Classified(ToolClass::Write) => {
                    (2, vec![own, "mcp:write".into(), "mcp:destructive".into()])
                }
                ToolStanding::Classified(ToolClass::Destructive) => (3, vec![own, "mcp:destructive".into()]),
            }
        }
    };
    if weight > most {
        "deny"
    } else if wanted.is_empty() || wanted.iter().any(|scope| scopes.iter().any(|held| held.as_str() == scope)) {
        "permit"
    } else {
        "step up"
    }
}

fn targets() -> impl Strategy<Value = Target> {
    let class = prop_oneof![Just(ToolClass::Read), Just(ToolClass::Write), Just(ToolClass::Destructive)];
    let standing = prop_oneof![4 => class.prop_map(ToolStanding::Classified), 1 => Just(ToolStanding::Unclassified), 1 => Just(ToolStanding::Unknown)];
    let name = prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
    prop_oneof![
        4 => (name.clone(), standing).prop_map(|(name, standing)| Target::Tool { name, standing }),
        1 => any::<bool>().prop_map(|own| Target::Job { id: "j".to_owned(), own }),
        1 => name.clone().prop_map(|name| Target::Prompt { name }),
        1 => name.prop_map(|uri| Target::Resource { uri }),
        1 => Just(Target::Server),
    ]
}

proptest! {
    /// The naive table and `decide` agree, and lists show exactly what is not denied.
    #[test]
    fn decide_agrees_with_the_table(
        who in 1_u64..5,
        anonymous in prop::bool::weighted(0.1),
        at in prop_oneof![Just("notes"), Just("news"), Just("open"), Just("gone")],
        target in targets(),
        held in prop::collection::btree_set(prop_oneof![Just("mcp:read"), Just("mcp:write"), Just("mcp:destructive"), Just("tool:a"), Just("tool:b"), Just("x")], 0..3),
    ) {
        let scopes: ScopeSet = held.iter().map(|scope| scope.parse::<Scope>().unwrap()).collect();
        let subject = if anonymous { Subject::Anonymous } else { Subject::User(user(who)) };
        let caller = caller(subject, &scopes.to_string());
        let call = Call { server: server(at), method: "m", target: target.clone(), arguments: None };
        let expected = oracle(who, anonymous, at, &target, &scopes);
        let found = match decide(&rights(), &caller, &call, now()) {
            Decision::Ask(_) => "ask",
            Decision::Deny(_) => "deny",
            Decision::Permit(_) => "permit",
            Decision::StepUp(_) => "step up",
        };
        assert_eq!(found, expected);
        assert_eq!(may_see(&rights(), &caller, &call, now()), expected != "deny");
    }
}
