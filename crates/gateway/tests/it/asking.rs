//! How a client asks its user, in the way that its revision has, and what it brings back.

use std::sync::Arc;

use sekisho_protocol::audit::{ActKind, Event, Verdict};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::ApprovalId;
use sekisho_protocol::task::TaskDefinition;
use serde_json::{Value, json};

use crate::fake::Speaks;
use crate::sets::{answer, approving};
use crate::streams::{next, standing};
use crate::world::{Grantee, JUNE, NOVEMBER, Plan, Reply, World};

const DECLARED: &str = "io.modelcontextprotocol/clientCapabilities";

async fn world() -> (World, Grantee, String) {
    let world = World::with(Plan { speaks: Speaks::Both, ..Plan::default() }).await.classified().await;
    world.rights.send(Arc::new(approving(&world))).unwrap();
    let grantee = world.granted("mcp:write").await;
    let token = world.token(&grantee);
    (world, grantee, token)
}

/// A call by a client that opens pages, with what it brings back from an earlier round.
async fn call(world: &World, token: &str, arguments: Value, brought: Value) -> Reply {
    let meta = json!({ DECLARED: { "elicitation": { "url": {} } } });
    let mut params = json!({ "name": "add_note", "arguments": arguments, "_meta": meta });
    for (name, value) in brought.as_object().into_iter().flatten() {
        params[name] = value.clone();
    }
    world.modern(token, "tools/call", params).send().await
}

fn back(asked: &Reply, action: &str) -> Value {
    let state = asked.json()["result"]["requestState"].clone();
    json!({ "requestState": state, "inputResponses": { "sekisho_approval": { "action": action } } })
}

fn sent(world: &World) -> Vec<Value> {
    let calls = world.fake.of_callers().into_iter().filter(|seen| seen.method() == "tools/call");
    calls.map(|seen| serde_json::from_str(&seen.body).unwrap()).collect()
}

/// Product §4, Ask in 2026-07-28: the client opens the page and comes back with our state. Once the person has
/// approved, the call goes on without our state (PX-24, TR-45). The page is asked for by URL and not by a form (RS-56).
/// Its URL holds only the question's identifier (RS-59), and an answer leaves no token behind (RS-57).
#[tokio::test]
async fn a_client_that_opens_pages_is_asked_by_a_result_and_comes_back() {
    let (world, grantee, token) = world().await;
    let asked = call(&world, &token, json!({ "n": 1 }), json!({})).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    let result = &asked.json()["result"];
    assert_eq!(result["resultType"], "input_required");
    let question = &result["inputRequests"]["sekisho_approval"];
    assert_eq!((&question["method"], &question["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
    let url = question["params"]["url"].as_str().unwrap();
    let id = url.strip_prefix(&format!("{}/approvals/", world.base)).unwrap_or_else(|| panic!("{url}"));
    assert!(id.parse::<ApprovalId>().is_ok(), "{url}");
    assert!(question["params"].get("requestedSchema").is_none(), "{question}");
    assert_eq!(result["_meta"]["io.sekisho/refusal"]["remedy"]["url"], url);
    let nobody = json!({ "name": "add_note", "arguments": { "n": 1 }, "requestState": result["requestState"] });
    let nobody = world.modern(&token, "tools/call", nobody).without("authorization").send().await;
    assert_eq!(nobody.status, 401, "{}", nobody.body);
    // The person answers while the client waits.
    let retry = call(&world, &token, json!({ "n": 1 }), back(&asked, "accept"));
    let (passed, said) = tokio::join!(retry, answer(&world, &grantee, true));
    assert!(said);
    assert_eq!(passed.json()["result"]["resultType"], "complete", "{}", passed.body);
    let sent = sent(&world);
    assert_eq!(sent.len(), 1);
    assert!(sent[0]["params"].get("requestState").is_none() && sent[0]["params"].get("inputResponses").is_none());
    // The approval is used up, so the same call is asked about again.
    let again = call(&world, &token, json!({ "n": 1 }), json!({})).await;
    assert_eq!(again.json()["result"]["resultType"], "input_required");
}

/// `@modelcontextprotocol/client` 2.4.0 and Python `mcp` 2.3.0 give a call up after ten rounds of `input_required`,
/// with an error of their own. So the ninth answer is a result that holds the link.
#[tokio::test]
async fn a_question_that_nobody_answers_ends_in_the_link_before_a_client_gives_up() {
    let (world, grantee, token) = world().await;
    let mut asked = call(&world, &token, json!({ "n": 1 }), json!({})).await;
    for round in 1..=8 {
        assert_eq!(asked.json()["result"]["resultType"], "input_required", "{round}: {}", asked.body);
        // Another call uses the approval up, so that this one is asked about again without waiting for a person.
        assert!(answer(&world, &grantee, true).await);
        let passed = call(&world, &token, json!({ "n": 1 }), json!({})).await;
        assert_eq!(passed.json()["result"]["resultType"], "complete", "{round}: {}", passed.body);
        asked = call(&world, &token, json!({ "n": 1 }), back(&asked, "accept")).await;
    }
    let result = &asked.json()["result"];
    assert_eq!((&result["isError"], &result["resultType"]), (&json!(true), &json!("complete")), "{}", asked.body);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains(&format!("{}/approvals/apr_", world.base)), "{text}");
    assert!(result.get("structuredContent").is_none());
}

/// RS-50, PX-15, PX-24: a state that was changed, has expired, or belongs to another call or caller is refused, and
/// does not count as an approval.
#[tokio::test]
async fn a_state_is_good_for_its_caller_and_its_call_alone() {
    let (world, _, token) = world().await;
    let other = world.owner_token("mcp:write").await;
    let asked = call(&world, &token, json!({ "n": 1 }), json!({})).await;
    let state = asked.json()["result"]["requestState"].as_str().unwrap().to_owned();
    let turned = |(at, c): (usize, char)| if at == 20 { if c == 'A' { 'B' } else { 'A' } } else { c };
    let changed: String = state.chars().enumerate().map(turned).collect();
    let with = |state: &str| json!({ "requestState": state, "inputResponses": {} });
    for (what, token, arguments, brought) in [
        ("changed", &token, json!({ "n": 1 }), with(&changed)),
        ("another call", &token, json!({ "n": 2 }), with(&state)),
        ("another grant", &other, json!({ "n": 1 }), with(&state)),
        ("nonsense", &token, json!({ "n": 1 }), with("sekisho1.x")),
    ] {
        let reply = call(&world, token, arguments, brought).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.body);
        assert_eq!(reply.json()["error"]["code"], -32602, "{what}");
    }
    world.clock.advance_seconds(599);
    let token = world.token(&world.granted("mcp:write").await);
    assert_eq!(call(&world, &token, json!({ "n": 1 }), with(&state)).await.status, 400);
    assert!(sent(&world).is_empty());
}

/// Product §4: declining a call ends it, whether the person does it on the page or the client does it for them.
#[tokio::test]
async fn a_call_that_was_declined_is_not_asked_about_again() {
    let (world, grantee, token) = world().await;
    for by_client in [true, false] {
        let asked = call(&world, &token, json!({ "n": by_client }), json!({})).await;
        let action = if by_client { "decline" } else { "accept" };
        if !by_client {
            assert!(answer(&world, &grantee, false).await);
        }
        let declined = call(&world, &token, json!({ "n": by_client }), back(&asked, action)).await;
        let result = &declined.json()["result"];
        assert_eq!(result["isError"], true, "{}", declined.body);
        let refusal = &result["_meta"]["io.sekisho/refusal"];
        assert_eq!((&refusal["remedy"]["kind"], refusal["remedy"].get("url")), (&json!("none"), None));
        assert!(result["content"][0]["text"].as_str().unwrap().contains("declined"));
    }
    let open = async {
        let mut tx = world.store.read().await.unwrap();
        let subject = sekisho_protocol::caller::Subject::User(grantee.user);
        tx.approvals().pending_of_subject(&subject, world.clock.now()).await.unwrap().len()
    };
    assert_eq!(open.await, 0);
    world
        .recorded("the decline", |event| matches!(event, Event::Act(entry) if entry.act == ActKind::ApprovalDeclined))
        .await;
    assert!(sent(&world).is_empty());
}

/// TR-55: the error that asks for a page exists only in 2025-11-25, for clients that declared it; all others are told
/// by the result of the tool.
#[tokio::test]
async fn an_older_client_that_opens_pages_is_asked_by_an_error() {
    let (world, grantee, token) = world().await;
    let params = json!({ "name": "add_note", "arguments": { "n": 1 } });
    for (revision, capabilities, by_error) in [
        (NOVEMBER, json!({ "elicitation": { "url": {} } }), true),
        (NOVEMBER, json!({ "elicitation": {} }), false),
        (NOVEMBER, json!({}), false),
        (JUNE, json!({ "elicitation": { "url": {} } }), false),
    ] {
        let session = world.session_with(&token, revision, capabilities.clone()).await;
        let asked = world.legacy(&token, &session, revision, "tools/call", params.clone()).send().await;
        assert_eq!(asked.status, 200, "{}", asked.body);
        if !by_error {
            assert_eq!(asked.json()["result"]["isError"], true, "{revision} {capabilities}");
            continue;
        }
        let error = &asked.json()["error"];
        assert_eq!(error["code"], -32042);
        let elicitation = &error["data"]["elicitations"][0];
        assert_eq!(elicitation["mode"], "url");
        let url = elicitation["url"].as_str().unwrap();
        assert!(url.ends_with(elicitation["elicitationId"].as_str().unwrap()), "{elicitation}");
        assert!(elicitation["message"].as_str().unwrap().contains("it adds for good"));
        assert!(answer(&world, &grantee, true).await);
        let passed = world.legacy(&token, &session, revision, "tools/call", params.clone()).send().await;
        assert_ne!(passed.json()["result"]["isError"], true, "{}", passed.body);
    }
    assert_eq!(sent(&world).len(), 1);
}

/// 2025-11-25 Elicitation, Completion Notifications: once the person has answered, the session whose client was sent to
/// the page is told so on its standing stream, once, even if the stream was opened later. No other session is told.
#[tokio::test]
async fn an_older_client_is_told_when_its_user_has_answered() {
    let (world, grantee, token) = world().await;
    let declared = || json!({ "elicitation": { "url": {} } });
    let asking = world.session_with(&token, NOVEMBER, declared()).await;
    let other = world.session_with(&token, NOVEMBER, declared()).await;
    let mut streams = (standing(&world, &token, &asking).await, standing(&world, &token, &other).await);
    world.fake.open_streams(2).await;
    let last = json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" });
    for (yes, number) in [(true, 1), (false, 2)] {
        let params = json!({ "name": "add_note", "arguments": { "n": number } });
        let asked = world.legacy(&token, &asking, NOVEMBER, "tools/call", params).send().await;
        let question = asked.json()["error"]["data"]["elicitations"][0]["elicitationId"].clone();
        assert!(question.as_str().is_some_and(|id| id.starts_with("apr_")), "{}", asked.body);
        assert!(answer(&world, &grantee, yes).await);
        let told = next(&mut streams.0).await;
        assert_eq!(told["method"], "notifications/elicitation/complete");
        assert_eq!(told["params"], json!({ "elicitationId": question }));
        world.fake.news.send(last.to_string()).unwrap();
        assert_eq!(next(&mut streams.0).await, last);
        assert_eq!(next(&mut streams.1).await, last);
    }
    // The question is answered while nobody listens, and told when somebody does.
    drop(streams.0);
    let params = json!({ "name": "add_note", "arguments": { "n": 3 } });
    let asked = world.legacy(&token, &asking, NOVEMBER, "tools/call", params).send().await;
    let question = &asked.json()["error"]["data"]["elicitations"][0]["elicitationId"];
    assert!(answer(&world, &grantee, true).await);
    let mut stream = loop {
        // The place of the closed stream becomes free a moment later.
        let ask = world.ask(http::Method::GET, "/mcp/notes").header("authorization", &format!("Bearer {token}"));
        let stream = ask.header("accept", "text/event-stream").header("mcp-session-id", &asking).open().await;
        if stream.status == 200 {
            break stream;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(next(&mut stream).await["params"], json!({ "elicitationId": question }));
}

/// RS-52: a question of the upstream belongs to the call that was paid for. Later rounds of the call take nothing
/// again, each goes on once, and the upstream gets its own state back.
#[tokio::test]
async fn later_rounds_of_a_call_that_was_paid_for_count_once() {
    let (world, grantee, token) = world().await;
    let tools = [("add_note".to_owned(), None)].into();
    let task = TaskDefinition { purpose: "add".to_owned(), tools, calls: Some(1), ..TaskDefinition::default() };
    let task = world.task(&grantee, task).await;
    let left = async || world.store.read().await.unwrap().tasks().find(task).await.unwrap().unwrap().calls_left;
    call(&world, &token, json!({}), json!({})).await;
    assert!(answer(&world, &grantee, true).await);
    let asks = json!({ "jsonrpc": "2.0", "id": 0, "result": {
        "resultType": "input_required", "requestState": "of the upstream",
        "inputRequests": { "a": { "method": "elicitation/create", "params": { "mode": "url", "url": "https://x.example/", "message": "m" } } },
    } });
    world.fake.script_answer("tools/call", asks);
    let round = call(&world, &token, json!({}), json!({})).await;
    assert_eq!(round.json()["result"]["resultType"], "input_required", "{}", round.body);
    let state = round.json()["result"]["requestState"].clone();
    assert_ne!(state, "of the upstream");
    assert_eq!(left().await, Some(0));
    let brought = json!({ "requestState": state, "inputResponses": { "a": { "action": "accept" } } });
    // Another call cannot use the same state.
    assert_eq!(call(&world, &token, json!({ "n": 2 }), brought.clone()).await.status, 400);
    world.fake.unscript("tools/call");
    let done = call(&world, &token, json!({}), brought.clone()).await;
    assert_eq!(done.json()["result"]["resultType"], "complete", "{}", done.body);
    let sent = sent(&world);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1]["params"]["requestState"], "of the upstream");
    assert_eq!(sent[1]["params"]["inputResponses"], brought["inputResponses"]);
    assert_eq!(left().await, Some(0));
    // The state can be used only once.
    assert_eq!(call(&world, &token, json!({}), brought).await.status, 400);
    assert_eq!(call(&world, &token, json!({}), json!({})).await.json()["error"]["data"]["set"], "need");
}

/// If an operator lists a client as one that hides refusals, the result of the tool tells it what was refused and what
/// its user can do. No other client gets that.
#[tokio::test]
async fn a_client_that_hides_refusals_is_told_by_the_result_of_the_tool() {
    let world = World::new().await.classified().await;
    let told = world.token(&world.grant(world.owner(), "cli_told", "notes", "mcp:read").await);
    let step_up = world.call(&told, "add_note").send().await;
    assert_eq!(step_up.status, 200, "{}", step_up.body);
    let result = &step_up.json()["result"];
    assert_eq!(result["_meta"]["io.sekisho/refusal"]["remedy"]["kind"], "step_up");
    assert!(result["content"][0]["text"].as_str().unwrap().ends_with("and to grant: mcp:write"), "{result}");
    let hidden = world.call(&told, "ghost").send().await.json();
    assert!(hidden["result"]["content"][0]["text"].as_str().unwrap().contains("/access/rid_"), "{hidden}");
    let other = world.token(&world.grant(world.owner(), "cli_beta", "notes", "mcp:read").await);
    assert_eq!(world.call(&other, "add_note").send().await.status, 403);
}

/// Product §4, Ask: at a server that is open to everybody nobody can be asked. So the call is refused, on record, and
/// not with an internal error.
#[tokio::test]
async fn nobody_in_particular_cannot_be_asked() {
    let world = World::with(Plan { public: true, ..Plan::default() }).await.classified().await;
    world.classify("add_note", ToolClass::Read).await;
    let anonymous = || world.call("x", "add_note").without("authorization").send();
    assert_eq!(anonymous().await.status, 200);
    world.rights.send(Arc::new(approving(&world))).unwrap();
    let refused = anonymous().await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(refused.json()["error"]["data"]["remedy"], json!({ "kind": "none" }));
    assert_eq!(sent(&world).len(), 1);
    let denies = |event: &Event| matches!(event, Event::Decision(decision) if decision.verdict == Verdict::Deny);
    world.recorded("the refusal", denies).await;
}
