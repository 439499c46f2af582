//! 2026-07-28: every request stands alone. It states in its `_meta` what its client can do, and nothing is remembered
//! between requests (TR-22).

use std::collections::BTreeMap;

use bytes::Bytes;
use sekisho_protocol::mcp::message::{Kind, Message, Meta, asked_methods};
use sekisho_protocol::mcp::method::{self, Direction, Method, MethodRow, Revision, Shape, TASKS_EXTENSION};
use sekisho_protocol::mcp::splice;
use sekisho_protocol::mcp::strict::Limits;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::call::CallFault;

/// Checks whether a request of this revision can be judged here at all: the upstream speaks the revision, and the
/// client has declared what the method needs (TR-56).
pub(crate) fn check(
    message: &Message<'_>,
    revision: Revision,
    row: Option<&'static MethodRow>,
    spoken: &[Revision],
) -> Result<(), CallFault> {
    if !spoken.contains(&revision) {
        // `supported` may name only older versions: a client of both eras then sends `initialize` (TR-14, TR-52).
        return Err(CallFault::Unsupported { requested: revision.as_str().to_owned(), supported: spoken.to_vec() });
    }
    let Some(extension) = row.and_then(|row| row.extension) else { return Ok(()) };
    let is_request = matches!(message.kind(), Kind::Request { .. });
    if is_request && !Declared::by(message).extension(extension) {
        return Err(CallFault::MissingCapability { capability: extension });
    }
    Ok(())
}

/// Removes from a request the declaration that its client knows jobs. This is for anonymous callers: nobody could tell
/// later whose a job is, so the upstream has to answer at once (MCP tasks extension, Security Considerations). The
/// edited request is read again, and must make the same call.
pub(crate) fn without_jobs(body: Bytes, message: &Message<'_>) -> Result<Bytes, CallFault> {
    let declared = message.meta().and_then(|meta| meta.client_capabilities);
    let Some(declared) = declared.filter(|_| Declared::by(message).jobs()) else { return Ok(body) };
    let mut declared: Value = serde_json::from_str(declared).unwrap_or_default();
    if let Some(extensions) = declared.get_mut("extensions").and_then(Value::as_object_mut) {
        extensions.remove(TASKS_EXTENSION);
    }
    let missing = CallFault::MissingParam { member: "params._meta" };
    let Ok(edited) = splice::set_meta(&body, Meta::CLIENT_CAPABILITIES, &declared) else { return Err(missing) };
    let again = Message::read(&edited, &Limits::default())?;
    let arguments = |message: &Message<'_>| message.params().and_then(|params| params.arguments).map(str::to_owned);
    let is_same =
        again.id() == message.id() && again.method() == message.method() && arguments(&again) == arguments(message);
    if !is_same || Declared::by(&again).jobs() {
        return Err(missing);
    }
    drop(again);
    Ok(Bytes::from(edited))
}

/// The capabilities that the client of one request declared.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Declared {
    elicitation: Option<Elicitation>,
    roots: Option<IgnoredAny>,
    sampling: Option<IgnoredAny>,
    extensions: BTreeMap<String, IgnoredAny>,
}

/// The declared kinds of elicitation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Elicitation {
    url: Option<IgnoredAny>,
}

impl Declared {
    /// Reads the capabilities that `initialize` proposes (2025-11-25 has the same members).
    pub(crate) fn in_initialize(body: &[u8]) -> Self {
        let Ok(message) = Message::read(body, &Limits::default()) else { return Self::default() };
        let declared = message.params().and_then(|params| params.capabilities);
        declared.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
    }

    /// Whether the client opens pages for its user.
    pub(crate) fn elicits_urls(&self) -> bool {
        self.elicitation.as_ref().is_some_and(|elicitation| elicitation.url.is_some())
    }

    /// Reads the capabilities from the `_meta` of a request. What cannot be read counts as not declared.
    fn by(message: &Message<'_>) -> Self {
        let declared = message.meta().and_then(|meta| meta.client_capabilities);
        declared.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
    }

    /// Reads the capabilities from the bytes of a request that was read before.
    pub(crate) fn in_request(body: &[u8]) -> Self {
        Message::read(body, &Limits::default()).map(|message| Self::by(&message)).unwrap_or_default()
    }

    fn extension(&self, name: &str) -> bool {
        self.extensions.contains_key(name)
    }

    /// Whether the client knows jobs (`io.modelcontextprotocol/tasks`).
    pub(crate) fn jobs(&self) -> bool {
        self.extension(TASKS_EXTENSION)
    }

    /// Whether a result may ask for all of this, and this client declared all of it (TR-17, TR-45, TR-57).
    pub(crate) fn allows(&self, input_requests: &str) -> bool {
        let Ok(methods) = asked_methods(input_requests) else { return false };
        methods.iter().all(|asked| {
            let row = method::lookup(Revision::V2026_07_28, Direction::ServerToClient, asked);
            match row.filter(|row| row.shape == Shape::InputRequest).map(|row| row.method) {
                Some(Method::ElicitationCreate) => self.elicitation.is_some(),
                Some(Method::RootsList) => self.roots.is_some(),
                Some(Method::SamplingCreateMessage) => self.sampling.is_some(),
                Some(_) | None => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Declared;

    fn declared(capabilities: &str) -> Declared {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{capabilities}}}}}}}"#
        );
        Declared::in_request(body.as_bytes())
    }

    /// TR-17, TR-45, TR-57: a client is only asked for kinds of input that it declared.
    #[test]
    fn a_result_asks_only_for_what_was_declared() {
        for (capabilities, requests, allowed) in [
            (r#"{"elicitation":{}}"#, r#"{"a":{"method":"elicitation/create","params":{}}}"#, true),
            ("{}", r#"{"a":{"method":"elicitation/create","params":{}}}"#, false),
            (r#"{"elicitation":{}}"#, r#"{"a":{"method":"sampling/createMessage","params":{}}}"#, false),
            (
                r#"{"elicitation":{},"sampling":{}}"#,
                r#"{"a":{"method":"sampling/createMessage"},"b":{"method":"elicitation/create"}}"#,
                true,
            ),
            (r#"{"elicitation":{},"roots":{}}"#, r#"{"a":{"method":"roots/list"},"b":{"method":"tools/call"}}"#, false),
            (r#"{"roots":{}}"#, r#"{"a":{"method":"roots/list"}}"#, true),
            (r#"{"roots":{}}"#, "{}", true),
            (r#"{"roots":{}}"#, "[]", false),
            ("7", r#"{"a":{"method":"roots/list"}}"#, false),
        ] {
            assert_eq!(declared(capabilities).allows(requests), allowed, "{capabilities} {requests}");
        }
    }

    /// TR-56: jobs are for clients that declared the extension.
    #[test]
    fn jobs_are_declared_as_an_extension() {
        assert!(declared(r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#).jobs());
        assert!(!declared(r#"{"tasks":{}}"#).jobs());
        assert!(!declared("{}").jobs());
    }
}
