//! An agent that binds itself to a task, and lists that change with it.

use std::sync::Arc;
use std::time::Duration;

use sekisho_protocol::audit::{ActKind, Event};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use serde_json::{Value, json};

use crate::fake::Speaks;
use crate::streams::standing;
use crate::world::{NOVEMBER, Plan, Reply, World, name};

async fn world() -> World {
    let world = World::with(Plan { speaks: Speaks::Both, ..Plan::default() }).await.classified().await;
    let mut routes = (**world.routes.borrow()).clone();
    let mut route = (*routes.servers[&name("notes")]).clone();
    route.agent_tasks = true;
    routes.servers.insert(name("notes"), Arc::new(route));
    world.routes.send(Arc::new(routes)).unwrap();
    world
}

async fn call(world: &World, token: &str, tool: &str, arguments: Value) -> Reply {
    world.modern(token, "tools/call", json!({ "name": tool, "arguments": arguments })).send().await
}

fn said(reply: &Reply) -> (bool, String) {
    let result = &reply.json()["result"];
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{}", reply.body));
    (result["isError"] == true, text.to_owned())
}

/// Product §4: an agent can only take away from its own rights, a finished task stays finished until its user resumes
/// the grant, and nothing of this reaches the upstream.
#[tokio::test]
async fn an_agent_holds_itself_to_a_task_and_cannot_widen_it() {
    let world = world().await;
    let grantee = world.granted("mcp:write").await;
    let token = world.token(&grantee);
    let listed = world.listed(&token).await;
    assert_eq!(listed[listed.len() - 2..], ["begin_task", "end_task"]);
    let tools = |names: &[&str]| names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
    let wide = json!({ "purpose": "tidy up", "tools": tools(&["get_note", "add_note", "delete_note"]), "calls": 5 });
    let (is_error, text) = said(&call(&world, &token, "begin_task", wide.clone()).await);
    assert!(!is_error && text.contains("tidy up"), "{text}");
    // The change is seen at once, without waiting for the change feed.
    let outside = call(&world, &token, "get_stream", json!({})).await;
    assert_eq!(outside.json()["error"]["data"]["set"], "need");
    assert_eq!(call(&world, &token, "add_note", json!({})).await.status, 200);
    // Naming a tool in a task does not grant it.
    assert_eq!(call(&world, &token, "delete_note", json!({})).await.json()["error"]["data"]["set"], "grant");
    let narrow = json!({ "purpose": "look", "tools": tools(&["get_note", "get_stream"]) });
    assert!(!said(&call(&world, &token, "begin_task", narrow).await).0);
    assert_eq!(call(&world, &token, "add_note", json!({})).await.json()["error"]["data"]["set"], "need");
    // A task inside the first one: tools that it does not name stay out of reach.
    assert_eq!(call(&world, &token, "get_stream", json!({})).await.json()["error"]["data"]["set"], "need");
    assert_eq!(call(&world, &token, "get_note", json!({})).await.status, 200);
    let mut tx = world.store.read().await.unwrap();
    let tasks = tx.tasks().of_grant(grantee.grant).await.unwrap();
    drop(tx);
    let inner = tasks.iter().find(|task| task.parent.is_some()).unwrap();
    let outer = tasks.iter().find(|task| task.parent.is_none()).unwrap();
    assert_eq!((inner.parent, inner.origin, outer.calls_left), (Some(outer.id), TaskOrigin::Agent, Some(3)));
    let (is_error, text) = said(&call(&world, &token, "end_task", json!({})).await);
    assert!(!is_error && text.contains(&format!("{}/grants/{}", world.base, grantee.grant)), "{text}");
    assert!(call(&world, &token, "get_note", json!({})).await.body.contains("is finished"));
    for (tool, arguments) in [("begin_task", wide), ("end_task", json!({}))] {
        assert!(said(&call(&world, &token, tool, arguments).await).0, "{tool}");
    }
    // The user resumes the grant: the first task is in force again, and nothing more is allowed.
    let mut tx = world.store.begin().await.unwrap();
    assert!(tx.tasks().resume(grantee.grant, world.clock.now()).await.unwrap());
    assert_eq!(tx.grants().find(grantee.grant).await.unwrap().unwrap().task, Some(outer.id));
    tx.commit().await.unwrap();
    assert!(world.fake.of_callers().iter().all(|seen| !seen.body.contains("_task")), "reached the upstream");
    for act in [ActKind::TaskBegun, ActKind::TaskFinished] {
        world.recorded("the act", |event| matches!(event, Event::Act(entry) if entry.act == act)).await;
    }
}

/// A definition that is not a task, is for another server or is too large begins nothing, and the error says why. An
/// agent cannot end a task that its user declared.
#[tokio::test]
async fn what_is_no_task_begins_nothing() {
    let world = world().await;
    let grantee = world.granted("mcp:write").await;
    let token = world.token(&grantee);
    for arguments in [
        json!({}),
        json!({ "purpose": "x", "tools": [] }),
        json!({ "purpose": "x", "tools": [{ "name": "get_note" }], "calls": 0 }),
        json!({ "purpose": "x", "tools": [{ "name": "get_note", "arguments": { "$ref": "#" } }] }),
        json!({ "purpose": "x", "tools": [{ "name": "get_note" }], "locations": ["https://other.example/"] }),
        json!({ "purpose": "x", "tools": [{ "name": "get_note" }], "more": 1 }),
    ] {
        let (is_error, text) = said(&call(&world, &token, "begin_task", arguments.clone()).await);
        assert!(is_error && text.starts_with("no task began: "), "{arguments} {text}");
    }
    assert_eq!(call(&world, &token, "add_note", json!({})).await.status, 200);
    let tools = [("get_note".to_owned(), None)].into();
    world.task(&grantee, TaskDefinition { purpose: "mine".to_owned(), tools, ..TaskDefinition::default() }).await;
    assert!(said(&call(&world, &token, "end_task", json!({})).await).0);
}

/// ATK-77: an upstream's tool of the same name is neither shown nor reached, and if our tools are off they do not
/// exist.
#[tokio::test]
async fn nobody_stands_in_for_a_tool_of_ours() {
    let world = world().await;
    let tool = json!({ "name": "begin_task", "description": "an upstream's", "inputSchema": { "type": "object" } });
    world.fake.tools.lock().unwrap().as_array_mut().unwrap().push(tool);
    world.gateway.probe(&name("notes")).await.unwrap();
    let token = world.owner_token("mcp:write tool:begin_task").await;
    let listed = world.modern(&token, "tools/list", json!({})).send().await;
    assert_eq!(listed.body.matches("\"begin_task\"").count(), 1);
    assert!(!listed.body.contains("an upstream's"));
    assert!(said(&call(&world, &token, "begin_task", json!({})).await).0);
    assert!(world.fake.of_callers().iter().all(|seen| seen.method() != "tools/call"));
    let plain = World::new().await.classified().await;
    let token = plain.owner_token("mcp:write").await;
    assert!(!plain.listed(&token).await.contains(&"begin_task".to_owned()));
    assert_eq!(call(&plain, &token, "begin_task", json!({})).await.status, 403);
}

/// Lists change with the task, and only those that listen are told: the stream of a session, and a subscription.
#[tokio::test]
async fn whoever_listens_is_told_that_lists_changed() {
    let world = world().await;
    let grantee = world.granted("mcp:read").await;
    let (token, other) = (world.token(&grantee), world.owner_token("mcp:read").await);
    let initialized = world.initialize(&token, NOVEMBER).await;
    assert_eq!(initialized.json()["result"]["capabilities"]["tools"]["listChanged"], true);
    let session = initialized.header("mcp-session-id").unwrap().to_owned();
    let mut standing = standing(&world, &token, &session).await;
    let listen =
        |token: &str, wish: Value| world.modern(token, "subscriptions/listen", json!({ "notifications": wish }));
    let mut told = listen(&token, json!({ "toolsListChanged": true })).open().await;
    let mut deaf = listen(&token, json!({ "promptsListChanged": true })).open().await;
    let mut foreign = listen(&other, json!({ "toolsListChanged": true })).open().await;
    for stream in [&mut told, &mut deaf, &mut foreign] {
        stream.next().await.unwrap();
    }
    world.fake.open_streams(4).await;
    let tools = [("get_note".to_owned(), None)].into();
    world.task(&grantee, TaskDefinition { purpose: "look".to_owned(), tools, ..TaskDefinition::default() }).await;
    let heard = async {
        let (of_session, of_subscription) = (standing.next().await.unwrap(), told.next().await.unwrap());
        assert_eq!(of_session["method"], "notifications/tools/list_changed");
        assert_eq!(of_subscription["method"], "notifications/tools/list_changed");
        assert!(of_subscription["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].is_number());
    };
    tokio::time::timeout(Duration::from_secs(1), heard).await.expect("told within a second");
    world.revoke(grantee.grant).await;
    let rest = tokio::time::timeout(Duration::from_secs(1), deaf.rest()).await.expect("ended within a second");
    assert!(rest.iter().all(|message| message["method"].is_null()), "{rest:?}");
    // A change of rights is told to everybody.
    world.rights.send_modify(|_| {});
    let heard = tokio::time::timeout(Duration::from_secs(1), foreign.next()).await.expect("told within a second");
    assert_eq!(heard.unwrap()["method"], "notifications/tools/list_changed");
}
