//! MCP requests, of every revision and bent in every way.

use serde_json::{Value, json};

use super::wire::Ask;

/// Where the version stands in `_meta`.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The `_meta` of an honest request of 2026-07-28.
pub fn meta() -> Value {
    json!({
        META_VERSION: "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "attacks", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A request of 2026-07-28 with these parameters, `_meta` added.
pub fn message(method: &str, mut params: Value) -> Value {
    if let Some(members) = params.as_object_mut() {
        members.insert("_meta".to_owned(), meta());
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// An honest request of 2026-07-28.
pub fn modern(target: &str, token: &str, method: &str, params: Value) -> Ask {
    let name = params.get("name").or(params.get("uri")).and_then(Value::as_str).map(str::to_owned);
    let ask = headers(target, token, method).json(&message(method, params));
    match name {
        Some(name) => ask.header("mcp-name", &name),
        None => ask,
    }
}

/// Its headers, without `Mcp-Name` and a body.
pub fn headers(target: &str, token: &str, method: &str) -> Ask {
    let ask = Ask::post(target)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    if token.is_empty() { ask } else { ask.bearer(token) }
}

/// An honest call of a tool.
pub fn tool(target: &str, token: &str, name: &str) -> Ask {
    modern(target, token, "tools/call", json!({ "name": name, "arguments": {} }))
}

/// An honest request of an older revision; without a session before the handshake.
pub fn legacy(target: &str, token: &str, session: Option<(&str, &str)>, body: &Value) -> Ask {
    let ask = Ask::post(target).header("accept", "application/json, text/event-stream").bearer(token).json(body);
    match session {
        None => ask,
        Some((session, revision)) => ask.header("mcp-session-id", session).header("mcp-protocol-version", revision),
    }
}

/// The handshake of an older revision.
pub fn initialize(revision: &str) -> Value {
    let params =
        json!({ "protocolVersion": revision, "capabilities": {}, "clientInfo": { "name": "attacks", "version": "1" } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params })
}

/// A call of a tool in an older revision.
pub fn legacy_tool(name: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": name, "arguments": {} } })
}
