//! Ids, states and jobs that are used in another session, call or name than their own.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use sekisho_e2e::fakes::call::{initialize, legacy, message, modern};
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT};
use sekisho_e2e::fakes::upstream::tools;
use sekisho_e2e::fakes::wire::{Ask, Reply, ask};
use sekisho_e2e::harness::Checkpoint;
use sekisho_e2e::harness::wait::until;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::field::{OTHER, OWNER, PASSWORD, UP, USER};

/// The form of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Stream,
}

/// How a server handles calls of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    /// Adds all its lists to the result of a call.
    Lists(Form),
    /// Asks the caller for input, with a state of its own.
    AsksBack,
    /// Turns a call into a job, if the caller permits it.
    Jobs,
}

/// A server of both eras. Its `tools/list` with the id 77 is broken off after the first event, and can be resumed.
struct Server {
    conduct: Conduct,
    seen: Mutex<Vec<Value>>,
    /// A `tools/call` with the id 77 waits for a permit here.
    released: tokio::sync::Semaphore,
}

fn lists() -> Value {
    json!({
        "content": [{ "type": "text", "text": "called" }],
        "tools": tools(),
        "prompts": [{ "name": "hidden-prompt" }],
        "resources": [{ "uri": "file:///hidden", "name": "hidden-resource" }],
        "resourceTemplates": [{ "uriTemplate": "file:///hidden/{x}", "name": "hidden-template" }],
    })
}

impl Server {
    async fn start(conduct: Conduct) -> (Arc<Self>, String) {
        let released = tokio::sync::Semaphore::new(0);
        let server = Arc::new(Self { conduct, seen: Mutex::default(), released });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, url)
    }

    /// Returns the messages with this method that callers sent.
    fn seen(&self, method: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|message| message["method"] == method).cloned().collect()
    }

    fn result(&self, message: &Value) -> Option<Value> {
        let params = &message["params"];
        let is_modern = params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        let knows_jobs =
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"]["io.modelcontextprotocol/tasks"]
                .is_object();
        let mut result = match message["method"].as_str()? {
            "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
            "initialize" => json!({
                "protocolVersion": params["protocolVersion"],
                "capabilities": { "tools": {}, "tasks": {} },
                "serverInfo": { "name": "fake", "version": "1" },
            }),
            "tools/list" => json!({ "tools": tools() }),
            "tools/call" => match self.conduct {
                Conduct::Lists(_) => lists(),
                Conduct::AsksBack if params["requestState"].is_null() => {
                    json!({ "resultType": "input_required", "requestState": "the-servers-own-state" })
                }
                Conduct::Jobs if is_modern && knows_jobs => {
                    json!({ "resultType": "task", "taskId": "job-1", "status": "working" })
                }
                Conduct::Jobs if params["task"].is_object() => {
                    json!({ "task": { "taskId": "job-1", "status": "working" } })
                }
                Conduct::AsksBack | Conduct::Jobs => {
                    json!({ "content": [{ "type": "text", "text": "called" }] })
                }
            },
            "tasks/get" | "tasks/cancel" => json!({ "taskId": "job-1", "status": "working" }),
            "tasks/list" => json!({ "tasks": [{ "taskId": "job-1", "status": "working" }] }),
            _ => return None,
        };
        if is_modern && result["resultType"].is_null() {
            result["resultType"] = json!("complete");
        }
        Some(result)
    }
}

fn respond(kind: &str, body: String) -> Response {
    Response::builder().header("content-type", kind).body(Body::from(body)).unwrap()
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let status = |code: u16| Response::builder().status(code).body(Body::empty()).unwrap();
    if head.method == http::Method::GET {
        return match header("last-event-id") {
            // The rest of the interrupted stream.
            "list-1" => {
                let list = json!({ "jsonrpc": "2.0", "id": 77, "result": { "tools": tools() } });
                respond("text/event-stream", format!("id: list-2\ndata: {list}\n\n"))
            }
            _ => status(405),
        };
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let Ok(message) = serde_json::from_slice::<Value>(&body) else { return status(200) };
    server.seen.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
    if message["id"].is_null() {
        return status(202);
    }
    if message["method"] == "tools/list" && message["id"] == 77 {
        return respond("text/event-stream", "id: list-1\ndata:\n\n".to_owned());
    }
    if message["method"] == "tools/call" && message["id"] == 77 {
        // Waits until the stream of the list was resumed.
        let _ = server.released.acquire().await;
    }
    let reply = match server.result(&message) {
        Some(result) => json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }),
        None => json!({ "jsonrpc": "2.0", "id": message["id"], "error": { "code": -32601, "message": "no" } }),
    };
    let mut response = match (message["method"].as_str(), server.conduct) {
        (Some("tools/call"), Conduct::Lists(Form::Stream)) => {
            respond("text/event-stream", format!("data: {reply}\n\n"))
        }
        _ => respond("application/json", reply.to_string()),
    };
    if message["method"] == "initialize" {
        response.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
    }
    response
}

/// A checkpoint in front of such a server, under two names. With `public`, strangers may read there.
struct SessionSetup {
    checkpoint: Checkpoint,
    server: Arc<Server>,
    address: std::net::SocketAddr,
}

impl SessionSetup {
    async fn start(conduct: Conduct, public: bool) -> Self {
        let (server, url) = Server::start(conduct).await;
        let access = if public { "access = \"public\"\n" } else { "" };
        let entry = |name: &str| {
            format!(
                "[servers.{name}]\nurl = \"{url}\"\n{access}everyone = \"read\"\ntools = {{ look = \"read\", keep = \"write\", wipe = \"destructive\" }}\n"
            )
        };
        let toml = format!("{}{}", entry("up"), entry("other"));
        let checkpoint = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).user(USER, PASSWORD).start().await;
        let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        Self { checkpoint, server, address: std::net::SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    async fn ask(&self, request: &Ask) -> Reply {
        ask(self.address, request).await.unwrap()
    }

    async fn granted(&self, path: &str, user: &str) -> Granted {
        let client = Client::register(self.checkpoint.base_url(), "Client", REDIRECT).await;
        let resource = format!("{}{path}", self.checkpoint.base_url());
        client.be_granted(&resource, "mcp:read", user, PASSWORD).await
    }

    /// Starts a session of 2025-11-25; `token` may be empty.
    async fn session(&self, path: &str, token: &str) -> String {
        let ask = legacy(path, token, None, &initialize("2025-11-25"));
        let reply = self.ask(&anonymous(ask, token)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("mcp-session-id").unwrap().to_owned()
    }

    /// Sends a request in a session.
    async fn in_session(&self, token: &str, session: &str, id: u64, method: &str, params: Value) -> Reply {
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.ask(&anonymous(legacy(UP, token, Some((session, "2025-11-25")), &body), token)).await
    }
}

fn anonymous(ask: Ask, token: &str) -> Ask {
    if token.is_empty() { ask.without("authorization") } else { ask }
}

/// Checks that nothing is shown that the user may not see.
fn shows_nothing_hidden(what: &str, text: &str) {
    for hidden in ["wipe", "unlisted", "hidden-prompt", "hidden-resource", "hidden-template"] {
        assert!(!text.contains(hidden), "{what}: `{hidden}` in {text}");
    }
}

/// ATK-146, PX-20: a list was broken off, a second request uses its id, and the stream is resumed. The second request
/// is refused while the first is open, and the resumed list shows only what its caller may see.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_open_is_not_used_again() {
    let place = SessionSetup::start(Conduct::Jobs, false).await;
    let user = place.granted(UP, USER).await;
    let session = place.session(UP, &user.access).await;
    let broken = place.in_session(&user.access, &session, 77, "tools/list", json!({})).await;
    assert!(broken.text().contains("id: list-1") && !broken.text().contains("look"), "{}", broken.text());
    let resume = Ask::get(UP)
        .bearer(&user.access)
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &session)
        .header("mcp-protocol-version", "2025-11-25")
        .header("last-event-id", "list-1");
    let call = json!({ "name": "look", "arguments": {} });
    let mut again = Box::pin(place.in_session(&user.access, &session, 77, "tools/call", call.clone()));
    let arrived = until("the second request", async || (!place.server.seen("tools/call").is_empty()).then_some(()));
    let refused = tokio::select! {
        reply = &mut again => Some(reply),
        () = arrived => None,
    };
    let resumed = place.ask(&resume).await;
    place.server.released.add_permits(1);
    let again = match refused {
        Some(reply) => reply,
        None => again.await,
    };
    assert!(resumed.text().contains("look"), "the list is resumed: {}", resumed.text());
    shows_nothing_hidden("a resumed list", &resumed.text());
    assert_eq!((again.status, &again.json()["error"]["code"]), (400, &json!(-32600)), "{}", again.text());
    assert!(place.server.seen("tools/call").is_empty());
    // The first request is answered now, so its id is free; and another session has its own ids.
    place.server.released.add_permits(1);
    let free = place.in_session(&user.access, &session, 77, "tools/call", call.clone()).await;
    assert_eq!(free.status, 200, "{}", free.text());
    let other = place.session(UP, &user.access).await;
    let broken = place.in_session(&user.access, &other, 77, "tools/list", json!({})).await;
    assert!(broken.text().contains("id: list-1"), "{}", broken.text());
    assert_eq!(place.in_session(&user.access, &session, 78, "tools/call", call).await.status, 200);
    until("the record of the refusal", async || {
        let is_it = |row: &Value| row["record"]["event"]["reason"] == "id_in_use";
        place.checkpoint.records().await.iter().any(is_it).then_some(())
    })
    .await;
}

/// ATK-147: a list in any result is reduced to what its caller may see: in the response itself, on a stream, in every
/// revision.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_any_result_is_trimmed() {
    for form in [Form::Json, Form::Stream] {
        let place = SessionSetup::start(Conduct::Lists(form), false).await;
        let user = place.granted(UP, USER).await;
        let session = place.session(UP, &user.access).await;
        let call = json!({ "name": "look", "arguments": {} });
        let older = place.in_session(&user.access, &session, 2, "tools/call", call.clone()).await;
        let newest = place.ask(&modern(UP, &user.access, "tools/call", call)).await;
        for (what, reply) in [("2025-11-25", older), ("2026-07-28", newest)] {
            let result = &reply.json()["result"];
            assert_eq!(result["content"][0]["text"], "called", "{what}: {}", reply.text());
            let shown: Vec<_> = result["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
            assert_eq!(shown, ["look"], "{what} {form:?}");
            // What the user may read is listed: resources and prompts need no class.
            let owner_only = ["wipe", "unlisted"];
            assert!(owner_only.iter().all(|name| !reply.text().contains(name)), "{what}: {}", reply.text());
        }
    }
}

/// ATK-147: the same for the results of a program.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_a_programs_result_is_trimmed() {
    let lists = json!({ "content": [{ "type": "text", "text": "called" }], "tools": tools() });
    let program = super::program::script(&lists, "");
    let toml = format!(
        "[servers.up]\ncommand = {program}\neveryone = \"read\"\ntools = {{ look = \"read\", keep = \"write\", wipe = \"destructive\" }}\n"
    );
    let checkpoint = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).user(USER, PASSWORD).start().await;
    let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let client = Client::register(checkpoint.base_url(), "Client", REDIRECT).await;
    let resource = format!("{}{UP}", checkpoint.base_url());
    let user = client.be_granted(&resource, "mcp:read", USER, PASSWORD).await;
    let began = ask(address, &legacy(UP, &user.access, None, &initialize("2025-11-25"))).await.unwrap();
    let session = began.header("mcp-session-id").unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "look" } });
    let reply = ask(address, &legacy(UP, &user.access, Some((session, "2025-11-25")), &body)).await.unwrap();
    assert_eq!(reply.json()["result"]["content"][0]["text"], "called", "{}", reply.text());
    shows_nothing_hidden("a program", &reply.text());
}

/// ATK-148, PX-24, RS-50: a state with which a server asks for input is valid only for the caller, the client, the
/// server and the call to which it was given, even if the call has no budget; no other state reaches a server.
#[tokio::test(flavor = "multi_thread")]
async fn a_servers_state_is_its_calls_alone() {
    let place = SessionSetup::start(Conduct::AsksBack, false).await;
    let (owner, user) = (place.granted(UP, OWNER).await, place.granted(UP, USER).await);
    let (other_client, other_server) = (place.granted(UP, OWNER).await, place.granted(OTHER, OWNER).await);
    let call = |arguments: Value, state: Value| {
        let mut params = json!({ "name": "look", "arguments": arguments });
        if !state.is_null() {
            params["requestState"] = state;
            params["inputResponses"] = json!({});
        }
        params
    };
    let asked = place.ask(&modern(UP, &owner.access, "tools/call", call(json!({ "n": 1 }), Value::Null))).await;
    let state = asked.json()["result"]["requestState"].clone();
    assert!(state.is_string(), "{}", asked.text());
    let (same, plain) = (|| call(json!({ "n": 1 }), state.clone()), json!("the-servers-own-state"));
    let mut bent = state.as_str().unwrap().to_owned();
    let middle = bent.len() / 2;
    let other = if &bent[middle..=middle] == "A" { "B" } else { "A" };
    bent.replace_range(middle..=middle, other);
    for (what, request) in [
        ("another user", modern(UP, &user.access, "tools/call", same())),
        ("another client", modern(UP, &other_client.access, "tools/call", same())),
        ("another server", modern(OTHER, &other_server.access, "tools/call", same())),
        ("other arguments", modern(UP, &owner.access, "tools/call", call(json!({ "n": 2 }), state.clone()))),
        ("another method", modern(UP, &owner.access, "tools/list", json!({ "requestState": state }))),
        ("a bent state", modern(UP, &owner.access, "tools/call", call(json!({ "n": 1 }), json!(bent)))),
        ("a state of one's own making", modern(UP, &owner.access, "tools/call", call(json!({ "n": 1 }), plain))),
    ] {
        let reply = place.ask(&request).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
    }
    let brought =
        || place.server.seen("tools/call").into_iter().filter(|seen| seen["params"]["requestState"].is_string());
    assert_eq!(brought().count(), 0);
    let honest = place.ask(&modern(UP, &owner.access, "tools/call", same())).await;
    assert_eq!(honest.json()["result"]["content"][0]["text"], "called", "{}", honest.text());
    let states: Vec<_> = brought().map(|seen| seen["params"]["requestState"].clone()).collect();
    assert_eq!(states, ["the-servers-own-state"]);
}

/// A request about a job, by a stranger who declared support for jobs.
fn about_job(method: &str, params: Value, name: &str) -> Ask {
    let mut body = message(method, params);
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    sekisho_e2e::fakes::call::headers(UP, "", method).json(&body).header("mcp-name", name)
}

/// ATK-149, RS-53, RS-54: strangers cannot be distinguished, so a stranger's job belongs to the session in which it was
/// started; without sessions, a stranger gets no job.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_job_is_of_its_session_alone() {
    let place = SessionSetup::start(Conduct::Jobs, true).await;
    let (mine, theirs) = (place.session(UP, "").await, place.session(UP, "").await);
    let start = json!({ "name": "look", "arguments": {}, "task": { "ttl": 60_000 } });
    let begun = place.in_session("", &mine, 2, "tools/call", start).await;
    assert_eq!(begun.json()["result"]["task"]["taskId"], "job-1", "{}", begun.text());
    for (id, method) in [(3, "tasks/get"), (4, "tasks/cancel"), (5, "tasks/result")] {
        let reply = place.in_session("", &theirs, id, method, json!({ "taskId": "job-1" })).await;
        assert_eq!(reply.status, 400, "{method}: {}", reply.text());
    }
    let stranger = place.ask(&about_job("tasks/get", json!({ "taskId": "job-1" }), "job-1")).await;
    assert_eq!(stranger.status, 400, "{}", stranger.text());
    let listed = place.in_session("", &theirs, 6, "tasks/list", json!({})).await;
    assert_eq!(listed.json()["result"]["tasks"], json!([]), "{}", listed.text());
    let told = |method: &str| place.server.seen(method).len();
    assert_eq!([told("tasks/get"), told("tasks/cancel"), told("tasks/result")], [0, 0, 0]);
    let own = place.in_session("", &mine, 7, "tasks/get", json!({ "taskId": "job-1" })).await;
    assert_eq!(own.json()["result"]["status"], "working", "{}", own.text());
    // In the newest revision, the server is not told that it may create a job.
    let called = place.ask(&about_job("tools/call", json!({ "name": "look", "arguments": {} }), "look")).await;
    assert_eq!(called.json()["result"]["content"][0]["text"], "called", "{}", called.text());
    let last = place.server.seen("tools/call").pop().unwrap();
    assert!(!last.to_string().contains("io.modelcontextprotocol/tasks"), "{last}");
}
