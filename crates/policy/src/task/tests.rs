use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_protocol::task::{ANY, Task, TaskDefinition, TaskOrigin};
use sekisho_protocol::uri::ResourceUri;
use serde_json::json;

use super::{BoundTask, Need, OutsideWhy, WhichArguments};
use crate::model::{Call, Target, ToolState};

fn now() -> Timestamp {
    ManualClock::default().now()
}

fn task(definition: TaskDefinition) -> Task {
    let entropy = SeededEntropy::from_seed(3);
    Task {
        id: TaskId::generate(now(), &entropy),
        grant: GrantId::generate(now(), &entropy),
        parent: None,
        server: "notes".parse().unwrap(),
        calls_left: definition.calls.map(i64::from),
        definition,
        origin: TaskOrigin::Person,
        created_at: now(),
        ends_at: None,
        ended_at: None,
    }
}

fn tidy_up() -> TaskDefinition {
    let within =
        json!({"type":"object","properties":{"path":{"type":"string","pattern":"^/tmp/"}},"required":["path"]});
    TaskDefinition {
        purpose: "tidy up".to_owned(),
        tools: BTreeMap::from([("look".to_owned(), None), ("remove".to_owned(), Some(within))]),
        resources: vec!["notes://today".to_owned(), "notes://old/*".to_owned()],
        prompts: vec!["summary".to_owned()],
        ..TaskDefinition::default()
    }
}

/// A star among the prompts or resources stands for all of them; among the tools it has no special meaning.
#[test]
fn a_star_stands_for_all_prompts_and_resources() {
    let all = TaskDefinition {
        purpose: "read".to_owned(),
        resources: vec![ANY.to_owned()],
        prompts: vec![ANY.to_owned()],
        ..TaskDefinition::default()
    };
    all.check().unwrap();
    let task = BoundTask::new(task(all)).unwrap();
    let inside = |target| task.judge(&call(target, None), WhichArguments::This, ManualClock::default().now()).is_ok();
    assert!(inside(Target::Prompt { name: "anything".to_owned() }));
    assert!(inside(Target::Resource { uri: ResourceUri::parse("notes://any/thing").unwrap() }));
    let standing = ToolState::Classified(ToolClass::Read);
    for name in ["look", "*"] {
        assert!(!inside(Target::Tool { name: name.to_owned(), standing }), "{name}");
    }
}

fn call(target: Target, arguments: Option<&str>) -> Call {
    Call {
        server: "notes".parse().unwrap(),
        method: "tools/call",
        target,
        arguments: arguments.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        schema: None,
        params: None,
        arguments_digest: None,
        round: None,
        source: None,
    }
}

fn tool(name: &str) -> Target {
    Target::Tool { name: name.to_owned(), standing: ToolState::Classified(ToolClass::Read) }
}

fn why(task: Task, call: &Call, asked: WhichArguments) -> Option<OutsideWhy> {
    let need = Need::of([Arc::new(BoundTask::new(task).unwrap())]);
    need.judge(call, asked, now()).err().map(|outside| outside.why)
}

#[test]
fn a_task_is_what_it_names() {
    let resource = |uri: &str| Target::Resource { uri: ResourceUri::parse(uri).unwrap() };
    let prompt = |name: &str| Target::Prompt { name: name.to_owned() };
    let job = Target::Job { id: "j".to_owned(), own: true };
    for (target, inside) in [
        (tool("look"), true),
        (tool("write"), false),
        (tool("Look"), false),
        (resource("notes://today"), true),
        (resource("notes://today/2"), false),
        (resource("notes://old/1"), true),
        (prompt("summary"), true),
        (prompt("other"), false),
        (Target::Server, true),
        (job, true),
    ] {
        let found = why(task(tidy_up()), &call(target.clone(), None), WhichArguments::This);
        assert_eq!(found, (!inside).then_some(OutsideWhy::NotNamed), "{target:?}");
    }
}

#[test]
fn an_argument_beyond_its_bound_is_outside_and_is_pointed_at() {
    for (arguments, expected) in [
        (Some(r#"{"path":"/tmp/a"}"#), None),
        (Some(r#"{"path":"/etc/passwd"}"#), Some("/path")),
        (Some(r#"{"path":7}"#), Some("/path")),
        (Some("{}"), Some("")),
        (None, Some("")),
    ] {
        let found = why(task(tidy_up()), &call(tool("remove"), arguments), WhichArguments::This);
        let at = found.map(|why| match why {
            OutsideWhy::Arguments(violation) => violation.at,
            other => panic!("{other:?}"),
        });
        assert_eq!(at.as_deref(), expected, "{arguments:?}");
        // For a list the question is whether the tool could be called at all.
        assert_eq!(why(task(tidy_up()), &call(tool("remove"), arguments), WhichArguments::Any), None);
    }
}

#[test]
fn a_task_that_is_over_or_spent_needs_nothing_more() {
    let look = call(tool("look"), None);
    let ended = Task { ended_at: Some(now()), ..task(tidy_up()) };
    assert_eq!(why(ended, &look, WhichArguments::This), Some(OutsideWhy::Over));
    let past = Task { ends_at: Some(now()), ..task(tidy_up()) };
    assert_eq!(why(past.clone(), &look, WhichArguments::This), Some(OutsideWhy::Over));
    // The session goes on, so that its client gets the refusal and not a broken connection.
    assert_eq!(why(past, &call(Target::Server, None), WhichArguments::This), None);
    let later = Task { ends_at: Some(after(now(), 1)), ..task(tidy_up()) };
    assert_eq!(why(later, &look, WhichArguments::This), None);
    let spent = Task { calls_left: Some(0), ..task(tidy_up()) };
    assert_eq!(why(spent, &look, WhichArguments::This), Some(OutsideWhy::Spent));
}

#[test]
fn a_call_must_be_inside_every_task() {
    let narrow = TaskDefinition {
        purpose: "look only".to_owned(),
        tools: BTreeMap::from([("look".to_owned(), None)]),
        ..TaskDefinition::default()
    };
    let other = Task { id: TaskId::generate(now(), &SeededEntropy::from_seed(9)), ..task(narrow) };
    let need = Need::of([task(tidy_up()), other].map(|task| Arc::new(BoundTask::new(task).unwrap())));
    assert!(need.judge(&call(tool("look"), None), WhichArguments::This, now()).is_ok());
    let outside =
        need.judge(&call(tool("remove"), Some(r#"{"path":"/tmp/a"}"#)), WhichArguments::This, now()).unwrap_err();
    assert_eq!((outside.purpose.as_str(), outside.why), ("look only", OutsideWhy::NotNamed));
}

#[test]
fn a_task_that_nobody_knows_has_nothing_in_it() {
    let need = Need::unknown(TaskId::generate(now(), &SeededEntropy::from_seed(1)));
    assert!(need.is_declared());
    for target in [Target::Server, tool("look")] {
        assert_eq!(need.judge(&call(target, None), WhichArguments::Any, now()).unwrap_err().why, OutsideWhy::Unknown);
    }
}

/// A budget counts tools, resources and prompts, in each task that has one; what every session needs is not counted.
#[test]
fn a_call_takes_from_every_budget_around_it() {
    let id = |seed| TaskId::generate(now(), &SeededEntropy::from_seed(seed));
    let of = |id, calls| Arc::new(BoundTask::new(Task { id, ..task(TaskDefinition { calls, ..tidy_up() }) }).unwrap());
    let need = Need::of([of(id(1), Some(3)), of(id(2), None), of(id(3), Some(1))]);
    let all = vec![id(1), id(3)];
    for (target, expected) in [
        (tool("look"), all.clone()),
        (Target::Prompt { name: "summary".to_owned() }, all.clone()),
        (Target::Resource { uri: ResourceUri::parse("notes://today").unwrap() }, all),
        (Target::Server, vec![]),
        (Target::Job { id: "j".to_owned(), own: true }, vec![]),
        (Target::Checkpoint { name: "end_task" }, vec![]),
    ] {
        assert_eq!(need.budgets(&call(target.clone(), None)), expected, "{target:?}");
    }
}

/// A named task also restricts a call by the tasks that it is inside of; the innermost is the one that was declared
/// last.
#[test]
fn a_task_is_asked_with_those_it_is_inside_of() {
    let id = |seed| TaskId::generate(now(), &SeededEntropy::from_seed(seed));
    let bound = |id, parent| Arc::new(BoundTask::new(Task { id, parent, ..task(tidy_up()) }).unwrap());
    let known = [bound(id(2), Some(id(1))), bound(id(1), None), bound(id(3), Some(id(9))), bound(id(4), Some(id(4)))];
    let named = |ids: &[TaskId]| Need::named(ids.iter().copied(), &known);
    let found = |need: &Need| need.tasks().map(|task| task.id).collect::<Vec<_>>();
    assert_eq!(found(&named(&[id(2)])), [id(1), id(2)]);
    assert_eq!(named(&[id(2)]).task(), Some(id(2)));
    assert_eq!(found(&named(&[id(1), id(2)])), [id(1), id(2)]);
    assert!(!named(&[]).is_declared());
    // A task that is unknown, or is inside itself, allows nothing.
    for (named, unknown) in [(named(&[id(1), id(8)]), id(8)), (named(&[id(3)]), id(9)), (named(&[id(4)]), id(4))] {
        assert_eq!((found(&named), named.task()), (vec![], Some(unknown)));
    }
}
