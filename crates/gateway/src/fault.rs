//! Why a request is not answered by its upstream: the errors of all steps as one.

use sekisho_protocol::mcp::message::Id;

use crate::audit::JournalError;
use crate::authenticate::AuthenticateError;
use crate::authorize::{Denied, Told};
use crate::call::{CallError, CallFault};
use crate::forward::ForwardError;
use crate::limits::TooFast;
use crate::watchdog::{End, OpenError};

/// Why a request is not answered by its upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Authenticate(#[from] AuthenticateError),
    #[error(transparent)]
    Call(#[from] CallFault),
    #[error("refused by decision")]
    Denied { denied: Box<Denied>, told: Told },
    #[error("the request had to end while it was being answered")]
    Ended(End),
    #[error(transparent)]
    Forward(#[from] ForwardError),
    #[error("as many calls of this client wait for their user as there may be")]
    Full,
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("this server is known as {url}; connect to that URL, for a login there does not count under another name")]
    OtherName { url: String },
    #[error("{ROUNDS_FULL}")]
    RoundsFull,
    #[error(transparent)]
    TooFast(#[from] TooFast),
}

impl Fault {
    /// Returns how many seconds the upstream asks to wait.
    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::Forward(ForwardError::AskedToWait { retry_after_seconds, .. })
            | Self::Call(CallFault::Upstream(ForwardError::AskedToWait { retry_after_seconds, .. })) => {
                *retry_after_seconds
            }
            _ => None,
        }
    }
}

/// What a client is told when its upstream asks something back while too many of its calls wait for that already.
pub(crate) const ROUNDS_FULL: &str =
    "too many calls of this client wait for an answer to what their server asked; answer some first";

/// A fault, with the id of the request if it could be read.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) id: Option<Id>,
    pub(crate) fault: Fault,
}

impl Refused {
    pub(crate) fn new(id: Option<&Id>, fault: impl Into<Fault>) -> Self {
        Self { id: id.cloned(), fault: fault.into() }
    }
}

impl<F: Into<Fault>> From<F> for Refused {
    fn from(fault: F) -> Self {
        Self { id: None, fault: fault.into() }
    }
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        Self { id: error.id, fault: error.fault.into() }
    }
}
