//! Calls an MCP server over Streamable HTTP, one message at a time: enough for the demo and for examining a server from
//! outside. Responses are read as a whole; standing streams are not supported.

use ::http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use sekisho_protocol::mcp::headers::{METHOD, NAME, PROTOCOL_VERSION, encode_value};
use sekisho_protocol::mcp::method::{Direction, Era, NameSource, Revision, lookup};
use sekisho_protocol::mcp::sse::{Parser, Piece};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::McpSessionToken;
use serde_json::{Value, json};

use crate::challenge::{BearerChallenge, bearer};
use crate::http::{Destination, HttpClient, HttpError, Request, Response};
use crate::token::Tokens;

/// A conversation with one server in one revision.
#[derive(Debug)]
pub struct McpSession {
    endpoint: ResourceId,
    revision: Revision,
    client_name: String,
    /// The session id of the server, in the revisions that have sessions.
    session: Option<McpSessionToken>,
    next_id: i64,
}

/// The server's response to one request.
#[derive(Debug, Clone)]
pub struct McpAnswer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The HTTP headers.
    pub headers: HeaderMap,
    /// The `Bearer` challenge, if there is one.
    pub challenge: Option<BearerChallenge>,
    /// The JSON-RPC response to this request: its `result` or its `error`. If there is none, the single message in the
    /// body, such as an error without an id.
    pub message: Option<Value>,
    /// The messages before it on the same stream.
    pub others: Vec<Value>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// The exchange failed.
    #[error("`{endpoint}` could not be called")]
    Http {
        /// The server's URL.
        endpoint: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The token belongs to another server (CL-37).
    #[error("the token is for another server than `{endpoint}`: log in there")]
    OtherResource {
        /// The server's URL.
        endpoint: String,
    },
}

/// The largest response that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

impl McpSession {
    /// Creates a conversation that has not begun. `client_name` is the name that the server is told.
    pub fn new(endpoint: ResourceId, revision: Revision, client_name: impl Into<String>) -> Self {
        Self { endpoint, revision, client_name: client_name.into(), session: None, next_id: 1 }
    }

    /// The server's URL.
    pub fn endpoint(&self) -> &ResourceId {
        &self.endpoint
    }

    /// The revision that is used.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Sends `initialize` in the revisions that have it (2025-11-25 lifecycle); otherwise asks the server what it is.
    /// Returns the response to the first message. A session begins if it was a success.
    pub async fn initialize(&mut self, http: &dyn HttpClient, tokens: Option<&Tokens>) -> Result<McpAnswer, McpError> {
        if self.revision.era() == Era::Stateless {
            return self.call(http, tokens, "server/discover", json!({})).await;
        }
        let params = json!({
            "protocolVersion": self.revision.as_str(),
            "capabilities": {},
            "clientInfo": self.client_info(),
        });
        let answer = self.call(http, tokens, "initialize", params).await?;
        if answer.result().is_some() {
            let session = answer.headers.get(SESSION).and_then(|value| value.to_str().ok());
            self.session = session.map(McpSessionToken::from_outside);
            let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            self.post(http, tokens, &body).await?;
        }
        Ok(answer)
    }

    /// Sends one request and reads its response, with any status. `params` is an object.
    pub async fn call(
        &mut self,
        http: &dyn HttpClient,
        tokens: Option<&Tokens>,
        method: &str,
        params: Value,
    ) -> Result<McpAnswer, McpError> {
        let id = self.next_id;
        self.next_id += 1;
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": self.with_meta(params) });
        let response = self.post(http, tokens, &body).await?;
        Ok(read(response, id))
    }

    /// Ends the session, if there is one (2025-11-25 transports, Session Management 5).
    pub async fn close(&mut self, http: &dyn HttpClient, tokens: Option<&Tokens>) -> Result<(), McpError> {
        if self.session.is_some() {
            let request = Request::new(Method::DELETE, Destination::given(self.endpoint.as_str()), Bytes::new());
            self.send(http, tokens, request).await?;
            self.session = None;
        }
        Ok(())
    }

    fn client_info(&self) -> Value {
        json!({ "name": self.client_name, "version": env!("CARGO_PKG_VERSION") })
    }

    /// Adds the members of `_meta` that 2026-07-28 requires on every request (TR-16).
    fn with_meta(&self, mut params: Value) -> Value {
        if self.revision.era() == Era::Initialize {
            return params;
        }
        let meta = params.as_object_mut().map(|members| members.entry("_meta").or_insert_with(|| json!({})));
        if let Some(meta) = meta.and_then(Value::as_object_mut) {
            meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), json!(self.revision.as_str()));
            meta.insert("io.modelcontextprotocol/clientInfo".to_owned(), self.client_info());
            meta.entry("io.modelcontextprotocol/clientCapabilities").or_insert_with(|| json!({}));
        }
        params
    }

    async fn post(&self, http: &dyn HttpClient, tokens: Option<&Tokens>, body: &Value) -> Result<Response, McpError> {
        let method = body.get("method").and_then(Value::as_str).unwrap_or_default();
        let mut request =
            Request::new(Method::POST, Destination::given(self.endpoint.as_str()), body.to_string().into())
                .header(CONTENT_TYPE, "application/json")
                .header(ACCEPT, "application/json, text/event-stream");
        if self.revision.era() == Era::Stateless {
            request = request.header(HeaderName::from_static(METHOD), &encode_value(method));
            if let Some(name) = self.mirrored_name(method, body) {
                request = request.header(HeaderName::from_static(NAME), &encode_value(name));
            }
        }
        self.send(http, tokens, request).await
    }

    /// Returns the value for `Mcp-Name`, which is repeated from the body (2026-07-28 transports, Standard Request
    /// Headers).
    fn mirrored_name<'b>(&self, method: &str, body: &'b Value) -> Option<&'b str> {
        let member = match lookup(self.revision, Direction::ClientToServer, method)?.name_header {
            NameSource::Name => "name",
            NameSource::None => return None,
            NameSource::TaskId => "taskId",
            NameSource::Uri => "uri",
        };
        body.get("params")?.get(member)?.as_str()
    }

    async fn send(
        &self,
        http: &dyn HttpClient,
        tokens: Option<&Tokens>,
        mut request: Request,
    ) -> Result<Response, McpError> {
        let endpoint = || self.endpoint.as_str().to_owned();
        request.body_bytes_max = ANSWER_BYTES_MAX;
        // The revision is negotiated by `initialize`, so no request names one before that (2025-11-25 transports).
        if self.revision.era() == Era::Stateless || self.session.is_some() || self.next_id > 2 {
            request = request.header(HeaderName::from_static(PROTOCOL_VERSION), self.revision.as_str());
        }
        if let Some(session) = &self.session {
            request = request.header(SESSION, session.expose());
        }
        if let Some(tokens) = tokens {
            if !tokens.is_for(&self.endpoint) {
                return Err(McpError::OtherResource { endpoint: endpoint() });
            }
            request = request.bearer(&tokens.access);
        }
        http.send(request).await.map_err(|source| McpError::Http { endpoint: endpoint(), source })
    }
}

impl McpAnswer {
    /// Returns the `result`, if the call succeeded.
    pub fn result(&self) -> Option<&Value> {
        self.message.as_ref()?.get("result")
    }

    /// The JSON-RPC `error`, if there is one.
    pub fn error(&self) -> Option<&Value> {
        self.message.as_ref()?.get("error")
    }
}

fn read(response: Response, id: i64) -> McpAnswer {
    let challenge = bearer(&response.headers);
    let mut messages = match response.media_type().as_deref() {
        Some("text/event-stream") => events(&response.body),
        Some("application/json") => serde_json::from_slice(&response.body).into_iter().collect(),
        _ => Vec::new(),
    };
    let answers = |message: &Value| message.get("id") == Some(&json!(id)) && message.get("method").is_none();
    let place = messages.iter().position(answers).or_else(|| (messages.len() == 1).then_some(0));
    let message = place.map(|at| messages.remove(at));
    McpAnswer { status: response.status, headers: response.headers, challenge, message, others: messages }
}

/// Returns the messages of a complete event stream; an event that is not JSON, or not complete, is left out.
fn events(body: &[u8]) -> Vec<Value> {
    let pieces = Parser::new(ANSWER_BYTES_MAX).push(body).unwrap_or_default();
    let data = pieces.into_iter().filter_map(|piece| match piece {
        Piece::Comment { .. } => None,
        Piece::Event(event) if event.is_message() => event.data,
        Piece::Event(_) => None,
    });
    data.filter_map(|data| serde_json::from_str(&data).ok()).collect()
}

#[cfg(test)]
mod tests;
