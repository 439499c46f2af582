//! Upstreams that try to speak in our name, redirect callers, or flood them.

use std::time::Duration;

use sekisho_e2e::fakes::call::{headers, initialize, legacy, message, tool};
use sekisho_e2e::fakes::canary::Canary;
use sekisho_e2e::fakes::oauth::Granted;
use sekisho_e2e::fakes::upstream::{Conduct, Speaks};
use sekisho_e2e::fakes::wire::{Ask, Connection, Reply, events};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::field::{Field, OWNER, UP, USER};

/// A call that asks for progress notifications.
fn progressing(granted: &Granted) -> Ask {
    let mut body = message("tools/call", json!({ "name": "look", "arguments": {} }));
    body["params"]["_meta"]["progressToken"] = json!("p");
    headers(UP, &granted.access, "tools/call").header("mcp-name", "look").json(&body)
}

fn tells_nothing_of(reply: &Reply, words: &[&str]) {
    let all = format!("{:?} {}", reply.headers, reply.text());
    for word in words {
        assert!(!all.contains(word), "{word}: {all}");
    }
}

/// ATK-79, PX-13: an upstream's refusal becomes our own error, and nothing from its challenge reaches the client.
#[tokio::test]
async fn an_upstreams_challenge_is_not_passed_on() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    for status in [401, 403, 407] {
        field.upstream.behave(Conduct::Challenge(status));
        let reply = field.ask(&tool(UP, &granted.access, "look")).await;
        assert_eq!(reply.status, 502, "{status}: {}", reply.text());
        assert_eq!(reply.header("www-authenticate"), None, "{status}");
        assert_eq!(reply.header("set-cookie"), None, "{status}");
        tells_nothing_of(&reply, &["foreign", "everything:admin", "upstream-secret-words"]);
        if status != 407 {
            assert!(reply.text().contains("wants its own credential"), "{}", reply.text());
        }
    }
    field.recorded("the failure", |event| event["kind"] == "outcome" && event["result"] == "upstream_failed").await;
    field.upstream.behave(Conduct::Honest);
    field.upstream.forget();
    field.is_healthy(&granted).await;
}

/// ATK-88: a redirect of an upstream is not followed, so nothing of the call goes elsewhere.
#[tokio::test]
async fn an_upstreams_redirect_is_not_followed() {
    let field = Field::start().await;
    let canary = Canary::start().await.unwrap();
    let granted = field.granted(OWNER, "mcp:read").await;
    for status in [300, 301, 302, 303, 307, 308] {
        for to in [canary.url("/taken"), format!("//{}/taken", canary.address)] {
            field.upstream.behave(Conduct::Redirect(status, to));
            let reply = field.ask(&tool(UP, &granted.access, "look")).await;
            assert_eq!(reply.status, 502, "{status}: {}", reply.text());
            assert_eq!(reply.header("location"), None, "{status}");
            tells_nothing_of(&reply, &["taken", &canary.address.to_string()]);
        }
    }
    assert_eq!(canary.visits(), Vec::<String>::new());
    field.upstream.behave(Conduct::Honest);
    field.upstream.forget();
    field.is_healthy(&granted).await;
}

/// ATK-70, ATK-73, TR-35: a list in a place where nobody asked for it does not reveal hidden tools.
#[tokio::test]
async fn a_list_on_another_stream_is_not_passed_on() {
    let field = Field::start().await;
    let user = field.granted(USER, "mcp:read mcp:write").await;
    field.upstream.behave(Conduct::ListElsewhere);
    let reply = field.ask(&tool(UP, &user.access, "look")).await;
    tells_nothing_of(&reply, &["unlisted", "\"wipe\""]);
    let messages = events(&reply.text());
    assert!(
        messages.iter().all(|message| message.get("method").is_none()
            || message["method"].as_str().is_some_and(|method| method.starts_with("notifications/"))),
        "{messages:?}"
    );
    field.upstream.behave(Conduct::Honest);
    field.upstream.forget();
    field.is_healthy(&user).await;
}

/// ATK-70, ATK-73: the same on the standing stream of an older revision.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_on_a_standing_stream_is_not_passed_on() {
    let field = Field::before(Speaks::Legacy, "").await;
    let user = field.granted(USER, "mcp:read mcp:write").await;
    let id = field
        .ask(&legacy(UP, &user.access, None, &initialize("2025-11-25")))
        .await
        .header("mcp-session-id")
        .unwrap()
        .to_owned();
    let listen = Ask::get(UP)
        .bearer(&user.access)
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &id)
        .header("mcp-protocol-version", "2025-11-25");
    let mut stream = Connection::open(field.address).await.unwrap();
    stream.send(&listen.bytes(&field.host())).await.unwrap();
    assert_eq!(stream.head().await.unwrap().status, 200);
    let _ = stream.part().await.unwrap();
    let tools = sekisho_e2e::fakes::upstream::tools();
    for id in [json!(1), json!(2), json!("x"), json!(99)] {
        field.upstream.push(&json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": tools } }));
    }
    field.upstream.push(&json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": { "tools": tools } }));
    field.upstream.push(&json!({ "jsonrpc": "2.0", "method": "notifications/unknown", "params": { "tools": tools } }));
    field.upstream.push(&json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "the-end" } }));
    let mut text = String::new();
    while !text.contains("the-end") {
        text += &String::from_utf8_lossy(&stream.part().await.unwrap().expect("the stream stands"));
    }
    assert!(!text.contains("unlisted") && !text.contains("\"wipe\""), "{text}");
    let listed = field
        .ask(&legacy(
            UP,
            &user.access,
            Some((&id, "2025-11-25")),
            &json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {} }),
        ))
        .await;
    assert_eq!(listed.json()["result"]["tools"].as_array().map(Vec::len), Some(2), "{}", listed.text());
}

/// ATK-68, ATK-94, ATK-93: the size of an event is bounded; beyond the bound the stream ends with an error, and the
/// memory of the process has not grown.
#[tokio::test]
async fn an_event_has_a_bound() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    field.upstream.behave(Conduct::HugeEvent(64 << 20));
    let mut connection = Connection::open(field.address).await.unwrap();
    connection.send(&tool(UP, &granted.access, "look").bytes(&field.host())).await.unwrap();
    let head = connection.head().await.unwrap();
    let mut got = 0;
    let mut text = String::new();
    while let Ok(Some(part)) = connection.part().await {
        got += part.len();
        text.extend(String::from_utf8_lossy(&part).chars().take(500));
    }
    assert!(got < 8 << 20, "{got} bytes came through");
    assert!(
        head.status == 502 || events(&text).iter().any(|message| message.get("error").is_some()),
        "{} {text}",
        head.status
    );
    field.recorded("the failure", |event| event["kind"] == "outcome" && event["result"] == "upstream_failed").await;
    field.upstream.behave(Conduct::Honest);
    field.upstream.forget();
    field.is_healthy(&granted).await;
}

/// TR-36, TR-10: events arrive as they are sent, not when the response is complete.
#[tokio::test(flavor = "multi_thread")]
async fn events_come_through_as_they_are_made() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    field.upstream.behave(Conduct::Drip(5, Duration::from_millis(300)));
    let mut connection = Connection::open(field.address).await.unwrap();
    let begun = Instant::now();
    connection.send(&progressing(&granted).bytes(&field.host())).await.unwrap();
    assert_eq!(connection.head().await.unwrap().status, 200);
    connection.part().await.unwrap().expect("a first event");
    assert!(begun.elapsed() < Duration::from_millis(1200), "the first event after {:?}", begun.elapsed());
    let mut text = String::new();
    while let Some(part) = connection.part().await.unwrap() {
        text += &String::from_utf8_lossy(&part);
    }
    assert!(begun.elapsed() >= Duration::from_millis(1400), "the whole answer takes its time");
    let messages = events(&text);
    assert_eq!(messages.last().map(|message| &message["id"]), Some(&json!(1)), "{text}");
    assert!(messages.iter().any(|message| message["method"] == "notifications/progress"), "{text}");
}

/// RS-26: a response that breaks off becomes an error with the request's id, not silence and not another caller's data.
#[tokio::test]
async fn a_broken_answer_is_an_error() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    field.upstream.behave(Conduct::Cut);
    let reply = field.ask(&progressing(&granted)).await;
    let last: Value = reply.json();
    assert_eq!(last["id"], 1, "{}", reply.text());
    assert!(last["error"]["code"].is_i64(), "{}", reply.text());
    field.recorded("the failure", |event| event["kind"] == "outcome" && event["result"] == "upstream_failed").await;
    field.upstream.behave(Conduct::Honest);
    field.upstream.forget();
    field.is_healthy(&granted).await;
}
