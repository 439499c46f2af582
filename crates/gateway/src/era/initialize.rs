//! 2025-11-25 and the revisions before it: a handshake, and a session to which the later requests belong.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, HeaderValue};
use sekisho_protocol::caller::Caller;
use sekisho_protocol::mcp::headers::HeaderView;
use sekisho_protocol::mcp::message::{Id, Kind, Message, Outcome};
use sekisho_protocol::mcp::method::{Era, Revision};
use sekisho_protocol::mcp::splice;
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::secret::McpSessionToken;
use serde_json::Value;

use crate::Gateway;
use crate::asking;
use crate::call::{CallFault, CallRequest, Form};
use crate::era::stateless::Declared;
use crate::forward::{Answer, AnswerBody, Event, ForwardError, InitDigest};
use crate::revision::NearRevision;
use crate::route::Routed;
use crate::session::{FarSession, NewSession, Session, kept};

/// The header that names a session, in lower case.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// The most bytes of an `initialize` request. A program's slot keeps it while there are sessions, to initialise the
/// program again.
const INITIALIZE_BYTES_MAX: usize = 256 << 10;

/// The session that a request names, if it names one.
#[derive(Debug)]
pub(crate) enum Offered {
    /// The request names no session.
    Absent,
    /// The request names a session of this caller.
    Found(Arc<Session>),
    /// The request names a session that never existed, has ended, or is another caller's. Holds the revision that the
    /// request says the session was in.
    Unknown(Revision),
}

/// Looks up the session that the headers name.
pub(crate) fn offered(gateway: &Gateway, routed: &Routed, caller: &Caller, headers: &HeaderMap) -> Offered {
    let mut values = headers.get_all(SESSION_ID).iter();
    match (values.next(), values.next()) {
        (None, _) => Offered::Absent,
        (Some(value), None) => {
            let found = value.to_str().ok().and_then(|id| {
                let known = gateway.sessions.find(id, caller, routed.server());
                known.or_else(|| kept::revive(gateway, routed, caller, id))
            });
            found.map_or_else(|| Offered::Unknown(said(headers)), Offered::Found)
        }
        (Some(_), Some(_)) => Offered::Unknown(said(headers)),
    }
}

/// Returns the revision that a request names, so that the client of a session that is gone is told so, whatever the
/// session had agreed on.
fn said(headers: &HeaderMap) -> Revision {
    let text = headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    let revision = text.and_then(|text| Revision::of_upstream(text.trim()));
    revision.filter(|revision| revision.era() == Era::Initialize).unwrap_or(Revision::V2025_11_25)
}

impl Offered {
    /// Returns the revision that the session agreed on, for a request that names none.
    pub(crate) fn revision(&self) -> Option<Revision> {
        match self {
            Self::Found(session) => Some(session.near.0),
            // This is answered with 404 whatever the revision is. The revision only keeps a missing header from hiding
            // that.
            Self::Unknown(revision) => Some(*revision),
            Self::Absent => None,
        }
    }

    /// Returns the session of a request that needs one (TR-49).
    pub(crate) fn session(self, revision: Revision, spoken: &[Revision]) -> Result<Arc<Session>, CallFault> {
        match self {
            Self::Found(session) if session.near.0 == revision => Ok(session),
            Self::Found(_) => Err(CallFault::SessionRevision),
            Self::Unknown(_) => Err(CallFault::SessionUnknown),
            Self::Absent if !speaks_initialize(spoken) => {
                Err(CallFault::Unsupported { requested: revision.as_str().to_owned(), supported: spoken.to_vec() })
            }
            Self::Absent => Err(CallFault::SessionMissing),
        }
    }
}

fn speaks_initialize(spoken: &[Revision]) -> bool {
    spoken.iter().any(|revision| revision.era() == Era::Initialize)
}

/// What `initialize` proposes, in the form in which it goes on.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// Decides who may share a child.
    pub(crate) init: InitDigest,
    /// The changed bytes, if the message had to be changed.
    pub(crate) body: Option<Bytes>,
}

/// Reads what `initialize` proposes. A version that the upstream speaks goes on unchanged, and so does one that we
/// serve: the upstream answers with its own version, which may be older, and the client goes on in that if it knows it.
/// A version that is not served here is replaced by the newest that both sides serve, which is what a server would
/// answer anyway (2025-11-25 Lifecycle, Version Negotiation).
pub(crate) fn propose(body: &Bytes, message: &Message<'_>, spoken: &[Revision]) -> Result<Option<Proposal>, CallFault> {
    if body.len() > INITIALIZE_BYTES_MAX {
        return Err(CallFault::TooLarge { max: INITIALIZE_BYTES_MAX });
    }
    let newest = spoken.iter().copied().filter(|revision| revision.era() == Era::Initialize).max();
    let Some(newest) = newest else {
        return Err(CallFault::InitializeUnknown { supported: spoken.to_vec() });
    };
    let params = message.params();
    let proposed = params.and_then(|params| params.protocol_version.as_deref());
    let proposed = proposed.ok_or(CallFault::MissingParam { member: "params.protocolVersion" })?;
    let served = Revision::of_upstream(proposed).filter(|revision| {
        revision.era() == Era::Initialize && (Revision::ALL.contains(revision) || spoken.contains(revision))
    });
    let edited = match served {
        Some(_) => None,
        None => Some(rewritten(body, message, newest)?),
    };
    let capabilities = params.and_then(|params| params.capabilities).unwrap_or("{}");
    let init = InitDigest::of(served.unwrap_or(newest), capabilities);
    Ok(Some(Proposal { init, body: edited }))
}

/// Returns the same message with another version, after reading it again as strictly as what came in.
fn rewritten(body: &Bytes, message: &Message<'_>, revision: Revision) -> Result<Bytes, CallFault> {
    let missing = CallFault::MissingParam { member: "params.protocolVersion" };
    let Ok(edited) = splice::set_param(body, "protocolVersion", &revision.as_str()) else { return Err(missing) };
    let again = Message::read(&edited, &Limits::default())?;
    let same = again.id() == message.id() && again.method() == message.method();
    if !same {
        return Err(missing);
    }
    drop(again);
    Ok(Bytes::from(edited))
}

/// Returns the session of a request without a body (`GET`, `DELETE`); such requests exist only in this era (TR-06,
/// TR-39).
pub(crate) async fn session_without_body(
    gateway: &Gateway,
    routed: &Routed,
    caller: &Caller,
    headers: &HeaderMap,
    view: &HeaderView<'_>,
) -> Result<Arc<Session>, CallFault> {
    let offered = offered(gateway, routed, caller, headers);
    let named = view.revision(offered.revision())?;
    if named.is_some_and(|revision| revision.era() == Era::Stateless) {
        return Err(CallFault::MethodNotAllowed { allow: "POST" });
    }
    match offered {
        Offered::Found(session) if named.is_none_or(|revision| revision == session.near.0) => Ok(session),
        Offered::Found(_) => Err(CallFault::SessionRevision),
        Offered::Unknown(_) => Err(CallFault::SessionUnknown),
        // A client of HTTP+SSE (2024-11-05) begins this way, and switches to POST after a 405 if it can (2025-11-25
        // Transports, Backwards Compatibility).
        Offered::Absent if is_older_transport(headers) => Err(CallFault::OlderTransport),
        Offered::Absent => {
            let spoken = asking::spoken(gateway, routed, caller).await;
            let modern_only = spoken.is_ok_and(|spoken| !speaks_initialize(&spoken.revisions));
            Err(if modern_only { CallFault::MethodNotAllowed { allow: "POST" } } else { CallFault::SessionMissing })
        }
    }
}

/// Whether a `GET` without a session is the first request of an HTTP+SSE client: it wants events and names no revision
/// yet.
fn is_older_transport(headers: &HeaderMap) -> bool {
    let wants_events = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/event-stream"));
    !headers.contains_key("mcp-protocol-version") && headers.get_all(ACCEPT).iter().any(wants_events)
}

/// Ends a session, here and at the upstream.
pub(crate) async fn end(gateway: &Gateway, session: &Session) {
    gateway.sessions.end(session);
    if let Some(FarSession { upstream, session }) = session.far.clone() {
        gateway.upstreams.end_session(&upstream, session).await;
    }
}

/// A handshake after the upstream has answered it.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The complete answer.
    pub(crate) message: Bytes,
    /// The identifier of the new session; none if the upstream refused.
    pub(crate) session: Option<HeaderValue>,
}

/// Waits for the answer to `initialize` and opens the session. The identifier belongs in the response headers, so the
/// answer is waited for even if the upstream streams it. Other messages on that stream are dropped: nobody is there to
/// get them yet.
pub(crate) async fn complete(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    asked: &CallRequest,
    id: &Id,
    answer: Answer,
) -> Result<Handshake, ForwardError> {
    let upstream = routed.route.upstream.name();
    let far = answer.session.map(|session| FarSession { upstream: upstream.clone(), session });
    let message = match answer.body {
        AnswerBody::Json(message) => message,
        AnswerBody::Events(mut events) => loop {
            match events.next().await {
                Some(Ok(Event::Message { data, .. })) if is_answer(&data, id) => break data,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(malformed("the stream ended without an answer to `initialize`")),
            }
        },
        AnswerBody::Accepted => return Err(malformed("`initialize` was taken for a notification")),
        AnswerBody::Refused { status } => return Err(malformed(&format!("`initialize` was refused with {status}"))),
    };
    match agreed(&message, id)? {
        None => Ok(Handshake { message, session: None }),
        Some(revision) => {
            let (message, has_tools) = with_notices(message)?;
            let declared = match &asked.form {
                Form::Message(posted) => Declared::in_initialize(&posted.body),
                Form::Stream { .. } => Declared::default(),
            };
            // Only this revision has the error that asks for a page to be opened (TR-55).
            let elicits_urls = revision == Revision::V2025_11_25 && declared.elicits_urls();
            let server = routed.server();
            let source = routed.source;
            let new = NewSession { caller, source, server, near: NearRevision(revision), far, elicits_urls, has_tools };
            Ok(Handshake { message, session: open(gateway, new) })
        }
    }
}

fn malformed(reason: &str) -> ForwardError {
    ForwardError::Malformed { reason: reason.to_owned() }
}

fn is_answer(data: &[u8], id: &Id) -> bool {
    Message::read(data, &Limits::upstream())
        .is_ok_and(|message| matches!(message.kind(), Kind::Response { id: Some(found), .. } if found == id))
}

/// Returns the revision that the upstream agreed to; `None` if it refused.
fn agreed(message: &[u8], id: &Id) -> Result<Option<Revision>, ForwardError> {
    let message = Message::read(message, &Limits::upstream()).map_err(|error| malformed(&error.to_string()))?;
    match message.kind() {
        Kind::Response { id: Some(found), outcome: Outcome::Result(result) } if found == id => {
            // Lists have to be filtered, and this answer is not filtered.
            if !result.lists.is_empty() {
                return Err(malformed("a list in the answer to `initialize`"));
            }
            let version = result.protocol_version.as_deref().unwrap_or_default();
            let served = Revision::of_upstream(version).filter(|revision| revision.era() == Era::Initialize);
            let offered = vec![version.chars().take(40).collect()];
            served.map(Some).ok_or(ForwardError::UnsupportedRevision { offered })
        }
        Kind::Response { outcome: Outcome::Error(_), .. } => Ok(None),
        Kind::Response { .. } | Kind::Request { .. } | Kind::Notification { .. } => {
            Err(malformed("not the answer to `initialize`"))
        }
    }
}

/// Returns the same answer with a promise to tell when the list of tools changes, because we tell that when a task or a
/// right changes. Also returns whether the server has tools at all.
fn with_notices(message: Bytes) -> Result<(Bytes, bool), ForwardError> {
    let read = Message::read(&message, &Limits::upstream()).map_err(|error| malformed(&error.to_string()))?;
    let Kind::Response { outcome: Outcome::Result(result), .. } = read.kind() else {
        return Ok((message.clone(), false));
    };
    let capabilities = result.capabilities.and_then(|raw| serde_json::from_str::<Value>(raw).ok());
    let Some(mut capabilities) = capabilities else { return Ok((message.clone(), false)) };
    let Some(tools) = capabilities.get_mut("tools").and_then(Value::as_object_mut) else {
        return Ok((message.clone(), false));
    };
    if tools.insert("listChanged".to_owned(), true.into()) == Some(true.into()) {
        return Ok((message.clone(), true));
    }
    let edited = splice::set_result(&message, "capabilities", &capabilities);
    Ok((Bytes::from(edited.map_err(|error| malformed(&error.to_string()))?), true))
}

/// Opens a session and returns the identifier for its client.
fn open(gateway: &Arc<Gateway>, new: NewSession<'_>) -> Option<HeaderValue> {
    let token = McpSessionToken::generate(gateway.entropy.as_ref());
    let id = kept::name(gateway, &token, &new, gateway.clock.now());
    let mut value = HeaderValue::from_str(&id).ok()?;
    value.set_sensitive(true);
    if let Some(evicted) = gateway.sessions.open(&id, new) {
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move { end(&gateway, &evicted).await });
    }
    Some(value)
}
