//! 2025-11-25 and what came before it: a handshake, and a session that binds what follows to it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::HeaderMap;
use http::header::HeaderName;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::mcp::headers::HeaderView;
use sekisho_protocol::mcp::message::{Id, Kind, Message, Outcome};
use sekisho_protocol::mcp::method::{Era, Revision};
use sekisho_protocol::mcp::splice;
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::secret::McpSessionToken;
use serde_json::Value;

use crate::Gateway;
use crate::call::{CallFault, CallRequest, Form};
use crate::era::stateless::Declared;
use crate::forward::{Answer, AnswerBody, Event, ForwardError, InitDigest};
use crate::revision::NearRevision;
use crate::route::Routed;
use crate::session::{FarSession, NewSession, Session};

/// The header that names a session, in lower case.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Bytes of `initialize`. A program's place keeps it for as long as there are sessions, to begin the program again.
const INITIALIZE_BYTES_MAX: usize = 256 << 10;

/// The session that a request names, if it names one.
#[derive(Debug)]
pub(crate) enum Offered {
    /// It names none.
    Absent,
    /// It names one of this caller's.
    Found(Arc<Session>),
    /// It names one that is not there: it never was, it has ended, or it is another caller's. With the revision that the
    /// request says the session was in.
    Unknown(Revision),
}

/// Looks up the session that the headers name.
pub(crate) fn offered(gateway: &Gateway, routed: &Routed, caller: &Caller, headers: &HeaderMap) -> Offered {
    let mut values = headers.get_all(SESSION_ID).iter();
    match (values.next(), values.next()) {
        (None, _) => Offered::Absent,
        (Some(value), None) => {
            let found = value.to_str().ok().and_then(|token| gateway.sessions.find(token, caller, routed.server()));
            found.map_or_else(|| Offered::Unknown(said(headers)), Offered::Found)
        }
        (Some(_), Some(_)) => Offered::Unknown(said(headers)),
    }
}

/// The revision that a request says it is in, so that one of a session that is gone is told that, whatever the session
/// had agreed on.
fn said(headers: &HeaderMap) -> Revision {
    let text = headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    let revision = text.and_then(|text| Revision::of_upstream(text.trim()));
    revision.filter(|revision| revision.era() == Era::Initialize).unwrap_or(Revision::V2025_11_25)
}

impl Offered {
    /// What is known of the revision without a header: what the session agreed on.
    pub(crate) fn revision(&self) -> Option<Revision> {
        match self {
            Self::Found(session) => Some(session.near.0),
            // Answered with 404 whatever the revision; this only keeps a missing header from hiding it.
            Self::Unknown(revision) => Some(*revision),
            Self::Absent => None,
        }
    }

    /// The session of a request that needs one (TR-49).
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

/// What `initialize` proposes, as it goes on.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// Who may share a child.
    pub(crate) init: InitDigest,
    /// The bytes, where they had to be changed.
    pub(crate) body: Option<Bytes>,
}

/// Reads what `initialize` proposes. A version that the upstream speaks goes on as it is, and so does one that we
/// serve: the upstream answers with its own, which may be older, and the client goes on in that one if it knows it. One
/// that nobody here serves becomes the newest that both serve, which is what a server would answer anyway (2025-11-25
/// Lifecycle, Version Negotiation).
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

/// The same message with another version in it, read again as strictly as what came in.
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

/// The session of a request without a body (`GET`, `DELETE`), which only exist in this era (TR-06, TR-39).
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
        Offered::Absent => {
            let spoken = gateway.upstreams.revisions(routed.route.upstream.name()).await;
            let modern_only = spoken.is_ok_and(|spoken| !speaks_initialize(&spoken.revisions));
            Err(if modern_only { CallFault::MethodNotAllowed { allow: "POST" } } else { CallFault::SessionMissing })
        }
    }
}

/// Ends a session, here and at the upstream.
pub(crate) async fn end(gateway: &Gateway, session: &Session) {
    gateway.sessions.end(session);
    if let Some(FarSession { upstream, session }) = session.far.clone() {
        gateway.upstreams.end_session(&upstream, session).await;
    }
}

/// A handshake that the upstream has answered.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The answer, whole.
    pub(crate) message: Bytes,
    /// The new session's identifier; none where the upstream said no.
    pub(crate) session: Option<McpSessionToken>,
}

/// Waits for the answer to `initialize` and opens the session. The identifier has to stand in the head, so the
/// answer is waited for also where the upstream streams it; what else it says on that stream is not for anybody yet.
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
            // The error that asks for a page exists in this revision alone (TR-55).
            let elicits_urls = revision == Revision::V2025_11_25 && declared.elicits_urls();
            let server = routed.server();
            let source = routed.source;
            let new = NewSession { caller, source, server, near: NearRevision(revision), far, elicits_urls, has_tools };
            Ok(Handshake { message, session: Some(open(gateway, new)) })
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

/// The revision that the upstream agreed to; `None` where it said no.
fn agreed(message: &[u8], id: &Id) -> Result<Option<Revision>, ForwardError> {
    let message = Message::read(message, &Limits::upstream()).map_err(|error| malformed(&error.to_string()))?;
    match message.kind() {
        Kind::Response { id: Some(found), outcome: Outcome::Result(result) } if found == id => {
            // Lists are filtered, and this answer is not.
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

/// The same answer, promising to tell when the list of tools changes: we do, when a task or a right does. Says whether
/// there are tools at all.
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

fn open(gateway: &Arc<Gateway>, new: NewSession<'_>) -> McpSessionToken {
    let (token, evicted) = gateway.sessions.open(new, gateway.entropy.as_ref());
    if let Some(evicted) = evicted {
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move { end(&gateway, &evicted).await });
    }
    token
}
