//! Pages that a server asks a person to open, in messages to the client (ATK-226).
//!
//! The client shows such links to its person, or opens them. So a link that is not a web page at least as secure as the
//! server is stopped here: `javascript:`, `file:`, an application's own scheme, a port of this machine.

use sekisho_protocol::mcp::error::ErrorCode;
use sekisho_protocol::mcp::message::{Kind, Message, Outcome};
use serde_json::Value;

use crate::http::{Named, may_name};

/// Whether a message of the server at `server` names a page that the server may not name.
pub(super) fn names_a_bad_page(server: &str, message: &Message<'_>) -> bool {
    let text = match message.kind() {
        Kind::Request { .. } if message.method() == Some("elicitation/create") => message.bytes(),
        Kind::Response { outcome: Outcome::Result(result), .. }
            if result.input_requests.is_some() || result.task_id.is_some() =>
        {
            message.bytes()
        }
        Kind::Response { outcome: Outcome::Error(error), .. } if error.data.is_some() => message.bytes(),
        Kind::Notification { .. } | Kind::Request { .. } | Kind::Response { .. } => return false,
    };
    // The message was parsed strictly before. What this parser cannot read counts as bad.
    serde_json::from_slice::<Value>(text).map_or(true, |value| has_a_bad_page(server, &value))
}

/// Does the same check for the error in a refusal.
pub(super) fn error_names_a_bad_page(server: &str, error: &Value) -> bool {
    let code = error.get("code").and_then(Value::as_i64);
    code == Some(i64::from(ErrorCode::UrlElicitationRequired.code())) && has_a_bad_page(server, error)
}

/// Whether any object in the value asks for a bad page: an object that asks for one by its mode, by its identifier, or
/// as the parameters of an elicitation. The reader of the JSON bounds the depth.
fn has_a_bad_page(server: &str, value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| has_a_bad_page(server, item)),
        Value::Object(members) => {
            let is = |name: &str, text: &str| members.get(name).and_then(Value::as_str) == Some(text);
            let asks = is("mode", "url") || members.contains_key("elicitationId");
            let asked = if is("method", "elicitation/create") { members.get("params") } else { None };
            let bad = |url: Option<&Value>| {
                url.is_some_and(|url| !url.as_str().is_some_and(|url| may_name(Named::ElicitationPage, server, url)))
            };
            (asks && bad(members.get("url")))
                || bad(asked.and_then(|params| params.get("url")))
                || members.values().any(|member| has_a_bad_page(server, member))
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}
