//! What to paste into which client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_protocol::ids::ServerName;

/// How a real client is connected to a server: the client's name, and the exact line or link.
pub(crate) fn connect_lines(name: &ServerName, url: &str) -> Vec<(&'static str, String)> {
    let code = serde_json::json!({ "name": name, "type": "http", "url": url });
    let cursor = STANDARD.encode(serde_json::json!({ "url": url }).to_string());
    // `+`, `/` and `=` of base64 mean something else in a query.
    let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
    vec![
        ("Claude Code", format!("claude mcp add --transport http {name} {url}")),
        ("VS Code", format!("code --add-mcp '{code}'")),
        ("Cursor", format!("cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={cursor}")),
        ("Inspector", format!("npx @modelcontextprotocol/inspector --transport http --server-url {url}")),
    ]
}

/// Prints them, with what a loopback address means.
pub(crate) fn print_connect_lines(name: &ServerName, url: &str) {
    say_lines!("\nConnect a client to {name}:");
    for (client, line) in connect_lines(name, url) {
        say_lines!("  {client:<12} {line}");
    }
    if url.starts_with("http://") {
        say_lines!("  Clients that run in somebody's cloud cannot reach this address: it is this machine's loopback.");
    }
}
