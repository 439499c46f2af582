//! The three sets on every call: what a task permits, what its budget holds, and what a person has to approve.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sekisho_policy::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};
use sekisho_protocol::audit::{Event, Need, Verdict};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::task::TaskDefinition;
use serde_json::{Value, json};

use crate::world::{Grantee, Reply, World, name};

fn task(tools: &[(&str, Option<Value>)]) -> TaskDefinition {
    let tools = tools.iter().map(|(tool, bounds)| ((*tool).to_owned(), bounds.clone())).collect();
    TaskDefinition { purpose: "tidy up".to_owned(), tools, ..TaskDefinition::default() }
}

async fn call(world: &World, token: &str, tool: &str, arguments: Value) -> Reply {
    world.modern(token, "tools/call", json!({ "name": tool, "arguments": arguments })).send().await
}

/// Repeats a call until the change is seen: within a second (product §7).
pub(crate) async fn until(world: &World, token: &str, tool: &str, status: u16) -> Reply {
    let asking = async {
        loop {
            let reply = call(world, token, tool, json!({})).await;
            if reply.status == status {
                return reply;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), asking).await.expect("felt within a second")
}

/// Product §4: a call outside the task is refused by need, with the task's purpose and the page on which the user can
/// widen it. A call inside goes on, a list shows what is inside, and the records tell the two apart.
#[tokio::test]
async fn a_call_outside_the_task_is_refused_by_need() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:destructive").await;
    let token = world.token(&grantee);
    let bounds = json!({"type":"object","properties":{"id":{"type":"integer","maximum":5}}});
    let id = world.task(&grantee, task(&[("get_note", None), ("add_note", Some(bounds))])).await;
    let refused = call(&world, &token, "delete_note", json!({})).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let data = &refused.json()["error"]["data"];
    assert_eq!(data["set"], "need");
    assert_eq!(data["reason"], "this call is not part of the task “tidy up”; the user can widen it");
    assert_eq!(data["remedy"], json!({ "kind": "widen_task", "url": format!("{}/tasks/{id}", world.base) }));
    assert_eq!(refused.header("www-authenticate"), None);
    assert_eq!(call(&world, &token, "get_note", json!({})).await.status, 200);
    assert_eq!(call(&world, &token, "add_note", json!({ "id": 5 })).await.status, 200);
    let beyond = call(&world, &token, "add_note", json!({ "id": 6 })).await;
    let reason = beyond.json()["error"]["data"]["reason"].clone();
    let wants = r#"it has to fit {"maximum":5,"type":"integer"}"#;
    let said = format!("the argument `/id` is beyond the bounds of the task “tidy up”; {wants}; the user can widen it");
    assert_eq!(reason, said);
    let listed = world.modern(&token, "tools/list", json!({})).send().await.json();
    let tools: Vec<&str> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(tools, ["get_note", "add_note"]);
    assert_eq!(world.fake.of_callers().iter().filter(|seen| seen.method() == "tools/call").count(), 2);
    for (verdict, need) in [(Verdict::Permit, Need::Inside), (Verdict::Deny, Need::Outside)] {
        world
            .recorded("the decision", |event| matches!(event, Event::Decision(decision) if decision.verdict == verdict && decision.need == need && decision.task == Some(id)))
            .await;
    }
}

/// A task that begins, ends or is resumed applies to the next calls of an existing token.
#[tokio::test]
async fn a_task_takes_effect_on_tokens_that_are_there() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:write").await;
    let token = world.token(&grantee);
    assert_eq!(call(&world, &token, "add_note", json!({})).await.status, 200);
    let id = world.task(&grantee, task(&[("get_note", None)])).await;
    until(&world, &token, "add_note", 403).await;
    let mut tx = world.store.begin().await.unwrap();
    assert!(tx.tasks().finish(id, "done", world.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    let over = until(&world, &token, "get_note", 403).await;
    let reason = over.json()["error"]["data"]["reason"].clone();
    assert_eq!(reason, "the task “tidy up” is finished; the user can resume what was granted, or begin another");
    let mut tx = world.store.begin().await.unwrap();
    assert!(tx.grants().find(grantee.grant).await.unwrap().is_some());
    assert!(tx.tasks().resume(grantee.grant, world.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    // A token that was bound to the finished task has ended with it; a new token is not bound.
    until(&world, &token, "get_note", 401).await;
    let claims = sekisho_token::AccessClaims { epoch: 1, ..world.claims(&grantee) };
    assert_eq!(call(&world, &world.sign(&claims), "add_note", json!({})).await.status, 200);
}

/// A token that names a task which does not exist may do nothing.
#[tokio::test]
async fn a_token_of_a_task_that_nobody_knows_is_worth_nothing() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:write").await;
    let other = world.granted("mcp:write").await;
    let foreign = world.task(&other, task(&[("get_note", None)])).await;
    let claims = sekisho_token::AccessClaims { task: Some(foreign), ..world.claims(&grantee) };
    let reply = call(&world, &world.sign(&claims), "get_note", json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.json()["error"]["data"]["set"].as_str()), (403, Some("need")));
}

/// 32 calls at once on a budget of 10: exactly 10 pass, and 10 reach the upstream.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_never_overspent() {
    let world = Arc::new(World::new().await.classified().await);
    let grantee = world.granted("mcp:write").await;
    let token = world.token(&grantee);
    let id = world.task(&grantee, TaskDefinition { calls: Some(10), ..task(&[("get_note", None)]) }).await;
    let racing = (0..32).map(|_| {
        let (world, token) = (Arc::clone(&world), token.clone());
        tokio::spawn(async move { call(&world, &token, "get_note", json!({})).await })
    });
    let mut passed = 0;
    for racer in racing.collect::<Vec<_>>() {
        let reply = racer.await.unwrap();
        match reply.status.as_u16() {
            200 => passed += 1,
            403 => assert_eq!(reply.json()["error"]["data"]["set"], "need", "{}", reply.body),
            other => panic!("{other}: {}", reply.body),
        }
    }
    assert_eq!(passed, 10);
    let sent = world.fake.of_callers().iter().filter(|seen| seen.method() == "tools/call").count();
    assert_eq!(sent, 10);
    let left = world.store.read().await.unwrap().tasks().find(id).await.unwrap().unwrap().calls_left;
    assert_eq!(left, Some(0));
    let spent = call(&world, &token, "get_note", json!({})).await;
    let reason = spent.json()["error"]["data"]["reason"].clone();
    assert!(reason.as_str().unwrap().contains("has used up its calls"), "{reason}");
}

pub(crate) fn approving(world: &World) -> Rights {
    let text = "@approval @reason(\"it adds for good\") permit(principal, action == Action::\"call\", resource == Tool::\"notes/add_note\");";
    let users = BTreeMap::from([(world.owner(), RightsUser { owner: true, ..RightsUser::default() })]);
    let servers = BTreeMap::from([(name("notes"), RightsServer::default())]);
    let files = vec![PolicyFile { name: "rules.cedar".to_owned(), text: text.to_owned() }];
    Rights::new(RightsParts { users, servers, files, ..RightsParts::default() }).unwrap()
}

pub(crate) async fn answer(world: &World, grantee: &Grantee, yes: bool) -> bool {
    let mut tx = world.store.begin().await.unwrap();
    let subject = Subject::User(grantee.user);
    let open = tx.approvals().pending_of_subject(&subject, world.clock.now()).await.unwrap();
    let decided = tx.approvals().decide(open[0].id, &subject, yes, world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    decided
}

/// Product §4, Ask: the model is told where its user can approve. The approval is for these arguments, and for one
/// call.
#[tokio::test]
async fn an_approved_call_passes_once_and_only_as_it_was() {
    let world = World::new().await.classified().await;
    world.rights.send(Arc::new(approving(&world))).unwrap();
    let grantee = world.granted("mcp:write").await;
    let token = world.token(&grantee);
    let asked = call(&world, &token, "add_note", json!({ "text": "a", "n": 1 })).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    let result = &asked.json()["result"];
    assert_eq!(result["isError"], true);
    let refusal = &result["_meta"]["io.sekisho/refusal"];
    assert_eq!((refusal["set"].as_str(), refusal["remedy"]["kind"].as_str()), (Some("rights"), Some("approve")));
    let url = refusal["remedy"]["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/approvals/apr_", world.base)), "{url}");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("it adds for good") && text.contains(url), "{text}");
    // A repeated call does not ask a second question.
    let again = call(&world, &token, "add_note", json!({ "n": 1, "text": "a" })).await;
    assert_eq!(again.json()["result"]["_meta"]["io.sekisho/refusal"]["remedy"]["url"], url);
    assert!(answer(&world, &grantee, true).await);
    let changed = call(&world, &token, "add_note", json!({ "text": "b", "n": 1 })).await;
    assert_eq!(changed.json()["result"]["isError"], true);
    let other = world.granted("mcp:write").await;
    let elsewhere = call(&world, &world.token(&other), "add_note", json!({ "text": "a", "n": 1 })).await;
    assert_eq!(elsewhere.json()["result"]["isError"], true);
    let passed = call(&world, &token, "add_note", json!({ "n": 1, "text": "a" })).await;
    assert_ne!(passed.json()["result"]["isError"], true, "{}", passed.body);
    let spent = call(&world, &token, "add_note", json!({ "n": 1, "text": "a" })).await;
    assert_eq!(spent.json()["result"]["isError"], true);
    assert_eq!(world.fake.of_callers().iter().filter(|seen| seen.method() == "tools/call").count(), 1);
}

/// A budget gets back what was taken for a call that could not be sent.
#[tokio::test]
async fn what_was_not_sent_costs_nothing() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:write").await;
    let token = world.token(&grantee);
    let id = world.task(&grantee, TaskDefinition { calls: Some(3), ..task(&[("get_note", None)]) }).await;
    assert_eq!(call(&world, &token, "get_note", json!({})).await.status, 200);
    let left = async || world.store.read().await.unwrap().tasks().find(id).await.unwrap().unwrap().calls_left;
    assert_eq!(left().await, Some(2));
    world.fake.stop().await;
    assert_eq!(call(&world, &token, "get_note", json!({})).await.status, 502);
    // The call was settled before it was known that nothing would be sent.
    world
        .recorded("the decision", |event| matches!(event, Event::Decision(decision) if decision.verdict == Verdict::Permit && decision.task == Some(id)))
        .await;
    assert_eq!(left().await, Some(2));
}
