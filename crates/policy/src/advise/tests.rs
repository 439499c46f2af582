use std::collections::BTreeMap;

use sekisho_protocol::audit::Verdict;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
use sekisho_protocol::ids::{GrantId, RequestId};
use sekisho_protocol::refusal::SetName;
use serde_json::{Value, json};

use super::{Advice, Proposal, Seen, SeenCall, SeenGrant, advise};
use crate::task::check_bounds;

fn call(tool: &str, verdict: Verdict, set: Option<SetName>, arguments: Option<Value>) -> SeenCall {
    SeenCall {
        request: RequestId::generate(ManualClock::default().now(), &SeededEntropy::default()),
        who: "bob".to_owned(),
        client: None,
        server: "notes".parse().unwrap(),
        tool: tool.to_owned(),
        verdict,
        set,
        arguments: arguments.map(|value| value.as_object().cloned().unwrap()),
    }
}

fn used(tool: &str, arguments: Value) -> SeenCall {
    call(tool, Verdict::Permit, None, Some(arguments))
}

fn seen(scopes: &str, calls: Vec<SeenCall>) -> Seen {
    let id = GrantId::generate(ManualClock::default().now(), &SeededEntropy::default());
    let server: sekisho_protocol::ids::ServerName = "notes".parse().unwrap();
    let tools = [("read", Some(ToolClass::Read)), ("write", Some(ToolClass::Write)), ("odd", None)];
    let tools = tools.map(|(name, class)| (name.to_owned(), class)).into();
    let grants = vec![SeenGrant { id, server: server.clone(), scopes: scopes.parse().unwrap() }];
    Seen { grants, tools: BTreeMap::from([(server, tools)]), calls }
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
    assert!(advice[1].evidence.contains(&"never called: write".to_owned()));
    assert_eq!(task.tools.keys().collect::<Vec<_>>(), ["odd", "read"]);
    // Nothing is proposed to whoever has no more than was used, and nothing of what was never seen.
    let calls = vec![used("read", json!({})), used("write", json!({})), used("odd", json!({}))];
    let advice = advise(&seen("mcp:write", calls));
    assert!(matches!(proposals(&advice)[..], [Proposal::Task(_)]), "{advice:?}");
    assert_eq!(advise(&seen("mcp:destructive", vec![])), []);
}

/// Bounds hold everything that was seen and are drawn from enough calls only; what was not kept is said to be unknown.
#[test]
fn bounds_are_drawn_from_what_was_kept() {
    let task = |calls: Vec<SeenCall>| {
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
    check_bounds(&found).unwrap();
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

/// ATK-95: a tool's name cannot end the string in which it stands.
#[test]
fn a_name_stays_inside_its_string() {
    let calls = vec![used("a\"].contains(\"\\", json!({}))];
    let advice = advise(&seen("mcp:read tool:x", calls));
    let policy = advice.iter().find_map(|advice| match &advice.proposal {
        Proposal::Policy(text) => Some(text),
        _ => None,
    });
    assert!(policy.unwrap().contains(r#"["a\"].contains(\"\\"].contains(resource.name)"#), "{policy:?}");
}
