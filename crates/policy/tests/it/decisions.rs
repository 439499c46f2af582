//! Decisions: which set refuses first and in which words, what a permit owes, and what people are told.

use std::collections::BTreeSet;

use sekisho_policy::decide::{Decision, Reason, approval_key, decide};
use sekisho_policy::explain::explain;
use sekisho_policy::model::{Authority, Call, Target, ToolState};
use sekisho_policy::permit::{Owed, Permit};
use sekisho_policy::rights::{Rights, RuleId};
use sekisho_policy::task::Need;
use sekisho_protocol::audit::{self, Verdict};
use sekisho_protocol::caller::ActorPath;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::task::{Task, TaskDefinition};
use sekisho_protocol::uri::ResourceUri;
use serde_json::json;

use crate::world::{caller, declared, now, parts, rights, task, tidy_up, tool, user, with};

/// A task to tidy up: `look` with any arguments, and `move` with a destination within `/tmp/`.
fn moving() -> TaskDefinition {
    let mut definition = tidy_up(&["look", "move"]);
    let within = json!({"properties": {"to": {"pattern": "^/tmp/"}}, "required": ["to"]});
    definition.tools.insert("move".to_owned(), Some(within));
    definition
}

fn unknown() -> Authority {
    Authority { need: Need::unknown(task(moving()).id), ..Authority::default() }
}

fn permitted(decision: Decision) -> Permit {
    match decision {
        Decision::Ask(ask) => ask.permit,
        Decision::Permit(permit) => permit,
        Decision::Deny(_) | Decision::StepUp(_) => panic!("{decision:?}"),
    }
}

/// The records show a refusal by its set and by one word; each kind of refusal has its own.
#[test]
fn a_refusal_is_known_by_its_set_and_its_word() {
    let rights = rights(
        r#"permit(principal is User, action == Action::"call", resource in Server::"notes");
           @task_required permit(principal is User, action == Action::"call", resource in Server::"news");"#,
    );
    let carol = caller(user(3), "mcp:read");
    let ended = with(&carol, |granted| granted.expires = now());
    let none = Authority::default();
    let (grant, need, outside) = (SetName::Grant, audit::Need::Undeclared, audit::Need::Outside);
    let over = declared(Task { ended_at: Some(now()), ..task(moving()) });
    let spent = declared(Task { calls_left: Some(0), ..task(moving()) });
    let moving = declared(task(moving()));
    let call = |server, name| tool(server, name, ToolClass::Read, "");
    for (caller, authority, call, expected) in [
        (&caller(user(9), "mcp:read"), &none, call("notes", "look"), (SetName::Rights, "rights", need)),
        (&ended, &none, call("notes", "look"), (grant, "expired", need)),
        (&carol, &none, call("news", "look"), (SetName::Need, "task_required", need)),
        (&carol, &moving, call("notes", "edit"), (SetName::Need, "outside_task", outside)),
        (&carol, &moving, call("notes", "move"), (SetName::Need, "argument_outside_task", outside)),
        (&carol, &over, call("notes", "look"), (SetName::Need, "task_finished", outside)),
        (&carol, &spent, call("notes", "look"), (SetName::Need, "budget_spent", outside)),
        (&carol, &unknown(), call("notes", "look"), (SetName::Need, "task_unknown", outside)),
    ] {
        let decision = decide(&rights, caller, authority, &call, now());
        let Decision::Deny(denial) = decision else { panic!("{expected:?}: {decision:?}") };
        let (set, word, need) = expected;
        assert_eq!((denial.reason.set(), denial.reason.why().as_str(), denial.need), (Some(set), word, need));
    }
}

/// Everything but a read owes a durable record before the effect. An approval is owed if a rule requires one, and a
/// budget by every call that counts. A call that continues one that was paid for is not paid for again.
#[test]
fn a_permit_owes_what_its_call_takes() {
    let rights = rights(r#"@approval permit(principal, action == Action::"call", resource == Tool::"notes/send");"#);
    let alice = caller(user(1), "mcp:destructive tool:new");
    let budget = TaskDefinition {
        calls: Some(2),
        prompts: vec!["summary".to_owned()],
        resources: vec!["notes://today".to_owned()],
        ..tidy_up(&["look", "send"])
    };
    let (none, open) = (Authority::default(), declared(task(moving())));
    let (counted, budgets) = (declared(task(budget.clone())), vec![task(budget).id]);
    let look = tool("notes", "look", ToolClass::Read, "");
    let send = tool("notes", "send", ToolClass::Write, "");
    let to = |target| Call { target, ..look.clone() };
    let new = to(Target::Tool { name: "new".to_owned(), standing: ToolState::Unclassified });
    let prompt = to(Target::Prompt { name: "summary".to_owned() });
    let resource = to(Target::Resource { uri: ResourceUri::parse("notes://today").unwrap() });
    let round = Some(Digest::of(b"an earlier call"));
    let nothing = Owed::default();
    let before = Owed { record_first: true, ..Owed::default() };
    let one = Owed { budgets: budgets.clone(), ..Owed::default() };
    let yes = Some(approval_key(&alice, &send));
    for (authority, call, owed, takes) in [
        (&none, &look, nothing.clone(), false),
        (&none, &resource, nothing.clone(), false),
        (&none, &tool("notes", "edit", ToolClass::Write, ""), before.clone(), false),
        (&none, &new, before.clone(), false),
        (&none, &send, Owed { approval: yes, ..before.clone() }, true),
        (&open, &look, nothing.clone(), false),
        (&counted, &look, one.clone(), true),
        (&counted, &prompt, one.clone(), true),
        (&counted, &resource, one, true),
        (&counted, &to(Target::Server), nothing, false),
        (&counted, &send, Owed { approval: yes, budgets, ..before.clone() }, true),
        (&counted, &Call { round, ..look.clone() }, Owed { round, ..Owed::default() }, true),
        (&counted, &Call { round, ..send.clone() }, Owed { round, ..before }, true),
    ] {
        let permit = permitted(decide(&rights, &alice, authority, call, now()));
        assert_eq!(permit.owes(), &owed, "{call:?}");
        assert_eq!(owed.takes(), takes, "{owed:?}");
        assert_eq!(owed.is_record_only(), !takes && !owed.record_first, "{owed:?}");
    }
}

/// An approval of one call does not hold for another: another user, another client, another tool or other arguments.
#[test]
fn an_approval_is_for_one_user_client_server_tool_and_arguments() {
    let send = tool("notes", "send", ToolClass::Write, r#"{"to":"a"}"#);
    let bob = caller(user(2), "");
    let client = ActorPath::direct(ClientId::parse("cli_b").unwrap());
    let other = |target| Call { target, ..send.clone() };
    let keys = [
        (&bob, &send),
        (&caller(user(3), ""), &send),
        (&with(&bob, |granted| granted.path = client), &send),
        (&bob, &tool("news", "send", ToolClass::Write, r#"{"to":"a"}"#)),
        (&bob, &tool("notes", "mail", ToolClass::Write, r#"{"to":"a"}"#)),
        (&bob, &tool("notes", "send", ToolClass::Write, r#"{"to":"b"}"#)),
        (&bob, &tool("notes", "send", ToolClass::Write, "")),
        (&bob, &Call { method: "prompts/get", ..send.clone() }),
        (&bob, &other(Target::Resource { uri: ResourceUri::parse("notes://today").unwrap() })),
        (&bob, &other(Target::Server)),
    ]
    .map(|(caller, call)| approval_key(caller, call));
    assert_eq!(BTreeSet::from(keys).len(), keys.len());
}

/// RS-20: a tool is granted by the scope of its class or of its own name; an unclassified tool only by its name. A
/// step-up names what would do.
#[test]
fn a_call_is_granted_by_its_class_or_by_its_name() {
    let rights = rights("");
    let named = |name: &str, standing| Target::Tool { name: name.to_owned(), standing };
    let edit = named("edit", ToolState::Classified(ToolClass::Write));
    let new = named("new", ToolState::Unclassified);
    let resource = Target::Resource { uri: ResourceUri::parse("notes://today").unwrap() };
    let prompt = Target::Prompt { name: "edit".to_owned() };
    for (target, scopes, lacks) in [
        (&edit, "mcp:write", None),
        (&edit, "mcp:destructive", None),
        (&edit, "tool:edit", None),
        (&edit, "mcp:read", Some("mcp:write")),
        (&edit, "tool:look", Some("mcp:write")),
        (&new, "tool:new", None),
        (&new, "mcp:destructive", Some("tool:new")),
        (&resource, "mcp:read", None),
        (&prompt, "mcp:read", None),
        (&prompt, "tool:edit", Some("mcp:read")),
        (&resource, "", Some("mcp:read")),
        (&Target::Server, "", None),
        (&Target::Job { id: "j".to_owned(), own: true }, "", None),
    ] {
        let call = Call { target: target.clone(), ..tool("notes", "", ToolClass::Read, "") };
        let found = match decide(&rights, &caller(user(1), scopes), &Authority::default(), &call, now()) {
            Decision::Permit(_) => None,
            Decision::StepUp(step_up) => Some(step_up.scopes.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(found.as_deref(), lacks, "{target:?} with {scopes}");
    }
}

/// Owners and records get the rules behind a decision: those that permit if it is permitted, and otherwise those that
/// forbid, or those that could not be evaluated if they are the reason.
#[test]
fn a_decision_names_the_rules_behind_it() {
    let rights = rights(
        r#"@id("all") permit(principal is User, action == Action::"call", resource in Server::"notes");
           @id("no-wipe") forbid(principal, action == Action::"call", resource == Tool::"notes/wipe");
           @id("broken") permit(principal, action == Action::"call", resource == Tool::"notes/odd")
             when { context.numbers.hasTag("n") && context.numbers.getTag("n") * 9223372036854775807 > 0 };"#,
    );
    let carol = caller(user(3), "mcp:read");
    let (none, look) = (Authority::default(), declared(task(tidy_up(&["look"]))));
    for (authority, call, expected) in [
        (&none, tool("notes", "look", ToolClass::Read, ""), "permit: all"),
        (&none, tool("notes", "wipe", ToolClass::Read, ""), "deny: no-wipe"),
        (&none, tool("notes", "odd", ToolClass::Read, r#"{"n":3}"#), "deny: broken"),
        (&none, tool("notes", "look", ToolClass::Write, ""), "step up: all"),
        (&none, tool("news", "look", ToolClass::Read, ""), "deny: "),
        (&look, tool("notes", "edit", ToolClass::Read, ""), "deny: all"),
    ] {
        let (word, rules) = match decide(&rights, &carol, authority, &call, now()) {
            Decision::Deny(denial) => ("deny", denial.because),
            Decision::Permit(permit) => ("permit", permit.because().clone()),
            Decision::StepUp(step_up) => ("step up", step_up.because),
            Decision::Ask(ask) => panic!("{ask:?}"),
        };
        let rules: Vec<String> = rules.iter().map(RuleId::to_string).collect();
        assert_eq!(format!("{word}: {}", rules.join(" ")), expected);
    }
}

/// A server that observes stops nothing: a call that is let pass although a set refused it does not wait for a person
/// either.
#[test]
fn what_a_server_only_observes_asks_nobody() {
    let asks = r#"@approval permit(principal, action == Action::"call", resource == Tool::"notes/send");"#;
    let mut parts = parts(asks);
    parts.servers.get_mut("notes").unwrap().observe_until = Some(after(now(), 60));
    let rights = Rights::new(parts).unwrap();
    let send = tool("notes", "send", ToolClass::Read, "");
    let judge = |authority: &_| decide(&rights, &caller(user(3), "mcp:read"), authority, &send, now());
    assert!(matches!(judge(&Authority::default()), Decision::Ask(_)));
    let Decision::Permit(permit) = judge(&declared(task(moving()))) else { panic!() };
    assert_eq!(permit.owes(), &Owed::default());
    assert!(matches!(permit.observed(), Some(Reason::OutsideTask(_))));
}

/// Each set is explained on its own, whichever refused. If no task was declared, no call is said to be inside one.
#[test]
fn an_explanation_says_what_each_set_says() {
    let rights = rights(r#"permit(principal is User, action == Action::"call", resource in Server::"notes");"#);
    let call = |name| tool("notes", name, ToolClass::Read, "");
    let write = tool("notes", "look", ToolClass::Write, "");
    let held = Target::Tool { name: "look".to_owned(), standing: ToolState::Held };
    let held = Call { target: held, ..call("look") };
    let (none, moving) = (Authority::default(), declared(task(moving())));
    let news = tool("news", "look", ToolClass::Read, "");
    // The values: the decision; whether it exists and is held back; inside the rights, the grant; a task declared,
    // inside it.
    for (authority, call, expected) in [
        (&none, call("look"), (Verdict::Permit, [true, false], [true, true], [false, false])),
        (&moving, call("look"), (Verdict::Permit, [true, false], [true, true], [true, true])),
        (&moving, call("edit"), (Verdict::Deny, [true, false], [true, true], [true, false])),
        (&moving, write, (Verdict::StepUp, [true, false], [true, false], [true, true])),
        (&none, news, (Verdict::Deny, [true, false], [false, true], [false, false])),
        (&none, held, (Verdict::Deny, [false, true], [false, false], [false, false])),
        (&unknown(), call("look"), (Verdict::Deny, [true, false], [true, true], [true, false])),
    ] {
        let said = explain(&rights, &caller(user(3), "mcp:read"), authority, &call, now());
        let there = [said.rights.exists, said.rights.held];
        let inside = [said.rights.inside, said.grant.inside];
        let need = [said.need.declared, said.need.inside];
        assert_eq!((said.decision, there, inside, need), expected, "{call:?}");
    }
}

/// The reason why a call is outside its task lets its author correct it.
#[test]
fn an_explanation_points_at_what_is_outside_the_task() {
    let rights = rights("");
    let over = declared(Task { ends_at: Some(now()), ..task(moving()) });
    let spent = declared(Task { calls_left: Some(0), ..task(moving()) });
    let moving = declared(task(moving()));
    for (authority, name, arguments, expected) in [
        (&moving, "move", r#"{"to":"/tmp/a"}"#, None),
        (
            &moving,
            "move",
            r#"{"to":"/etc"}"#,
            Some(
                r#"the argument `/to` is beyond the bounds of the task; it has to fit {"pattern":"^/tmp/","type":["string"]}"#,
            ),
        ),
        (
            &moving,
            "move",
            "{}",
            Some(
                r#"the argument `to` is missing, and it is bounded by the task; it has to fit {"pattern":"^/tmp/","type":["string"]}"#,
            ),
        ),
        (&moving, "edit", "", Some("the task does not name it")),
        (&over, "look", "", Some("the task is finished")),
        (&spent, "look", "", Some("the task's budget of calls is used up")),
        (&unknown(), "look", "", Some("the task is not known")),
        (&Authority::default(), "look", "", None),
    ] {
        let call = tool("notes", name, ToolClass::Read, arguments);
        let said = explain(&rights, &caller(user(1), "mcp:read"), authority, &call, now());
        assert_eq!(said.need.why.as_deref(), expected);
    }
}
