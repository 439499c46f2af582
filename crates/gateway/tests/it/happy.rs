use sekisho_protocol::audit::{Event, OutcomeResult, Verdict};
use sekisho_protocol::env::Clock as _;
use serde_json::json;

use crate::world::{JUNE, NOVEMBER, World};

/// TR-10, TR-12, TR-26, TR-22: a call of 2026-07-28 reaches its upstream byte by byte, and its answer comes back.
#[tokio::test]
async fn a_modern_call_passes_through() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let ask = world.modern(
        &token,
        "tools/call",
        json!({ "name": "get_note", "arguments": { "b": 1, "a": [true, null, "é"] } }),
    );
    let sent = ask.text();
    let reply = ask.send().await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.body.contains("get_note"), "{}", reply.body);
    assert_eq!(world.fake.last("tools/call").body, sent);
    let decision = world
        .recorded("the decision", |event| matches!(event, Event::Decision(decision) if decision.method == "tools/call"))
        .await;
    let Event::Decision(judged) = &decision.event else { unreachable!() };
    assert_eq!(judged.verdict, Verdict::Permit);
    assert_eq!(judged.target.as_deref(), Some("get_note"));
    let outcome = world.recorded("the outcome", |event| matches!(event, Event::Outcome(_))).await;
    let Event::Outcome(ended) = &outcome.event else { unreachable!() };
    assert_eq!((outcome.request, ended.result, ended.status), (decision.request, OutcomeResult::Answered, 200));
    assert_eq!(ended.bytes, reply.body.len() as u64);
}

/// TR-10, TR-36: the answer of an upstream that streams is streamed.
#[tokio::test]
async fn a_modern_stream_passes_through() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let ask = world.modern(&token, "tools/call", json!({ "name": "get_stream", "_meta": { "progressToken": "p" } }));
    let reply = ask.send().await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    let messages = reply.messages();
    assert_eq!(messages.len(), 2, "{}", reply.body);
    assert_eq!(messages[0]["params"]["progressToken"], "p");
    assert_eq!(messages[1]["result"]["content"][0]["text"], "streamed");
}

/// TR-49, TR-09: the older revisions work through a session of ours, with a session of the upstream behind it.
#[tokio::test]
async fn a_session_of_an_older_revision_lives_and_ends() {
    for revision in [JUNE, NOVEMBER] {
        let world = World::new().await.classified().await;
        let token = world.owner_token("mcp:read").await;
        let session = world.session(&token, revision).await;
        assert!(!session.contains("upstream"), "{session}");
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let reply = world
            .post(&token, initialized)
            .header("mcp-session-id", &session)
            .header("mcp-protocol-version", revision)
            .send()
            .await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (202, ""));
        let reply = world.legacy(&token, &session, revision, "tools/call", json!({ "name": "get_note" })).send().await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let seen = world.fake.last("tools/call");
        let behind = seen.header("mcp-session-id").unwrap().to_owned();
        assert!(behind.starts_with("upstream-session-"));
        // If the header is missing, the version is the one that `initialize` agreed on.
        let reply =
            world.legacy(&token, &session, revision, "ping", json!({})).without("mcp-protocol-version").send().await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let end = || {
            let ask = world.ask(http::Method::DELETE, "/mcp/notes").header("authorization", &format!("Bearer {token}"));
            ask.header("mcp-session-id", &session)
        };
        assert_eq!(end().send().await.status, 204);
        assert_eq!(end().send().await.status, 404);
        let reply = world.legacy(&token, &session, revision, "ping", json!({})).send().await;
        assert_eq!(reply.status, 404);
        // The gateway's own questions use sessions of their own, and end them.
        let seen = world.fake.seen();
        let ended = seen.iter().filter(|seen| seen.http == http::Method::DELETE);
        assert_eq!(ended.filter(|seen| seen.header("mcp-session-id") == Some(behind.as_str())).count(), 1);
    }
}

/// When a grant was last used, by which people decide what to end: every call with the grant counts, permitted or
/// refused, and nothing else does.
#[tokio::test]
async fn the_use_of_a_grant_is_noted() {
    let world = World::new().await.classified().await;
    for (tool, status) in [("get_note", 200), ("add_note", 200), ("delete_note", 403)] {
        let (grantee, unused) = (world.granted("mcp:write").await, world.granted("mcp:write").await);
        world.clock.advance_seconds(7);
        let at = world.clock.now();
        let ask = world.modern(&world.token(&grantee), "tools/call", json!({ "name": tool, "arguments": {} }));
        assert_eq!(ask.send().await.status, status, "{tool}");
        world.gateway.recorded().await;
        let mut tx = world.store.begin().await.unwrap();
        let mut noted = async |grant| tx.grants().find(grant).await.unwrap().unwrap().last_used_at;
        assert_eq!((noted(grantee.grant).await, noted(unused.grant).await), (Some(at), None), "{tool}");
    }
}
