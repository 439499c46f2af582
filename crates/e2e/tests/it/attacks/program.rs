//! A server as a program: a few lines of shell that speak enough of 2025-11-25.

use sekisho_e2e::fakes::upstream::tools;
use serde_json::{Value, json};

/// Returns the `command` of the configuration for a program that answers `tools/call` with this result, and ends when
/// an argument `end` is true. `first` is run before it answers anything, for example to leave a process behind.
pub(crate) fn script(called: &Value, first: &str) -> String {
    let initialized = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "tools": {} },
        "serverInfo": { "name": "script", "version": "1" },
    });
    let listed = json!({ "tools": tools() });
    // The checkpoint's ids are numbers, and come before everything else that looks like an id.
    let script = format!(
        r#"{first}
answer() {{ printf '{{"jsonrpc":"2.0","id":%s,%s}}\n' "$id" "$1"; }}
while IFS= read -r line; do
  case "$line" in *'"id":'*) ;; *) continue ;; esac
  id="${{line#*\"id\":}}"; id="${{id%%[,\}}]*}}"
  case "$line" in
    *'"initialize"'*) answer '"result":{initialized}' ;;
    *'"tools/list"'*) answer '"result":{listed}' ;;
    *'"end":true'*) exit 7 ;;
    *'"tools/call"'*) answer '"result":{called}' ;;
    *'"ping"'*) answer '"result":{{}}' ;;
    *) answer '"error":{{"code":-32601,"message":"no such method"}}' ;;
  esac
done
"#
    );
    json!(["/bin/sh", "-c", script]).to_string()
}

/// Returns the result of an ordinary call.
pub(crate) fn called() -> Value {
    json!({ "content": [{ "type": "text", "text": "called" }] })
}
