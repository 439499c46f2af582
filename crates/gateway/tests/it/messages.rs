//! Requests: their bodies, the headers that repeat the body, and the method table.

use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use sekisho_gateway::Limits;
use sekisho_protocol::audit::Event;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fake::Speaks;
use crate::world::{JUNE, MODERN, NOVEMBER, Plan, World};

/// TR-07, TR-08, ATK-68: a request that is not one plain JSON message, with the headers of the protocol, is refused
/// before its body is read.
#[tokio::test]
async fn a_request_must_say_what_it_is_and_what_it_takes() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let ask = || world.call(&token, "get_note");
    for (ask, status) in [
        (ask().without("content-type"), 415),
        (ask().replace("content-type", "text/plain"), 415),
        (ask().replace("content-type", "multipart/form-data; boundary=x"), 415),
        (ask().header("content-encoding", "gzip"), 415),
        (ask().header("content-encoding", "br"), 415),
        (ask().header("content-encoding", "identity"), 415),
        (ask().without("accept"), 406),
        (ask().replace("accept", "application/json"), 406),
        (ask().replace("accept", "text/event-stream"), 406),
        (ask().replace("accept", "*/*"), 200),
    ] {
        assert_eq!(ask.send().await.status, status);
    }
    assert_eq!(world.fake.of_callers().len(), 1);
}

/// RS-61, ATK-68, ATK-91, ATK-93: a body is read as a whole or not at all, and within a time limit.
#[tokio::test]
async fn a_body_is_bounded_in_size_and_time() {
    let limits = Limits { body_bytes_max: 1000, body_timeout: Duration::from_millis(200), ..Limits::default() };
    let world = World::with(Plan { limits, ..Plan::default() }).await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let padded = |length: usize| {
        let body = world.call(&token, "get_note").text();
        let padding = " ".repeat(length.saturating_sub(body.len()));
        world.call(&token, "get_note").body(body + &padding)
    };
    assert_eq!(padded(1000).send().await.status, 200);
    assert_eq!(padded(1001).send().await.status, 413);
    // If no length is declared, the bound is enforced while reading.
    let host = world.base.trim_start_matches("http://");
    let head = format!(
        "POST /mcp/notes HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nAccept: */*\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    for (body, expected) in
        [(format!("{:x}\r\n{}\r\n0\r\n\r\n", 2000, " ".repeat(2000)), "413"), ("1\r\n{\r\n".to_owned(), "408")]
    {
        let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
        socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer[9..]), expected);
    }
    assert_eq!(world.fake.of_callers().len(), 1);
}

/// ATK-66, ATK-69, ATK-93, TR-08: a message that two parsers could read differently is refused in every revision.
#[tokio::test]
async fn an_ambiguous_body_is_refused_in_every_revision() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:destructive").await;
    let session = world.session(&token, NOVEMBER).await;
    let before = world.fake.of_callers().len();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_note"}}"#;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":{}1{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let many: Vec<&str> = vec![call; 1000];
    let bodies = [
        "".to_owned(),
        "{".to_owned(),
        "null".to_owned(),
        "7".to_owned(),
        "\"x\"".to_owned(),
        format!("[{call}]"),
        format!("[{call},{call}]"),
        "[]".to_owned(),
        format!("[[{call}]]"),
        format!("[{}]", many.join(",")),
        format!("\u{FEFF}{call}"),
        format!("{call}{call}"),
        format!("{call} x"),
        format!("/*c*/{call}"),
        deep,
        call.replace("\"name\":\"get_note\"", "\"name\":\"get_note\",\"name\":\"delete_note\""),
        call.replace("\"name\":\"get_note\"", "\"name\":\"get_note\",\"n\\u0061me\":\"delete_note\""),
        call.replace("\"name\":\"get_note\"", "\"name\":\"get_note\",\"Name\":\"delete_note\""),
        call.replace("\"params\":", "\"params\":{},\"param\u{17F}\":"),
        call.replace("\"method\":", "\"Method\":\"ping\",\"method\":"),
        call.replace("\"id\":1", "\"id\":1.0"),
        call.replace("\"id\":1", "\"id\":null"),
        call.replace("\"id\":1", "\"id\":{}"),
        call.replace("\"id\":1", "\"id\":1,\"id\":2"),
        call.replace("2.0", "1.0"),
        call.replace("\"jsonrpc\":\"2.0\",", ""),
        call.replace("{\"name\":\"get_note\"}", "[]"),
        call.replace("{\"name\":\"get_note\"}", "7"),
        call.replace("\"get_note\"", "7"),
        call.replace("\"get_note\"", "null"),
        call.replace("\"get_note\"", "\"get_note\",\"arguments\":{\"path\":1,\"PATH\":2}"),
        call.replace("\"get_note\"", "\"get_note\",\"arguments\":{\"n\":1e999}"),
        call.replace("\"id\":1", "\"id\":9007199254740993"),
        call.replace("\"method\":\"tools/call\"", "\"method\":\"tools/call\",\"result\":{}"),
    ];
    for body in bodies {
        for revision in [MODERN, NOVEMBER, JUNE, "2024-11-05", ""] {
            let mut ask = world.post(&token, &body).header("mcp-session-id", &session);
            if revision == MODERN {
                ask = ask.header("mcp-method", "tools/call").header("mcp-name", "get_note");
            }
            if !revision.is_empty() {
                ask = ask.header("mcp-protocol-version", revision);
            }
            let reply = ask.send().await;
            assert_eq!(reply.status, 400, "{revision} {body}: {}", reply.body);
            assert!(reply.code() < 0, "{}", reply.body);
        }
    }
    assert_eq!(world.fake.of_callers().len(), before, "the upstream saw one of them");
    world
        .recorded(
            "the rejection",
            |event| matches!(event, Event::Rejection(rejection) if rejection.reason == "body_unreadable"),
        )
        .await;
}

/// ATK-65, PX-25..PX-28, TR-12, TR-13, TR-26..TR-30: a request whose headers do not agree with its body is refused.
#[tokio::test]
async fn headers_that_disagree_with_the_body_are_refused() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:destructive").await;
    let ask = || world.call(&token, "delete_note");
    for (what, ask, status, code) in [
        ("another tool", ask().replace("mcp-name", "get_note"), 400, -32020),
        ("no name", ask().without("mcp-name"), 400, -32020),
        ("another method", ask().replace("mcp-method", "tools/list"), 400, -32020),
        ("case of the method", ask().replace("mcp-method", "TOOLS/CALL"), 400, -32020),
        ("no method", ask().without("mcp-method"), 400, -32020),
        ("two names", ask().header("mcp-name", "get_note"), 400, -32020),
        ("two methods", ask().header("mcp-method", "tools/call"), 400, -32020),
        ("bad encoding", ask().replace("mcp-name", "=?base64?%%%?="), 400, -32020),
        ("encoded other name", ask().replace("mcp-name", "=?base64?Z2V0X25vdGU=?="), 400, -32020),
        ("no version", ask().without("mcp-protocol-version"), 400, -32020),
        ("older version", ask().replace("mcp-protocol-version", NOVEMBER), 400, -32020),
        ("unknown version", ask().replace("mcp-protocol-version", "1900-01-01"), 400, -32020),
        ("two versions", ask().header("mcp-protocol-version", MODERN), 400, -32020),
        ("case of the header", ask().without("mcp-name").header("MCP-NAME", "delete_note"), 200, 0),
        ("encoded name", ask().replace("mcp-name", "=?base64?ZGVsZXRlX25vdGU=?="), 200, 0),
    ] {
        let reply = ask.send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{what}: {}", reply.body);
    }
    assert_eq!(world.fake.of_callers().len(), 2);
}

/// TR-14, TR-16: the error for an unknown version names those of its era that the upstream speaks. Required members of
/// `_meta` must be there.
#[tokio::test]
async fn versions_and_meta_of_a_modern_request_are_required() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let ask = world.call(&token, "get_note");
    let body = ask.text().replace(MODERN, "1900-01-01");
    let reply = ask.body(body).replace("mcp-protocol-version", "1900-01-01").send().await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32022));
    assert_eq!(reply.json()["error"]["data"], json!({ "supported": [MODERN], "requested": "1900-01-01" }));
    let without = |member: &str| {
        let ask = world.call(&token, "get_note");
        let mut body: Value = serde_json::from_str(&ask.text()).unwrap();
        body["params"]["_meta"].as_object_mut().unwrap().remove(member).unwrap();
        ask.body(body.to_string())
    };
    for member in ["io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"] {
        let reply = without(member).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "{}", reply.body);
    }
}

/// ATK-67, TR-09, TR-19, TR-51: every revision has its own methods, and an unknown one is refused in each.
#[tokio::test]
async fn an_unknown_method_is_refused_in_every_revision() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:destructive").await;
    for method in [
        "initialize",
        "ping",
        "tasks/list",
        "tasks/result",
        "logging/setLevel",
        "resources/subscribe",
        "Tools/Call",
        "tools/call2",
        "x",
    ] {
        let reply = world.modern(&token, method, json!({})).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (404, -32601), "{method}: {}", reply.body);
    }
    let session = world.session(&token, JUNE).await;
    for method in
        ["server/discover", "subscriptions/listen", "tasks/get", "tasks/list", "elicitation/create", "Tools/Call", "x"]
    {
        let reply = world.legacy(&token, &session, JUNE, method, json!({})).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (200, -32601), "{method}: {}", reply.body);
    }
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/unknown" });
    let ask = world.post(&token, notification).header("mcp-session-id", &session).header("mcp-protocol-version", JUNE);
    let reply = ask.send().await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32601));
    assert!(world.fake.of_callers().iter().all(|seen| seen.method().is_empty()), "{:?}", world.fake.of_callers());
}

/// TR-08, TR-09, TR-37: in 2026-07-28 a client's answer is refused, and a cancellation by message is not forwarded.
#[tokio::test]
async fn a_modern_client_neither_answers_nor_cancels_by_message() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    let reply = world.post(&token, answer).header("mcp-protocol-version", MODERN).send().await;
    assert_eq!(reply.status, 400);
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    let reply = world.post(&token, cancel).header("mcp-protocol-version", MODERN).send().await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (202, ""));
    assert!(world.fake.of_callers().is_empty());
}

/// TR-34, PX-26, PX-27, PX-29: mirrored arguments are compared according to the tool's schema; unknown ones go on
/// unchanged.
#[tokio::test]
async fn mirrored_arguments_are_compared_with_the_body() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let ask =
        |arguments: Value| world.modern(&token, "tools/call", json!({ "name": "get_region", "arguments": arguments }));
    for (ask, status) in [
        (ask(json!({ "region": "eu" })).header("mcp-param-region", "eu"), 200),
        (ask(json!({ "region": "eu" })).header("mcp-param-region", "us"), 400),
        (ask(json!({ "region": "eu" })), 400),
        (ask(json!({})).header("mcp-param-region", "eu"), 400),
        (ask(json!({ "region": null })), 200),
        (ask(json!({})).header("mcp-param-unknown", "kept"), 200),
    ] {
        let reply = ask.send().await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert!(status == 200 || reply.code() == -32020);
    }
    assert_eq!(world.fake.last("tools/call").header("mcp-param-unknown"), Some("kept"));
}

/// TR-23: members of `_meta` beyond the protocol go on, and none of them authenticates anybody.
#[tokio::test]
async fn meta_passes_through_and_authenticates_nobody() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let meta = json!({ "traceparent": "00-1-2-3", "example.com/user": "root", "authorization": "Bearer root" });
    let ask = world.modern(&token, "tools/call", json!({ "name": "get_note", "_meta": meta }));
    let sent = ask.text();
    assert_eq!(ask.send().await.status, 200);
    assert_eq!(world.fake.last("tools/call").body, sent);
    let without = world.call("x", "get_note").without("authorization").body(sent).send().await;
    assert_eq!(without.status, 401);
}

/// RS-62: a resource URI with a path that climbs upwards is refused.
#[tokio::test]
async fn a_climbing_resource_uri_is_refused() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    for (uri, status) in
        [("file:///a/b", 200), ("file:///../../etc/passwd", 400), ("file:///a/%2e%2e/etc", 400), ("/etc/passwd", 400)]
    {
        let reply = world.modern(&token, "resources/read", json!({ "uri": uri })).send().await;
        assert_eq!(reply.status, status, "{uri}: {}", reply.body);
    }
}

/// RS-61: more calls than a grant may make are refused, and another grant is not affected.
#[tokio::test]
async fn a_burst_of_calls_is_slowed_down() {
    let limits = Limits { calls_per_second_max: NonZeroU32::new(2), ..Limits::default() };
    let world = World::with(Plan { limits, ..Plan::default() }).await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let mut slowed = None;
    for _ in 0..20 {
        let reply = world.call(&token, "get_note").send().await;
        if reply.status == 429 {
            slowed = Some(reply);
            break;
        }
    }
    let slowed = slowed.expect("twenty calls at once were answered");
    assert_eq!(slowed.header("retry-after"), Some("1"));
    let other = world.token(&world.grant(world.owner(), "cli_beta", "notes", "mcp:read").await);
    assert_eq!(world.call(&other, "get_note").send().await.status, 200);
}

/// TR-14, TR-52, TR-53, TR-06, TR-39: a client of the wrong era is told which version would do, in the way of its own
/// era.
#[tokio::test]
async fn a_client_of_another_era_is_told_what_would_do() {
    let world = World::with(Plan { speaks: Speaks::Legacy, ..Plan::default() }).await;
    let token = world.owner_token("mcp:read").await;
    for method in ["server/discover", "tools/list"] {
        let reply = world.modern(&token, method, json!({})).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32022), "{}", reply.body);
        let data = &reply.json()["error"]["data"];
        assert_eq!(data["requested"], MODERN);
        let supported = data["supported"].as_array().unwrap();
        assert!(!supported.is_empty() && supported.iter().all(|revision| revision != MODERN), "{data}");
    }
    assert_eq!(world.initialize(&token, NOVEMBER).await.status, 200);
    // A revision that is not served is replaced by one that both serve, as a server would answer it.
    for revision in ["2024-11-05", "2025-03-26", "2099-01-01"] {
        let reply = world.initialize(&token, revision).await;
        assert_eq!(reply.json()["result"]["protocolVersion"], NOVEMBER, "{}", reply.body);
    }

    let world = World::with(Plan { speaks: Speaks::Modern, ..Plan::default() }).await;
    let token = world.owner_token("mcp:read").await;
    let reply = world.initialize(&token, NOVEMBER).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32022));
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains(MODERN), "{}", reply.body);
    let reply = world
        .post(&token, json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }))
        .header("mcp-protocol-version", NOVEMBER)
        .send()
        .await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32022));
    // TR-12: a request without any version is malformed.
    let reply = world.post(&token, json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })).send().await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32020));
    // TR-39: the streams and sessions of the older revisions do not exist here.
    for method in [Method::GET, Method::DELETE] {
        let ask =
            world.ask(method, "/mcp/notes").header("authorization", &format!("Bearer {token}")).header("accept", "*/*");
        let reply = ask.header("mcp-session-id", "x").header("mcp-protocol-version", MODERN).send().await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("POST")));
    }
    let ask = world
        .ask(Method::GET, "/mcp/notes")
        .header("authorization", &format!("Bearer {token}"))
        .header("accept", "*/*");
    assert_eq!(ask.send().await.status, 405);
    let reply = world
        .modern(&token, "server/discover", json!({}))
        .header("mcp-session-id", "x")
        .header("last-event-id", "7")
        .send()
        .await;
    assert_eq!((reply.status.as_u16(), reply.header("mcp-session-id")), (200, None));
}

/// TR-21, TR-48: discovery is an ordinary request: it is authorized, forwarded, and private to its caller.
#[tokio::test]
async fn discovery_passes_through_after_authorization() {
    let world = World::new().await;
    assert_eq!(world.modern("x", "server/discover", json!({})).without("authorization").send().await.status, 401);
    let token = world.owner_token("").await;
    let reply = world.modern(&token, "server/discover", json!({})).send().await;
    let result = &reply.json()["result"];
    assert_eq!(result["supportedVersions"][0], MODERN);
    assert_eq!(result["cacheScope"], "private");
    // A result may not be cached for a minute, because a revocation has to be seen earlier.
    assert_eq!(result["ttlMs"], 10_000);
}
