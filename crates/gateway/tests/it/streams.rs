//! What upstreams send on streams, what of it is passed on, and when streams end.

use std::time::Duration;

use http::Method;
use sekisho_gateway::Limits;
use sekisho_protocol::audit::{Event, OutcomeResult};
use sekisho_protocol::env::{Clock, after};
use sekisho_protocol::task::TaskDefinition;
use serde_json::{Value, json};

use crate::fake::sse;
use crate::sets::until;
use crate::world::{Ask, NOVEMBER, Plan, Stream, World};

fn listen<'w>(world: &'w World, token: &str, wish: Value) -> Ask<'w> {
    world.modern(token, "subscriptions/listen", json!({ "notifications": wish }))
}

pub(crate) async fn standing(world: &World, token: &str, session: &str) -> Stream {
    let ask = world.ask(Method::GET, "/mcp/notes").header("authorization", &format!("Bearer {token}"));
    let stream = ask.header("accept", "text/event-stream").header("mcp-session-id", session).open().await;
    assert_eq!(stream.status, 200);
    stream
}

/// Returns the next message, but skips notifications that a list changed, because earlier changes can cause one at any
/// time.
pub(crate) async fn next(stream: &mut Stream) -> Value {
    loop {
        let message = stream.next().await.unwrap();
        if message["method"] != "notifications/tools/list_changed" {
            return message;
        }
    }
}

fn news(method: &str, subscription: Value, more: Value) -> Value {
    let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": more });
    if !subscription.is_null() {
        message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] = subscription;
    }
    message
}

/// TR-24, TR-35, ATK-73, ATK-74: only messages that belong to a modern request come before its answer. Lists are
/// filtered wherever they arrive.
#[tokio::test]
async fn only_what_belongs_to_a_request_is_on_its_stream() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let ask = world.modern(&token, "tools/call", json!({ "name": "get_note", "_meta": { "progressToken": 5 } }));
    let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
    let progress = |token: Value| json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": 1 } });
    let log = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "dropped-log" } });
    let body = sse(&[
        progress(json!("other")),
        progress(json!(5)),
        log.clone(),
        json!({ "jsonrpc": "2.0", "id": 99, "method": "sampling/createMessage", "params": { "dropped": 1 } }),
        json!({ "jsonrpc": "2.0", "id": 99, "method": "roots/list" }),
        json!({ "jsonrpc": "2.0", "id": "unasked", "result": { "tools": [{ "name": "dropped", "inputSchema": {} }] } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/unknown" }),
        json!({ "jsonrpc": "2.0", "id": id, "result": { "resultType": "complete", "content": [] } }),
        progress(json!(5)),
    ]);
    world.fake.script("tools/call", 200, "text/event-stream", body);
    let reply = ask.send().await;
    let messages = reply.messages();
    assert_eq!(messages.len(), 2, "{}", reply.body);
    assert_eq!(messages[0], progress(json!(5)));
    assert_eq!(messages[1]["id"], id);
    // With a log level, log messages belong to the request (TR-24).
    let ask = world.modern(
        &token,
        "tools/call",
        json!({ "name": "get_note", "_meta": { "io.modelcontextprotocol/logLevel": "info" } }),
    );
    let reply = ask.send().await;
    assert!(reply.body.contains("dropped-log") && !reply.body.contains("sampling"), "{}", reply.body);
}

/// TR-41, TR-42: a subscription carries what was asked for, acknowledged and may be read, marked with its id.
#[tokio::test]
async fn a_subscription_carries_what_was_asked_for() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let wish = json!({ "toolsListChanged": true, "resourceSubscriptions": ["file:///a"], "taskIds": ["foreign"] });
    let ask = listen(&world, &token, wish);
    let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
    let mut stream = ask.open().await;
    let acknowledged = stream.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"]["resourceSubscriptions"], json!(["file:///a"]));
    assert_eq!(acknowledged["params"]["notifications"]["taskIds"], json!([]), "RS-53: a foreign job was promised");
    for dropped in [
        news("notifications/prompts/list_changed", id.clone(), json!({})),
        news("notifications/tools/list_changed", Value::Null, json!({})),
        news("notifications/tools/list_changed", json!("another"), json!({})),
        news("notifications/tasks", id.clone(), json!({ "taskId": "foreign", "status": "working" })),
        news("notifications/message", id.clone(), json!({ "level": "info", "data": 1 })),
        news("notifications/progress", id.clone(), json!({ "progressToken": 1, "progress": 1 })),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {} }),
        json!({ "jsonrpc": "2.0", "id": 12345, "result": { "tools": [] } }),
    ] {
        world.fake.news.send(dropped.to_string()).unwrap();
    }
    for passed in [
        news("notifications/tools/list_changed", id.clone(), json!({})),
        news("notifications/resources/updated", id.clone(), json!({ "uri": "file:///a" })),
    ] {
        world.fake.news.send(passed.to_string()).unwrap();
        assert_eq!(stream.next().await.unwrap(), passed);
    }
}

/// TR-42, ATK-59: without the right to read there are no notifications about resources. The next message sees a change
/// of rights.
#[tokio::test]
async fn news_of_resources_need_the_right_to_read_them() {
    let world = World::new().await.classified().await;
    let wish = json!({ "toolsListChanged": true, "resourceSubscriptions": ["file:///a"] });
    let token = world.owner_token("tool:get_note").await;
    let mut stream = listen(&world, &token, wish.clone()).open().await;
    assert_eq!(stream.next().await.unwrap()["params"]["notifications"]["resourceSubscriptions"], json!([]));

    let token = world.owner_token("mcp:read").await;
    let ask = listen(&world, &token, wish);
    let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
    let mut stream = ask.open().await;
    stream.next().await.unwrap();
    world.rights.send(std::sync::Arc::new(sekisho_policy::rights::Rights::none())).unwrap();
    world
        .fake
        .news
        .send(news("notifications/resources/updated", id.clone(), json!({ "uri": "file:///a" })).to_string())
        .unwrap();
    let last = news("notifications/tools/list_changed", id, json!({}));
    world.fake.news.send(last.to_string()).unwrap();
    assert_eq!(stream.next().await.unwrap(), last);
}

/// PX-20, RS-53, ATK-74: on the standing stream of a session, too, messages are judged by their kind.
#[tokio::test]
async fn a_standing_stream_is_filtered() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let session = world.session(&token, NOVEMBER).await;
    let mut stream = standing(&world, &token, &session).await;
    world.fake.open_streams(1).await;
    for dropped in [
        json!({ "jsonrpc": "2.0", "id": 7, "result": { "tools": [{ "name": "leaked", "inputSchema": {} }] } }),
        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": 1, "message": "x" } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/tasks/status", "params": { "taskId": "foreign", "status": "working" } }),
        json!({ "jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": {} }),
        json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged" }),
    ] {
        world.fake.news.send(dropped.to_string()).unwrap();
    }
    for passed in [
        json!({ "jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": { "messages": [] } }),
        json!({ "jsonrpc": "2.0", "id": 10, "method": "ping" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": 1 } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": "file:///a" } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }),
    ] {
        world.fake.news.send(passed.to_string()).unwrap();
        assert_eq!(stream.next().await.unwrap(), passed);
    }
}

/// ATK-59: the next message of an open stream sees a task that begins, even if nothing of its grant was cached.
#[tokio::test]
async fn a_task_that_begins_is_felt_by_an_open_stream() {
    for tokens_cached_max in [Limits::default().tokens_cached_max, 0] {
        feels_a_task(Limits { tokens_cached_max, ..Limits::default() }).await;
    }
}

async fn feels_a_task(limits: Limits) {
    let world = World::with(Plan { limits, ..Plan::default() }).await.classified().await;
    let grantee = world.granted("mcp:read").await;
    let token = world.token(&grantee);
    let session = world.session(&token, NOVEMBER).await;
    let mut stream = standing(&world, &token, &session).await;
    world.fake.open_streams(1).await;
    let updated = news("notifications/resources/updated", Value::Null, json!({ "uri": "file:///a" }));
    let last = json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" });
    world.fake.news.send(updated.to_string()).unwrap();
    assert_eq!(next(&mut stream).await, updated);
    let tools = [("get_note".to_owned(), None)].into();
    world.task(&grantee, TaskDefinition { purpose: "look".to_owned(), tools, ..TaskDefinition::default() }).await;
    until(&world, &token, "get_stream", 403).await;
    for message in [updated, last.clone()] {
        world.fake.news.send(message.to_string()).unwrap();
    }
    assert_eq!(next(&mut stream).await, last);
}

/// ATK-70, ATK-74: the answer to a list request is filtered on another stream of the session, too.
#[tokio::test]
async fn a_list_reply_on_another_stream_is_trimmed() {
    let world = World::new().await.classified().await;
    let guest = world.token(&world.grant(world.user("guest").await, "cli_alpha", "notes", "mcp:read").await);
    let session = world.session(&guest, NOVEMBER).await;
    let mut stream = standing(&world, &guest, &session).await;
    world.fake.open_streams(1).await;
    // The request's own stream ends without an answer, so that it can be resumed.
    world.fake.script("tools/list", 200, "text/event-stream", "id: 1\ndata:\n\n");
    let ask = world.legacy(&guest, &session, NOVEMBER, "tools/list", json!({}));
    let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
    assert!(ask.send().await.messages().is_empty());
    let tools: Value = ["get_note", "delete_note"]
        .map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }))
        .into_iter()
        .collect();
    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": tools } });
    world.fake.news.send(answer.to_string()).unwrap();
    let seen = next(&mut stream).await;
    assert_eq!(seen["id"], id);
    assert!(!seen.to_string().contains("delete_note"), "{seen}");
    // After the answer, the id belongs to no request.
    world.fake.news.send(answer.to_string()).unwrap();
    let last = json!({ "jsonrpc": "2.0", "id": 10, "method": "ping" });
    world.fake.news.send(last.to_string()).unwrap();
    assert_eq!(next(&mut stream).await, last);
}

/// ATK-71, TR-40: a session has one standing stream. The place is free again after the first has gone.
#[tokio::test]
async fn a_second_standing_stream_is_refused() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let session = world.session(&token, NOVEMBER).await;
    let first = standing(&world, &token, &session).await;
    let ask = || {
        let ask = world.ask(Method::GET, "/mcp/notes").header("authorization", &format!("Bearer {token}"));
        ask.header("accept", "text/event-stream").header("mcp-session-id", &session)
    };
    assert_eq!(ask().send().await.status, 409);
    assert_eq!(ask().replace("accept", "application/json").send().await.status, 406);
    drop(first);
    for _ in 0..200 {
        if ask().open().await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place was not given back");
}

/// PX-20, TR-39, TR-40: a stream can be resumed only from an event of its own session.
#[tokio::test]
async fn a_stream_is_resumed_from_its_own_events_only() {
    let world = World::new().await.classified().await;
    let victim = world.owner_token("mcp:read").await;
    let mallory = world.token(&world.grant(world.user("mallory").await, "cli_alpha", "notes", "mcp:read").await);
    let (theirs, own) = (world.session(&victim, NOVEMBER).await, world.session(&mallory, NOVEMBER).await);
    world.fake.script("tools/call", 200, "text/event-stream", "id: place-of-victim\ndata:\n\n");
    let ask = world.legacy(&victim, &theirs, NOVEMBER, "tools/call", json!({ "name": "get_note" }));
    assert!(ask.send().await.body.contains("place-of-victim"));
    let resumed = |token: String, session: String| {
        let ask = world.ask(Method::GET, "/mcp/notes").header("authorization", &format!("Bearer {token}"));
        ask.header("accept", "*/*").header("mcp-session-id", &session).header("last-event-id", "place-of-victim").open()
    };
    let at_upstream = || world.fake.seen().pop().unwrap().header("last-event-id").map(str::to_owned);
    assert_eq!(resumed(mallory.clone(), own).await.status, 200);
    assert_eq!(at_upstream(), None);
    assert_eq!(resumed(victim.clone(), theirs).await.status, 200);
    assert_eq!(at_upstream().as_deref(), Some("place-of-victim"));
    // Streams of 2026-07-28 cannot be resumed.
    let reply = world.call(&victim, "get_note").send().await;
    assert!(!reply.body.contains("place-of-victim"), "{}", reply.body);
}

/// ATK-59, TR-43: a revocation ends every open answer and stream of the grant within a second; others stay open.
#[tokio::test]
async fn revocation_ends_what_is_open_within_a_second() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:read").await;
    let token = world.token(&grantee);
    let other = world.token(&world.grant(world.owner(), "cli_beta", "notes", "mcp:read").await);
    let session = world.session(&token, NOVEMBER).await;
    let mut subscription = listen(&world, &token, json!({ "toolsListChanged": true })).open().await;
    let mut standing = standing(&world, &token, &session).await;
    let mut answer =
        world.modern(&token, "tools/call", json!({ "name": "get_hang", "_meta": { "progressToken": 1 } })).open().await;
    let mut foreign = listen(&world, &other, json!({ "toolsListChanged": true })).open().await;
    for stream in [&mut subscription, &mut answer, &mut foreign] {
        stream.next().await.unwrap();
    }
    world.fake.open_streams(4).await;
    world.revoke(grantee.grant).await;
    let ended = tokio::time::timeout(Duration::from_secs(1), async {
        (subscription.rest().await, standing.rest().await, answer.rest().await)
    });
    let (subscription, standing, answer) = ended.await.expect("still open after a second");
    // TR-43: a subscription ends with its result, a request with an error, and a session's stream without a message.
    assert_eq!(subscription.last().unwrap()["result"]["resultType"], "complete");
    assert!(standing.is_empty(), "{standing:?}");
    assert_eq!(answer.last().unwrap()["error"]["code"], -32603);
    world.fake.open_streams(1).await;
    world
        .recorded(
            "the end",
            |event| matches!(event, Event::Outcome(outcome) if outcome.result == OutcomeResult::Revoked),
        )
        .await;
    assert_eq!(listen(&world, &token, json!({})).send().await.status, 401);
}

/// ATK-59: a disabled user's streams end as well.
#[tokio::test]
async fn a_disabled_users_streams_end_within_a_second() {
    let world = World::new().await.classified().await;
    let user = world.user("guest").await;
    let token = world.token(&world.grant(user, "cli_alpha", "notes", "mcp:read").await);
    let mut stream = listen(&world, &token, json!({ "toolsListChanged": true })).open().await;
    stream.next().await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    tx.users().set_disabled(user, true).await.unwrap();
    tx.commit().await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), stream.rest()).await.expect("still open after a second");
}

/// ATK-59, TR-42: a standing stream ends with its token; the answer to one request may finish after it.
#[tokio::test]
async fn a_standing_stream_ends_with_its_token_and_an_answer_does_not() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:read").await;
    let mut claims = world.claims(&grantee);
    claims.exp = after(world.clock.now(), 1);
    let token = world.sign(&claims);
    let mut stream = listen(&world, &token, json!({ "toolsListChanged": true })).open().await;
    let ask = world.modern(&token, "tools/call", json!({ "name": "get_hang", "_meta": { "progressToken": 1 } }));
    let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
    let mut answer = ask.open().await;
    stream.next().await.unwrap();
    answer.next().await.unwrap();
    let rest = stream.rest().await;
    assert_eq!(rest.last().unwrap()["result"]["resultType"], "complete");
    world.clock.advance_seconds(2);
    let done = json!({ "jsonrpc": "2.0", "id": id, "result": { "resultType": "complete", "content": [] } });
    world.fake.news.send(done.to_string()).unwrap();
    assert_eq!(answer.next().await.unwrap(), done);
}

/// TR-37: in 2026-07-28 a client that goes away cancels its request, and the upstream notices within a second.
#[tokio::test]
async fn a_modern_client_that_leaves_cancels() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let mut answer =
        world.modern(&token, "tools/call", json!({ "name": "get_hang", "_meta": { "progressToken": 1 } })).open().await;
    answer.next().await.unwrap();
    world.fake.open_streams(1).await;
    drop(answer);
    tokio::time::timeout(Duration::from_secs(1), world.fake.open_streams(0)).await.expect("the upstream still works");
    world
        .recorded(
            "the cancellation",
            |event| matches!(event, Event::Outcome(outcome) if outcome.result == OutcomeResult::Cancelled),
        )
        .await;
}

/// ATK-94: the stream beyond the bound is refused with 429, and another grant is not affected.
#[tokio::test]
async fn too_many_streams_of_one_grant_are_refused() {
    let limits = Limits { streams_per_grant: 2, ..Limits::default() };
    let world = World::with(Plan { limits, ..Plan::default() }).await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let other = world.token(&world.grant(world.owner(), "cli_beta", "notes", "mcp:read").await);
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(listen(&world, &token, json!({ "toolsListChanged": true })).open().await);
    }
    assert!(open.iter().all(|stream| stream.status == 200));
    let reply = listen(&world, &token, json!({ "toolsListChanged": true })).send().await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, Some("1")));
    assert_eq!(listen(&world, &other, json!({})).open().await.status, 200);
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
}

/// ATK-93: an event beyond the bound ends the stream with an error, and nothing of it is passed on.
#[tokio::test]
async fn an_oversize_event_ends_the_stream_with_an_error() {
    let limits = Limits { answer_bytes_max: 2000, ..Limits::default() };
    let world = World::with(Plan { limits, ..Plan::default() }).await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let huge = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 1, "x": "y".repeat(3000) } });
    world.fake.script("tools/call", 200, "text/event-stream", sse(&[huge]));
    let reply =
        world.modern(&token, "tools/call", json!({ "name": "get_note", "_meta": { "progressToken": 1 } })).send().await;
    assert!(!reply.body.contains("yyyy"));
    assert_eq!(reply.messages().last().unwrap()["error"]["code"], -32603);
    world.fake.script("tools/call", 200, "application/json", " ".repeat(5000));
    assert_eq!(world.call(&token, "get_note").send().await.status, 502);
}

/// ATK-66: an upstream's message that two parsers could read differently is not passed on.
#[tokio::test]
async fn an_ambiguous_message_of_an_upstream_ends_the_stream() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    for body in [
        "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"result\":{}}\n\n",
        "data: [1]\n\n",
        "data: {\n\n",
        "data: {\"jsonrpc\":\"2.0\"}\n\n",
        "",
    ] {
        world.fake.script("tools/call", 200, "text/event-stream", body);
        let reply = world.call(&token, "get_note").send().await;
        let code = if reply.status == 200 {
            reply.messages().last().unwrap()["error"]["code"].clone()
        } else {
            json!(reply.code())
        };
        assert_eq!(code, -32603, "{body}: {} {}", reply.status, reply.body);
    }
}
