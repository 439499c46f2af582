//! A server that is part of the checkpoint itself. It speaks every revision, and its calls pass like all others.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use sekisho_gateway::{BuiltIn, BuiltInAnswer, BuiltInCall, BuiltInSettings, Limits, Upstream, UpstreamSettings};
use serde_json::{Value, json};

use crate::world::{JUNE, MODERN, NOVEMBER, Plan, World, name};

/// A server that returns who asked and for what, and never answers one of its calls.
#[derive(Debug)]
struct Echo;

impl BuiltIn for Echo {
    fn info(&self) -> Value {
        json!({ "name": "echo", "version": "1" })
    }

    fn tools(&self) -> Vec<Value> {
        ["get_note", "never"].map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).to_vec()
    }

    fn prompts(&self) -> Vec<Value> {
        vec![json!({ "name": "ask" })]
    }

    fn call(&self, asked: BuiltInCall) -> BuiltInAnswer<'_> {
        Box::pin(async move {
            match asked.name.as_str() {
                "get_note" => {
                    let text = format!("{} {}", asked.caller.subject(), Value::Object(asked.arguments));
                    Ok(json!({ "content": [{ "type": "text", "text": text }] }))
                }
                "never" => std::future::pending().await,
                _ => Err("no such tool".to_owned()),
            }
        })
    }

    fn prompt(&self, asked: BuiltInCall) -> BuiltInAnswer<'_> {
        Box::pin(async move { Err(format!("no prompt `{}`", asked.name)) })
    }
}

/// A world whose `notes` is this server, with a short time limit for calls.
async fn world() -> World {
    let limits = Limits { request_deadline: Duration::from_millis(300), ..Limits::default() };
    let world = World::with(Plan { limits, ..Plan::default() }).await;
    let server = name("notes");
    let mut routes = (**world.routes.borrow()).clone();
    let mut route = (*routes.servers[&server]).clone();
    let settings = UpstreamSettings::BuiltIn(BuiltInSettings(Arc::new(Echo)));
    route.upstream = Upstream::behind(&route.card.name, settings);
    routes.servers.insert(server.clone(), Arc::new(route));
    world.routes.send(Arc::new(routes)).unwrap();
    for _ in 0..400 {
        // The reload takes a moment; the server's name shows when it is done.
        let found = world.gateway.probe(&server).await;
        if found.is_ok_and(|probe| probe.server_info.is_some_and(|info| info.contains("echo"))) {
            return world;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server did not answer")
}

/// TR-13, TR-50: the same server answers in every revision, and nothing of a call reaches the other upstream.
#[tokio::test]
async fn what_is_built_in_speaks_every_revision() {
    let world = world().await;
    let token = world.owner_token("mcp:read tool:get_note").await;
    let arguments = json!({ "name": "get_note", "arguments": { "a": 1 } });
    for revision in [JUNE, NOVEMBER] {
        let session = world.session(&token, revision).await;
        let reply = world.legacy(&token, &session, revision, "tools/call", arguments.clone()).send().await;
        let text = reply.messages_or_json()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        assert!(text.ends_with(r#" {"a":1}"#), "{text}");
        assert!(world.legacy(&token, &session, revision, "ping", json!({})).send().await.json()["result"].is_object());
        // It sends nothing unasked, and accepts messages that need no answer.
        let listening = world.ask(Method::GET, "/mcp/notes").header("authorization", &format!("Bearer {token}"));
        let listening = listening.header("accept", "text/event-stream").header("mcp-session-id", &session);
        assert_eq!(listening.header("mcp-protocol-version", revision).send().await.status, 405, "{revision}");
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let told = world.post(&token, told).header("mcp-session-id", &session);
        assert_eq!(told.header("mcp-protocol-version", revision).send().await.status, 202, "{revision}");
    }
    let discovered = world.modern(&token, "server/discover", json!({})).send().await.json();
    let result = &discovered["result"];
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "echo", "{discovered}");
    assert_eq!(result["supportedVersions"], json!([MODERN]), "{discovered}");
    assert!(result["capabilities"]["prompts"].is_object(), "{discovered}");
    assert_eq!(world.modern(&token, "tools/call", arguments).send().await.json()["result"]["resultType"], "complete");
    assert!(world.fake.of_callers().is_empty());
}

/// A tool that does not exist, bad arguments and a call that never ends are told as for any other server.
#[tokio::test]
async fn what_is_built_in_fails_like_any_other() {
    let world = world().await;
    let token = world.owner_token("mcp:read tool:get_note tool:never").await;
    for (method, params, code) in [
        ("prompts/get", json!({ "name": "other" }), -32602),
        ("resources/read", json!({ "uri": "note:a" }), -32601),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "ask" }, "argument": { "name": "a", "value": "" } }),
            -32601,
        ),
    ] {
        let reply = world.modern(&token, method, params).send().await;
        assert_eq!(reply.messages_or_json()["error"]["code"], code, "{method}: {}", reply.body);
    }
    let late = world.call(&token, "never").send().await;
    assert_eq!(late.status, 504, "{}", late.body);
    // A caller without rights is refused here, too.
    let stranger = world.owner_token("mcp:read").await;
    assert_eq!(world.call(&stranger, "get_note").send().await.status, 403);
}
