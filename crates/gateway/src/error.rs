//! What a refused request is told: one exhaustive table from the steps' errors to responses.
//!
//! Bodies are JSON-RPC errors, with the request's id where it is known. The exception is 401, because no message was
//! read. The texts are ours or the readers'; they hold nothing of tokens, keys, upstreams or children (RS-26).

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use sekisho_protocol::audit::Why;
use sekisho_protocol::challenge::ChallengeError;
use sekisho_protocol::ids::RequestId;
use sekisho_protocol::mcp::error::{ErrorCode, error_response, result_response};
use sekisho_protocol::mcp::headers::HeaderError;
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::method::{Era, Revision};
use sekisho_protocol::refusal::{Refusal, Remedy, RemedyKind, SetName};
use serde::Serialize;
use serde_json::json;

use crate::authenticate::AuthenticateError;
use crate::authorize::{Denied, Told};
use crate::call::CallFault;
use crate::challenge;
use crate::external::ExternalFault;
use crate::fault::{Fault, ROUNDS_FULL, Refused};
use crate::forward::ForwardError;
use crate::limits::{GatewaySettings, Limits};
use crate::refusal::RefusalWord;
use crate::rounds::question_key;
use crate::route::{RouteError, Routed};
use crate::scope_words::spoken_to;
use crate::watchdog::{End, OpenError};

/// A response that is about to be made.
struct Draft {
    status: StatusCode,
    /// The word under which the refusal is recorded.
    word: RefusalWord,
    body: Vec<u8>,
}

/// The response to a refused request, and the word under which it is recorded.
pub(crate) fn response(routed: &Routed, settings: &GatewaySettings, refused: &Refused) -> (Response, RefusalWord) {
    let (base_url, limits) = (settings.base_url.as_str(), &settings.limits);
    let id = refused.id.as_ref();
    let draft = match &refused.fault {
        Fault::Authenticate(error) => authenticate(routed, base_url, error),
        Fault::Call(fault) => call(routed, limits, id, fault),
        Fault::Denied { denied, told } => denied_draft(routed, base_url, id, denied, told),
        Fault::Ended(end) => ended(routed, id, *end),
        Fault::Forward(error) => forward(routed, limits, id, error),
        Fault::Full => {
            let text = format!("{}; ask the user to answer them at {base_url}/ and then call again", refused.fault);
            internal(routed, id, StatusCode::TOO_MANY_REQUESTS, RefusalWord::ApprovalsFull, &text)
        }
        Fault::Journal(_) => internal(
            routed,
            id,
            StatusCode::SERVICE_UNAVAILABLE,
            RefusalWord::NoRecord,
            "nothing is done that cannot be recorded; try again",
        ),
        Fault::Open(error) => {
            let status = match error {
                OpenError::Own | OpenError::Share => StatusCode::TOO_MANY_REQUESTS,
                OpenError::Stopping | OpenError::Total => StatusCode::SERVICE_UNAVAILABLE,
            };
            let word = if *error == OpenError::Stopping { RefusalWord::Stopping } else { RefusalWord::TooManyStreams };
            internal(routed, id, status, word, &error.to_string())
        }
        Fault::OtherName { url } => {
            let body = other_name(id, url);
            Draft { status: StatusCode::MISDIRECTED_REQUEST, word: RefusalWord::OtherName, body }
        }
        Fault::RoundsFull => {
            internal(routed, id, StatusCode::TOO_MANY_REQUESTS, RefusalWord::TooManyRounds, ROUNDS_FULL)
        }
        Fault::TooFast(error) => {
            internal(routed, id, StatusCode::TOO_MANY_REQUESTS, RefusalWord::TooFast, &error.to_string())
        }
    };
    let mut response = json_response(draft.status, draft.body);
    let headers = response.headers_mut();
    if let Some(value) = challenge::header(&routed.route, base_url, &refused.fault) {
        headers.insert(WWW_AUTHENTICATE, value);
    }
    if let Fault::Call(CallFault::MethodNotAllowed { allow }) = &refused.fault {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Fault::Call(CallFault::OlderTransport) = &refused.fault {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if matches!(draft.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(RETRY_AFTER, HeaderValue::from(refused.fault.retry_after_seconds().unwrap_or(1)));
    }
    (response, draft.word)
}

fn other_name(id: Option<&Id>, url: &str) -> Vec<u8> {
    let fault = Fault::OtherName { url: url.to_owned() };
    error_response(id, ErrorCode::InvalidRequest, &fault.to_string(), Some(&json!({ "url": url })))
}

/// The response to a request for metadata at one of our names that clients are not told.
pub(crate) fn described_elsewhere(url: &str) -> Response {
    json_response(StatusCode::MISDIRECTED_REQUEST, other_name(None, url))
}

/// The response to a request that found no server.
pub(crate) fn unrouted(error: RouteError) -> (Response, RefusalWord) {
    let (status, word) = match error {
        RouteError::HostMalformed => (StatusCode::BAD_REQUEST, RefusalWord::HostMalformed),
        RouteError::HostUnknown => (StatusCode::MISDIRECTED_REQUEST, RefusalWord::HostUnknown),
        RouteError::OriginForbidden => (StatusCode::FORBIDDEN, RefusalWord::OriginForbidden),
        RouteError::ServerUnknown => (StatusCode::NOT_FOUND, RefusalWord::ServerUnknown),
    };
    let body = error_response(None, ErrorCode::InvalidRequest, &error.to_string(), None::<&()>);
    (json_response(status, body), word)
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What every error of ours holds beside its text.
#[derive(Serialize)]
struct Data {
    request: RequestId,
}

/// The code and the message of a JSON-RPC error.
struct ErrorText<'a> {
    code: ErrorCode,
    message: &'a str,
}

fn internal(routed: &Routed, id: Option<&Id>, status: StatusCode, word: RefusalWord, message: &str) -> Draft {
    rpc(routed, id, status, word, ErrorText { code: ErrorCode::Internal, message })
}

fn rpc(
    routed: &Routed,
    id: Option<&Id>,
    status: StatusCode,
    word: RefusalWord,
    ErrorText { code, message }: ErrorText<'_>,
) -> Draft {
    let data = Data { request: routed.request };
    Draft { status, word, body: error_response(id, code, message, Some(&data)) }
}

/// What a client is told when no scope of its external authorization server permits the call.
const NO_SUCH_SCOPE: &str = "the authorization server of this server has no scope that permits the call; the operator of this server decides which \
     scopes there are";

/// RS-13, RS-14: 401 for a missing or bad token, 400 for a malformed header, 503 if the store cannot be asked.
fn authenticate(routed: &Routed, base_url: &str, error: &AuthenticateError) -> Draft {
    let (status, word) = match error {
        AuthenticateError::External(error) => match error.fault() {
            ExternalFault::Ended(grant) => return kept_out(routed, Some(format!("{base_url}/grants/{grant}"))),
            ExternalFault::Refused => (StatusCode::UNAUTHORIZED, RefusalWord::TokenInvalid),
            ExternalFault::ShutOut => return kept_out(routed, None),
            ExternalFault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::IssuerDown),
        },
        AuthenticateError::Ended => (StatusCode::UNAUTHORIZED, RefusalWord::GrantEnded),
        AuthenticateError::Malformed => (StatusCode::BAD_REQUEST, RefusalWord::AuthorizationMalformed),
        AuthenticateError::Missing => (StatusCode::UNAUTHORIZED, RefusalWord::TokenMissing),
        AuthenticateError::Token(_) => (StatusCode::UNAUTHORIZED, RefusalWord::TokenInvalid),
        AuthenticateError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::StoreDown),
    };
    let challenge = challenge::error_of(error);
    let body = json!({
        "error": challenge.map_or("unauthorized", ChallengeError::as_str),
        "error_description": challenge::description_of(error),
        "request": routed.request,
    });
    Draft { status, word, body: body.to_string().into_bytes() }
}

/// A token of an external authorization server that is good, of a client or a user that was shut out here. It is not a
/// 401, because the client would get another such token without asking anybody, and come back with it.
fn kept_out(routed: &Routed, page: Option<String>) -> Draft {
    let (word, kind, reason) = match &page {
        Some(_) => {
            let reason =
                "the user has ended the access of this client to this server; only the user can let it in again";
            (RefusalWord::GrantEnded, RemedyKind::LetIn, reason)
        }
        None => (RefusalWord::UserShutOut, RemedyKind::None, "the user of this client is shut out here"),
    };
    let remedy = Remedy { kind, url: page, scopes: None };
    let refusal = Refusal { set: SetName::Grant, reason: reason.to_owned(), remedy, request: routed.request };
    let body = error_response(None, ErrorCode::Refused, &refusal.reason, Some(&refusal));
    Draft { status: StatusCode::FORBIDDEN, word, body }
}

/// The refusal object of product §4, in the error's `data`. A job of another caller is refused in the protocol's own
/// words for an unknown one (RS-53).
fn denied_draft(routed: &Routed, base_url: &str, id: Option<&Id>, denied: &Denied, told: &Told) -> Draft {
    let word = RefusalWord::Decided(denied.why());
    if denied.is_unknown_job() {
        let message = "there is no such task";
        return rpc(routed, id, StatusCode::BAD_REQUEST, word, ErrorText { code: ErrorCode::InvalidParams, message });
    }
    if denied.is_invalid() {
        return invalid(routed, id, denied, told);
    }
    let mut refusal = denied.refusal(routed.request, base_url);
    if let Denied::StepUp { step_up, issued_by, .. } = denied {
        refusal.remedy.scopes = spoken_to(&routed.route, issued_by.as_ref(), &step_up.scopes);
        if refusal.remedy.scopes.is_none() {
            refusal.remedy.kind = RemedyKind::None;
            refusal.reason = NO_SUCH_SCOPE.to_owned();
        }
    }
    let (status, body) = match (told, id) {
        (Told::Elicitation(question), Some(id)) => (StatusCode::OK, elicitation(id, question, &refusal)),
        (Told::InputRequired(state), Some(id)) => (StatusCode::OK, input_required(id, state, &refusal)),
        (Told::ToolError, Some(id)) => (StatusCode::OK, tool_error(id, &refusal)),
        (Told::Error, _) | (_, None) => {
            (StatusCode::FORBIDDEN, error_response(id, ErrorCode::Refused, &refusal.reason, Some(&refusal)))
        }
    };
    Draft { status, word, body }
}

/// RS-61: arguments that the tool does not take. The error says what is wrong and where, and never shows a value.
fn invalid(routed: &Routed, id: Option<&Id>, denied: &Denied, told: &Told) -> Draft {
    let (word, reason) = (RefusalWord::Decided(Why::ArgumentsInvalid), denied.text());
    match (told, id) {
        (Told::ToolError, Some(id)) => {
            let result = json!({
                "resultType": "complete",
                "isError": true,
                "content": [{ "type": "text", "text": reason }],
            });
            Draft { status: StatusCode::OK, word, body: result_response(id, &result).unwrap_or_default() }
        }
        _ => rpc(
            routed,
            id,
            StatusCode::BAD_REQUEST,
            word,
            ErrorText { code: ErrorCode::InvalidParams, message: &reason },
        ),
    }
}

/// 2025-11-25 Elicitation, URL Elicitation Required Error. The status is 200, because the request was understood and
/// may be made again. `data` holds the refusal beside what the protocol requires.
fn elicitation(id: &Id, question: &str, refusal: &Refusal) -> Vec<u8> {
    let data = json!({
        "elicitations": [{
            "mode": "url",
            "elicitationId": question,
            "url": refusal.remedy.url,
            "message": refusal.reason,
        }],
        REFUSAL_META: refusal,
    });
    error_response(Some(id), ErrorCode::UrlElicitationRequired, &refusal.reason, Some(&data))
}

/// 2026-07-28 MRTR: the client opens the page for its user and comes back with the state.
fn input_required(id: &Id, state: &str, refusal: &Refusal) -> Vec<u8> {
    let result = json!({
        "resultType": "input_required",
        "inputRequests": {
            question_key(refusal.remedy.kind): {
                "method": "elicitation/create",
                "params": { "mode": "url", "url": refusal.remedy.url, "message": refusal.reason },
            },
        },
        "requestState": state,
        "_meta": { REFUSAL_META: refusal },
    });
    result_response(id, &result).unwrap_or_default()
}

/// The member of `_meta` that holds the refusal in the result of a tool.
const REFUSAL_META: &str = "io.sekisho/refusal";

/// A refusal as the result of a tool: in words for the model and its user, and as the documented object.
fn tool_error(id: &Id, refusal: &Refusal) -> Vec<u8> {
    let mut text = refusal.reason.clone();
    if let Some(scopes) = &refusal.remedy.scopes {
        text.push_str(&format!(
            ". Ask the user to connect this server anew in this application and to grant: {scopes}"
        ));
    }
    if let Some(url) = &refusal.remedy.url {
        text.push_str(&format!(". Ask the user to open {url} and then call again with the same arguments"));
    }
    // `resultType` belongs to 2026-07-28; the older revisions ignore it.
    let result = json!({
        "resultType": "complete",
        "isError": true,
        "content": [{ "type": "text", "text": text }],
        "_meta": { REFUSAL_META: refusal },
    });
    result_response(id, &result).unwrap_or_default()
}

/// The status for an unknown method. In the older era it is 200, because there 404 says that the session is over. A
/// notification has no answer, so the status alone refuses it (TR-09, TR-19).
fn unknown_method(era: Era, id: Option<&Id>) -> StatusCode {
    match (era, id) {
        (Era::Initialize, Some(_)) => StatusCode::OK,
        (Era::Initialize, None) => StatusCode::BAD_REQUEST,
        (Era::Stateless, _) => StatusCode::NOT_FOUND,
    }
}

/// A forwarded request that had to end before its answer was there. Only the first variant is about the caller.
fn ended(routed: &Routed, id: Option<&Id>, end: End) -> Draft {
    let (status, word) = match end {
        End::Revoked => (StatusCode::FORBIDDEN, RefusalWord::Ended),
        End::Stopping => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::Stopping),
        End::Unconfirmed => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::StoreDown),
    };
    internal(routed, id, status, word, end.reason())
}

#[derive(Serialize)]
struct Versions<'a> {
    supported: Vec<&'a str>,
    requested: &'a str,
}

fn call(routed: &Routed, limits: &Limits, id: Option<&Id>, fault: &CallFault) -> Draft {
    let message = fault.to_string();
    let plain = |status, word, code| rpc(routed, id, status, word, ErrorText { code, message: &message });
    let bad = |word, code| rpc(routed, id, StatusCode::BAD_REQUEST, word, ErrorText { code, message: &message });
    match fault {
        CallFault::Accept => plain(StatusCode::NOT_ACCEPTABLE, RefusalWord::Accept, ErrorCode::InvalidRequest),
        CallFault::BodyBroken => bad(RefusalWord::BodyBroken, ErrorCode::Parse),
        CallFault::BodySlow => plain(StatusCode::REQUEST_TIMEOUT, RefusalWord::BodySlow, ErrorCode::InvalidRequest),
        CallFault::ContentEncoding => {
            plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, RefusalWord::ContentEncoding, ErrorCode::InvalidRequest)
        }
        CallFault::ContentType => {
            plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, RefusalWord::ContentType, ErrorCode::InvalidRequest)
        }
        CallFault::Header(HeaderError::Oversize) => {
            plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, RefusalWord::HeadersTooLarge, ErrorCode::HeaderMismatch)
        }
        CallFault::Header(HeaderError::Unsupported { requested }) => {
            let all = Revision::ALL.map(Revision::as_str).to_vec();
            versions(id, &message, &Versions { supported: all, requested })
        }
        CallFault::Header(error) => bad(RefusalWord::HeadersDisagree, error.code()),
        CallFault::IdInUse => bad(RefusalWord::IdInUse, ErrorCode::InvalidRequest),
        CallFault::InitializeUnknown { supported } => {
            let supported = supported.iter().map(|revision| revision.as_str()).collect();
            versions(id, &message, &Versions { supported, requested: "initialize" })
        }
        CallFault::MethodNotAllowed { .. } => {
            plain(StatusCode::METHOD_NOT_ALLOWED, RefusalWord::HttpMethod, ErrorCode::InvalidRequest)
        }
        CallFault::MethodNotFound { era } => {
            plain(unknown_method(*era, id), RefusalWord::MethodUnknown, ErrorCode::MethodNotFound)
        }
        CallFault::MissingCapability { capability } => {
            let data = json!({ "requiredCapabilities": { "extensions": { *capability: {} } } });
            let body = error_response(id, ErrorCode::MissingClientCapability, &message, Some(&data));
            Draft { status: StatusCode::BAD_REQUEST, word: RefusalWord::CapabilityMissing, body }
        }
        CallFault::MissingParam { .. } => bad(RefusalWord::ParamMissing, ErrorCode::InvalidParams),
        CallFault::Name { .. } => bad(RefusalWord::Name, ErrorCode::InvalidParams),
        CallFault::NoRoom => plain(StatusCode::SERVICE_UNAVAILABLE, RefusalWord::NoRoom, ErrorCode::Internal),
        CallFault::OlderTransport => {
            plain(StatusCode::METHOD_NOT_ALLOWED, RefusalWord::OlderTransport, ErrorCode::InvalidRequest)
        }
        CallFault::Read(error) => bad(RefusalWord::BodyUnreadable, error.code()),
        CallFault::RequestState => bad(RefusalWord::RequestState, ErrorCode::InvalidParams),
        CallFault::ResourceUri { .. } => bad(RefusalWord::ResourceUri, ErrorCode::InvalidParams),
        CallFault::ResponseId => bad(RefusalWord::AnswerWithoutId, ErrorCode::InvalidRequest),
        CallFault::SessionRevision => bad(RefusalWord::SessionRevision, ErrorCode::InvalidRequest),
        CallFault::SessionMissing => bad(RefusalWord::SessionMissing, ErrorCode::InvalidRequest),
        CallFault::SessionUnknown => {
            plain(StatusCode::NOT_FOUND, RefusalWord::SessionUnknown, ErrorCode::InvalidRequest)
        }
        CallFault::StreamTaken => plain(StatusCode::CONFLICT, RefusalWord::StreamTaken, ErrorCode::InvalidRequest),
        CallFault::TooLarge { .. } => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, RefusalWord::BodyTooLarge, ErrorCode::InvalidRequest)
        }
        CallFault::Unlisted => plain(StatusCode::SERVICE_UNAVAILABLE, RefusalWord::ToolsUnknown, ErrorCode::Internal),
        CallFault::Unsupported { requested, supported } => {
            let supported = supported.iter().map(|revision| revision.as_str()).collect();
            versions(id, &message, &Versions { supported, requested })
        }
        CallFault::Upstream(error) => forward(routed, limits, id, error),
    }
}

/// TR-14, TR-52: 400 with the versions that would do.
fn versions(id: Option<&Id>, message: &str, versions: &Versions<'_>) -> Draft {
    let body = error_response(id, ErrorCode::UnsupportedProtocolVersion, message, Some(versions));
    Draft { status: StatusCode::BAD_REQUEST, word: RefusalWord::VersionUnsupported, body }
}

const GAVE_WAY: &str = "the program behind this request was stopped to make room for other callers; try again";
const SHARE: &str =
    "you hold your share of this server, and what is left is for others; end a session or a request first";

const NO_ROOM: &str = "too much waits for clients that do not read; read the answers that are open, then try again";

/// An upstream that asks to be called later. Most clients keep only the JSON-RPC error of a response, so the error
/// states the seconds, too.
fn asked_to_wait(routed: &Routed, id: Option<&Id>, status: u16, seconds: Option<u32>) -> Draft {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        request: RequestId,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
    }
    let message = match seconds {
        Some(seconds) => format!("the upstream asks to wait: call again in {seconds} s"),
        None => "the upstream asks to wait; call again later".to_owned(),
    };
    let data = Data { request: routed.request, retry_after_seconds: seconds };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    Draft {
        status,
        word: RefusalWord::UpstreamWaits,
        body: error_response(id, ErrorCode::Internal, &message, Some(&data)),
    }
}

/// Returns what a caller is told about an upstream's failure: the kind of failure, and nothing that the upstream said
/// (RS-26).
fn forward(routed: &Routed, limits: &Limits, id: Option<&Id>, error: &ForwardError) -> Draft {
    if let ForwardError::AskedToWait { status, retry_after_seconds } = error {
        return asked_to_wait(routed, id, *status, *retry_after_seconds);
    }
    let (status, word) = trouble(error);
    internal(routed, id, status, word, &trouble_text(routed, limits, error))
}

/// Returns the status, and the word for the records.
fn trouble(error: &ForwardError) -> (StatusCode, RefusalWord) {
    match error {
        ForwardError::Account(_) | ForwardError::NoCredential { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::NoCredential)
        }
        ForwardError::AskedToWait { .. } => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::UpstreamWaits),
        ForwardError::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::UpstreamBusy),
        ForwardError::ChildExited { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::ChildExited),
        ForwardError::ChildMissing { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::ChildMissing),
        ForwardError::Edit { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamEdit),
        ForwardError::Encoded { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamEncoded),
        ForwardError::GaveWay => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::ChildGaveWay),
        ForwardError::Malformed { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamMalformed),
        ForwardError::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, RefusalWord::UpstreamMethod),
        ForwardError::Misconfigured { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamMisconfigured),
        ForwardError::NoRoom { .. } => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::NoRoom),
        ForwardError::NotStarted { .. } => (StatusCode::GATEWAY_TIMEOUT, RefusalWord::ChildSlow),
        ForwardError::Replaced => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::UpstreamReplaced),
        ForwardError::Redirected { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamRedirects),
        ForwardError::Restarting { .. } => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::ChildRestarting),
        ForwardError::SessionGone => (StatusCode::NOT_FOUND, RefusalWord::SessionGone),
        ForwardError::Share => (StatusCode::TOO_MANY_REQUESTS, RefusalWord::UpstreamShare),
        ForwardError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, RefusalWord::UpstreamSlow),
        ForwardError::TooLarge { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamTooLarge),
        ForwardError::TooManyChildren { .. } => (StatusCode::SERVICE_UNAVAILABLE, RefusalWord::ChildrenBusy),
        ForwardError::UnknownUpstream { .. } => (StatusCode::NOT_FOUND, RefusalWord::ServerUnknown),
        ForwardError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamUnreachable),
        ForwardError::UnsupportedRevision { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamRevision),
        ForwardError::WantsOwnCredential { .. } => (StatusCode::BAD_GATEWAY, RefusalWord::UpstreamCredential),
    }
}

/// Returns the text. A text about a bound names the bound and its setting.
fn trouble_text(routed: &Routed, limits: &Limits, error: &ForwardError) -> Cow<'static, str> {
    let text = match error {
        ForwardError::Account(_) => {
            "the vendor of the user's linked account gives no access at the moment; try again, and its operator finds why in the log"
        }
        ForwardError::NoCredential { .. } => {
            "the credential for this server cannot be had at the moment; its operator finds why in the log"
        }
        ForwardError::AskedToWait { .. } => "the upstream asks to wait; call again later",
        ForwardError::Busy { .. } => "the upstream does not keep up; try again",
        ForwardError::ChildExited { .. } => "the program behind this server ended; its operator finds why in the log",
        ForwardError::ChildMissing { .. } => {
            "the program behind this server cannot be started; its operator finds why in the log"
        }
        ForwardError::Edit { .. } => "the message could not be prepared for the upstream",
        ForwardError::Encoded { encoding } => {
            return Cow::Owned(format!(
                "the upstream's answer has `Content-Encoding: {encoding}`, although it was asked for `identity`; its operator \
                 has to switch compression off for requests with `Accept-Encoding: identity`"
            ));
        }
        ForwardError::GaveWay => GAVE_WAY,
        ForwardError::Malformed { .. } => "the upstream's answer is not MCP",
        ForwardError::MethodNotAllowed => "the upstream does not offer this HTTP method",
        ForwardError::Misconfigured { .. } => {
            "this server's settings cannot be used; its operator finds why in the log"
        }
        ForwardError::NoRoom { .. } => NO_ROOM,
        ForwardError::NotStarted { seconds, .. } => {
            return Cow::Owned(format!(
                "the program behind this server did not start within {seconds} s; its operator finds why in the log, and \
                 can allow more with `start_seconds`"
            ));
        }
        ForwardError::Redirected { .. } => {
            "the upstream answered with a redirect; its operator has to configure the final URL"
        }
        ForwardError::Replaced => "this server was configured anew while the call was on its way; try again",
        ForwardError::Restarting { .. } => "the program behind this server ended and is started again; try again",
        ForwardError::SessionGone => "the session has ended; send `initialize` again",
        ForwardError::Share => SHARE,
        ForwardError::Timeout { .. } => {
            return Cow::Owned(format!(
                "the upstream did not answer within {} s and reported no progress; the operator of this server can allow \
                 more with `call_seconds`",
                routed.call_time(limits).as_secs_f32()
            ));
        }
        ForwardError::TooLarge { max } => {
            return Cow::Owned(format!(
                "the upstream's answer is larger than {max} bytes; the operator can allow more with `limits.result_mib`"
            ));
        }
        ForwardError::TooManyChildren { .. } => "all children of this server are busy; try again",
        ForwardError::UnknownUpstream { .. } => "there is no such server",
        ForwardError::Unreachable { .. } => "the upstream cannot be reached",
        ForwardError::UnsupportedRevision { .. } => "the upstream speaks no protocol version that is served here",
        ForwardError::WantsOwnCredential { .. } => {
            "the upstream wants its own credential; the operator of this server has to configure one"
        }
    };
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::ids::RequestId;
    use sekisho_protocol::mcp::message::Id;
    use sekisho_protocol::refusal::{Refusal, Remedy, RemedyKind, SetName};
    use serde_json::Value;

    use super::tool_error;

    /// pydantic-ai 2.x replaces the text of a result by its `structuredContent`, and LangChain's adapters show a model
    /// only the text. So a refusal has no structured content, and its text holds the reason and the remedy.
    #[test]
    fn a_refusal_as_a_result_is_complete_as_text_and_has_no_structured_content() {
        let request: RequestId = "rid_019b76daa80070baa34906e87d0c29c5".parse().unwrap();
        let url = || Some("http://localhost:8420/tasks/1".to_owned());
        for (kind, url, scopes) in [
            (RemedyKind::WidenTask, url(), None),
            (RemedyKind::StepUp, None, Some("mcp:write".parse().unwrap())),
            (RemedyKind::None, None, None),
        ] {
            let reason = "this call is not part of the task".to_owned();
            let remedy = Remedy { kind, url: url.clone(), scopes };
            let refusal = Refusal { set: SetName::Need, reason: reason.clone(), remedy, request };
            let answer: Value = serde_json::from_slice(&tool_error(&Id::Integer(1), &refusal)).unwrap();
            let result = &answer["result"];
            assert_eq!(result["isError"], true);
            assert!(result.get("structuredContent").is_none(), "{answer}");
            let text = result["content"][0]["text"].as_str().unwrap();
            let scope = (kind == RemedyKind::StepUp).then(|| "mcp:write".to_owned());
            for part in [Some(reason), url, scope].into_iter().flatten() {
                assert!(text.contains(&part), "{text}");
            }
        }
    }
}
