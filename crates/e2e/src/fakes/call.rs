//! Builds MCP requests of every revision, which a test can then change.

use serde_json::{Value, json};

use super::wire::Ask;

/// The key of the protocol version in `_meta`.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Returns the `_meta` of an honest request of 2026-07-28.
pub fn meta() -> Value {
    json!({
        META_VERSION: "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "attacks", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// Builds a message of 2026-07-28 with these parameters and its `_meta`.
pub fn message(method: &str, mut params: Value) -> Value {
    if let Some(members) = params.as_object_mut() {
        members.insert("_meta".to_owned(), meta());
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// Builds an honest request of 2026-07-28.
pub fn modern(target: &str, token: &str, method: &str, params: Value) -> Ask {
    let name = params.get("name").or(params.get("uri")).and_then(Value::as_str).map(str::to_owned);
    let ask = headers(target, token, method).json(&message(method, params));
    match name {
        Some(name) => ask.header("mcp-name", &name),
        None => ask,
    }
}

/// Builds such a request without `Mcp-Name` and without a body.
pub fn headers(target: &str, token: &str, method: &str) -> Ask {
    let ask = Ask::post(target)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    if token.is_empty() { ask } else { ask.bearer(token) }
}

/// Builds an honest call of a tool.
pub fn tool(target: &str, token: &str, name: &str) -> Ask {
    modern(target, token, "tools/call", json!({ "name": name, "arguments": {} }))
}

/// Builds an honest request of an older revision. Before the handshake, there is no session.
pub fn legacy(target: &str, token: &str, session: Option<(&str, &str)>, body: &Value) -> Ask {
    let ask = Ask::post(target).header("accept", "application/json, text/event-stream").bearer(token).json(body);
    match session {
        None => ask,
        Some((session, revision)) => ask.header("mcp-session-id", session).header("mcp-protocol-version", revision),
    }
}

/// Builds the `initialize` message of an older revision.
pub fn initialize(revision: &str) -> Value {
    let params =
        json!({ "protocolVersion": revision, "capabilities": {}, "clientInfo": { "name": "attacks", "version": "1" } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params })
}

/// Builds a call of a tool in an older revision.
pub fn legacy_tool(name: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": name, "arguments": {} } })
}
