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
    /// The most bytes of one message of an upstream, whatever carries it: a body, an event of a stream, a line of a
    /// child.
    pub(crate) answer_bytes_max: usize,
    /// How long the gateway's own questions may take.
    pub(crate) own_deadline: Duration,
    /// The most exchanges of the older revisions, per upstream, that go on after their client went away (TR-38).
    pub(crate) abandoned_max: usize,
    /// The memory for all messages together.
    pub(crate) memory: Memory,
}

impl Default for ForwardLimits {
    /// The defaults: 16 MiB per message, 30 s for our own questions, 64 abandoned exchanges.
    fn default() -> Self {
        Self {
            answer_bytes_max: 16 << 20,
            own_deadline: Duration::from_secs(30),
            abandoned_max: 64,
            memory: Memory::default(),
        }
    }
}

/// When an answer must be complete: a fixed time after the request or after the last progress that was reported, but
/// never later than a last moment (2025-11-25 Lifecycle, Timeouts).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    last: Instant,
    each: Duration,
}

impl Deadline {
    /// A request that reports progress may take this many times its time in all.
    const TIMES_MAX: u32 = 12;

    /// Creates the deadline of a request that begins now.
    pub(crate) fn new(now: Instant, each: Duration) -> Self {
        Self { at: now + each, last: now + each.saturating_mul(Self::TIMES_MAX), each }
    }

    /// Returns the moment of the deadline.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Notes that progress was reported, and moves the deadline.
    pub(crate) fn extend(&mut self, now: Instant) {
        self.at = self.at.max((now + self.each).min(self.last));
    }
}

/// The kind of a message to an upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outgoing {
    /// A message that has no answer.
    Notification {
        /// Its method.
        method: Method,
    },
    /// A message that has an answer.
    Request {
        /// The id as the caller wrote it; the answer repeats it byte by byte if it was sent unchanged.
        id: Id,
        /// Its method.
        method: Method,
        /// `params._meta.progressToken`, if the caller wants progress reports.
        progress_token: Option<Id>,
    },
    /// The answer to a request of the upstream (older revisions only).
    Response {
        /// The id of that request as we gave it to the client.
        id: Id,
    },
}

/// What an upstream sends on one stream, in order. Nothing follows after an error. Dropping the stream means that the
/// client went away; see [`super::Upstreams::send`].
pub(crate) type EventStream = Pin<Box<dyn Stream<Item = Result<Event, ForwardError>> + Send>>;

/// One event of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// A keep-alive (TR-36).
    Comment,
    /// One JSON-RPC message, not read yet.
    Message {
        /// The message.
        data: Bytes,
        /// The id of the event, from which the stream can be resumed.
        id: Option<String>,
        /// The type of the event, if it has one.
        name: Option<String>,
    },
    /// An id from which the stream can be resumed, without a message (2025-11-25 Sending Messages 6: the priming
    /// event).
    Position {
        /// The id.
        id: String,
    },
    /// Milliseconds to wait before reconnecting (TR-40).
    Retry(u64),
}

/// Decides whether two `initialize` requests can share a child: they need the same revision and capabilities, which
/// determine how a server behaves towards its client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct InitDigest(Digest);

impl InitDigest {
    /// Makes the digest of the far revision and the capabilities as the client wrote them (`{}` if it wrote none).
    pub(crate) fn of(revision: Revision, capabilities: &str) -> Self {
        Self(Digest::of_list(&[revision.as_str().as_bytes(), capabilities.as_bytes()]))
    }
}
