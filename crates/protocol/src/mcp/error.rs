//! The JSON-RPC error codes we emit, and the functions that write the few messages that are entirely ours.

use serde::Serialize;
use serde_json::value::RawValue;

use super::message::Id;
use super::method::{Era, Revision};

/// A JSON-RPC error code that we may emit.
///
/// In −32020…−32099 we send only what the specification defines, and in −32000…−32019 nothing. The two codes of older
/// revisions are sent in those revisions only (2026-07-28 basic, Error Codes; TR-18, TR-55).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorCode {
    /// −32020: a mirrored header is missing, malformed or says something else than the body.
    HeaderMismatch,
    /// −32603: our fault; only the request id is told.
    Internal,
    /// −32602: the method is known, its parameters are not acceptable (also: unknown tool, prompt, resource, job).
    InvalidParams,
    /// −32600: JSON, but not one JSON-RPC message.
    InvalidRequest,
    /// −32601: no such method in this revision and direction.
    MethodNotFound,
    /// −32021: the request needs a client capability that was not declared; `data.requiredCapabilities`.
    MissingClientCapability,
    /// −32700: not JSON, or JSON that two parsers could read differently.
    Parse,
    /// 1403: refused by rights, grant or need; `data` is the documented refusal object. Outside every reserved range.
    Refused,
    /// −32002: resource not found, in revisions before 2026-07-28.
    ResourceNotFound,
    /// −32022: `data.supported` and `data.requested` say which revisions would do.
    UnsupportedProtocolVersion,
    /// −32042: a URL elicitation is needed first, in 2025-11-25 alone.
    UrlElicitationRequired,
}

impl ErrorCode {
    /// Every code, for scans over what is emitted.
    pub const ALL: [Self; 11] = [
        Self::HeaderMismatch,
        Self::Internal,
        Self::InvalidParams,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::MissingClientCapability,
        Self::Parse,
        Self::Refused,
        Self::ResourceNotFound,
        Self::UnsupportedProtocolVersion,
        Self::UrlElicitationRequired,
    ];

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        match self {
            Self::HeaderMismatch => -32020,
            Self::Internal => -32603,
            Self::InvalidParams => -32602,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::MissingClientCapability => -32021,
            Self::Parse => -32700,
            Self::Refused => 1403,
            Self::ResourceNotFound => -32002,
            Self::UnsupportedProtocolVersion => -32022,
            Self::UrlElicitationRequired => -32042,
        }
    }

    /// Whether this code may be emitted to a peer that speaks `revision` (TR-18, TR-55).
    ///
    /// The three modern codes are also right towards an older client: they answer a request whose headers were
    /// modern, or whose version we do not serve.
    pub const fn allowed_in(self, revision: Revision) -> bool {
        match self {
            Self::ResourceNotFound => matches!(revision.era(), Era::Initialize),
            Self::UrlElicitationRequired => matches!(revision, Revision::V2025_11_25),
            Self::HeaderMismatch
            | Self::Internal
            | Self::InvalidParams
            | Self::InvalidRequest
            | Self::MethodNotFound
            | Self::MissingClientCapability
            | Self::Parse
            | Self::Refused
            | Self::UnsupportedProtocolVersion => true,
        }
    }

    /// Returns the code for "no such resource" in `revision`: −32602 since 2026-07-28, −32002 before.
    pub const fn resource_not_found(revision: Revision) -> Self {
        match revision.era() {
            Era::Initialize => Self::ResourceNotFound,
            Era::Stateless => Self::InvalidParams,
        }
    }
}

impl From<ErrorCode> for i32 {
    fn from(code: ErrorCode) -> Self {
        code.code()
    }
}

/// A message could not be made because one of our own values cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("a value of ours could not be written as JSON: {0}")]
pub struct WriteError(#[from] serde_json::Error);

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: i32,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorObject<'a>>,
}

impl<'a> Envelope<'a> {
    const fn of(id: Option<&'a Id>) -> Self {
        Self { jsonrpc: "2.0", id, method: None, params: None, result: None, error: None }
    }
}

/// A JSON-RPC error answer. Without an `id` when the request's was not understood (`id?` in the schema: it is
/// left out, never `null`). `data` that cannot be written as JSON is left out too: the refusal itself must go out.
pub fn error_response(id: Option<&Id>, code: ErrorCode, message: &str, data: Option<&impl Serialize>) -> Vec<u8> {
    let data = data.and_then(|data| serde_json::value::to_raw_value(data).ok());
    let error = ErrorObject { code: code.code(), message, data: data.as_deref() };
    let envelope = Envelope { error: Some(error), ..Envelope::of(id) };
    // Strings, integers and JSON that was already written always serialise, so the default is never taken.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// A JSON-RPC answer of our own.
pub fn result_response(id: &Id, result: &impl Serialize) -> Result<Vec<u8>, WriteError> {
    let result = serde_json::value::to_raw_value(result)?;
    Ok(serde_json::to_vec(&Envelope { result: Some(&result), ..Envelope::of(Some(id)) })?)
}

/// A JSON-RPC request of our own (`initialize`, `server/discover`, a list for the catalogue).
pub fn request(id: &Id, method: &str, params: &impl Serialize) -> Result<Vec<u8>, WriteError> {
    let params = serde_json::value::to_raw_value(params)?;
    let envelope = Envelope { method: Some(method), params: Some(&params), ..Envelope::of(Some(id)) };
    Ok(serde_json::to_vec(&envelope)?)
}

/// A JSON-RPC notification of our own; `params` are left out when there are none.
pub fn notification(method: &str, params: Option<&impl Serialize>) -> Result<Vec<u8>, WriteError> {
    let params = params.map(serde_json::value::to_raw_value).transpose()?;
    let envelope = Envelope { method: Some(method), params: params.as_deref(), ..Envelope::of(None) };
    Ok(serde_json::to_vec(&envelope)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::message::{Kind, Message, Outcome};
    use crate::mcp::strict::Limits;

    /// TR-18: from the reserved range only the three defined codes, nothing from the legacy range, and the
    /// codes of older revisions never towards 2026-07-28.
    #[test]
    fn only_defined_codes_are_emitted_towards_the_modern_revision() {
        for code in ErrorCode::ALL {
            let number = code.code();
            if code.allowed_in(Revision::V2026_07_28) && (-32099..=-32000).contains(&number) {
                assert!([-32020, -32021, -32022].contains(&number), "{code:?}");
            }
        }
        assert!(!ErrorCode::ResourceNotFound.allowed_in(Revision::V2026_07_28));
        assert!(!ErrorCode::UrlElicitationRequired.allowed_in(Revision::V2026_07_28));
    }

    /// TR-55: −32042 belongs to 2025-11-25 alone.
    #[test]
    fn a_url_elicitation_is_demanded_in_one_revision_only() {
        let allowed: Vec<_> = Revision::ALL
            .into_iter()
            .filter(|revision| ErrorCode::UrlElicitationRequired.allowed_in(*revision))
            .collect();
        assert_eq!(allowed, [Revision::V2025_11_25]);
    }

    /// TR-02, TR-09: an error whose request is unknown has no `id` member.
    #[test]
    fn an_error_without_an_id_leaves_the_member_out() {
        let bytes = error_response(None, ErrorCode::Parse, "not \"JSON\"\n", None::<&()>);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"not \"JSON\"\n"}}"#
        );
    }

    #[test]
    fn our_own_messages_read_back_as_what_they_are() {
        let id = Id::String("a\"1".to_owned());
        let data = serde_json::json!({"supported": ["2026-07-28"], "requested": "x"});
        let bytes = error_response(Some(&id), ErrorCode::UnsupportedProtocolVersion, "no", Some(&data));
        let message = Message::read(&bytes, &Limits::default()).unwrap();
        let Kind::Response { id: read, outcome: Outcome::Error(error) } = message.kind() else { panic!("{message:?}") };
        assert_eq!(read.as_ref(), Some(&id));
        assert_eq!(error.code, -32022);
        assert_eq!(error.data.unwrap().get(), data.to_string());

        let bytes = request(&Id::Integer(7), "tools/list", &serde_json::json!({})).unwrap();
        let message = Message::read(&bytes, &Limits::default()).unwrap();
        assert_eq!(message.method(), Some("tools/list"));
        let bytes = notification("notifications/initialized", None::<&()>).unwrap();
        assert!(matches!(
            Message::read(&bytes, &Limits::default()).unwrap().kind(),
            Kind::Notification { params: None, .. }
        ));
        let bytes = result_response(&id, &serde_json::json!({"tools": []})).unwrap();
        assert!(matches!(
            Message::read(&bytes, &Limits::default()).unwrap().kind(),
            Kind::Response { outcome: Outcome::Result(_), .. }
        ));
    }
}
