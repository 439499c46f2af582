//! Upstreams that fail, lie or ask too much.

use sekisho_protocol::audit::Event;
use serde_json::{Value, json};

use crate::fake::{Speaks, sse};
use crate::world::{MODERN, NOVEMBER, Plan, World};

/// PX-13, ATK-53, ATK-79: nothing of an upstream's 401 or 403 is relayed: no challenge, no header, no URL.
#[tokio::test]
async fn an_upstream_that_wants_a_credential_is_never_relayed() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    for status in [401, 403] {
        world.fake.script("tools/call", status, "application/json", r#"{"error":"insufficient_scope"}"#);
        let reply = world.call(&token, "get_note").send().await;
        assert_eq!(reply.status, 502, "{}", reply.body);
        assert_eq!(reply.header("www-authenticate"), None);
        assert!(reply.body.contains("its own credential"), "{}", reply.body);
        assert!(!reply.body.contains("evil"));
    }
}

/// ATK-53, ATK-79: none of an upstream's headers reach the client, whatever the kind of answer.
#[tokio::test]
async fn no_header_of_an_upstream_reaches_the_client() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let session = world.session(&token, NOVEMBER).await;
    let replies = [
        world.call(&token, "get_note").send().await,
        world.call(&token, "get_stream").send().await,
        world.modern(&token, "tools/list", json!({})).send().await,
        world.legacy(&token, &session, NOVEMBER, "ping", json!({})).send().await,
        world.initialize(&token, NOVEMBER).await,
    ];
    for reply in replies {
        assert_eq!(reply.status, 200);
        for name in ["www-authenticate", "x-upstream-secret", "set-cookie", "server"] {
            assert_eq!(reply.header(name), None, "{name}");
        }
        assert!(!reply.body.contains("upstream-session") && !reply.body.contains("canary"));
    }
}

/// TR-10, RS-26: an upstream whose answer is not MCP gives a 502, whatever it says.
#[tokio::test]
async fn an_answer_that_is_not_mcp_is_a_bad_gateway() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    for (status, kind, body) in [
        (200, "text/html", "<html>secret-canary</html>"),
        (200, "application/json", "secret-canary"),
        (200, "application/json", "[]"),
        (200, "application/json", r#"{"jsonrpc":"2.0","id":"another","result":{"secret":"secret-canary"}}"#),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"x":"secret-canary"}}"#,
        ),
        (500, "text/plain", "secret-canary"),
        (302, "text/plain", ""),
        (202, "text/plain", ""),
    ] {
        world.fake.script("tools/call", status, kind, body);
        let reply = world.call(&token, "get_note").send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (502, -32603), "{status} {body}: {}", reply.body);
        assert!(!reply.body.contains("canary"), "{}", reply.body);
    }
}

/// RFC 9110 §10.2.3: an upstream that asks to wait keeps its status, and the JSON-RPC error says it as well, because
/// most clients only see that.
#[tokio::test]
async fn an_upstream_that_asks_to_wait_is_passed_on_as_that() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    for status in [429, 503] {
        world.fake.script(
            "tools/call",
            status,
            "application/json",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"secret-canary"}}"#,
        );
        let reply = world.call(&token, "get_note").send().await;
        assert_eq!((reply.status.as_u16(), reply.code(), reply.header("retry-after")), (status, -32603, Some("1")));
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("wait"), "{}", reply.body);
        assert!(!reply.body.contains("canary"), "{}", reply.body);
    }
}

/// TR-45, TR-17, TR-56, TR-57, TR-20, TR-25, PX-24: a result that this request or this client cannot have is not passed
/// on.
#[tokio::test]
async fn a_result_of_the_wrong_kind_is_not_passed_on() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let ask = |method: &str, params: Value, capabilities: Value| {
        let mut params = params;
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        world.modern(&token, method, params)
    };
    let asks = json!({ "resultType": "input_required", "inputRequests": { "a": { "method": "elicitation/create", "params": {} } }, "requestState": "opaque=" });
    let bare = json!({ "resultType": "input_required" });
    let job = json!({ "resultType": "task", "taskId": "job-1", "status": "working" });
    let odd = json!({ "resultType": "surprise" });
    let elicits = json!({ "elicitation": {} });
    let jobs = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let tool = json!({ "name": "get_note" });
    for (method, params, capabilities, result, passes) in [
        ("tools/call", &tool, &elicits, &asks, true),
        ("tools/call", &tool, &json!({}), &asks, false),
        ("tools/call", &tool, &elicits, &bare, false),
        ("tools/call", &tool, &jobs, &job, true),
        ("tools/call", &tool, &json!({}), &job, false),
        ("tools/call", &tool, &json!({}), &odd, false),
        (
            "completion/complete",
            &json!({ "ref": { "type": "ref/prompt", "name": "greet" }, "argument": { "name": "a", "value": "b" } }),
            &elicits,
            &asks,
            false,
        ),
    ] {
        let ask = ask(method, params.clone(), capabilities.clone());
        let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        world.fake.script(method, 200, "application/json", answer.to_string());
        let reply = ask.send().await;
        if passes {
            // PX-24: the upstream's result is passed on unchanged, except for its state, which is sealed.
            let mut passed = reply.json();
            if let Some(state) = passed.pointer_mut("/result/requestState") {
                assert!(state.as_str().is_some_and(|state| state.starts_with("sekisho1.")), "{state}");
                *state = "opaque=".into();
            }
            assert_eq!((reply.status.as_u16(), passed), (200, answer));
        } else {
            assert_eq!(reply.status, 502, "{method} {result}: {}", reply.body);
        }
    }
}

/// RS-53, ATK-72, RS-45, RS-54, TR-25, TR-56: a job belongs to its caller; for another grant it does not exist.
#[tokio::test]
async fn a_job_belongs_to_who_started_it() {
    let world = World::new().await.classified().await;
    let alice = world.owner_token("mcp:read").await;
    let bob = world.token(&world.grant(world.user("bob").await, "cli_alpha", "notes", "mcp:read").await);
    let meta = json!({ "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } } });
    let start = world.modern(&alice, "tools/call", json!({ "name": "get_note", "_meta": meta }));
    let id = serde_json::from_str::<Value>(&start.text()).unwrap()["id"].clone();
    let job = json!({ "resultType": "task", "taskId": "job-1", "status": "working" });
    world.fake.script(
        "tools/call",
        200,
        "application/json",
        json!({ "jsonrpc": "2.0", "id": id, "result": job }).to_string(),
    );
    assert_eq!(start.send().await.status, 200);
    let poll =
        |token: &str, method: &str, id: &str| world.modern(token, method, json!({ "taskId": id, "_meta": meta }));
    assert_eq!(poll(&alice, "tasks/get", "job-1").send().await.status, 200);
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let foreign = poll(&bob, method, "job-1").send().await;
        let unknown = poll(&bob, method, "job-2").send().await;
        assert_eq!((foreign.code(), unknown.code()), (-32602, -32602), "{}", foreign.body);
        assert_eq!(foreign.status, unknown.status);
    }
    // TR-56: a client that did not declare the extension gets an error that says so.
    let reply = world.modern(&alice, "tasks/get", json!({ "taskId": "job-1" })).send().await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32021));
    assert_eq!(world.fake.of_callers().iter().filter(|seen| seen.method() == "tasks/get").count(), 1);
}

/// RS-53, ATK-72: the list of jobs in the older revisions shows only the caller's own.
#[tokio::test]
async fn a_list_of_jobs_shows_ones_own() {
    let world = World::with(Plan { speaks: Speaks::Legacy, ..Plan::default() }).await.classified().await;
    let alice = world.owner_token("mcp:read").await;
    let bob = world.token(&world.grant(world.user("bob").await, "cli_alpha", "notes", "mcp:read").await);
    let sessions = [world.session(&alice, NOVEMBER).await, world.session(&bob, NOVEMBER).await];
    for (token, session, job) in [(&alice, &sessions[0], "job-a"), (&bob, &sessions[1], "job-b")] {
        let ask = world.legacy(token, session, NOVEMBER, "tools/call", json!({ "name": "get_note", "task": {} }));
        let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
        let answer =
            json!({ "jsonrpc": "2.0", "id": id, "result": { "task": { "taskId": job, "status": "working" } } });
        world.fake.script("tools/call", 200, "text/event-stream", sse(&[answer]));
        assert_eq!(ask.send().await.status, 200);
    }
    let ask = world.legacy(&bob, &sessions[1], NOVEMBER, "tasks/list", json!({}));
    let id = serde_json::from_str::<Value>(&ask.text()).unwrap()["id"].clone();
    let all = json!({ "jsonrpc": "2.0", "id": id, "result": { "tasks": [{ "taskId": "job-a" }, { "taskId": "job-b" }, { "taskId": "job-c" }] } });
    world.fake.script("tasks/list", 200, "application/json", all.to_string());
    let reply = ask.send().await;
    assert_eq!(reply.json()["result"]["tasks"], json!([{ "taskId": "job-b" }]));
    let foreign = world.legacy(&bob, &sessions[1], NOVEMBER, "tasks/result", json!({ "taskId": "job-a" })).send().await;
    assert_eq!(foreign.code(), -32602);
}

/// ST-10, TR-44: an upstream that cannot be reached gives a 502 that names nothing of ours.
#[tokio::test]
async fn an_upstream_that_is_away_is_a_bad_gateway() {
    let world = World::new().await;
    let mut routes = (**world.routes.borrow()).clone();
    let server: sekisho_protocol::ids::ServerName = "notes".parse().unwrap();
    let mut route = (*routes.servers[&server]).clone();
    let settings = sekisho_gateway::HttpSettings::new("http://127.0.0.1:1/mcp?key=canary");
    route.upstream = sekisho_gateway::Upstream::behind(&server, sekisho_gateway::UpstreamSettings::Http(settings));
    routes.servers.insert(server.clone(), std::sync::Arc::new(route));
    let token = world.owner_token("mcp:read").await;
    world.routes.send(std::sync::Arc::new(routes)).unwrap();
    let mut reply = world.call(&token, "get_note").send().await;
    for _ in 0..100 {
        // The reload takes a moment.
        if reply.status == 502 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        reply = world.call(&token, "get_note").send().await;
    }
    assert_eq!(reply.status, 502, "{}", reply.body);
    assert!(!reply.body.contains("127.0.0.1:1") && !reply.body.contains("canary"), "{}", reply.body);
    let error = world.gateway.probe(&server).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && !error.contains("canary"), "{error}");
    assert!(world.gateway.probe(&"ghost".parse().unwrap()).await.is_err());
}

/// ST-11, TR-52: a probe tells what stands behind a server.
#[tokio::test]
async fn a_probe_says_what_an_upstream_is() {
    for (speaks, expected) in [(Speaks::Modern, vec![MODERN]), (Speaks::Legacy, vec![NOVEMBER])] {
        let world = World::with(Plan { speaks, ..Plan::default() }).await;
        let probe = world.gateway.probe(&"notes".parse().unwrap()).await.unwrap();
        let revisions: Vec<&str> = probe.revisions.iter().map(|revision| revision.as_str()).collect();
        for revision in expected {
            assert!(revisions.contains(&revision), "{revisions:?}");
        }
        assert!(probe.server_info.unwrap().contains("fake"));
        assert_eq!(probe.tools.len(), 8);
    }
}

/// ATK-98, TR-43: everything that was handed over is written before the process ends, outcomes too.
#[tokio::test]
async fn shutting_down_writes_what_waits_and_ends_what_is_open() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let mut stream = world
        .modern(&token, "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }))
        .open()
        .await;
    stream.next().await.unwrap();
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    world.gateway.shutdown().await;
    let records = world.records().await;
    let count = |fits: fn(&Event) -> bool| records.iter().filter(|record| fits(&record.event)).count();
    assert_eq!(count(|event| matches!(event, Event::Decision(_))), 2);
    assert_eq!(count(|event| matches!(event, Event::Outcome(_))), 2);
    assert_eq!(stream.rest().await.last().unwrap()["result"]["resultType"], "complete");
}
