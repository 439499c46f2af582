//! One message from the client, and the HTTP request made from it.

use ::http::Method;
use ::http::header::HeaderName;
use bytes::Bytes;
use sekisho_protocol::mcp::error::ErrorCode;
use sekisho_protocol::mcp::headers::PROTOCOL_VERSION;
use sekisho_protocol::mcp::message::{self, Id, Message, ReadError};
use sekisho_protocol::mcp::method::{Direction, NameSource, Revision, lookup};
use sekisho_protocol::mcp::strict::Limits;
use serde_json::{Value, json};

use crate::http::{Destination, Request};

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// A message after it was read.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) bytes: Bytes,
    pub(super) kind: Kind,
    pub(super) method: Option<String>,
    /// The revision named in the message itself (2026-07-28).
    pub(super) version: Option<String>,
    /// The tool that the message calls.
    pub(super) tool: Option<String>,
    /// What `Mcp-Name` repeats.
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
    /// Its `_meta`, for a question of ours in its place.
    meta: Option<Value>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// `notifications/cancelled`, with the id of the cancelled request.
    Cancelled(Id),
    /// `notifications/initialized`.
    Initialized,
    /// Another notification, or an answer to a request of the server.
    Other,
    Request(Id),
}

impl Line {
    pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, ReadError> {
        let message = Message::read(bytes, limits)?;
        let params = message.params();
        let method = message.method().map(str::to_owned);
        let version = message.meta().and_then(|meta| meta.protocol_version.as_ref()).map(ToString::to_string);
        let kind = match (message.kind(), method.as_deref()) {
            (message::Kind::Request { id, .. }, _) => Kind::Request(id.clone()),
            (message::Kind::Notification { .. }, Some("notifications/initialized")) => Kind::Initialized,
            (message::Kind::Notification { params: Some(params), .. }, Some("notifications/cancelled")) => {
                params.request_id.clone().map_or(Kind::Other, Kind::Cancelled)
            }
            _ => Kind::Other,
        };
        let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_ref().map(ToString::to_string);
        let named = |source: NameSource| match source {
            NameSource::Name => params.and_then(|params| text(&params.name)),
            NameSource::None => None,
            NameSource::TaskId => params.and_then(|params| text(&params.task_id)),
            NameSource::Uri => params.and_then(|params| text(&params.uri)),
        };
        let row = method.as_deref().and_then(|method| {
            // If the revision is unknown, the headers are those of the newest known revision.
            let revision = version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(Revision::V2026_07_28);
            lookup(revision, Direction::ClientToServer, method)
        });
        let is_call = method.as_deref() == Some("tools/call");
        Ok(Self {
            bytes: Bytes::copy_from_slice(message.bytes()),
            tool: params.filter(|_| is_call).and_then(|params| text(&params.name)),
            name: row.and_then(|row| named(row.name_header)),
            arguments: params.and_then(|params| params.arguments).map(ToOwned::to_owned),
            meta: version.as_ref().and(params).and_then(|params| {
                let params: Value = serde_json::from_str(params.raw).ok()?;
                params.get("_meta").cloned()
            }),
            kind,
            method,
            version,
        })
    }

    /// Names the operation for the bound on step-ups: the method, and its target if there is one.
    pub(super) fn operation(&self) -> String {
        let method = self.method.as_deref().unwrap_or("answer");
        match &self.name {
            Some(name) => format!("{method} {name}"),
            None => method.to_owned(),
        }
    }

    pub(super) fn initialized() -> Self {
        Self::ours(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }), Kind::Initialized, None)
    }

    /// Builds our error answer to a request of the server that the client does not get to see.
    pub(super) fn refusal(id: &Id, why: &str) -> Self {
        let code = ErrorCode::InvalidParams.code();
        let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": why } });
        Self::ours(error, Kind::Other, None)
    }

    /// Builds a request of our own for the list of tools, with the client's `_meta`.
    pub(super) fn list_of_tools(&self) -> Self {
        let id = "sekisho-tools".to_owned();
        let meta = self.meta.clone().unwrap_or_else(|| json!({}));
        let list = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": { "_meta": meta } });
        Self::ours(list, Kind::Request(Id::String(id)), self.version.clone())
    }

    fn ours(message: Value, kind: Kind, version: Option<String>) -> Self {
        let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
        let bytes = Bytes::from(message.to_string());
        Self { bytes, kind, method, version, tool: None, name: None, arguments: None, meta: None }
    }
}

/// Ends a session (2025-11-25 transports, Session Management).
pub(super) fn delete(url: &str, session: &str, revision: Option<&str>) -> Request {
    let request = Request::new(Method::DELETE, Destination::given(url), Bytes::new()).header(SESSION, session);
    match revision {
        Some(revision) => request.header(HeaderName::from_static(PROTOCOL_VERSION), revision),
        None => request,
    }
}
