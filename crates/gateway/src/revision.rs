//! In which revision each side speaks.
//!
//! The client speaks to us in one revision and we to the upstream in one. Today the two are equal, because messages go on as
//! they are. Each place says by its type which side it is about.

use sekisho_protocol::mcp::method::Revision;

/// The revision in which the client speaks: by it requests are read, answers judged, and refusals told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NearRevision(pub(crate) Revision);

/// The revision in which the upstream is spoken to: by it messages are sent, and those of the upstream read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FarRevision(pub(crate) Revision);

impl FarRevision {
    /// The far revision of a request. Nothing is translated, so it is the near one.
    pub(crate) fn of(near: NearRevision) -> Self {
        Self(near.0)
    }
}
