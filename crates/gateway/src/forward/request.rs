//! What goes to an upstream and what it answers: the same for every kind of upstream and both eras.

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

/// One message towards an upstream.
#[derive(Debug)]
pub(crate) struct ForwardRequest {
    /// That it may go.
    pub(crate) cleared: Cleared,
    /// Where to.
    pub(crate) upstream: Arc<Upstream>,
    /// What the upstream is shown.
    pub(crate) credential: Credential,
    /// The authorised bytes: one message that passed the strict reading.
    pub(crate) body: Bytes,
    /// What the message is.
    pub(crate) kind: Outgoing,
    /// The revision of the upstream's side.
    pub(crate) far: FarRevision,
    /// Already reduced to what may go on: `mcp-*`, `traceparent` and the like, never a
    /// credential. Credentials, cookies, the session and hop-by-hop headers are dropped here once more.
    pub(crate) headers: HeaderMap,
    /// The upstream's session, in the older revisions.
    pub(crate) session: Option<UpstreamSession>,
    /// With `initialize`: who may share a child that was initialised this way.
    pub(crate) init: Option<InitDigest>,
    /// When the answer must be complete. For `subscriptions/listen`, which has no end of its own: when its first
    /// message must be there (TR-44).
    pub(crate) deadline: Deadline,
}

impl ForwardRequest {
    /// The mount that its client addressed.
    pub(crate) fn server(&self) -> &ServerName {
        &self.cleared.call().server
    }
}

/// The stream of a session on which the upstream speaks unasked (`GET` of the older revisions).
#[derive(Debug)]
pub(crate) struct ListenRequest {
    /// That it may be opened.
    pub(crate) cleared: Cleared,
    /// Where.
    pub(crate) upstream: Arc<Upstream>,
    /// As of [`ForwardRequest::credential`].
    pub(crate) credential: Credential,
    /// Of which session, if the upstream has sessions.
    pub(crate) session: Option<UpstreamSession>,
    /// The revision of the upstream's side.
    pub(crate) far: FarRevision,
    /// As of [`ForwardRequest::headers`].
    pub(crate) headers: HeaderMap,
    /// Where to resume. The caller has made sure that the stream it names is of this session (PX-20).
    pub(crate) last_event_id: Option<String>,
}

/// What the upstream answers.
pub(crate) struct Answer {
    /// The HTTP status of the upstream, or the one that fits.
    pub(crate) status: StatusCode,
    /// The session that `initialize` began.
    pub(crate) session: Option<UpstreamSession>,
    /// The rest.
    pub(crate) body: AnswerBody,
}

/// The rest of an answer.
pub(crate) enum AnswerBody {
    /// A notification or an answer was taken.
    Accepted,
    /// Messages as they are made; the last is the answer, if there is to be one.
    Events(EventStream),
    /// One message, not read yet.
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

/// A session at an upstream. Never shown to a client.
#[derive(Clone, Debug)]
pub(crate) enum UpstreamSession {
    /// The upstream's `Mcp-Session-Id`.
    Http(String),
    /// A place at a child.
    Stdio(ChildSession),
}
