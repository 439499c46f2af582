//! Sends MCP messages of any revision, including invalid ones.

use bytes::Bytes;
use http::HeaderMap;
use sekisho_protocol::mcp::headers::encode_value;
use sekisho_protocol::mcp::method::{Era, Revision};
use serde_json::{Value, json};

use super::{Answer, Call, Caller};

/// A conversation with one server.
#[derive(Debug, Clone)]
pub struct Mcp {
    /// The server's URL.
    pub url: String,
    /// The token that is sent, if there is one.
    pub token: Option<String>,
    /// The revision that is used.
    pub revision: Revision,
    /// The session id, in the older revisions after the session has begun.
    pub session: Option<String>,
    /// The capabilities that this client declares.
    pub capabilities: Value,
    caller: Caller,
    next_id: i64,
}

/// A response with the messages in it.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The HTTP response.
    pub answer: Answer,
    /// The message that answers the request, or `null` if there is none.
    pub message: Value,
    /// All other messages of the stream.
    pub others: Vec<Value>,
}

impl Mcp {
    /// Creates a conversation that has not begun.
    pub fn new(url: &str, revision: Revision, token: Option<&str>) -> Self {
        Self {
            url: url.to_owned(),
            token: token.map(str::to_owned),
            revision,
            session: None,
            capabilities: json!({}),
            caller: Caller::new(),
            next_id: 1,
        }
    }

    /// Begins the conversation: `initialize` in the older revisions, `server/discover` in the newer ones.
    pub async fn begin(&mut self) -> Reply {
        if self.revision.era() == Era::Stateless {
            return self.call("server/discover", json!({})).await;
        }
        let params = json!({ "protocolVersion": self.revision.as_str(), "capabilities": self.capabilities, "clientInfo": info() });
        let reply = self.call("initialize", params).await;
        if reply.message.get("result").is_some() {
            self.session = reply.answer.header("mcp-session-id").map(str::to_owned);
            self.notify("notifications/initialized", json!({})).await;
        }
        reply
    }

    /// Sends a request and reads its response.
    pub async fn call(&mut self, method: &str, params: Value) -> Reply {
        let body = self.request(method, params);
        self.send(&body).await
    }

    /// Calls a tool.
    pub async fn tool(&mut self, name: &str, arguments: Value) -> Reply {
        self.call("tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    /// Returns the names of the listed tools.
    pub async fn tools(&mut self) -> Vec<String> {
        let reply = self.call("tools/list", json!({})).await;
        let tools = reply.message["result"]["tools"].as_array().unwrap_or_else(|| panic!("no list: {reply:?}"));
        tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Sends a notification.
    pub async fn notify(&mut self, method: &str, params: Value) -> Answer {
        let body = json!({ "jsonrpc": "2.0", "method": method, "params": self.with_meta(params) });
        self.post(&body).send().await
    }

    /// Builds the body of a request, with the next id and the members that the revision requires.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": self.with_meta(params) })
    }

    /// Sends a body with the headers that belong to it.
    pub async fn send(&self, body: &Value) -> Reply {
        Reply::of(self.post(body).send().await, body.get("id"))
    }

    /// Builds a POST with the headers that belong to a body. More headers can be added, and the response can be read as
    /// a stream.
    pub fn post(&self, body: &Value) -> Call {
        let method = body["method"].as_str().unwrap_or_default();
        let mut call = self.raw(body.to_string());
        if self.revision.era() == Era::Stateless {
            call = call.header("mcp-method", encode_value(method).as_bytes());
            let name = match method {
                "prompts/get" | "tools/call" => body["params"]["name"].as_str(),
                "resources/read" => body["params"]["uri"].as_str(),
                "tasks/cancel" | "tasks/get" | "tasks/update" => body["params"]["taskId"].as_str(),
                _ => None,
            };
            if let Some(name) = name {
                call = call.header("mcp-name", encode_value(name).as_bytes());
            }
        }
        call
    }

    /// Builds a POST of these bytes with token, revision and session, and without the headers that repeat the body.
    pub fn raw(&self, body: impl Into<Bytes>) -> Call {
        let body = body.into();
        let call = self.with_headers(self.caller.post(&self.url));
        call.header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body)
    }

    /// Builds the request for the standing stream of the older revisions.
    pub fn listen(&self) -> Call {
        self.with_headers(self.caller.get(&self.url)).header("accept", "text/event-stream")
    }

    /// Ends the session of the older revisions.
    pub async fn end(&self) -> Answer {
        self.with_headers(self.caller.delete(&self.url)).send().await
    }

    fn with_headers(&self, mut call: Call) -> Call {
        // The revision is negotiated by `initialize`, so no request names one before that (2025-11-25 transports).
        if self.revision.era() == Era::Stateless || self.session.is_some() || self.next_id > 2 {
            call = call.header("mcp-protocol-version", self.revision.as_str());
        }
        if let Some(session) = &self.session {
            call = call.header("mcp-session-id", session);
        }
        match &self.token {
            Some(token) => call.bearer(token),
            None => call,
        }
    }

    /// Adds the members of `_meta` that 2026-07-28 requires; existing ones stay.
    fn with_meta(&self, mut params: Value) -> Value {
        if self.revision.era() == Era::Initialize {
            return params;
        }
        let members = params.as_object_mut().expect("params are an object");
        let meta = members.entry("_meta").or_insert_with(|| json!({})).as_object_mut().expect("`_meta` is an object");
        for (name, value) in [
            ("protocolVersion", json!(self.revision.as_str())),
            ("clientInfo", info()),
            ("clientCapabilities", self.capabilities.clone()),
        ] {
            meta.entry(format!("io.modelcontextprotocol/{name}")).or_insert(value);
        }
        params
    }
}

impl Reply {
    fn of(answer: Answer, id: Option<&Value>) -> Self {
        let mut messages = messages(&answer);
        let place = messages.iter().position(|message| message.get("id") == id && message.get("method").is_none());
        let place = place.or_else(|| (messages.len() == 1).then_some(0));
        let message = place.map_or(Value::Null, |at| messages.remove(at));
        Self { status: answer.status, headers: answer.headers.clone(), answer, message, others: messages }
    }

    /// Returns the `result`. The test fails if there is none.
    pub fn result(&self) -> &Value {
        self.message
            .get("result")
            .unwrap_or_else(|| panic!("no result, status {}: {}", self.status, self.answer.text()))
    }

    /// Returns the JSON-RPC `error`. The test fails if there is none.
    pub fn error(&self) -> &Value {
        self.message.get("error").unwrap_or_else(|| panic!("no error, status {}: {}", self.status, self.answer.text()))
    }

    /// Returns the documented object of a refusal: `{set, reason, remedy, request}`.
    pub fn refusal(&self) -> &Value {
        &self.error()["data"]
    }

    /// Returns the first text of a tool's answer.
    pub fn text(&self) -> String {
        text_of(self.result())
    }
}

/// Returns the first text of a tool's result.
pub fn text_of(result: &Value) -> String {
    result["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

/// Returns the message in a response with one message, either JSON or a stream of one event.
pub fn body_of(answer: &Answer) -> Value {
    messages(answer).into_iter().next().unwrap_or(Value::Null)
}

fn messages(answer: &Answer) -> Vec<Value> {
    let kind = answer.header("content-type").unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return serde_json::from_slice(&answer.body).into_iter().collect();
    }
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
}

fn info() -> Value {
    json!({ "name": "end-to-end", "version": "1.0.0" })
}
