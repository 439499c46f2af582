//! Why a request got no answer from the server.

use crate::http::HttpError;
use crate::session::SessionError;

/// Why a request got no answer from the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    /// The answer broke off. Whether the call had its effect is not known, so it is not sent again.
    #[error("the connection to `{resource}` broke before the answer came; the call may have had its effect")]
    Broken { resource: String },
    /// The answer is longer than allowed.
    #[error("the answer of `{resource}` cannot be read: {source}")]
    Http { resource: String, source: HttpError },
    /// Something else came back.
    #[error("`{resource}` answered with status {status} and no message")]
    NoMessage { resource: String, status: u16 },
    /// It names a page that it may not.
    #[error("`{resource}` wants a page to be opened that is no web page, or less secure than itself")]
    Page { resource: String },
    /// No way in, or no way to the server.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// The session is gone, and no new one could be begun.
    #[error("`{resource}` has forgotten the session and begins no new one")]
    SessionLost { resource: String },
}
