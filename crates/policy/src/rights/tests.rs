use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_protocol::caller::{ActorPath, Principal, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
use sekisho_protocol::ids::{ClientId, UserId};

use super::uses::Uses;
use super::{Answer, PolicyFile, Rights, RightsParts, RightsServer, RightsUser, Terms, load};
use crate::model::{Authority, Call, Target, ToolState};
use crate::task::WhichArguments;

fn user() -> UserId {
    UserId::generate(ManualClock::default().now(), &SeededEntropy::default())
}

/// One user, one server, one rule.
fn parts(rule: &str) -> RightsParts {
    RightsParts {
        users: BTreeMap::from([(user(), RightsUser { name: "bob".to_owned(), ..RightsUser::default() })]),
        servers: BTreeMap::from([("notes".parse().unwrap(), RightsServer::default())]),
        files: vec![PolicyFile { name: "rules.cedar".to_owned(), text: rule.to_owned() }],
        ..RightsParts::default()
    }
}

/// The answer to the user about a tool.
fn answer(rights: &Rights, name: &str, class: ToolClass, asked: WhichArguments) -> Arc<Answer> {
    let client = ClientId::parse("cli_a").unwrap();
    let (subject, path) = (Subject::User(user()), ActorPath::direct(client));
    let principal = Principal { subject: &subject, path: Some(&path) };
    let call = Call {
        server: "notes".parse().unwrap(),
        method: "tools/call",
        target: Target::Tool { name: name.to_owned(), standing: ToolState::Classified(class) },
        arguments: None,
        schema: None,
        params: None,
        arguments_digest: None,
        round: None,
        source: None,
    };
    rights.answer(principal, &Authority::default(), &call, asked, ManualClock::default().now())
}

/// An answer that depends on neither arguments nor circumstances is worked out only once, and holds for all tools of a
/// class unless a rule tells them apart. So a list of any length costs a few evaluations.
#[test]
fn an_answer_is_kept_for_all_that_it_is_good_for() {
    let scope = r#"principal is User, action == Action::"call""#;
    let when = |condition: &str| format!(r#"permit({scope}, resource in Server::"notes") when {{ {condition} }};"#);
    // Whether the first answer is used again: for the same call, for another tool of the class, for another tool in a
    // list.
    for (rule, expected) in [
        (String::new(), [true, true, true]),
        (when("resource.level == 0"), [true, true, true]),
        (when(r#"resource has class && resource.class == "read""#), [true, true, true]),
        (when(r#"principal.name == "bob""#), [true, true, true]),
        (when("context has path && context.path.depth == 1"), [true, true, true]),
        (when(r#"resource.name == "one""#), [true, false, false]),
        (format!(r#"permit({scope}, resource == Tool::"notes/one");"#), [true, false, false]),
        (when(r#"context.arguments.hasTag("to")"#), [false, false, true]),
        (when(r#"context.now < datetime("2030-01-01")"#), [false, false, false]),
        (when("context has source"), [false, false, false]),
        (when("context has task"), [false, false, false]),
    ] {
        let rights = Rights::new(parts(&rule)).unwrap();
        let same = |name, asked| {
            let ask = |name| answer(&rights, name, ToolClass::Read, asked);
            Arc::ptr_eq(&ask("one"), &ask(name))
        };
        let found =
            [same("one", WhichArguments::This), same("two", WhichArguments::This), same("two", WhichArguments::Any)];
        assert_eq!(found, expected, "{rule}");
        let other = answer(&rights, "one", ToolClass::Write, WhichArguments::Any);
        assert!(!Arc::ptr_eq(&answer(&rights, "one", ToolClass::Read, WhichArguments::Any), &other), "{rule}");
    }
}

/// The conditions decide whether an answer needs arguments, and whether it may be kept. What is not understood counts
/// as everything.
#[test]
fn a_rule_looks_at_what_its_conditions_speak_of() {
    let nothing = Uses::default();
    let arguments = Uses { arguments: true, ..nothing };
    let identity = Uses { identity: true, ..nothing };
    let time = Uses { time: true, ..nothing };
    let either = |variable: &str| format!(r#"(if principal.name == "bob" then {variable} else {variable})"#);
    for (condition, expected) in [
        ("true".to_owned(), nothing),
        (r#"principal.name == "bob""#.to_owned(), nothing),
        ("resource.level == 0".to_owned(), nothing),
        (r#"resource.class == "read""#.to_owned(), nothing),
        (r#"resource.name == "one""#.to_owned(), identity),
        (r#"resource == Tool::"notes/one""#.to_owned(), identity),
        (r#"context.arguments.hasTag("a")"#.to_owned(), arguments),
        (r#"context.numbers.hasTag("a")"#.to_owned(), arguments),
        (r#"context.flags.hasTag("a")"#.to_owned(), arguments),
        ("context has path".to_owned(), Uses { path: true, ..nothing }),
        ("context has source".to_owned(), Uses { source: true, ..nothing }),
        ("context has task".to_owned(), Uses { task: true, ..nothing }),
        (r#"context.now < datetime("2030-01-01")"#.to_owned(), time),
        (r#"resource.level == 0 && context has task"#.to_owned(), Uses { task: true, ..nothing }),
        (
            r#"[context.now < datetime("2030-01-01"), context has source].contains(true)"#.to_owned(),
            Uses { source: true, ..time },
        ),
        // A look inside another expression is found.
        (format!("{}.level == 0", either("resource")), identity),
        (format!("{} has level", either("resource")), identity),
        (
            r#"(if context.flags.hasTag("a") then resource else resource).level == 0"#.to_owned(),
            Uses { identity: true, ..arguments },
        ),
        (format!(r#"{}.arguments.hasTag("a")"#, either("context")), Uses::ALL),
        ("{here: context}.here has path".to_owned(), Uses::ALL),
    ] {
        let rule = format!(r#"permit(principal is User, action == Action::"call", resource) when {{ {condition} }};"#);
        let (read, _) = load::policies(&parts(&rule), &Terms::new()).unwrap();
        let found = read.iter().find(|indexed| indexed.rule.text() == "rules.cedar#1").unwrap();
        assert_eq!(found.uses, expected, "{condition}");
    }
}
