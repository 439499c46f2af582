//! Policy files: what they mean, and what is refused in them. Also loans.

use sekisho_policy::decide::{Decision, Reason, decide, may_see};
use sekisho_policy::explain::explain;
use sekisho_policy::model::{Authority, Call, Target, ToolState, Trust};
use sekisho_policy::rights::{Rights, RightsLoan, RightsParts, format_policies, schema_text};
use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::{ActorPath, Caller, Principal, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{SeededEntropy, after};
use sekisho_protocol::ids::{ClientId, LoanId};
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::registration::ClientOrigin;
use sekisho_protocol::task::TaskDefinition;

use crate::world::{caller, declared, may, now, parts, rights, task, tidy_up, tool, user, with};

/// A loan is for one user, one client and one tool, and, if it says so, for one task and these arguments, until it
/// ends. A rule that forbids beats it. No kept answer outlives it or hides it.
#[test]
fn a_loan_is_for_one_call_of_one_client_until_it_ends() {
    let lent = |task, bounds: Option<&str>| RightsLoan {
        id: LoanId::generate(now(), &SeededEntropy::from_seed(1)),
        subject: Subject::User(user(2)),
        client: ClientId::parse("cli_a").unwrap(),
        task,
        server: "notes".parse().unwrap(),
        tool: "wipe".to_owned(),
        bounds: bounds.map(|text| serde_json::from_str(text).unwrap()),
        expires: after(now(), 3600),
    };
    let lending = |loan, rules: &str| Rights::new(RightsParts { loans: vec![loan], ..parts(rules) }).unwrap();
    let says = |rights: &Rights, caller: &Caller, authority: &Authority, call: &Call, at| {
        let answer = rights.judge(caller, authority, call, at);
        (answer.permitted, answer.because.iter().map(|rule| rule.to_string()).collect::<Vec<_>>())
    };
    let (rights, none) = (lending(lent(None, None), ""), Authority::default());
    let wipe = tool("notes", "wipe", ToolClass::Destructive, "");
    let bob = caller(user(2), "mcp:destructive");
    let name = format!("loan:{}", lent(None, None).id);
    assert_eq!(says(&rights, &bob, &none, &wipe, now()), (true, vec![name]));
    let other = ClientId::parse("cli_b").unwrap();
    let far = ActorPath::new(vec![other.clone(), ClientId::parse("cli_a").unwrap()]).unwrap();
    let far = with(&bob, |granted| granted.path = far);
    let through = with(&bob, |granted| (granted.path, granted.client) = (ActorPath::direct(other.clone()), other));
    for (what, caller, call, at) in [
        ("another user", &caller(user(3), "mcp:destructive"), &wipe, now()),
        ("another client", &through, &wipe, now()),
        ("through the client", &far, &wipe, now()),
        ("another tool", &bob, &tool("notes", "other", ToolClass::Read, ""), now()),
        ("another server", &bob, &tool("news", "wipe", ToolClass::Read, ""), now()),
        ("afterwards", &bob, &wipe, after(now(), 3600)),
    ] {
        assert!(!rights.judge(caller, &none, call, at).permitted, "{what}");
    }
    // A kept refusal, and then a question that the loan is for; and the other way around.
    let task = task(tidy_up(&["wipe"]));
    let for_task = lending(lent(Some(task.id), None), "");
    let inside = declared(task);
    for (authority, expected) in [(&none, false), (&inside, true), (&none, false), (&inside, true)] {
        assert_eq!(for_task.judge(&bob, authority, &wipe, now()).permitted, expected);
    }
    let bounded = lending(lent(None, Some(r#"{"properties":{"all":{"const":false}},"required":["all"]}"#)), "");
    for (arguments, expected) in [(r#"{"all":false}"#, true), (r#"{"all":true}"#, false), ("", false)] {
        let call = tool("notes", "wipe", ToolClass::Destructive, arguments);
        assert_eq!(bounded.judge(&bob, &none, &call, now()).permitted, expected, "{arguments}");
        assert!(may_see(&bounded, &bob, &none, &call, now()), "a list shows what some arguments allow");
    }
    let broken = lending(lent(None, Some(r##"{"$ref":"#"}"##)), "");
    assert!(!broken.judge(&bob, &none, &wipe, now()).permitted);
    let forbid = r#"@id("no-wipe") forbid(principal, action == Action::"call", resource == Tool::"notes/wipe");"#;
    assert_eq!(
        says(&lending(lent(None, None), forbid), &bob, &none, &wipe, now()),
        (false, vec!["no-wipe".to_owned()])
    );
    let faults = Rights::new(parts(r#"@id("loan:x") permit(principal, action, resource);"#)).unwrap_err();
    assert!(faults[0].message.contains("loans"), "{faults:?}");
}

/// What no rule permits is refused; an owner may do everything that no rule forbids.
#[test]
fn a_rule_permits_what_it_names_and_nothing_else() {
    let rights = rights(
        r#"permit(principal in Group::"editors", action in [Action::"call", Action::"list"], resource in Server::"notes")
           unless { resource is Tool && resource.class == "destructive" };"#,
    );
    for (subject, server, class, expected) in [
        (2, "notes", ToolClass::Write, true),
        (2, "notes", ToolClass::Destructive, false),
        (2, "news", ToolClass::Read, false),
        (3, "notes", ToolClass::Read, false),
        (1, "news", ToolClass::Destructive, true),
        (9, "notes", ToolClass::Read, false),
    ] {
        assert_eq!(
            may(&rights, user(subject), &tool(server, "x", class, "")),
            expected,
            "{subject} {server} {class:?}"
        );
    }
}

#[test]
fn a_forbid_beats_every_permit_and_is_named() {
    let rights = rights(
        r#"@id("no-wipe") @reason("the archive is kept for seven years")
           forbid(principal, action == Action::"call", resource == Tool::"notes/wipe");"#,
    );
    let call = tool("notes", "wipe", ToolClass::Destructive, "");
    assert!(!may(&rights, user(1), &call));
    assert!(may(&rights, user(1), &tool("notes", "other", ToolClass::Destructive, "")));
    let said = explain(&rights, &caller(user(1), "mcp:destructive"), &Authority::default(), &call, now());
    assert_eq!((said.decision, said.set), (Verdict::Deny, Some(SetName::Rights)));
    assert_eq!(said.rights.because, ["no-wipe"]);
    assert_eq!(said.rights.reasons, ["the archive is kept for seven years"]);
}

#[test]
fn a_rule_can_look_at_arguments_path_time_and_address() {
    let rights = rights(
        r#"permit(principal == User::"USER", action == Action::"call", resource == Tool::"notes/move")
             when { context.arguments.hasTag("to.folder") && context.arguments.getTag("to.folder") like "/tmp/*"
                    && context.numbers.hasTag("count") && context.numbers.getTag("count") <= 5
                    && !(context.flags.hasTag("force") && context.flags.getTag("force")) };
           permit(principal, action == Action::"call", resource == Tool::"notes/path")
             when { context has path && context.path.depth == 1 && context.path.trust >= 2
                    && context.path.last == Client::"cli_a" };
           permit(principal, action == Action::"call", resource == Tool::"notes/time")
             when { context.now < datetime("1999-01-01T00:00:00Z") };
           permit(principal, action == Action::"call", resource == Tool::"notes/net")
             when { context has source && context.source.isInRange(ip("10.0.0.0/8")) };"#
            .replace("USER", &user(3).to_string())
            .as_str(),
    );
    for (arguments, expected) in [
        (r#"{"to":{"folder":"/tmp/x"},"count":5}"#, true),
        (r#"{"to":{"folder":"/tmp/x"},"count":6}"#, false),
        (r#"{"to":{"folder":"/etc"},"count":1}"#, false),
        (r#"{"to":{"folder":"/tmp/x"},"count":1,"force":true}"#, false),
        (r#"{"to":{"folder":"/tmp/x"},"count":1,"force":false}"#, true),
        (r#"{"to.folder":"/tmp/x","to":{"folder":"/etc"},"count":1}"#, false),
        (r#"{"to":{"folder":7},"count":1}"#, false),
        ("", false),
    ] {
        assert_eq!(may(&rights, user(3), &tool("notes", "move", ToolClass::Write, arguments)), expected, "{arguments}");
    }
    let path = tool("notes", "path", ToolClass::Read, "");
    let judge = |caller: &Caller, trust| {
        let authority = Authority { trust, ..Authority::default() };
        rights.judge(caller, &authority, &path, now()).permitted
    };
    let direct = caller(user(3), "");
    assert!(judge(&direct, Trust::Registered));
    assert!(!judge(&direct, Trust::Published));
    let client = |name: &str| ClientId::parse(name).unwrap();
    let long = ActorPath::new(vec![client("cli_b"), client("cli_a")]).unwrap();
    assert!(!judge(&with(&direct, |granted| granted.path = long), Trust::Registered));
    assert!(!may(&rights, user(3), &tool("notes", "time", ToolClass::Read, "")));
    let mut net = tool("notes", "net", ToolClass::Read, "");
    for (source, expected) in
        [(None, false), (Some("10.2.3.4"), true), (Some("192.0.2.1"), false), (Some("::1"), false)]
    {
        net.source = source.map(|source| source.parse().unwrap());
        assert_eq!(may(&rights, user(3), &net), expected, "{source:?}");
    }
}

/// A policy whose evaluation fails denies, whatever else permits.
#[test]
fn a_rule_that_cannot_be_evaluated_denies() {
    let rights = rights(
        r#"permit(principal, action == Action::"call", resource in Server::"notes");
           @id("broken") permit(principal, action == Action::"call", resource in Server::"notes")
             when { context.numbers.hasTag("n") && context.numbers.getTag("n") * 9223372036854775807 > 0 };"#,
    );
    assert!(may(&rights, user(3), &tool("notes", "x", ToolClass::Read, r#"{"n":1}"#)));
    let call = tool("notes", "x", ToolClass::Read, r#"{"n":3}"#);
    assert!(!may(&rights, user(3), &call));
    let said = explain(&rights, &caller(user(3), "mcp:read"), &Authority::default(), &call, now());
    assert_eq!(said.rights.broken, ["broken"]);
}

/// Product §4: `@approval` in a rule makes a person be asked; `@task_required` requires a task.
#[test]
fn annotations_do_what_they_say() {
    let rights = rights(
        r#"@approval @reason("it sends mail")
           permit(principal, action == Action::"call", resource == Tool::"notes/send");
           @id("tasked") @task_required permit(principal, action == Action::"call", resource == Tool::"notes/purge");"#,
    );
    let caller = caller(user(3), "mcp:destructive");
    let judge = |call: &_| decide(&rights, &caller, &Authority::default(), call, now());
    let Decision::Ask(ask) = judge(&tool("notes", "send", ToolClass::Write, r#"{"to":"a"}"#)) else { panic!() };
    assert_eq!((ask.rule.text().as_ref(), ask.reason.as_deref()), ("rules.cedar#1", Some("it sends mail")));
    assert_eq!(ask.permit.owes().approval, Some(ask.call));
    let Decision::Ask(same) = judge(&tool("notes", "send", ToolClass::Write, r#"{ "to" : "a" }"#)) else { panic!() };
    let Decision::Ask(other) = judge(&tool("notes", "send", ToolClass::Write, r#"{"to":"b"}"#)) else { panic!() };
    assert_eq!(same.call, ask.call);
    assert_ne!(other.call, ask.call);
    let Decision::Deny(denial) = judge(&tool("notes", "purge", ToolClass::Write, "")) else { panic!() };
    assert_eq!((denial.reason.clone(), denial.reason.set()), (Reason::TaskRequired, Some(SetName::Need)));
}

/// One answer holds for a whole class of tools, except for a tool that some rule tells apart by its scope or by a
/// condition, whichever was asked about first.
#[test]
fn an_answer_about_one_tool_is_not_given_for_another() {
    let subject = user(3);
    let read = |name: &str| tool("notes", name, ToolClass::Read, "{}");
    for policies in [
        r#"permit(principal, action == Action::"call", resource == Tool::"notes/one");"#,
        r#"permit(principal, action == Action::"call", resource in Server::"notes") when { resource.name == "one" };"#,
        r#"permit(principal, action == Action::"call", resource) when { resource == Tool::"notes/one" };"#,
        r#"permit(principal, action, resource in Server::"notes");
           forbid(principal, action == Action::"call", resource == Tool::"notes/two");"#,
    ] {
        for order in [["one", "two"], ["two", "one"]] {
            let rights = rights(policies);
            for name in order {
                assert_eq!(may(&rights, subject, &read(name)), name == "one", "{policies}: {name} of {order:?}");
            }
        }
    }
    let classes = rights(
        r#"permit(principal, action == Action::"call", resource in Server::"notes") when { resource.level == 0 };"#,
    );
    for (class, allowed) in [(ToolClass::Read, true), (ToolClass::Write, false), (ToolClass::Destructive, false)] {
        for name in ["one", "two"] {
            assert_eq!(may(&classes, subject, &tool("notes", name, class, "{}")), allowed, "{class:?} {name}");
        }
    }
}

/// RS-53: another caller's job is refused, and this answer is not used for anything else, whichever is asked first.
#[test]
fn a_foreign_job_answers_for_nothing_else() {
    let job = |own| Call {
        method: "tasks/get",
        target: Target::Job { id: "j".to_owned(), own },
        ..tool("notes", "x", ToolClass::Read, "")
    };
    let list = Call { method: "tools/list", target: Target::Server, ..job(true) };
    for first in [job(false), job(true), list.clone()] {
        let rights = rights("");
        let permitted = |call: &Call| {
            let answer = decide(&rights, &caller(user(1), ""), &Authority::default(), call, now());
            matches!(answer, Decision::Permit(_))
        };
        permitted(&first);
        assert_eq!([job(false), job(true), list.clone()].map(|call| permitted(&call)), [false, true, true]);
    }
}

/// A server that observes: what rights and need refuse is let pass and recorded; what does not exist is not let pass.
#[test]
fn a_server_that_observes_lets_pass_and_says_so() {
    let mut parts = parts("");
    let end = after(now(), 60);
    parts.servers.get_mut("notes").unwrap().observe_until = Some(end);
    let rights = Rights::new(parts).unwrap();
    let caller = caller(user(3), "mcp:read");
    let look = tool("notes", "look", ToolClass::Read, "");
    let judge = |call: &_, now| decide(&rights, &caller, &Authority::default(), call, now);
    let Decision::Permit(permit) = judge(&look, now()) else { panic!() };
    assert_eq!(permit.observed(), Some(&Reason::Rights));
    assert!(matches!(judge(&look, end), Decision::Deny(_)));
    assert!(matches!(judge(&tool("news", "look", ToolClass::Read, ""), now()), Decision::Deny(_)));
    assert!(matches!(judge(&tool("notes", "edit", ToolClass::Write, ""), now()), Decision::StepUp(_)));
    let mut ghost = look.clone();
    ghost.target = Target::Tool { name: "ghost".to_owned(), standing: ToolState::Unknown };
    assert!(matches!(judge(&ghost, now()), Decision::Deny(_)));
}

/// A list shows what some arguments would allow.
#[test]
fn a_list_shows_what_some_arguments_allow() {
    let rights = rights(
        r#"permit(principal, action == Action::"call", resource == Tool::"notes/move")
             when { context.arguments.hasTag("to") && context.arguments.getTag("to") == "a" };
           permit(principal, action == Action::"call", resource == Tool::"notes/copy");
           forbid(principal, action == Action::"call", resource == Tool::"notes/copy")
             when { context.arguments.hasTag("to") && context.arguments.getTag("to") == "b" };
           forbid(principal, action == Action::"call", resource == Tool::"notes/gone");"#,
    );
    let caller = caller(user(3), "mcp:read");
    for (name, expected) in [("move", true), ("copy", true), ("gone", false), ("other", false)] {
        let call = tool("notes", name, ToolClass::Read, "");
        assert_eq!(may_see(&rights, &caller, &Authority::default(), &call, now()), expected, "{name}");
    }
    assert!(!may(&rights, user(3), &tool("notes", "move", ToolClass::Read, "")));
}

/// Policies are checked strictly: a set with any mistake is refused as a whole, and every mistake is reported with its
/// place.
#[test]
fn a_mistake_refuses_the_whole_set_and_is_pointed_at() {
    for (text, expected) in [
        ("permit(principal, action, resource)", "unexpected end of input"),
        ("permit(principal, action == Action::\"fly\", resource);", "fly"),
        ("permit(principal == Robot::\"x\", action, resource);", "Robot"),
        ("permit(principal, action == Action::\"call\", resource) when { resource.colour == \"red\" };", "colour"),
        ("permit(principal, action == Action::\"call\", resource) when { context.path.depth == 1 };", "path"),
        ("permit(principal, action == Action::\"call\", resource) when { resource.level == \"1\" };", "type"),
        ("@aproval permit(principal, action, resource);", "@aproval"),
        ("@approval forbid(principal, action, resource);", "forbid"),
        ("permit(principal == ?principal, action, resource);", "slots"),
        ("@id(\"a\") permit(principal, action, resource); @id(\"a\") forbid(principal, action, resource);", "twice"),
        ("permit(principal is User, action == Action::\"read\", resource is Tool);", "impossible"),
    ] {
        let faults = Rights::new(parts(text)).unwrap_err();
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            all.iter().any(|fault| fault.starts_with("rules.cedar: ") && fault.contains(expected)),
            "{text}: {all:?}"
        );
    }
    let spanned = Rights::new(parts("\n\npermit(principal, action, resource) when { resource.colour };")).unwrap_err();
    assert!(spanned[0].span.is_some_and(|span| span.at > 2), "{spanned:?}");
}

#[test]
fn a_file_of_rules_has_one_form() {
    let file = parts("permit(principal,action,resource)when{true};").files.remove(0);
    let once = format_policies(&file).unwrap();
    assert!(once.contains("permit (principal, action, resource)\nwhen { true };"), "{once}");
}

/// A rule about users concerns neither services nor anonymous callers, and the other way around. A rule about a group
/// does not concern those outside it.
#[test]
fn a_rule_concerns_only_whom_its_principal_names() {
    let cli = ClientId::parse("cli_a").unwrap();
    let subjects = [Subject::User(user(2)), Subject::User(user(3)), Subject::Service(cli), Subject::Anonymous];
    let own = format!(r#"principal == User::"{}""#, user(2));
    let caller = caller(user(3), "");
    for (principal, expected) in [
        ("principal", [true, true, true, true]),
        (own.as_str(), [true, false, false, false]),
        (r#"principal in Group::"editors""#, [true, false, false, false]),
        (r#"principal is User in Group::"editors""#, [true, false, false, false]),
        ("principal is User", [true, true, false, false]),
        ("principal is Service", [false, false, true, false]),
        ("principal is Nobody", [false, false, false, true]),
    ] {
        let rights = rights(&format!(
            r#"permit({principal}, action == Action::"call", resource in Server::"notes")
                 when {{ context.arguments.hasTag("a") }};"#
        ));
        let call = tool("notes", "look", ToolClass::Read, r#"{"a":"b"}"#);
        for (subject, expected) in subjects.iter().zip(expected) {
            let asking = Principal { subject, ..caller.principal() };
            let may = rights.judge(asking, &Authority::default(), &call, now()).permitted;
            assert_eq!(may, expected, "{principal}: {subject}");
            // A rule that cannot concern somebody is not evaluated for them, so what it looks at does not matter.
            assert_eq!(rights.looks_at(subject, &call.server).arguments, expected, "{principal}: {subject}");
        }
    }
}

/// If a rule looks at circumstances beside the tool, no answer is kept for other circumstances.
#[test]
fn an_answer_is_for_its_own_circumstances() {
    let call = |arguments| tool("notes", "look", ToolClass::Read, arguments);
    let from = |source: &str| Call { source: Some(source.parse().unwrap()), ..call("") };
    let task = |purpose: &str| {
        let definition = TaskDefinition { purpose: purpose.to_owned(), ..tidy_up(&["look"]) };
        declared(task(definition))
    };
    let none = Authority::default();
    let (tidy, other, later) = (task("tidy up"), task("something else"), after(now(), 60));
    let until = format!(r#"context.now < datetime("{later}")"#);
    for (condition, inside, outside) in [
        (r#"context.arguments.hasTag("to")"#, (&none, call(r#"{"to":"a"}"#), now()), (&none, call(""), now())),
        (
            r#"context has source && context.source.isInRange(ip("10.0.0.0/8"))"#,
            (&none, from("10.2.3.4"), now()),
            (&none, from("192.0.2.1"), now()),
        ),
        (
            r#"context has task && context.task.purpose == "tidy up""#,
            (&tidy, call(""), now()),
            (&other, call(""), now()),
        ),
        ("context has task", (&tidy, call(""), now()), (&none, call(""), now())),
        (&until, (&none, call(""), now()), (&none, call(""), later)),
    ] {
        let rights = rights(&format!(
            r#"permit(principal, action == Action::"call", resource in Server::"notes") when {{ {condition} }};"#
        ));
        let may = |(authority, call, at): &(&Authority, Call, _)| {
            rights.judge(&caller(user(3), ""), authority, call, *at).permitted
        };
        let found = [&inside, &outside, &inside, &outside].map(may);
        assert_eq!(found, [true, false, true, false], "{condition}");
    }
}

/// `trust` in a rule is the trust in the least trusted client on the path.
#[test]
fn a_rule_sees_how_far_a_client_is_trusted() {
    for (origin, expected) in [
        (ClientOrigin::Dynamic, [true, false, false]),
        (ClientOrigin::MetadataDocument, [true, true, false]),
        (ClientOrigin::Registered, [true, true, true]),
    ] {
        let authority = Authority { trust: Trust::of(origin), ..Authority::default() };
        let least = [0, 1, 2].map(|least| {
            let rights = rights(&format!(
                r#"permit(principal, action == Action::"call", resource in Server::"notes")
                     when {{ context has path && context.path.trust >= {least} }};"#
            ));
            let call = tool("notes", "look", ToolClass::Read, "");
            rights.judge(&caller(user(3), ""), &authority, &call, now()).permitted
        });
        assert_eq!(least, expected, "{origin:?}");
    }
}

/// A list leaves out what needs a task only if every way to it needs one: a rule that requires a task for some
/// arguments leaves others.
#[test]
fn a_list_wants_a_task_only_where_every_way_does() {
    let plain = r#"permit(principal, action == Action::"call", resource == Tool::"notes/purge");"#;
    let always = r#"@task_required permit(principal, action == Action::"call", resource == Tool::"notes/purge");"#;
    let some = r#"@task_required permit(principal, action == Action::"call", resource == Tool::"notes/purge")
                    when { context.flags.hasTag("all") && context.flags.getTag("all") };"#;
    let tasked = declared(task(tidy_up(&["purge"])));
    for (rules, listed, called) in [
        (vec![plain], true, true),
        (vec![always], false, false),
        (vec![some], false, false),
        (vec![plain, always], false, false),
        (vec![plain, some], true, false),
    ] {
        let (rights, bob) = (rights(&rules.join("\n")), caller(user(2), "mcp:write"));
        let call = tool("notes", "purge", ToolClass::Write, r#"{"all":true}"#);
        assert_eq!(may_see(&rights, &bob, &Authority::default(), &call, now()), listed, "{rules:?}");
        let decision = decide(&rights, &bob, &Authority::default(), &call, now());
        assert_eq!(matches!(decision, Decision::Permit(_)), called, "{rules:?}");
        assert!(may_see(&rights, &bob, &tasked, &call, now()), "{rules:?}");
        assert!(matches!(decide(&rights, &bob, &tasked, &call, now()), Decision::Permit(_)), "{rules:?}");
    }
}

/// Records and explanations name a rule by its `@id`; without one, or with an empty one, by its position in the file.
#[test]
fn a_rule_without_a_name_is_named_by_its_place() {
    let rights = rights(
        r#"@id permit(principal, action, resource in Server::"notes");
           @id("named") permit(principal, action, resource in Server::"notes");
           @id("") permit(principal, action, resource in Server::"notes");
           permit(principal, action, resource in Server::"notes");"#,
    );
    let look = tool("notes", "look", ToolClass::Read, "");
    let answer = rights.judge(&caller(user(3), ""), &Authority::default(), &look, now());
    let names: Vec<_> = answer.because.iter().map(|rule| rule.text()).collect();
    assert_eq!(names, ["named", "rules.cedar#1", "rules.cedar#3", "rules.cedar#4"]);
}

/// `sekisho policy schema` shows exactly the schema that rules are checked against.
#[test]
fn the_schema_that_is_shown_is_what_rules_are_checked_against() {
    let (schema, _) = cedar_policy::Schema::from_cedarschema_str(schema_text()).unwrap();
    let validator = cedar_policy::Validator::new(schema);
    for rule in [
        r#"permit(principal is User, action == Action::"call", resource is Tool) when { resource.level <= 1 };"#,
        r#"permit(principal in Group::"a", action == Action::"read", resource) when { context has task };"#,
        r#"forbid(principal is Service, action == Action::"delegate", resource in ServerGroup::"a");"#,
        r#"permit(principal, action == Action::"fly", resource);"#,
        r#"permit(principal, action == Action::"call", resource) when { resource.colour == "red" };"#,
        r#"permit(principal, action == Action::"call", resource) when { context.now };"#,
    ] {
        let shown = validator.validate(&rule.parse().unwrap(), cedar_policy::ValidationMode::Strict);
        let loaded = Rights::new(parts(rule));
        assert_eq!(shown.validation_passed(), loaded.is_ok(), "{rule}: {loaded:?}");
    }
}

/// A tool counts as reaching beyond its server unless an owner said otherwise, by the name of the tool.
#[test]
fn a_tool_is_of_the_open_world_unless_an_owner_said_otherwise() {
    let rule = r#"permit(principal, action == Action::"call", resource in Server::"notes")
                    unless { resource.open_world };"#;
    let mut parts = parts(rule);
    let notes = parts.servers.get_mut("notes").unwrap();
    notes.closed_world.insert("look".to_owned());
    let rights = Rights::new(parts).unwrap();
    for (name, expected) in [("look", true), ("fetch", false), ("look", true)] {
        let call = tool("notes", name, ToolClass::Read, "");
        assert_eq!(may(&rights, user(3), &call), expected, "{name}");
        let shown = may_see(&rights, &caller(user(3), "mcp:read"), &Authority::default(), &call, now());
        assert_eq!(shown, expected, "{name} in a list");
    }
}
