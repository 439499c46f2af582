//! The lines to paste into each client to connect it to a server.

use crate::ids::ServerName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Returns for each known client its name, and the exact line or link that connects it to a server.
pub fn connect_lines(name: &ServerName, url: &str) -> Vec<(&'static str, String)> {
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

#[cfg(test)]
mod tests {
    use super::connect_lines;

    #[test]
    fn each_client_gets_a_line_with_the_address() {
        let lines = connect_lines(&"notes".parse().unwrap(), "http://localhost:8420/mcp/notes");
        let clients: Vec<_> = lines.iter().map(|(client, _)| *client).collect();
        assert_eq!(clients, ["Claude Code", "VS Code", "Cursor", "Inspector"]);
        assert_eq!(lines[0].1, "claude mcp add --transport http notes http://localhost:8420/mcp/notes");
        assert!(lines[1].1.contains(r#""url":"http://localhost:8420/mcp/notes""#), "{}", lines[1].1);
        assert!(
            lines[2].1.ends_with("config=eyJ1cmwiOiJodHRwOi8vbG9jYWxob3N0Ojg0MjAvbWNwL25vdGVzIn0%3D"),
            "{}",
            lines[2].1
        );
    }
}
