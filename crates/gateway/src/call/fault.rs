//! Why a request is not a call.

use sekisho_protocol::mcp::headers::HeaderError;
use sekisho_protocol::mcp::message::{Id, ReadError};
use sekisho_protocol::mcp::method::{Era, Revision};
use sekisho_protocol::text::NameFault;
use sekisho_protocol::uri::NotCanonical;

use crate::forward::ForwardError;

/// Why a request is not a call. Every variant but the last is for the caller to correct.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFault {
    #[error("`Accept` must list application/json and text/event-stream")]
    Accept,
    #[error("the body broke off")]
    BodyBroken,
    #[error("the body did not arrive in time")]
    BodySlow,
    #[error("`Content-Encoding` is not accepted; send the body as it is")]
    ContentEncoding,
    #[error("`Content-Type` must be application/json")]
    ContentType,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("a request with this `id` is open in this session; every request of a session needs an `id` of its own")]
    IdInUse,
    #[error("this server speaks {} and has no `initialize`", join(.supported))]
    InitializeUnknown { supported: Vec<Revision> },
    #[error("the HTTP method is not offered here")]
    MethodNotAllowed { allow: &'static str },
    #[error("no such method in this revision")]
    MethodNotFound { era: Era },
    #[error("the client did not declare `{capability}`, which this method needs")]
    MissingCapability { capability: &'static str },
    #[error("`{member}` is missing")]
    MissingParam { member: &'static str },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("`requestState` is not of this call, has expired, or was used; make the call again without it")]
    RequestState,
    #[error("`params.{member}`: {why}")]
    Name { member: &'static str, why: NameFault },
    #[error("`params.{member}`: {refused}")]
    ResourceUri { member: &'static str, refused: NotCanonical },
    #[error("an answer must have the `id` of the request it is to")]
    ResponseId,
    #[error("the session was opened in another protocol version")]
    SessionRevision,
    #[error(
        "this server speaks Streamable HTTP, and not HTTP+SSE, the transport of 2024-11-05: send `initialize` to this URL with \
         POST (a client that can choose calls it `http`)"
    )]
    OlderTransport,
    #[error("`Mcp-Session-Id` is missing; send `initialize` first and repeat what it gives")]
    SessionMissing,
    #[error("no such session; send `initialize` again without `Mcp-Session-Id`")]
    SessionUnknown,
    #[error("too much is being sent or waits to be read; read the answers that are open, then try again")]
    NoRoom,
    #[error("this session has its stream already")]
    StreamTaken,
    #[error("the body is larger than {max} bytes")]
    TooLarge { max: usize },
    #[error("the tools of this server could not be listed yet; try again")]
    Unlisted,
    #[error("protocol version `{requested}` is not spoken by this server")]
    Unsupported { requested: String, supported: Vec<Revision> },
    #[error(transparent)]
    Upstream(#[from] ForwardError),
}

fn join(revisions: &[Revision]) -> String {
    revisions.iter().map(|revision| revision.as_str()).collect::<Vec<_>>().join(", ")
}

/// A fault, with the id of the request if it could be read.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) id: Option<Id>,
    pub(crate) fault: CallFault,
}

impl<F: Into<CallFault>> From<F> for CallError {
    fn from(fault: F) -> Self {
        Self { id: None, fault: fault.into() }
    }
}
