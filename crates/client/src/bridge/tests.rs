use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{HeaderMap, Method, StatusCode};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::AccessToken;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Bridge, BridgeSettings, Notice, OutLine};
use crate::fixtures::{RESOURCE, resource_id};
use crate::http::{HttpClient, HttpError, Opened, Request, Response};
use crate::login::tests::{Setup, world};
use crate::session::{Entry, Session};

/// One response of a server: its status, its headers, and the chunks of its body. A body that ends with `None` stays
/// open.
#[derive(Clone)]
struct ScriptedAnswer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Option<String>>,
}

fn json_said(status: u16, body: &Value) -> ScriptedAnswer {
    let headers = vec![("content-type", "application/json".to_owned())];
    ScriptedAnswer { status, headers, pieces: vec![Some(body.to_string())] }
}

fn events(pieces: &[&str]) -> ScriptedAnswer {
    let headers = vec![("content-type", "text/event-stream".to_owned())];
    ScriptedAnswer { status: 200, headers, pieces: pieces.iter().map(|piece| Some((*piece).to_owned())).collect() }
}

fn answer(id: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

type Server = dyn Fn(&Request, &Value, usize) -> ScriptedAnswer + Send + Sync;

/// A server made of one function, which gets the request, its body, and the number of requests before it.
struct Played {
    server: Box<Server>,
    sent: Mutex<Vec<Request>>,
}

impl std::fmt::Debug for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Played")
    }
}

impl HttpClient for Played {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
        Box::pin(async move { self.open(request).await?.read(1 << 20).await })
    }

    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, HttpError>> {
        let before = {
            let mut sent = self.sent.lock().unwrap();
            sent.push(request.clone());
            sent.len() - 1
        };
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let said = (self.server)(&request, &body, before);
        let mut headers = HeaderMap::new();
        for (name, value) in said.headers {
            headers.insert(name, value.parse().unwrap());
        }
        let open = said.pieces.last().is_some_and(Option::is_none);
        let pieces = said.pieces.into_iter().flatten().map(|piece| Ok(Bytes::from(piece)));
        let rest = stream::unfold(open, |open| async move {
            if open {
                std::future::pending::<()>().await;
            }
            None
        });
        let body = futures_util::StreamExt::chain(stream::iter(pieces.collect::<Vec<_>>()), rest);
        let status = StatusCode::from_u16(said.status).unwrap();
        Box::pin(async move { Ok(Opened::new(status, headers, body)) })
    }
}

/// A client at the other end of a bridge to such a server.
struct BridgeSetup {
    http: Arc<Played>,
    lines: mpsc::Sender<Vec<u8>>,
    answers: mpsc::Receiver<OutLine>,
    notices: Arc<Mutex<Vec<Notice>>>,
    pump: tokio::task::JoinHandle<()>,
}

fn setup_of(server: impl Fn(&Request, &Value, usize) -> ScriptedAnswer + Send + Sync + 'static) -> BridgeSetup {
    setup_with(server, Entry::Given(AccessToken::from_outside("given")))
}

fn setup_with(
    server: impl Fn(&Request, &Value, usize) -> ScriptedAnswer + Send + Sync + 'static,
    entry: Entry,
) -> BridgeSetup {
    let http = Arc::new(Played { server: Box::new(server), sent: Mutex::default() });
    let session = Session::new(http.clone(), resource_id(), entry);
    let settings = BridgeSettings {
        reconnect_first: Duration::from_millis(1),
        reconnect_floor: Duration::from_millis(1),
        finish_within: Duration::from_secs(2),
        requests_max: 4,
        ..BridgeSettings::default()
    };
    let (to_client, answers) = mpsc::channel(16);
    let (lines, from_client) = mpsc::channel(16);
    let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
    let told = Arc::clone(&notices);
    let bridge = Bridge::new(session, settings, to_client, Box::new(move |notice| told.lock().unwrap().push(notice)));
    let pump = tokio::spawn(async move { bridge.run(from_client).await });
    BridgeSetup { http, lines, answers, notices, pump }
}

impl BridgeSetup {
    async fn say(&self, line: impl Into<Vec<u8>>) {
        self.lines.send(line.into()).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(5), self.answers.recv()).await.unwrap().unwrap();
        let line = line.bytes();
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'), "one line is one message");
        serde_json::from_slice(line).unwrap()
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.say(message.to_string()).await;
        self.hear().await
    }

    async fn end(self) -> Vec<Request> {
        drop(self.lines);
        self.pump.await.unwrap();
        self.http.sent.lock().unwrap().clone()
    }
}

fn call(id: i64, tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": {} } })
}

fn modern(mut message: Value) -> Value {
    message["params"]["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {} });
    message
}

fn initialize() -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": "2025-11-25" } })
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// ST-04: each event becomes one line, over however many lines it is spread. An event that is not a message is dropped.
#[tokio::test]
async fn one_message_is_one_line() {
    let mut setup = setup_of(|_, body, _| {
        let id = &body["id"];
        let note = "data: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/message\"}\n\n";
        let end = format!("data: {{\"jsonrpc\":\"2.0\",\ndata:\"id\":{id},\ndata:\"result\":{{\"a\":\"\\n\"}}}}\n\n");
        // An event of another type carries no message.
        let ping = note.replacen("data:", "event: ping\ndata:", 1);
        events(&[": keep-alive\n\n", &ping, note, "data: not json\n\n", &end])
    });
    setup.say(call(1, "x").to_string()).await;
    assert_eq!(setup.hear().await["method"], "notifications/message");
    assert_eq!(setup.hear().await["result"]["a"], "\n");
    assert!(matches!(setup.notices.lock().unwrap()[..], [Notice::Dropped { .. }]));
    setup.end().await;
}

/// A client that writes something that is not a message gets an error without an id, and the conversation continues.
#[tokio::test]
async fn rubbish_from_the_client_is_answered() {
    let mut setup = setup_of(|_, body, _| json_said(200, &answer(&body["id"], &json!({}))));
    for (line, code) in [("{", -32700), (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32600), ("[]", -32600)]
    {
        setup.say(line).await;
        let told = setup.hear().await;
        assert_eq!((&told["id"], told["error"]["code"].as_i64()), (&Value::Null, Some(code)), "{line}");
    }
    setup.say("  \n").await;
    assert_eq!(setup.ask(call(1, "x")).await["id"], 1);
    assert_eq!(setup.end().await.len(), 1);
}

/// TR-26, TR-27, TR-33, ST-07: a message of the newest revision gets its headers from its content. If the client never
/// listed the tools, the bridge lists them to learn which arguments are repeated in headers.
#[tokio::test]
async fn a_modern_message_has_its_headers() {
    let mut setup = setup_of(|request, body, _| match body["method"].as_str() {
        Some("tools/list") => {
            let schema =
                json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } });
            json_said(200, &answer(&body["id"], &json!({ "tools": [{ "name": "t", "inputSchema": schema }] })))
        }
        _ if header(request, "mcp-param-region") == "eu" => json_said(200, &answer(&body["id"], &json!({}))),
        _ => json_said(400, &json!({ "jsonrpc": "2.0", "id": body["id"], "error": { "code": -32020, "message": "" } })),
    });
    let mut message = modern(call(1, "t"));
    message["params"]["arguments"] = json!({ "region": "eu" });
    assert!(setup.ask(message.clone()).await.get("result").is_some());
    let sent = setup.end().await;
    assert_eq!(
        sent.iter().map(|request| header(request, "mcp-method")).collect::<Vec<_>>(),
        ["tools/call", "tools/list", "tools/call"]
    );
    for request in &sent {
        assert_eq!(header(request, "mcp-protocol-version"), "2026-07-28");
        assert_eq!(header(request, "mcp-session-id"), "");
    }
    assert_eq!(header(&sent[0], "mcp-name"), "t");
    assert_eq!(sent[2].body, message.to_string(), "the message goes on as it came");
}

/// TR-32: a tool that declares its headers wrongly is left out of the list, and the others stay.
#[tokio::test]
async fn a_tool_with_wrong_headers_is_left_out() {
    let mut setup = setup_of(|_, body, _| {
        let tool = |name: &str, header: &str| {
            json!({ "name": name, "inputSchema": { "type": "object",
            "properties": { "a": { "type": "string", "x-mcp-header": header } } } })
        };
        json_said(200, &answer(&body["id"], &json!({ "tools": [tool("good", "A"), tool("bad", "")] })))
    });
    let listed = setup.ask(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })).await;
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 1);
    assert_eq!(listed["result"]["tools"][0]["name"], "good");
    assert_eq!(setup.notices.lock().unwrap()[..], [Notice::ToolsLeftOut { names: vec!["bad".to_owned()] }]);
    setup.end().await;
}

fn with_session(said: ScriptedAnswer, session: &str) -> ScriptedAnswer {
    let mut said = said;
    said.headers.push(("mcp-session-id", session.to_owned()));
    said
}

/// A server of 2025-11-25 that forgets its first session when a tool is called, and offers no stream of its own.
fn forgetful(request: &Request, body: &Value, before: usize) -> ScriptedAnswer {
    let agreed = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {} });
    match (request.method.as_str(), body["method"].as_str()) {
        ("GET", _) => json_said(405, &json!({})),
        (_, Some("initialize")) => {
            with_session(json_said(200, &answer(&body["id"], &agreed)), if before == 0 { "one" } else { "two" })
        }
        (_, Some("tools/call")) if header(request, "mcp-session-id") == "one" => json_said(404, &json!({})),
        (_, Some("tools/call")) => json_said(200, &answer(&body["id"], &json!({ "ok": true }))),
        _ => ScriptedAnswer { status: 202, headers: Vec::new(), pieces: Vec::new() },
    }
}

/// A session that the server has forgotten is started again with the client's `initialize`, and the call continues; the
/// client does not notice. The session is ended at the end.
#[tokio::test]
async fn a_lost_session_is_begun_again() {
    let mut setup = setup_of(forgetful);
    assert_eq!(setup.ask(initialize()).await["id"], 0);
    setup.say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string()).await;
    assert_eq!(setup.ask(call(1, "x")).await["result"]["ok"], true);
    assert_eq!(setup.ask(call(2, "x")).await["result"]["ok"], true);
    assert!(setup.notices.lock().unwrap().contains(&Notice::BegunAgain));
    let sent = setup.end().await;
    let begun = sent.iter().filter(|request| request.body == initialize().to_string()).count();
    assert_eq!(begun, 2);
    let last = sent.last().unwrap();
    assert_eq!((last.method.clone(), header(last, "mcp-session-id")), (Method::DELETE, "two"));
    assert_eq!(header(last, "mcp-protocol-version"), "2025-11-25");
}

/// A broken stream is resumed if the server said from where; a call is never sent twice.
#[tokio::test]
async fn a_broken_answer_is_taken_up_and_never_asked_for_twice() {
    let mut setup = setup_of(|request, body, _| {
        if request.method == Method::GET {
            assert_eq!(header(request, "last-event-id"), "e1");
            return events(&["data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"late\":true}}\n\n"]);
        }
        match body["params"]["name"].as_str() {
            Some("resumable") => events(&["id: e1\nretry: 1\ndata:\n\n"]),
            _ => events(&["data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n", "data: {\"half"]),
        }
    });
    assert_eq!(setup.ask(call(1, "resumable")).await["result"]["late"], true);
    setup.say(call(2, "lost").to_string()).await;
    assert_eq!(setup.hear().await["method"], "notifications/message");
    let told = setup.hear().await;
    assert_eq!(told["id"], 2);
    assert!(told["error"]["message"].as_str().unwrap().contains("may have had its effect"), "{told}");
    let sent = setup.end().await;
    assert_eq!(sent.iter().filter(|request| request.method == Method::POST).count(), 2);
}

/// ST-08: in 2026-07-28 a request is cancelled by closing its connection, and it gets no answer. In earlier revisions
/// the cancellation is a message like any other.
#[tokio::test]
async fn cancelling_is_done_as_the_revision_does_it() {
    let mut setup = setup_of(|_, body, _| match body["method"].as_str() {
        Some("tools/call") => ScriptedAnswer { pieces: vec![None], ..events(&[]) },
        Some("ping") => json_said(200, &answer(&body["id"], &json!({}))),
        _ => ScriptedAnswer { status: 202, headers: Vec::new(), pieces: Vec::new() },
    });
    let cancel =
        |id: i64| json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
    setup.say(modern(call(1, "slow")).to_string()).await;
    setup.say(call(2, "slow").to_string()).await;
    setup.say(cancel(1).to_string()).await;
    setup.say(cancel(2).to_string()).await;
    setup.say(cancel(3).to_string()).await;
    assert_eq!(setup.ask(json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" })).await["id"], 9);
    // The place of the first message is free again: of the four places, three are left beside the second message.
    for id in 4..=6 {
        setup.say(call(id, "slow").to_string()).await;
    }
    let told = setup.ask(call(7, "slow")).await;
    assert_eq!(told["id"], 7, "a bound on requests under way: {told}");
    let sent = setup.http.sent.lock().unwrap().clone();
    let cancelled = sent.iter().filter(|request| String::from_utf8_lossy(&request.body).contains("cancelled")).count();
    assert_eq!(cancelled, 1);
    setup.pump.abort();
}

/// The server's refusals are passed on with the id of the request. A response that is not a message becomes an error
/// that names the server.
#[tokio::test]
async fn a_refusal_is_an_answer() {
    let mut setup = setup_of(|_, body, _| match body["params"]["name"].as_str() {
        Some("refused") => {
            json_said(403, &json!({ "jsonrpc": "2.0", "id": null, "error": { "code": 1403, "message": "no" } }))
        }
        Some("oauth") => json_said(403, &json!({ "error": "insufficient_scope" })),
        _ => ScriptedAnswer { status: 502, headers: Vec::new(), pieces: vec![Some("<html>".to_owned())] },
    });
    let told = setup.ask(call(1, "refused")).await;
    assert_eq!((told["id"].as_i64(), told["error"]["code"].as_i64()), (Some(1), Some(1403)));
    for tool in ["oauth", "page"] {
        let told = setup.ask(call(2, tool)).await;
        assert!(told["error"]["message"].as_str().unwrap().contains(RESOURCE), "{told}");
    }
    setup.end().await;
}

fn asks_for_approval(url: &str) -> Value {
    json!({ "content": [], "isError": true, "_meta": { "io.sekisho/refusal": {
        "set": "rights", "reason": "a person has to say yes", "request": "rid_0198c9a1d7c17c3c8f5f0d3b1a2c3d4e",
        "remedy": { "kind": "approve", "url": url } } } })
}

/// CL-49: the page of an approval is shown once, and only at the issuer at which the person has logged in. Any other
/// link is left to the client.
#[tokio::test]
async fn only_the_page_of_the_own_issuer_is_shown() {
    let setup = Setup::new(world());
    setup.keep("at", 600);
    let entry = Entry::Login(Box::new(setup.login()));
    let mut bridge = setup_with(
        |_, body, _| {
            let url = body["params"]["name"].as_str().unwrap().to_owned();
            json_said(200, &answer(&body["id"], &asks_for_approval(&url)))
        },
        entry,
    );
    let good = "https://issuer.test/approvals/one";
    for url in [good, good, "https://evil.test/approvals/one", "https://issuer.test.evil/x", "javascript:alert(1)"] {
        let told = bridge.ask(call(1, url)).await;
        assert_eq!(told["result"]["_meta"]["io.sekisho/refusal"]["remedy"]["url"], url, "{told}");
    }
    assert_eq!(*setup.browser.shown.lock().unwrap(), [good]);
    bridge.end().await;
}

/// The transport of 2024-11-05: one stream for all answers, and one URL for all requests, which must be at the server's
/// own origin.
#[tokio::test]
async fn an_older_server_is_spoken_to_in_its_way() {
    let endpoint = |place: &'static str| {
        move |request: &Request, _: &Value, _: usize| match (request.method.as_str(), request.url()) {
            ("GET", _) => {
                let hello = format!("event: endpoint\ndata: {place}\n\n");
                let answered = "data: {\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\n\n".to_owned();
                let headers = vec![("content-type", "text/event-stream".to_owned())];
                ScriptedAnswer { status: 200, headers, pieces: vec![Some(hello), Some(answered), None] }
            }
            ("POST", "https://server.test/messages?session=1") => {
                ScriptedAnswer { status: 202, headers: Vec::new(), pieces: Vec::new() }
            }
            _ => json_said(405, &json!({})),
        }
    };
    let mut setup = setup_of(endpoint("/messages?session=1"));
    assert_eq!(setup.ask(initialize()).await["id"], 0);
    let sent = setup.http.sent.lock().unwrap().clone();
    assert!(sent.iter().all(|request| header(request, "authorization") == "Bearer given"));
    setup.pump.abort();

    for elsewhere in ["https://evil.test/messages", "http://server.test/messages", "https://user@server.test/m"] {
        let mut setup = setup_of(endpoint(elsewhere));
        let told = setup.ask(initialize()).await;
        assert!(told.get("error").is_some(), "{told}");
        let sent = setup.end().await;
        assert!(sent.iter().all(|request| request.url() == RESOURCE), "{sent:?}");
    }
    assert!(ResourceId::parse(RESOURCE).is_ok());
}
