//! A small MCP server over standard input and output: a notebook. It is for the demo and for trying things out.
//!
//! It speaks all three revisions and keeps everything in memory: a process belongs to one user.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

/// The revisions with a handshake, newest first.
const HANDSHAKE_REVISIONS: [&str; 2] = ["2025-11-25", "2025-06-18"];
/// The revision without a handshake.
const STATELESS_REVISION: &str = "2026-07-28";
/// The `_meta` key that names the revision in requests of that revision.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The longest note, in characters.
const NOTE_CHARS_MAX: usize = 10_000;

/// Serves until standard input ends. Fails if standard input or output fails.
pub async fn serve() -> std::io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut out = tokio::io::stdout();
    let mut notes = Notes::default();
    while let Some(line) = lines.next_line().await? {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(answer) = notes.answer(&message) {
            out.write_all(
                format!(
                    "{answer}
"
                )
                .as_bytes(),
            )
            .await?;
            out.flush().await?;
        }
    }
    Ok(())
}

/// A notebook: the smallest server with something to read, to write and to delete.
#[derive(Debug)]
struct Notes(BTreeMap<String, String>);

impl Default for Notes {
    fn default() -> Self {
        Self(BTreeMap::from([("welcome".to_owned(), "Every call to this notebook passed the checkpoint.".to_owned())]))
    }
}

/// The code and the message of a JSON-RPC error.
type Failure = (i64, String);

impl Notes {
    /// Returns the answer to a request, or nothing for a notification or a response.
    fn answer(&mut self, message: &Value) -> Option<Value> {
        let id = message.get("id").filter(|id| !id.is_null())?;
        let method = message.get("method")?.as_str()?;
        let params = message.get("params").cloned().unwrap_or_default();
        let stateless = params.get("_meta").and_then(|meta| meta.get(META_VERSION)).is_some();
        Some(match self.result(method, &params, stateless) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, message)) => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
            }
        })
    }

    fn result(&mut self, method: &str, params: &Value, stateless: bool) -> Result<Value, Failure> {
        let mut result = match method {
            "initialize" if !stateless => initialized(params),
            "ping" if !stateless => json!({}),
            "server/discover" if stateless => discovered(),
            "tools/list" => json!({ "tools": tools() }),
            "tools/call" => self.call(params)?,
            _ => return Err((-32601, format!("method `{method}` is not offered here"))),
        };
        if stateless && let Some(members) = result.as_object_mut() {
            members.insert("resultType".to_owned(), json!("complete"));
            if method != "tools/call" {
                members.insert("ttlMs".to_owned(), json!(60_000));
                members.insert("cacheScope".to_owned(), json!("public"));
            }
        }
        Ok(result)
    }

    fn call(&mut self, params: &Value) -> Result<Value, Failure> {
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let argument = |key: &str| params.get("arguments").and_then(|all| all.get(key)).and_then(Value::as_str);
        let text = match name {
            "list_notes" => self.0.keys().cloned().collect::<Vec<_>>().join("\n"),
            "read_note" => {
                let title = argument("title").ok_or((-32602, "`title` is needed".to_owned()))?;
                match self.0.get(title) {
                    Some(text) => text.clone(),
                    None => return Ok(json!({ "content": [text_block("there is no such note")], "isError": true })),
                }
            }
            "write_note" => {
                let title = argument("title").ok_or((-32602, "`title` is needed".to_owned()))?;
                let text: String = argument("text").unwrap_or_default().chars().take(NOTE_CHARS_MAX).collect();
                self.0.insert(title.to_owned(), text);
                format!("kept `{title}`")
            }
            "delete_all_notes" => {
                let count = self.0.len();
                self.0.clear();
                format!("{count} notes are gone")
            }
            _ => return Err((-32602, format!("there is no tool `{name}`"))),
        };
        Ok(json!({ "content": [text_block(&text)] }))
    }
}

fn text_block(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn initialized(params: &Value) -> Value {
    let wanted = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let [newest, _] = HANDSHAKE_REVISIONS;
    let spoken = if HANDSHAKE_REVISIONS.contains(&wanted) { wanted } else { newest };
    json!({ "protocolVersion": spoken, "capabilities": { "tools": {} }, "serverInfo": info() })
}

fn discovered() -> Value {
    json!({ "supportedVersions": [STATELESS_REVISION], "capabilities": { "tools": {} }, "_meta": { "io.modelcontextprotocol/serverInfo": info() } })
}

fn info() -> Value {
    json!({ "name": "notes", "title": "Notes", "version": env!("CARGO_PKG_VERSION") })
}

fn tools() -> Value {
    let title = json!({ "type": "object", "properties": { "title": { "type": "string" } }, "required": ["title"] });
    let note = json!({ "type": "object", "properties": { "title": { "type": "string" }, "text": { "type": "string" } }, "required": ["title", "text"] });
    let nothing = json!({ "type": "object", "properties": {} });
    json!([
        { "name": "list_notes", "description": "Titles of all notes", "inputSchema": nothing, "annotations": { "readOnlyHint": true } },
        { "name": "read_note", "description": "The text of one note", "inputSchema": title, "annotations": { "readOnlyHint": true } },
        { "name": "write_note", "description": "Keeps a note, in place of an older one of that title", "inputSchema": note, "annotations": { "readOnlyHint": false, "destructiveHint": false } },
        { "name": "delete_all_notes", "description": "Loses every note", "inputSchema": nothing, "annotations": { "readOnlyHint": false, "destructiveHint": true } },
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Notes;

    fn ask(notes: &mut Notes, method: &str, params: Value) -> Value {
        notes.answer(&json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })).unwrap()
    }

    #[test]
    fn a_note_can_be_kept_read_and_lost() {
        let mut notes = Notes::default();
        ask(&mut notes, "tools/call", json!({ "name": "write_note", "arguments": { "title": "a", "text": "b" } }));
        let read = ask(&mut notes, "tools/call", json!({ "name": "read_note", "arguments": { "title": "a" } }));
        assert_eq!(read["result"]["content"][0]["text"], "b");
        ask(&mut notes, "tools/call", json!({ "name": "delete_all_notes" }));
        let list = ask(&mut notes, "tools/call", json!({ "name": "list_notes" }));
        assert_eq!(list["result"]["content"][0]["text"], "");
    }

    #[test]
    fn it_speaks_every_revision() {
        let mut notes = Notes::default();
        for revision in ["2025-06-18", "2025-11-25"] {
            let answer = ask(&mut notes, "initialize", json!({ "protocolVersion": revision }));
            assert_eq!(answer["result"]["protocolVersion"], revision);
        }
        let meta = json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } });
        assert_eq!(ask(&mut notes, "server/discover", meta)["result"]["supportedVersions"], json!(["2026-07-28"]));
        assert!(notes.answer(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).is_none());
    }
}
