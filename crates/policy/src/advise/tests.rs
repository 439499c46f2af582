use std::collections::BTreeMap;

use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::{Principal, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
use sekisho_protocol::ids::{GrantId, RequestId, UserId};
use sekisho_protocol::refusal::SetName;
use serde_json::{Value, json};

use super::{Advice, BeyondLoans, Observations, ObservedCall, ObservedGrant, Proposal, advise};
use crate::model::{Authority, Call, Target, ToolState};
use crate::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};
use crate::task::check_bounds;

fn call(tool: &str, verdict: Verdict, set: Option<SetName>, arguments: Option<Value>) -> ObservedCall {
    ObservedCall {
        request: RequestId::generate(ManualClock::default().now(), &SeededEntropy::default()),
        who: "bob".to_owned(),
        client: None,
        server: "notes".parse().unwrap(),
        tool: tool.to_owned(),
        verdict,
        set,
        beyond_loans: None,
        arguments: arguments.map(|value| value.as_object().cloned().unwrap()),
    }
}

fn used(tool: &str, arguments: Value) -> ObservedCall {
    call(tool, Verdict::Permit, None, Some(arguments))
}

fn seen(scopes: &str, calls: Vec<ObservedCall>) -> Observations {
    let id = GrantId::generate(ManualClock::default().now(), &SeededEntropy::default());
    let server: sekisho_protocol::ids::ServerName = "notes".parse().unwrap();
    let tools = [("read", Some(ToolClass::Read)), ("write", Some(ToolClass::Write)), ("odd", None)];
    let tools = tools.map(|(name, class)| (name.to_owned(), class)).into();
    let grants = vec![ObservedGrant { id, server: server.clone(), scopes: scopes.parse().unwrap() }];
    Observations { grants, tools: BTreeMap::from([(server, tools)]), calls }
}

fn proposals(advice: &[Advice]) -> Vec<&Proposal> {
    advice.iter().map(|advice| &advice.proposal).collect()
}

#[test]
fn what_was_never_used_is_proposed_to_go() {
    let calls = vec![used("read", json!({})), used("read", json!({})), used("odd", json!({}))];
    let advice = advise(&seen("mcp:destructive offline_access", calls));
    let [Proposal::Scopes(scopes), Proposal::Policy(policy), Proposal::Task(task)] = proposals(&advice)[..] else {
        panic!("{advice:?}")
    };
    assert_eq!(scopes.to_string(), "mcp:read tool:odd");
    assert!(policy.ends_with("unless { [\"odd\", \"read\"].contains(resource.name) };\n"), "{policy}");
    assert_eq!(advice[1].evidence, ["odd was called once", "read was called 2 times", "never called: write"]);
    assert_eq!(task.tools.keys().collect::<Vec<_>>(), ["odd", "read"]);
    // Nothing is proposed for a grant that holds no more than was used, or about tools that were never seen.
    let calls = vec![used("read", json!({})), used("write", json!({})), used("odd", json!({}))];
    let advice = advise(&seen("mcp:write", calls));
    assert!(matches!(proposals(&advice)[..], [Proposal::Task(_)]), "{advice:?}");
    assert_eq!(advise(&seen("mcp:destructive", vec![])), []);
}

/// Bounds fit everything that was seen, and are drawn only from enough calls. What was not kept is reported as unknown.
#[test]
fn bounds_are_drawn_from_what_was_kept() {
    let task = |calls: Vec<ObservedCall>| {
        let advice = advise(&seen("mcp:write", calls));
        let found = advice.into_iter().find(|advice| matches!(advice.proposal, Proposal::Task(_))).unwrap();
        let Proposal::Task(task) = found.proposal else { unreachable!() };
        (task, found.undecidable)
    };
    let paths = ["/srv/a+b/1", "/srv/a+b/2", "/srv/a+b/3", "/srv/a+b/4", "/srv/a+b/5", "/srv/a+b/6"];
    let calls = paths.iter().zip(0..).map(|(path, n)| {
        let mut arguments = json!({ "path": path, "n": n, "mode": if n % 2 == 0 { "x" } else { "y" } });
        if n == 3 {
            arguments["extra"] = json!([1]);
        }
        used("write", arguments)
    });
    let (found, unknown) = task(calls.collect());
    let bounds = found.tools["write"].clone().unwrap();
    assert_eq!(
        bounds,
        json!({
            "type": "object", "additionalProperties": false, "required": ["mode", "n", "path"],
            "properties": {
                "path": { "type": "string", "pattern": "^/srv/a\\+b/" },
                "n": { "type": "integer", "minimum": 0, "maximum": 5 },
                "mode": { "enum": ["x", "y"] },
                "extra": { "type": ["array"] },
            },
        })
    );
    assert!(unknown.is_empty());
    check_bounds(&found, &BTreeMap::new()).unwrap();
    // A common beginning that is too short to mean something gives no bound.
    for (beginning, expected) in
        [("ab", json!({ "type": "string" })), ("abc", json!({ "type": "string", "pattern": "^abc" }))]
    {
        let texts =
            ["1", "2", "3", "4", "5", "6"].map(|end| used("write", json!({ "path": format!("{beginning}{end}") })));
        let (found, _) = task(texts.to_vec());
        assert_eq!(found.tools["write"].as_ref().unwrap()["properties"]["path"], expected);
    }
    let (found, _) = task(vec![used("write", json!({ "path": "/a", "n": 1 })), used("write", json!({ "path": "/b" }))]);
    let properties = &found.tools["write"].as_ref().unwrap()["properties"];
    assert_eq!(properties, &json!({ "path": { "type": "string" }, "n": { "type": "integer" } }));
    let (found, unknown) = task(vec![used("write", json!({})), call("write", Verdict::Permit, None, None)]);
    assert_eq!(
        (found.tools["write"].as_ref(), unknown),
        (None, vec!["bounds of write: arguments not kept".to_owned()])
    );
}

#[test]
fn what_is_refused_again_and_again_is_said() {
    let refused = |count, set| (0..count).map(move |_| call("write", Verdict::Deny, Some(set), None));
    let advice = advise(&seen("mcp:read", refused(3, SetName::Rights).chain(refused(2, SetName::Need)).collect()));
    let [only] = &advice[..] else { panic!("{advice:?}") };
    assert_eq!(only.proposal, Proposal::Look);
    assert!(only.what.starts_with("bob was refused write again and again; the user may not"), "{}", only.what);
}

/// A proposal for a refusal can help: no loan is proposed if a rule forbids the tool or the tool is held back.
#[test]
fn a_loan_is_proposed_only_where_it_helps() {
    let refused = |beyond_loans| {
        let call = ObservedCall { beyond_loans, ..call("write", Verdict::Deny, Some(SetName::Rights), None) };
        advise(&seen("mcp:read", vec![call; 3])).remove(0).what
    };
    let forbidden = refused(Some(BeyondLoans::Forbidden(vec!["never".to_owned()])));
    assert!(forbidden.contains("the rule `never` forbids it, whatever is lent"), "{forbidden}");
    let held = refused(Some(BeyondLoans::Held));
    assert!(held.contains("held back") && held.contains("sekisho server tools diff"), "{held}");
    assert!(refused(None).contains("lend it (`sekisho request list`)"));
    assert!(![forbidden, held].iter().any(|what| what.contains("request list")));
}

/// ATK-95: a tool's name cannot end the string that it stands in, and cannot control the terminal that shows it. The
/// proposed text is a single rule about exactly that tool.
#[test]
fn a_name_stays_inside_its_string() {
    let subject = UserId::generate(ManualClock::default().now(), &SeededEntropy::default());
    let proposed = |name| {
        let advice = advise(&seen("mcp:read tool:x", vec![used(name, json!({}))]));
        let policy = advice.into_iter().find_map(|advice| match advice.proposal {
            Proposal::Policy(text) => Some(text),
            _ => None,
        });
        policy.unwrap()
    };
    let lines = proposed("plain").lines().count();
    // The last name is not an escape: it must not be read as `A`.
    for name in ["plain", "a\"].contains(\"\\", "\u{1b}[2J", "two\nlines", "名前", "\\u{41}"] {
        let policy = proposed(name);
        assert!(policy.lines().all(|line| !line.chars().any(char::is_control)), "{policy:?}");
        assert_eq!(policy.lines().count(), lines, "{policy}");
        let rights = Rights::new(RightsParts {
            users: BTreeMap::from([(subject, RightsUser { owner: true, ..RightsUser::default() })]),
            servers: BTreeMap::from([("notes".parse().unwrap(), RightsServer::default())]),
            files: vec![PolicyFile { name: "advice.cedar".to_owned(), text: policy }],
            ..RightsParts::default()
        });
        let rights = rights.unwrap();
        for (called, expected) in [(name, true), ("read", false), ("A", false)] {
            let subject = Subject::User(subject);
            let call = Call {
                server: "notes".parse().unwrap(),
                method: "tools/call",
                target: Target::Tool { name: called.to_owned(), standing: ToolState::Unclassified },
                arguments: None,
                schema: None,
                params: None,
                arguments_digest: None,
                round: None,
                source: None,
            };
            let answer =
                rights.judge(Principal::of(&subject), &Authority::default(), &call, ManualClock::default().now());
            assert_eq!(answer.permitted, expected, "{called:?} where {name:?} was used");
        }
    }
}
