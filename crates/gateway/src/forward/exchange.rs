//! Bounds, deadlines and events of an exchange with an upstream: the same for every kind of upstream and both eras.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::method::{Method, Revision};
use tokio::time::Instant;

use super::ForwardError;
use crate::memory::Memory;

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

/// What makes two `initialize` requests alike enough for one child: the revision and the capabilities, which decide
/// how a server behaves towards its client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct InitDigest(Digest);

impl InitDigest {
    /// Of the far revision and the capabilities as the client wrote them (`{}` when it wrote none).
    pub(crate) fn of(revision: Revision, capabilities: &str) -> Self {
        Self(Digest::of_list(&[revision.as_str().as_bytes(), capabilities.as_bytes()]))
    }
}
