//! Who is told what forbids a call, and what a loan could not change.

use sekisho_policy::decide::{Decision, Denial, Forbidden, Reason, decide};
use sekisho_policy::lending::{Hindrance, WantedTool, hindrance};
use sekisho_policy::model::{Authority, Call, Party, Target, ToolState};
use sekisho_policy::rights::{Rights, RightsLoan, RightsParts, RuleId};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{SeededEntropy, after};
use sekisho_protocol::ids::{ClientId, LoanId};
use serde_json::json;

use crate::world::{caller, now, parts, rights, tool, user};

const RULES: &str = r#"
@id("open") permit(principal, action == Action::"call", resource in Server::"notes");
@id("large") @reason("payments above 100 go through finance")
forbid(principal, action == Action::"call", resource == Tool::"notes/pay")
when { context.numbers.hasTag("amount") && context.numbers.getTag("amount") > 100 };
@id("never") @reason("nobody wipes") forbid(principal, action == Action::"call", resource == Tool::"notes/wipe");
"#;

fn denied(rights: &Rights, call: &Call) -> Denial {
    match decide(rights, &caller(user(3), "mcp:read"), &Authority::default(), call, now()) {
        Decision::Deny(denial) => denial,
        other => panic!("{other:?}"),
    }
}

/// If a rule forbids a call, its reason is told to a caller that may make the call with other arguments. Nothing is
/// told of a tool that is hidden or does not exist (RS-36).
#[test]
fn what_forbids_a_call_is_said_to_who_may_know_of_it() {
    let rights = rights(RULES);
    let pay = |amount: &str| tool("notes", "pay", ToolClass::Read, &format!(r#"{{"amount":{amount}}}"#));
    let large = denied(&rights, &pay("500"));
    let reasons = vec!["payments above 100 go through finance".to_owned()];
    let forbidden = Forbidden { reasons: reasons.clone(), unread: Vec::new() };
    assert_eq!((&large.reason, large.forbidden.as_ref()), (&Reason::Rights, Some(&forbidden)));
    let said = "a rule forbids this call: payments above 100 go through finance; nobody can lend it";
    assert_eq!(forbidden.to_string(), said);
    let odd = denied(&rights, &pay("\"500\"")).forbidden.unwrap();
    assert_eq!((odd.reasons.clone(), odd.unread.clone()), (reasons, vec!["amount".to_owned()]));
    assert!(odd.to_string().contains("it cannot compare the argument `amount` in this form"), "{odd}");
    let hidden = denied(&rights, &tool("notes", "wipe", ToolClass::Read, ""));
    assert_eq!((hidden.forbidden, &*hidden.because), (None, &[RuleId::Policy("never".to_owned())][..]));
    let target = Target::Tool { name: "ghost".to_owned(), standing: ToolState::Unknown };
    let ghost = denied(&rights, &Call { target, ..pay("1") });
    assert_eq!((ghost.forbidden, ghost.because.len()), (None, 0), "no rule is why it is not there");
    assert_eq!(denied(&rights, &tool("news", "look", ToolClass::Read, "")).forbidden, None);
}

/// ATK-280: the bound of a loan that the arguments do not keep is told to the borrower and to nobody else. It is not
/// told to another client or user, after the loan's end, or if a rule forbids the tool.
#[test]
fn a_call_beyond_a_loan_is_told_its_bound_and_nobody_else_is() {
    let client = ClientId::parse("cli_a").unwrap();
    let loan = |name: &str, client: &ClientId, lasts: u32| RightsLoan {
        id: LoanId::generate(now(), &SeededEntropy::from_seed(7)),
        subject: Subject::User(user(3)),
        client: client.clone(),
        task: None,
        server: "news".parse().unwrap(),
        tool: name.to_owned(),
        bounds: Some(json!({"properties": {"amount": {"maximum": 100}}})),
        expires: after(now(), lasts),
    };
    let beyond = |loans: Vec<RightsLoan>, subject: u64, tool_name: &str| {
        let rules = r#"@id("never") forbid(principal, action == Action::"call", resource == Tool::"news/wipe");"#;
        let rights = Rights::new(RightsParts { loans, ..parts(rules) }).unwrap();
        let call = tool("news", tool_name, ToolClass::Read, r#"{"amount":500}"#);
        match decide(&rights, &caller(user(subject), "mcp:read"), &Authority::default(), &call, now()) {
            Decision::Deny(denial) => denial.lent.map(|violation| violation.of_bounds("what an owner lent")),
            other => panic!("{other:?}"),
        }
    };
    let said = "the argument `/amount` is beyond the bounds of what an owner lent; it has to fit {\"maximum\":100,\"type\":[\"number\"]}";
    assert_eq!(beyond(vec![loan("pay", &client, 60)], 3, "pay").as_deref(), Some(said));
    let other = ClientId::parse("cli_b").unwrap();
    for (loans, subject, name) in [
        (vec![loan("pay", &client, 60)], 2, "pay"),
        (vec![loan("pay", &other, 60)], 3, "pay"),
        (vec![loan("pay", &client, 0)], 3, "pay"),
        (vec![loan("pay", &client, 60)], 3, "look"),
        (vec![loan("wipe", &client, 60)], 3, "wipe"),
        (Vec::new(), 3, "pay"),
    ] {
        assert_eq!(beyond(loans, subject, name), None, "{subject} {name}");
    }
}

/// A rule that forbids a tool beats each loan of it, and a tool that is held back cannot be lent.
#[test]
fn what_beats_a_loan_is_known_before_it_is_lent() {
    let rights = rights(RULES);
    let client = ClientId::parse("cli_a").unwrap();
    let forbidden = Hindrance::Forbidden {
        rules: vec![RuleId::Policy("never".to_owned())],
        reasons: vec!["nobody wipes".to_owned()],
    };
    for (server, name, held, expected) in [
        ("notes", "pay", false, None),
        ("notes", "wipe", false, Some(forbidden.clone())),
        ("notes", "wipe", true, Some(forbidden)),
        ("notes", "pay", true, Some(Hindrance::Held { permitted: true })),
        ("news", "look", false, None),
        ("news", "look", true, Some(Hindrance::Held { permitted: false })),
    ] {
        let (subject, server) = (Subject::User(user(3)), server.parse().unwrap());
        let tool = WantedTool { server: &server, name, class: Some(ToolClass::Write), held };
        assert_eq!(
            hindrance(&rights, Party { subject: &subject, client: &client }, tool, now()),
            expected,
            "{server}/{name} {held}"
        );
    }
    let rule = |id: &str| RuleId::read(id);
    assert_eq!(rights.forbidding(&[rule("open"), rule("never")]), Some(vec!["nobody wipes".to_owned()]));
    assert_eq!(rights.forbidding(&[rule("open"), rule("gone")]), None);
}
