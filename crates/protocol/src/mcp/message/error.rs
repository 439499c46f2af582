//! Why bytes are not a message.

use crate::mcp::error::ErrorCode;
use crate::mcp::strict::StrictError;

/// Why the bytes are not a message. The error's text is for the sender, and contains no secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// `id` is null, fractional or structured, or an integer that not every program holds exactly; or so is
    /// `progressToken`.
    #[error("`id` and `progressToken` must be strings, or integers up to 2^53")]
    Id,
    /// `jsonrpc` is missing or says something else.
    #[error("`jsonrpc` must be \"2.0\"")]
    Jsonrpc,
    /// `params` is there, but no object.
    #[error("`params` must be an object; leave it out when there are none")]
    ParamsNotObject,
    /// Neither a request, nor a notification, nor an answer: for example `method` beside `result`.
    #[error("neither a request nor a notification nor an answer; `method` excludes `result` and `error`")]
    Shape,
    /// Two parsers could read these bytes differently.
    #[error(transparent)]
    Strict(#[from] StrictError),
    /// A member that is judged has the wrong type.
    #[error("`{member}` must be {expected}")]
    WrongType {
        /// The member, from the top of the message.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl ReadError {
    /// The code for the sender.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Strict(error) if error.is_syntax() => ErrorCode::Parse,
            Self::ParamsNotObject | Self::WrongType { .. } => ErrorCode::InvalidParams,
            Self::Id | Self::Jsonrpc | Self::Shape | Self::Strict(_) => ErrorCode::InvalidRequest,
        }
    }
}
