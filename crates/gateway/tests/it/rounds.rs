//! Later rounds of one call, jobs that ask something, and schemas that refer to other places.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;

use sekisho_policy::rights::Rights;
use sekisho_protocol::audit::Event;
use serde_json::{Value, json};

use crate::world::{Ask, World};

/// The first round of a call, whose upstream asks something back with this state.
async fn asked_back(world: &World, token: &str, arguments: &Value, state: &str) -> Value {
    let ask = world.modern(token, "tools/call", json!({ "name": "add_note", "arguments": arguments }));
    let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
    let result = json!({ "resultType": "input_required", "requestState": state });
    world.fake.script(
        "tools/call",
        200,
        "application/json",
        json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string(),
    );
    let reply = ask.send().await;
    world.fake.unscript("tools/call");
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["result"]["requestState"].clone()
}

/// The retry of a call that was answered with `input_required`.
fn retry<'w>(world: &'w World, token: &str, tool: &str, arguments: &Value, state: &Value) -> Ask<'w> {
    let params = json!({
        "name": tool, "arguments": arguments, "requestState": state,
        "inputResponses": { "a": { "action": "accept", "content": { "sure": true } } },
    });
    world.modern(token, "tools/call", params)
}

/// TR-46, TR-47, PX-24, ATK-148: a later round goes on with the state that the upstream gave, and passes every check
/// again (token, headers, rights, scopes). That an earlier round was permitted does not count.
#[tokio::test]
async fn a_later_round_is_decided_anew() {
    const STATE: &str = "opaque =\u{e9}";
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:write").await;
    let first = asked_back(&world, &token, &json!({ "n": 1 }), STATE).await;
    assert!(first.as_str().is_some_and(|state| !state.contains("opaque")), "{first}");
    assert_eq!(retry(&world, &token, "add_note", &json!({ "n": 1 }), &first).send().await.status, 200);
    let sent: Value = serde_json::from_str(&world.fake.last("tools/call").body).unwrap();
    assert_eq!(sent["params"]["requestState"], STATE);
    assert_eq!(sent["params"]["inputResponses"]["a"]["content"]["sure"], true);
    let second = asked_back(&world, &token, &json!({ "n": 2 }), STATE).await;
    let before = world.fake.of_callers().len();
    let again = || retry(&world, &token, "add_note", &json!({ "n": 2 }), &second);
    let plain = json!(STATE);
    for (what, ask, status) in [
        ("no token", again().without("authorization"), 401),
        ("another name in the header", again().replace("mcp-name", "get_note"), 400),
        ("another tool", retry(&world, &token, "delete_note", &json!({ "n": 2 }), &second), 400),
        ("other arguments", retry(&world, &token, "add_note", &json!({ "n": 1 }), &second), 400),
        ("the upstream's own state", retry(&world, &token, "add_note", &json!({ "n": 2 }), &plain), 400),
        ("another method", world.modern(&token, "tools/list", json!({ "requestState": second.clone() })), 400),
    ] {
        assert_eq!(ask.send().await.status, status, "{what}");
    }
    assert_eq!(world.fake.of_callers().len(), before);
    assert_eq!(again().send().await.status, 200);
    // Each round is a decision of its own on record, about its own arguments.
    let records = world.records().await;
    let digests: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Decision(decision) if decision.target.as_deref() == Some("add_note") => decision.arguments,
            _ => None,
        })
        .collect();
    assert!(matches!(digests[..], [a, b, c, d] if a == b && c == d && a != c), "{digests:?}");
    world.rights.send(Arc::new(Rights::none())).unwrap();
    assert_eq!(again().send().await.status, 403);
}

/// TR-25, TR-56, TR-57: what a job asks of its client is checked like what a result asks.
#[tokio::test]
async fn a_job_asks_only_for_what_was_declared() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let ask = |method: &str, params: Value, capabilities: Value| {
        let mut params = params;
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        world.modern(&token, method, params)
    };
    let jobs = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let elicits = json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let answering = async |method: &str, ask: Ask<'_>, result: Value| {
        let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        world.fake.script(method, 200, "application/json", answer.to_string());
        ask.send().await
    };
    let start = ask("tools/call", json!({ "name": "get_note" }), jobs.clone());
    let begun = json!({ "resultType": "task", "taskId": "job-1", "status": "working" });
    assert_eq!(answering("tools/call", start, begun).await.status, 200);
    let asking = json!({
        "resultType": "complete", "taskId": "job-1", "status": "input_required",
        "inputRequests": { "a": { "method": "elicitation/create", "params": { "message": "asked-canary" } } },
    });
    for (capabilities, status) in [(jobs, 502), (elicits, 200)] {
        let poll = ask("tasks/get", json!({ "taskId": "job-1" }), capabilities);
        let reply = answering("tasks/get", poll, asking.clone()).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_eq!(reply.body.contains("asked-canary"), status == 200);
    }
}

/// PX-17, ATK-85: nothing that a tool's schema refers to is fetched, neither for a list nor for a call.
#[tokio::test]
async fn no_reference_in_a_schema_is_followed() {
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let url = format!("http://{}/schema.json", canary.local_addr().unwrap());
    let world = World::new().await;
    let schema = json!({
        "$schema": url, "$id": url, "type": "object", "$ref": url, "allOf": [{ "$ref": url }, { "$dynamicRef": url }],
        "properties": { "a": { "$ref": format!("{url}#/a") }, "b": { "type": "string", "x-mcp-header": "B" } },
    });
    let tool =
        json!({ "name": "get_ref", "inputSchema": schema, "outputSchema": { "$ref": url }, "icons": [{ "src": url }] });
    world.fake.tools.lock().unwrap().as_array_mut().unwrap().push(tool.clone());
    world.gateway.probe(&"notes".parse().unwrap()).await.unwrap();
    let token = world.owner_token("mcp:read tool:get_ref").await;
    let listed = world.modern(&token, "tools/list", json!({})).send().await.json();
    assert!(listed["result"]["tools"].as_array().unwrap().contains(&tool), "{listed}");
    let call = world.modern(&token, "tools/call", json!({ "name": "get_ref", "arguments": { "a": 1, "b": "x" } }));
    assert_eq!(call.header("mcp-param-b", "x").send().await.status, 200);
    assert_eq!(canary.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody called");
}
