//! An upstream MCP server of both eras. Its answers contain everything that it received, and it misbehaves on request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The revisions that the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Only 2026-07-28.
    Modern,
    /// 2025-11-25 and 2025-06-18.
    Legacy,
}

/// How the server answers `tools/call`.
#[derive(Debug, Clone)]
pub enum Conduct {
    /// Correctly: the text of the result is everything that was received.
    Honest,
    /// Refuses with this status and a foreign challenge.
    Challenge(u16),
    /// Redirects the caller with this status to this URL.
    Redirect(u16, String),
    /// Puts a whole list with hidden tools into the stream of the call: as answers to other ids, in a notification, in
    /// a request, and as a second answer to the call.
    ListElsewhere,
    /// Answers with a stream of this many progress events with this pause, and then the result.
    Drip(usize, Duration),
    /// Answers with one event of this many bytes.
    HugeEvent(usize),
    /// Answers with one JSON document of about this many bytes.
    Large(usize),
    /// Streams progress for ever.
    Endless,
    /// Streams a result whose `cacheScope` is `public`.
    PublicCache,
    /// Turns the call into a job.
    Job,
    /// Closes the connection in the middle of the response.
    Cut,
}

/// A request as the server received it.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// The method, such as `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// All headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl RecordedRequest {
    /// Returns the JSON-RPC method, or an empty text if the body has none.
    pub fn rpc(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body.get("method").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Returns the whole request as one text, for searching.
    pub fn text(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{} {}\n{headers}\n{}", self.method, self.target, String::from_utf8_lossy(&self.body))
    }
}

struct State {
    speaks: Speaks,
    conduct: Mutex<Conduct>,
    seen: Mutex<Vec<RecordedRequest>>,
    open: Arc<()>,
    sessions: Mutex<BTreeMap<String, mpsc::UnboundedSender<Bytes>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server. It stops when it is dropped.
pub struct Upstream {
    /// The address at which it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A body whose frames come from a channel. While it is open, it is counted.
struct Frames {
    receiver: mpsc::UnboundedReceiver<Result<Frame<Bytes>, io::Error>>,
    _open: Option<Arc<()>>,
}

impl futures_util::Stream for Frames {
    type Item = Result<Frame<Bytes>, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

type Body = StreamBody<Frames>;
type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>;

impl Upstream {
    /// Starts on 127.0.0.1 at a free port.
    pub async fn start(speaks: Speaks) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            speaks,
            conduct: Mutex::new(Conduct::Honest),
            seen: Mutex::default(),
            open: Arc::default(),
            sessions: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { address, state, serving })
    }

    /// Returns the URL of its MCP endpoint.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Changes how it answers calls from now on.
    pub fn behave(&self, conduct: Conduct) {
        *lock(&self.state.conduct) = conduct;
    }

    /// Returns all requests that were received.
    pub fn seen(&self) -> Vec<RecordedRequest> {
        lock(&self.state.seen).clone()
    }

    /// Returns the calls of tools that were received.
    pub fn calls(&self) -> Vec<RecordedRequest> {
        self.seen().into_iter().filter(|seen| seen.rpc() == "tools/call").collect()
    }

    /// Forgets all received requests.
    pub fn forget(&self) {
        lock(&self.state.seen).clear();
    }

    /// Returns how many streams are open.
    pub fn open_streams(&self) -> usize {
        Arc::strong_count(&self.state.open) - 1
    }

    /// Sends this message on every standing stream of the older revisions.
    pub fn push(&self, message: &Value) {
        for stream in lock(&self.state.sessions).values() {
            let _ = stream.send(event(message));
        }
    }
}

/// Returns the tools: one that reads, one that writes, one that cannot be undone, and `unlisted`, which the tests leave
/// without a class.
pub fn tools() -> Value {
    let schema = json!({ "type": "object" });
    let tool = |name: &str, reads: bool, destroys: bool| json!({ "name": name, "description": name, "inputSchema": schema, "annotations": { "readOnlyHint": reads, "destructiveHint": destroys } });
    json!([
        tool("look", true, false),
        tool("keep", false, false),
        tool("wipe", false, true),
        tool("unlisted", false, true)
    ])
}

fn whole(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Response<Body> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let _ = sender.send(Ok(Frame::data(body.into())));
    let mut response = Response::new(StreamBody::new(Frames { receiver, _open: None }));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", kind.parse().unwrap());
    response
}

fn streamed(open: Option<Arc<()>>) -> (Sender, Response<Body>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut response = Response::new(StreamBody::new(Frames { receiver, _open: open }));
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    (sender, response)
}

fn event(message: &Value) -> Bytes {
    Bytes::from(format!("data: {message}\n\n"))
}

fn send(sender: &Sender, message: &Value) -> bool {
    sender.send(Ok(Frame::data(event(message)))).is_ok()
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let seen = RecordedRequest {
        method: parts.method.as_str().to_owned(),
        target: parts.uri.to_string(),
        headers: parts.headers.iter().map(header).collect(),
        body: body.to_vec(),
    };
    lock(&state.seen).push(seen.clone());
    Ok(match parts.method.as_str() {
        "POST" => post(&state, &seen),
        "GET" if state.speaks == Speaks::Legacy => standing(&state, &seen),
        "DELETE" if state.speaks == Speaks::Legacy => whole(StatusCode::OK, "text/plain", ""),
        _ => whole(StatusCode::METHOD_NOT_ALLOWED, "text/plain", ""),
    })
}

fn session_of(seen: &RecordedRequest) -> String {
    seen.headers.iter().find(|(name, _)| name == "mcp-session-id").map(|(_, value)| value.clone()).unwrap_or_default()
}

fn standing(state: &State, seen: &RecordedRequest) -> Response<Body> {
    let (sender, response) = streamed(Some(Arc::clone(&state.open)));
    let (stream, mut messages) = mpsc::unbounded_channel();
    lock(&state.sessions).insert(session_of(seen), stream);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            let part = tokio::select! {
                _ = tick.tick() => event(&json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "tick" } })),
                Some(part) = messages.recv() => part,
            };
            if sender.send(Ok(Frame::data(part))).is_err() {
                return;
            }
        }
    });
    response
}

fn post(state: &Arc<State>, seen: &RecordedRequest) -> Response<Body> {
    let Ok(message) = serde_json::from_slice::<Value>(&seen.body) else {
        return whole(StatusCode::BAD_REQUEST, "text/plain", "not JSON");
    };
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    let Some(id) = message.get("id").cloned() else { return whole(StatusCode::ACCEPTED, "text/plain", "") };
    if method == "tools/call" {
        return call(state, seen, &message, &id);
    }
    if method == "subscriptions/listen" && state.speaks == Speaks::Modern {
        return subscribed(state, &message, &id);
    }
    let modern = state.speaks == Speaks::Modern;
    let result = match method {
        "server/discover" if modern => {
            Some(json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": { "listChanged": true } } }))
        }
        "initialize" if !modern => Some(
            json!({ "protocolVersion": message.pointer("/params/protocolVersion"), "capabilities": { "tools": {}, "logging": {} }, "serverInfo": { "name": "fake", "version": "1" } }),
        ),
        "tools/list" => Some(json!({ "tools": tools(), "cacheScope": "public", "ttlMs": 60_000 })),
        "ping" => Some(json!({})),
        "tasks/get" if modern => Some(json!({ "taskId": "job-1", "status": "working" })),
        _ => None,
    };
    let reply = match result {
        Some(result) => json!({ "jsonrpc": "2.0", "id": id, "result": finished(modern, result) }),
        None => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "no such method" } }),
    };
    let mut response = whole(StatusCode::OK, "application/json", reply.to_string());
    if method == "initialize" && !modern {
        let number = lock(&state.seen).len();
        response.headers_mut().insert("mcp-session-id", format!("upstream-session-{number}").parse().unwrap());
    }
    response
}

fn finished(modern: bool, mut result: Value) -> Value {
    if modern && let Some(members) = result.as_object_mut() {
        members.insert("resultType".to_owned(), json!("complete"));
    }
    result
}

fn subscribed(state: &State, message: &Value, id: &Value) -> Response<Body> {
    let (sender, response) = streamed(Some(Arc::clone(&state.open)));
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
    let wanted = message.pointer("/params/notifications").cloned().unwrap_or_default();
    let acknowledged = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": { "notifications": wanted, "_meta": meta } });
    send(&sender, &acknowledged);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            if !send(
                &sender,
                &json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": { "_meta": meta } }),
            ) {
                return;
            }
        }
    });
    response
}

/// Returns the result of a call: the tool's text is everything that was received.
fn told(state: &State, seen: &RecordedRequest, id: &Value) -> Value {
    let text = json!({ "target": seen.target, "headers": seen.headers, "body": String::from_utf8_lossy(&seen.body) })
        .to_string();
    let result = json!({ "content": [{ "type": "text", "text": text }] });
    json!({ "jsonrpc": "2.0", "id": id, "result": finished(state.speaks == Speaks::Modern, result) })
}

/// Returns the same result with a text of this many bytes.
fn padded(mut told: Value, bytes: usize) -> Value {
    if let Some(text) = told.pointer_mut("/result/content/0/text") {
        *text = json!("x".repeat(bytes));
    }
    told
}

fn progress(message: &Value, done: usize) -> Value {
    let token = message.pointer("/params/_meta/progressToken").cloned().unwrap_or_else(|| json!("none"));
    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": done } })
}

fn call(state: &Arc<State>, seen: &RecordedRequest, message: &Value, id: &Value) -> Response<Body> {
    let conduct = lock(&state.conduct).clone();
    match conduct {
        Conduct::Honest => whole(StatusCode::OK, "application/json", told(state, seen, id).to_string()),
        Conduct::Challenge(status) => challenged(status),
        Conduct::Redirect(status, to) => {
            let mut response = whole(StatusCode::from_u16(status).unwrap(), "text/plain", "over there");
            response.headers_mut().insert("location", to.parse().unwrap());
            response
        }
        Conduct::ListElsewhere => list_elsewhere(state, seen, id),
        Conduct::HugeEvent(bytes) => {
            let (sender, response) = streamed(None);
            send(&sender, &padded(told(state, seen, id), bytes));
            response
        }
        Conduct::Large(bytes) => {
            // The text is inserted afterwards, because escaping so much takes a moment.
            let text = padded(told(state, seen, id), 1).to_string();
            let text = text.replacen("\"text\":\"x\"", &format!("\"text\":\"{}\"", "x".repeat(bytes)), 1);
            whole(StatusCode::OK, "application/json", text)
        }
        Conduct::Drip(events, every) => dripped(state, seen, message, id, Some(events), every),
        Conduct::Endless => dripped(state, seen, message, id, None, Duration::from_millis(100)),
        Conduct::PublicCache => {
            let mut told = told(state, seen, id);
            if let Some(result) = told.pointer_mut("/result").and_then(Value::as_object_mut) {
                result.insert("cacheScope".to_owned(), json!("public"));
                result.insert("ttlMs".to_owned(), json!(60_000));
            }
            whole(StatusCode::OK, "application/json", told.to_string())
        }
        Conduct::Job => {
            let begun = json!({ "resultType": "task", "taskId": "job-1", "status": "working" });
            let reply = json!({ "jsonrpc": "2.0", "id": id, "result": begun });
            whole(StatusCode::OK, "application/json", reply.to_string())
        }
        Conduct::Cut => {
            let (sender, response) = streamed(None);
            send(&sender, &progress(message, 1));
            let _ = sender.send(Err(io::Error::other("cut")));
            response
        }
    }
}

fn challenged(status: u16) -> Response<Body> {
    let mut response =
        whole(StatusCode::from_u16(status).unwrap(), "application/json", r#"{"error":"upstream-secret-words"}"#);
    let challenge = r#"Bearer realm="foreign-realm", error="insufficient_scope", scope="everything:admin", resource_metadata="https://foreign.example/.well-known/oauth-protected-resource""#;
    response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
    response.headers_mut().insert("set-cookie", "foreign=1".parse().unwrap());
    response
}

fn list_elsewhere(state: &State, seen: &RecordedRequest, id: &Value) -> Response<Body> {
    let (sender, response) = streamed(None);
    for other in [json!(101), json!(2), json!("list")] {
        send(&sender, &json!({ "jsonrpc": "2.0", "id": other, "result": { "tools": tools() } }));
    }
    send(&sender, &json!({ "jsonrpc": "2.0", "method": "notifications/tools/list", "params": { "tools": tools() } }));
    send(&sender, &json!({ "jsonrpc": "2.0", "id": 77, "method": "tools/list", "params": { "tools": tools() } }));
    send(&sender, &told(state, seen, id));
    send(&sender, &json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": tools() } }));
    response
}

fn dripped(
    state: &Arc<State>,
    seen: &RecordedRequest,
    message: &Value,
    id: &Value,
    events: Option<usize>,
    every: Duration,
) -> Response<Body> {
    let (sender, response) = streamed(Some(Arc::clone(&state.open)));
    let (state, seen, message, id) = (Arc::clone(state), seen.clone(), message.clone(), id.clone());
    tokio::spawn(async move {
        let mut done = 0;
        while events.is_none_or(|events| done < events) {
            done += 1;
            if !send(&sender, &progress(&message, done)) {
                return;
            }
            tokio::time::sleep(every).await;
        }
        send(&sender, &told(&state, &seen, &id));
    });
    response
}
