//! The revisions that the two sides speak.
//!
//! The client speaks to us in one revision, and we speak to the upstream in one. Today the two are equal, because
//! messages go on as they are. The type says which side is meant.

use sekisho_protocol::mcp::method::Revision;

/// The revision that the client speaks: requests are read, answers judged and refusals written by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NearRevision(pub(crate) Revision);

/// The revision in which we speak to the upstream: messages are sent, and the upstream's messages read, by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FarRevision(pub(crate) Revision);

impl FarRevision {
    /// Returns the far revision of a request. Nothing is translated, so it equals the near one.
    pub(crate) fn of(near: NearRevision) -> Self {
        Self(near.0)
    }
}
