use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};
use serde_json::json;

use super::{Asked, BoundTask, BoundsError, Need, OutsideWhy, check_bounds, check_schema};
use crate::model::{Call, Target, ToolStanding};

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

fn call(target: Target, arguments: Option<&str>) -> Call {
    Call {
        server: "notes".parse().unwrap(),
        method: "tools/call",
        target,
        arguments: arguments.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        params: None,
        arguments_digest: None,
        round: None,
        source: None,
    }
}

fn tool(name: &str) -> Target {
    Target::Tool { name: name.to_owned(), standing: ToolStanding::Classified(ToolClass::Read) }
}

fn why(task: Task, call: &Call, asked: Asked) -> Option<OutsideWhy> {
    let need = Need::of([Arc::new(BoundTask::new(task).unwrap())]);
    need.judge(call, asked, now()).err().map(|outside| outside.why)
}

#[test]
fn a_task_is_what_it_names() {
    let resource = |uri: &str| Target::Resource { uri: uri.to_owned() };
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
        let found = why(task(tidy_up()), &call(target.clone(), None), Asked::This);
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
        let found = why(task(tidy_up()), &call(tool("remove"), arguments), Asked::This);
        assert_eq!(found, expected.map(|at| OutsideWhy::Arguments(at.to_owned())), "{arguments:?}");
        // In a list the question is whether it could be called at all.
        assert_eq!(why(task(tidy_up()), &call(tool("remove"), arguments), Asked::Any), None);
    }
}

#[test]
fn a_task_that_is_over_or_spent_needs_nothing_more() {
    let look = call(tool("look"), None);
    let ended = Task { ended_at: Some(now()), ..task(tidy_up()) };
    assert_eq!(why(ended, &look, Asked::This), Some(OutsideWhy::Over));
    let past = Task { ends_at: Some(now()), ..task(tidy_up()) };
    assert_eq!(why(past.clone(), &look, Asked::This), Some(OutsideWhy::Over));
    // A session goes on, so that its client hears of the refusal and not of a broken connection.
    assert_eq!(why(past, &call(Target::Server, None), Asked::This), None);
    let later = Task { ends_at: Some(after(now(), 1)), ..task(tidy_up()) };
    assert_eq!(why(later, &look, Asked::This), None);
    let spent = Task { calls_left: Some(0), ..task(tidy_up()) };
    assert_eq!(why(spent, &look, Asked::This), Some(OutsideWhy::Spent));
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
    assert!(need.judge(&call(tool("look"), None), Asked::This, now()).is_ok());
    let outside = need.judge(&call(tool("remove"), Some(r#"{"path":"/tmp/a"}"#)), Asked::This, now()).unwrap_err();
    assert_eq!((outside.purpose.as_str(), outside.why), ("look only", OutsideWhy::NotNamed));
}

#[test]
fn a_task_that_nobody_knows_has_nothing_in_it() {
    let need = Need::unknown(TaskId::generate(now(), &SeededEntropy::from_seed(1)));
    assert!(need.is_declared());
    for target in [Target::Server, tool("look")] {
        assert_eq!(need.judge(&call(target, None), Asked::Any, now()).unwrap_err().why, OutsideWhy::Unknown);
    }
}

/// A schema of somebody else is refused before anybody agrees to it, if checking it could not be bounded: alone, or as
/// part of a task.
#[test]
fn a_schema_that_is_broken_or_explosive_is_refused() {
    let invalid = |error: &BoundsError| matches!(error, BoundsError::Invalid { .. });
    let reference = |error: &BoundsError| matches!(error, BoundsError::Reference { .. });
    let too_large = |error: &BoundsError| matches!(error, BoundsError::TooLarge { .. });
    let wide = |values: usize| json!({ "enum": (2..values).collect::<Vec<_>>() });
    let deep = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "not": inner }));
    // Lists count like objects: two levels at a time, an object and the list in it.
    let deep_lists = |levels: usize| (1..levels / 2).fold(json!({"enum": []}), |inner, _| json!({ "allOf": [inner] }));
    let word = |word: &str| json!({"properties": {"a": {word: "#"}}});
    let fine: Option<fn(&BoundsError) -> bool> = None;
    for (schema, expected) in [
        (json!({"type": "object", "$comment": "fine"}), fine),
        (json!(false), fine),
        (json!({"properties": {"path": {"pattern": "^/srv/[a-z]{1,40}/[0-9a-f-]{36}$"}}}), fine),
        (json!({"type": "nothing"}), Some(invalid)),
        (json!(7), Some(invalid)),
        (json!({"pattern": "("}), Some(invalid)),
        (json!({"pattern": "(a+)+\\1"}), Some(invalid)),
        (json!({"pattern": "(((a{1,100}){1,100}){1,100}){1,100}"}), Some(invalid)),
        (word("$ref"), Some(reference)),
        (word("$dynamicRef"), Some(reference)),
        (word("$id"), Some(reference)),
        (word("$defs"), Some(reference)),
        (wide(512), fine),
        (wide(513), Some(too_large)),
        (wide(600), Some(too_large)),
        (deep(16), fine),
        (deep(17), Some(too_large)),
        (deep(40), Some(too_large)),
        (deep_lists(16), fine),
        (deep_lists(18), Some(too_large)),
    ] {
        let tools = BTreeMap::from([("t".to_owned(), Some(schema.clone()))]);
        let whole = check_bounds(&TaskDefinition { tools, ..TaskDefinition::default() });
        assert_eq!(check_schema("t", &schema), whole, "{schema}");
        let is_expected = match (whole, expected) {
            (Ok(()), None) => true,
            (Err(error), Some(is)) => is(&error),
            _ => false,
        };
        assert!(is_expected, "{schema}");
    }
}

/// What a stranger wrote into a schema is said back in one short line, for it is shown to people and put on record.
#[test]
fn a_refused_schema_is_told_in_a_short_line() {
    let long = "x".repeat(1000);
    for (schema, beginning) in [
        (json!({ format!("$\u{1b}[2J\nref{long}"): "#" }), "the bounds on `t` hold `$[2Jrefxxx"),
        (json!({ "type": format!("odd\n{long}") }), "the bounds on `t` are not a JSON Schema: \"odd\\nxxx"),
        (json!(7), "the bounds on `t` are not a JSON Schema: 7 is not"),
    ] {
        let said = check_schema("t", &schema).unwrap_err().to_string();
        assert!(said.starts_with(beginning), "{said}");
        assert!(said.chars().count() < 200 && !said.chars().any(char::is_control), "{said:?}");
    }
}

/// A budget counts tools, resources and prompts, in each task that has one; what every session needs is free.
#[test]
fn a_call_takes_from_every_budget_around_it() {
    let id = |seed| TaskId::generate(now(), &SeededEntropy::from_seed(seed));
    let of = |id, calls| Arc::new(BoundTask::new(Task { id, ..task(TaskDefinition { calls, ..tidy_up() }) }).unwrap());
    let need = Need::of([of(id(1), Some(3)), of(id(2), None), of(id(3), Some(1))]);
    let all = vec![id(1), id(3)];
    for (target, expected) in [
        (tool("look"), all.clone()),
        (Target::Prompt { name: "summary".to_owned() }, all.clone()),
        (Target::Resource { uri: "notes://today".to_owned() }, all),
        (Target::Server, vec![]),
        (Target::Job { id: "j".to_owned(), own: true }, vec![]),
        (Target::Checkpoint { name: "end_task" }, vec![]),
    ] {
        assert_eq!(need.budgets(&call(target.clone(), None)), expected, "{target:?}");
    }
}

/// A task that is named holds a call to what it is inside of, too; the innermost is the one that was declared last.
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
    // One that nobody knows, or that is inside itself, lets nothing through.
    for (named, unknown) in [(named(&[id(1), id(8)]), id(8)), (named(&[id(3)]), id(9)), (named(&[id(4)]), id(4))] {
        assert_eq!((found(&named), named.task()), (vec![], Some(unknown)));
    }
}
