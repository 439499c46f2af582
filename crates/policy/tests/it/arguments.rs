//! How rules treat arguments: they compare what they can compare exactly, and treat everything else as what they are
//! meant to keep out.

use std::sync::Arc;

use sekisho_policy::decide::{Decision, Reason, decide, may_see};
use sekisho_policy::explain::explain;
use sekisho_policy::model::{Authority, Call};
use sekisho_policy::rights::Rights;
use sekisho_policy::schema::ToolSchema;
use sekisho_protocol::audit::Verdict;
use sekisho_protocol::catalogue::ToolClass;
use serde_json::{Value, json};

use crate::world::{caller, may, now, parts, rights, tool, user};

fn call(arguments: &str) -> Call {
    tool("notes", "pay", ToolClass::Read, arguments)
}

fn with_schema(schema: &Value, arguments: &str) -> Call {
    Call { schema: Some(Arc::new(ToolSchema::read(schema))), ..call(arguments) }
}

/// Rights with a rule that permits everybody at `notes`, and one that forbids.
fn forbidding(condition: &str) -> Rights {
    rights(&format!(
        "permit(principal, action == Action::\"call\", resource in Server::\"notes\");
         @id(\"limit\") forbid(principal, action == Action::\"call\", resource == Tool::\"notes/pay\") {condition};"
    ))
}

/// ATK-111: whatever an upstream may read as a number above the limit is forbidden, and a number within the limit
/// passes, however either is written.
#[test]
fn a_forbid_on_a_number_holds_for_every_spelling() {
    let rights = forbidding("when { context.numbers.hasTag(\"amount\") && context.numbers.getTag(\"amount\") > 100 }");
    for (arguments, expected) in [
        (r#"{"amount":100}"#, true),
        (r#"{"amount":100.0}"#, true),
        (r#"{"amount":1e2}"#, true),
        (r#"{"amount":-5}"#, true),
        (r#"{"to":"bob"}"#, true),
        ("", true),
        (r#"{"amount":500}"#, false),
        (r#"{"amount":500.0}"#, false),
        (r#"{"amount":5e2}"#, false),
        (r#"{"amount":1.5e2}"#, false),
        (r#"{"amount":"500"}"#, false),
        (r#"{"amount":"5"}"#, false),
        (r#"{"amount":" 500 "}"#, false),
        (r#"{"amount":"0500"}"#, false),
        (r#"{"amount":"5_00"}"#, false),
        (r#"{"amount":150.5}"#, false),
        (r#"{"amount":99.5}"#, false),
        (r#"{"amount":100.00000000000000001}"#, false),
        (r#"{"amount":9223372036854775808}"#, false),
        // A number that some programs round cannot be compared; if no rule looks at it, it passes.
        (r#"{"amount":9007199254740993}"#, false),
        (r#"{"amount":-9007199254740993}"#, false),
        (r#"{"account":9007199254740993}"#, true),
        (r#"{"amount":1e30}"#, false),
        (r#"{"amount":true}"#, false),
        (r#"{"amount":null}"#, false),
        (r#"{"amount":[500]}"#, false),
        (r#"{"amount":[]}"#, false),
        (r#"{"amount":{"value":500}}"#, false),
        (r#"{"amount":{}}"#, false),
        (r#"{"Amount":500}"#, false),
        (r#"{"ａｍｏｕｎｔ":500}"#, false),
        ("{\"\\ud835\\udc1amount\":500}", false),
        (r#"{"amount":5,"AMOUNT":500}"#, false),
        (r#"{"am_ount":500}"#, false),
    ] {
        assert_eq!(may(&rights, user(3), &call(arguments)), expected, "{arguments}");
    }
    // The rule is about one tool, and does not concern another.
    assert!(may(&rights, user(3), &tool("notes", "note", ToolClass::Read, r#"{"amount":"5 EUR"}"#)));
}

/// A condition on an argument, by its bag and name, and what it is compared with.
fn when(bag: &str, name: &str, compared: &str) -> String {
    format!("context.{bag}.hasTag({name}) && context.{bag}.getTag({name}){compared}")
}

/// ATK-111: the same holds for texts, booleans and fractions, and for nested values.
#[test]
fn a_forbid_on_any_kind_holds_for_every_spelling() {
    let (above, eve) = (".greaterThan(decimal(\"100.0\"))", " == \"eve\"");
    let (good, bad) = (true, false);
    for (condition, cases) in [
        (
            when("arguments", "\"to\"", eve),
            vec![(r#"{"to":"bob"}"#, good), (r#"{"to":["eve"]}"#, bad), (r#"{"to":7}"#, bad)],
        ),
        (when("arguments", "\"sum\"", " == \"1.5\""), vec![(r#"{"sum":1.5}"#, bad), (r#"{"sum":"1.50"}"#, good)]),
        (
            when("flags", "\"force\"", ""),
            vec![(r#"{"force":false}"#, good), (r#"{"force":"true"}"#, bad), (r#"{"force":1}"#, bad)],
        ),
        (
            when("decimals", "\"sum\"", above),
            vec![
                (r#"{"sum":100}"#, good),
                (r#"{"sum":99.9999}"#, good),
                (r#"{"sum":100.01}"#, bad),
                (r#"{"sum":1.00005}"#, bad),
                (r#"{"sum":1e15}"#, bad),
            ],
        ),
        (
            when("arguments", "\"to.name\"", eve),
            vec![
                (r#"{"to":{"name":"bob"}}"#, good),
                (r#"{"to":{}}"#, good),
                (r#"{"to":"{\"name\":\"eve\"}"}"#, bad),
                (r#"{"to":[{"name":"eve"}]}"#, bad),
                (r#"{"to":{"Name":"eve"}}"#, bad),
                (r#"{"To":{"name":"eve"}}"#, bad),
                (r#"{"To":"eve"}"#, bad),
                (r#"{"to":null}"#, bad),
            ],
        ),
        (
            when("arguments", "\"tags.0\"", eve),
            vec![
                (r#"{"tags":["a"]}"#, good),
                (r#"{"tags":[]}"#, good),
                (r#"{"tags":"eve"}"#, bad),
                (r#"{"tags":[["eve"]]}"#, bad),
            ],
        ),
        // A name that is put together when the rule is evaluated.
        (
            format!("principal is User && {}", when("numbers", "principal.name", " > 1")),
            vec![(r#"{"pay":"2"}"#, bad), (r#"{"pay":1}"#, good)],
        ),
    ] {
        let rights = forbidding(&format!("when {{ {condition} }}"));
        for (arguments, expected) in cases {
            assert_eq!(may(&rights, user(3), &call(arguments)), expected, "{condition} {arguments}");
        }
    }
    let unless = forbidding("unless { context.flags.hasTag(\"dryRun\") && context.flags.getTag(\"dryRun\") }");
    assert!(may(&unless, user(3), &call(r#"{"dryRun":true}"#)));
    assert!(!may(&unless, user(3), &call(r#"{"dryRun":true,"dry_run":false}"#)));
}

/// ATK-115: a rule that permits if an argument is absent does not permit if the argument is there in another form.
/// Another rule that does not look at it still permits.
#[test]
fn a_permit_by_absence_is_none_for_another_form() {
    let absence = r#"permit(principal, action == Action::"call", resource in Server::"notes")
        unless { context.flags.hasTag("force") };"#;
    let below = r#"permit(principal, action == Action::"call", resource in Server::"notes")
        when { !(context.numbers.hasTag("amount") && context.numbers.getTag("amount") > 100) };"#;
    for (rule, arguments, expected) in [
        (absence, "{}", true),
        (absence, r#"{"force":true}"#, false),
        (absence, r#"{"force":"true"}"#, false),
        (absence, r#"{"force":1}"#, false),
        (absence, r#"{"force":null}"#, false),
        (absence, r#"{"Force":true}"#, false),
        (below, r#"{"amount":5}"#, true),
        (below, r#"{"amount":500}"#, false),
        (below, r#"{"amount":"500"}"#, false),
        (below, r#"{"amount":500.5}"#, false),
    ] {
        assert_eq!(may(&rights(rule), user(3), &call(arguments)), expected, "{rule} {arguments}");
    }
    // An owner may do everything that no rule forbids, and this rule forbids nothing.
    assert!(may(&rights(absence), user(1), &call(r#"{"force":"true"}"#)));
}

/// ATK-115: a rule that requires an approval or a task above a limit requires it also for what it cannot compare,
/// although another rule permits the call.
#[test]
fn what_a_rule_wants_is_wanted_for_another_form() {
    let above = "when { context.numbers.hasTag(\"amount\") && context.numbers.getTag(\"amount\") > 100 }";
    let with = |annotation: &str| {
        rights(&format!(
            "permit(principal, action == Action::\"call\", resource in Server::\"notes\");
             {annotation} permit(principal, action == Action::\"call\", resource == Tool::\"notes/pay\") {above};"
        ))
    };
    let (asks, tasks) = (with("@approval"), with("@task_required"));
    for (arguments, free) in [
        (r#"{"amount":5}"#, true),
        (r#"{"to":"bob"}"#, true),
        (r#"{"amount":500}"#, false),
        (r#"{"amount":"500"}"#, false),
        (r#"{"amount":500.5}"#, false),
        (r#"{"Amount":500}"#, false),
    ] {
        let judge =
            |rights| decide(rights, &caller(user(3), "mcp:read"), &Authority::default(), &call(arguments), now());
        assert_eq!(matches!(judge(&asks), Decision::Permit(_)), free, "{arguments}");
        assert_eq!(matches!(judge(&asks), Decision::Ask(_)), !free, "{arguments}");
        assert_eq!(matches!(judge(&tasks), Decision::Permit(_)), free, "{arguments}");
    }
}

/// A rule does not concern a call that its other conditions exclude, whatever the arguments are.
#[test]
fn a_rule_that_could_not_apply_denies_nothing() {
    let rights = rights(
        r#"permit(principal, action == Action::"call", resource in Server::"notes");
           forbid(principal, action == Action::"call", resource in Server::"notes")
             when { resource.name == "pay" && context.numbers.hasTag("amount") && context.numbers.getTag("amount") > 100 };
           forbid(principal in Group::"editors", action, resource in Server::"notes")
             when { resource is Tool && context.arguments.hasTag("amount") && context.arguments.getTag("amount") == "x" };"#,
    );
    for (subject, name, expected) in [(3, "pay", false), (3, "note", true), (2, "note", true)] {
        let call = tool("notes", name, ToolClass::Read, r#"{"amount":"5 EUR"}"#);
        assert_eq!(may(&rights, user(subject), &call), expected, "{subject} {name}");
    }
    assert!(!may(&rights, user(2), &tool("notes", "note", ToolClass::Read, r#"{"amount":5}"#)));
}

/// `null` counts as absent if the tool's schema gives it a meaning there; elsewhere an upstream makes of it what it
/// likes.
#[test]
fn null_counts_as_absent_where_the_schema_foresees_it() {
    let rights = forbidding("when { context.numbers.hasTag(\"limit\") && context.numbers.getTag(\"limit\") > 100 }");
    let optional = json!({"properties": {"limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}});
    let anything = json!({"properties": {"limit": {}}});
    let other = json!({"properties": {"count": {"type": "integer"}}});
    assert!(may(&rights, user(3), &with_schema(&optional, r#"{"limit":null}"#)));
    for schema in [&anything, &other] {
        assert!(!may(&rights, user(3), &with_schema(schema, r#"{"limit":null}"#)), "{schema}");
    }
    assert!(!may(&rights, user(3), &with_schema(&optional, r#"{"limit":500}"#)));
}

/// RS-61: arguments that the tool does not take are refused in words that name the place and never a value. A caller
/// that may not call the tool at all is answered as if the tool did not exist.
#[test]
fn a_call_that_the_tool_does_not_take_is_refused() {
    let schema = json!({"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]});
    let rights =
        rights(r#"@id("all") permit(principal is User, action == Action::"call", resource in Server::"notes");"#);
    let carol = caller(user(3), "mcp:read");
    let judge = |caller: &_, call: &Call| decide(&rights, caller, &Authority::default(), call, now());
    let bad = with_schema(&schema, r#"{"amount":"secret"}"#);
    let Decision::Deny(denial) = judge(&carol, &bad) else { panic!() };
    let Reason::Arguments(violation) = &denial.reason else { panic!("{denial:?}") };
    let wants = r#"it has to fit {"type":"integer"}"#;
    let said = format!("the argument `/amount` does not fit `type` of the tool's input schema; {wants}");
    assert_eq!(violation.to_string(), said);
    assert_eq!((denial.reason.why().as_str(), denial.reason.set()), ("arguments_invalid", None));
    let Decision::Deny(denial) = judge(&caller(user(9), "mcp:read"), &bad) else { panic!() };
    assert_eq!(denial.reason, Reason::Rights);
    assert!(matches!(judge(&carol, &with_schema(&schema, r#"{"amount":5}"#)), Decision::Permit(_)));
    assert!(may_see(&rights, &carol, &Authority::default(), &bad, now()), "a list is of what some arguments allow");
    let said = explain(&rights, &carol, &Authority::default(), &bad, now());
    assert_eq!((said.decision, said.set), (Verdict::Deny, None));
    assert!(said.invalid.is_some_and(|why| why.contains("/amount")));
}

/// The explanation for an owner names the rule and the argument that it could not compare.
#[test]
fn an_explanation_names_the_rule_and_the_argument() {
    let rights = forbidding("when { context.numbers.hasTag(\"amount\") && context.numbers.getTag(\"amount\") > 100 }");
    for (arguments, argument) in
        [(r#"{"amount":"5"}"#, Some("amount")), (r#"{"Amount":5}"#, Some("Amount")), (r#"{"amount":5}"#, None)]
    {
        let said = explain(&rights, &caller(user(3), "mcp:read"), &Authority::default(), &call(arguments), now());
        let unread: Vec<_> =
            said.rights.unread.iter().map(|unread| (unread.rule.as_str(), unread.argument.as_str())).collect();
        assert_eq!(unread, argument.map(|argument| ("limit", argument)).into_iter().collect::<Vec<_>>(), "{arguments}");
        assert_eq!(said.rights.because, [if argument.is_some() { "limit" } else { "rules.cedar#1" }], "{arguments}");
    }
}

/// ATK-116: a dual-stack listener shows IPv4 callers as `::ffff:10.0.0.1`; a rule about an IPv4 range still applies to
/// them.
#[test]
fn an_address_is_compared_as_what_it_is() {
    let rights = rights(
        r#"permit(principal, action == Action::"call", resource in Server::"notes");
           forbid(principal, action, resource) when { context has source && context.source.isInRange(ip("10.0.0.0/8")) };"#,
    );
    for (source, expected) in
        [("10.1.2.3", false), ("::ffff:10.1.2.3", false), ("11.1.2.3", true), ("::ffff:11.1.2.3", true), ("::1", true)]
    {
        let call = Call { source: Some(source.parse().unwrap()), ..call("") };
        assert_eq!(may(&rights, user(3), &call), expected, "{source}");
    }
}

/// Rules that are probably not meant are reported when they are loaded.
#[test]
fn what_is_probably_not_meant_is_told() {
    for (rule, says) in [
        (
            r#"forbid(principal, action, resource) when { context has source && context.source == ip("10.0.0.0/8") };"#,
            Some("isInRange"),
        ),
        (
            r#"forbid(principal, action == Action::"call", resource) when { context.numbers.hasTag("a") && context.arguments.hasTag("a") };"#,
            Some("looks for `a` as a text and as a number"),
        ),
        (
            r#"forbid(principal, action == Action::"call", resource) when { context.numbers.hasTag("a") && context.decimals.hasTag("a") };"#,
            None,
        ),
        (
            r#"forbid(principal, action, resource) when { context has source && context.source.isInRange(ip("10.0.0.0/8")) };"#,
            None,
        ),
    ] {
        let rights = Rights::new(parts(rule)).unwrap();
        let found: Vec<&str> = rights.warnings().iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(found.len(), usize::from(says.is_some()), "{rule}: {found:?}");
        assert!(says.is_none_or(|says| found[0].contains(says)), "{found:?}");
    }
}
