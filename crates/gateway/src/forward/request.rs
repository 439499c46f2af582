//! A request to an upstream and its answer: the same for every kind of upstream and both eras.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sekisho_protocol::ids::ServerName;

use super::exchange::{Deadline, EventStream, InitDigest, Outgoing};
use super::stdio::slot::ChildSession;
use crate::credential::Credential;
use crate::revision::FarRevision;
use crate::route::Upstream;
use crate::settle::Cleared;

/// One message to an upstream.
#[derive(Debug)]
pub(crate) struct ForwardRequest {
    /// The proof that the message may be sent.
    pub(crate) cleared: Cleared,
    /// The upstream that it goes to.
    pub(crate) upstream: Arc<Upstream>,
    /// The credential that the upstream is shown.
    pub(crate) credential: Credential,
    /// The authorised bytes: one message that passed the strict reading.
    pub(crate) body: Bytes,
    /// The kind of message.
    pub(crate) kind: Outgoing,
    /// The revision that the upstream is spoken to in.
    pub(crate) far: FarRevision,
    /// The headers that may go on: `mcp-*`, `traceparent` and the like. Credentials, cookies, the session and
    /// hop-by-hop headers were removed before, and are dropped here once more.
    pub(crate) headers: HeaderMap,
    /// The session at the upstream, in the older revisions.
    pub(crate) session: Option<UpstreamSession>,
    /// Decides who may share a child that was initialised this way; only with `initialize`.
    pub(crate) init: Option<InitDigest>,
    /// When the answer must be complete. `subscriptions/listen` does not end by itself: for it, when its first message
    /// must be there (TR-44).
    pub(crate) deadline: Deadline,
}

impl ForwardRequest {
    /// The mount that the client addressed.
    pub(crate) fn server(&self) -> &ServerName {
        &self.cleared.call().server
    }
}

/// A request to open the stream of a session on which the upstream sends messages unasked (`GET` of the older
/// revisions).
#[derive(Debug)]
pub(crate) struct ListenRequest {
    /// The proof that it may be opened.
    pub(crate) cleared: Cleared,
    /// The upstream at which it is opened.
    pub(crate) upstream: Arc<Upstream>,
    /// The same as [`ForwardRequest::credential`].
    pub(crate) credential: Credential,
    /// The session whose stream it is, if the upstream has sessions.
    pub(crate) session: Option<UpstreamSession>,
    /// The revision that the upstream is spoken to in.
    pub(crate) far: FarRevision,
    /// The same as [`ForwardRequest::headers`].
    pub(crate) headers: HeaderMap,
    /// The event id after which to resume. The caller has made sure that its stream belongs to this session (PX-20).
    pub(crate) last_event_id: Option<String>,
}

/// The answer of an upstream.
pub(crate) struct Answer {
    /// The HTTP status of the upstream, or the one that fits its answer.
    pub(crate) status: StatusCode,
    /// The session that `initialize` began.
    pub(crate) session: Option<UpstreamSession>,
    /// What follows the status.
    pub(crate) body: AnswerBody,
}

/// The content of an answer.
pub(crate) enum AnswerBody {
    /// A notification or an answer was accepted.
    Accepted,
    /// The messages as they are made; if there is an answer, it is the last one.
    Events(EventStream),
    /// One message, not parsed yet.
    Json(Bytes),
    /// An HTTP error without a message in it.
    Refused {
        /// The upstream's status, never 401 or 403.
        status: StatusCode,
    },
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted => formatter.write_str("Accepted"),
            Self::Events(_) => formatter.write_str("Events(…)"),
            Self::Json(bytes) => write!(formatter, "Json({} bytes)", bytes.len()),
            Self::Refused { status } => write!(formatter, "Refused({status})"),
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Answer")
            .field("status", &self.status)
            .field("session", &self.session)
            .field("body", &self.body)
            .finish()
    }
}

/// A session at an upstream. It is never shown to a client.
#[derive(Clone, Debug)]
pub(crate) enum UpstreamSession {
    /// The upstream's `Mcp-Session-Id`.
    Http(String),
    /// A session's place at a child.
    Stdio(ChildSession),
}
