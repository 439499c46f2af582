//! MCP as it stands on the wire, in any revision, also where the message is none.

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
    /// The token that is shown, if any.
    pub token: Option<String>,
    /// The revision that is spoken.
    pub revision: Revision,
    /// The session, in the older revisions once it has begun.
    pub session: Option<String>,
    /// What this client says it can do.
    pub capabilities: Value,
    caller: Caller,
    next_id: i64,
}

/// An answer with the messages in it.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The answer as it came.
    pub answer: Answer,
    /// The message that answers the request; `null` when there is none.
    pub message: Value,
    /// All other messages of the stream.
    pub others: Vec<Value>,
}

impl Mcp {
    /// A conversation that has not begun.
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

    /// Begins it: `initialize` in the older revisions, `server/discover` in the newer ones.
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

    /// Sends a request and reads its answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Reply {
        let body = self.request(method, params);
        self.send(&body).await
    }

    /// Calls a tool.
    pub async fn tool(&mut self, name: &str, arguments: Value) -> Reply {
        self.call("tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    /// The names of the tools that are shown.
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

    /// A request as a body, with the next id and with what the revision demands.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": self.with_meta(params) })
    }

    /// Sends a body with the headers that belong to it.
    pub async fn send(&self, body: &Value) -> Reply {
        Reply::of(self.post(body).send().await, body.get("id"))
    }

    /// A POST with the headers that belong to a body; more can be added, and it can be opened as a stream.
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

    /// A POST of these bytes with token, revision and session, and nothing that repeats the body.
    pub fn raw(&self, body: impl Into<Bytes>) -> Call {
        let body = body.into();
        let call = self.with_headers(self.caller.post(&self.url));
        call.header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body)
    }

    /// The standing stream of the older revisions.
    pub fn listen(&self) -> Call {
        self.with_headers(self.caller.get(&self.url)).header("accept", "text/event-stream")
    }

    /// Ends the session of the older revisions.
    pub async fn end(&self) -> Answer {
        self.with_headers(self.caller.delete(&self.url)).send().await
    }

    fn with_headers(&self, mut call: Call) -> Call {
        // `initialize` agrees on the revision, so nothing names one before it (2025-11-25 transports).
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

    /// The members of `_meta` that 2026-07-28 asks for; those that are there already stay.
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

    /// The `result`; ends the test where there is none.
    pub fn result(&self) -> &Value {
        self.message
            .get("result")
            .unwrap_or_else(|| panic!("no result, status {}: {}", self.status, self.answer.text()))
    }

    /// The JSON-RPC `error`; ends the test where there is none.
    pub fn error(&self) -> &Value {
        self.message.get("error").unwrap_or_else(|| panic!("no error, status {}: {}", self.status, self.answer.text()))
    }

    /// The documented object of a refusal: `{set, reason, remedy, request}`.
    pub fn refusal(&self) -> &Value {
        &self.error()["data"]
    }

    /// The first text of a tool's answer.
    pub fn text(&self) -> String {
        text_of(self.result())
    }
}

/// The first text of a tool's result.
pub fn text_of(result: &Value) -> String {
    result["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

/// The body of an answer that holds one message, whether JSON or a stream of one event.
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
