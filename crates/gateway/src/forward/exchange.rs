//! What goes to an upstream and what comes back: the same for every kind of upstream and both eras.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, StatusCode};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::method::{Method, Revision};
use tokio::time::Instant;

use super::ForwardError;
use super::stdio::ChildSession;
use crate::memory::Memory;
use crate::settle::Cleared;

/// Bounds that hold for every upstream.
#[derive(Clone, Debug)]
pub(crate) struct ForwardLimits {
    /// One message of an upstream, whatever carries it: a body, an event of a stream, a line of a child.
    pub(crate) answer_bytes_max: usize,
    /// For the gateway's own questions.
    pub(crate) own_deadline: Duration,
    /// Exchanges of the older revisions that go on after their client went away, per upstream (TR-38).
    pub(crate) abandoned_max: usize,
    /// What all messages may hold together.
    pub(crate) memory: Memory,
}

impl Default for ForwardLimits {
    /// 16 MiB per message, 30 s for our own questions, 64 abandoned exchanges.
    fn default() -> Self {
        Self {
            answer_bytes_max: 16 << 20,
            own_deadline: Duration::from_secs(30),
            abandoned_max: 64,
            memory: Memory::default(),
        }
    }
}

/// One message towards an upstream.
#[derive(Debug)]
pub(crate) struct ForwardRequest {
    /// That it may go.
    pub(crate) cleared: Cleared,
    /// Where to.
    pub(crate) server: ServerName,
    /// The authorised bytes: one message that passed the strict reading.
    pub(crate) body: Bytes,
    /// What the message is.
    pub(crate) kind: Outgoing,
    /// In which revision it speaks.
    pub(crate) revision: Revision,
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

/// When an answer must be complete: so long after the request, or after the last progress that it reported, but never
/// after a last moment (2025-11-25 Lifecycle, Timeouts).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    last: Instant,
    each: Duration,
}

impl Deadline {
    /// How many times its time a request may have with progress.
    const TIMES_MAX: u32 = 12;

    /// For a request that begins now.
    pub(crate) fn new(now: Instant, each: Duration) -> Self {
        Self { at: now + each, last: now + each.saturating_mul(Self::TIMES_MAX), each }
    }

    /// The moment.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Progress was reported.
    pub(crate) fn extend(&mut self, now: Instant) {
        self.at = self.at.max((now + self.each).min(self.last));
    }
}

/// What a message towards an upstream is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outgoing {
    /// Has no answer.
    Notification {
        /// Which.
        method: Method,
    },
    /// Has one.
    Request {
        /// As the caller wrote it; the answer repeats it byte by byte where it went unchanged.
        id: Id,
        /// Which.
        method: Method,
        /// `params._meta.progressToken`, if the caller wants to hear of progress.
        progress_token: Option<Id>,
    },
    /// Answers a request of the upstream (older revisions only).
    Response {
        /// As we gave it to the client.
        id: Id,
    },
}

/// The stream of a session on which the upstream speaks unasked (`GET` of the older revisions).
#[derive(Debug)]
pub(crate) struct ListenRequest {
    /// That it may be opened.
    pub(crate) cleared: Cleared,
    /// Where.
    pub(crate) server: ServerName,
    /// Of which session, if the upstream has sessions.
    pub(crate) session: Option<UpstreamSession>,
    /// In which revision.
    pub(crate) revision: Revision,
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

/// What an upstream sends on one stream, in order. After an error nothing follows. Dropping it says that the client
/// went away; see [`super::Upstreams::send`].
pub(crate) type EventStream = Pin<Box<dyn Stream<Item = Result<Event, ForwardError>> + Send>>;

/// One thing on a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// A keep-alive (TR-36).
    Comment,
    /// One JSON-RPC message, not read yet.
    Message {
        /// The message.
        data: Bytes,
        /// Where to resume.
        id: Option<String>,
        /// The type of the event, when it was given.
        name: Option<String>,
    },
    /// A place to resume from, without a message (2025-11-25 Sending Messages 6: the priming event).
    Position {
        /// Where to resume.
        id: String,
    },
    /// Milliseconds to wait before reconnecting (TR-40).
    Retry(u64),
}

/// A session at an upstream. Never shown to a client.
#[derive(Clone, Debug)]
pub(crate) enum UpstreamSession {
    /// The upstream's `Mcp-Session-Id`.
    Http(String),
    /// A place at a child.
    Stdio(ChildSession),
}

/// What makes two `initialize` requests alike enough for one child: the revision and the capabilities, which decide
/// how a server behaves towards its client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct InitDigest(Digest);

impl InitDigest {
    /// Of the revision and the capabilities as the client wrote them (`{}` when it wrote none).
    pub(crate) fn of(revision: Revision, capabilities: &str) -> Self {
        Self(Digest::of_list(&[revision.as_str().as_bytes(), capabilities.as_bytes()]))
    }
}
