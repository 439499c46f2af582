//! One JSON-RPC message, viewed in its own bytes.
//!
//! Reading starts with the walk of [`super::strict`]; what this view then says about the bytes is what every other
//! parser would say. Unknown members are not an error and are not lost, for the bytes are what is forwarded.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::ErrorCode;
use super::method::{self, Direction, MethodRow, Revision, Shape};
use super::scan;
use super::strict::{self, Checked, Limits, Numbers, StrictError};

mod answer;
mod item;
mod object;
mod params;

pub use answer::{ErrorView, Outcome, ResultView, asked_methods};
pub use item::{ListItem, list_items};
pub use params::{CompletionReference, Filter, Meta, Params};

use object::Object;

/// The id of a request, or a progress token: a string or an integer, never `null`, never fractional (TR-11).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// An integer, written without fraction or exponent.
    Integer(i64),
    /// A string; equal after unescaping.
    String(String),
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::String(text) => formatter.write_str(text),
        }
    }
}

impl Id {
    /// From the JSON text of an id.
    fn read(raw: &str) -> Option<Self> {
        if raw.starts_with('"') {
            return scan::unescape(raw).map(|text| Self::String(text.into_owned()));
        }
        // `-0` would come back as `0`, and 1.0 or 1e2 are integers to some parsers only.
        raw.parse().ok().filter(|_| raw != "-0").map(Self::Integer)
    }
}

/// Why the bytes are no message. The message is a refusal to the sender and quotes nothing secret.
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

/// What a message is, by its own shape and not by where it was met.
#[derive(Debug)]
pub enum Kind<'a> {
    /// `method` and no `id`.
    Notification {
        /// Unescaped.
        method: Cow<'a, str>,
        /// Absent when there was no `params`.
        params: Option<Params<'a>>,
    },
    /// `method` and `id`.
    Request {
        /// Repeated by the answer.
        id: Id,
        /// Unescaped.
        method: Cow<'a, str>,
        /// Absent when there was no `params`.
        params: Option<Params<'a>>,
    },
    /// `result` or `error`, and no `method`.
    Response {
        /// Of the request; an error may lack it, when the request was not understood.
        id: Option<Id>,
        /// Result or error.
        outcome: Outcome<'a>,
    },
}

/// One message that passed the strict reading.
#[derive(Debug)]
pub struct Message<'a> {
    text: &'a str,
    kind: Kind<'a>,
}

impl<'a> Message<'a> {
    /// Reads one message. Everything that could be read in two ways is refused.
    pub fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self, ReadError> {
        let checked = strict::read(bytes, limits)?;
        let message = Self { text: checked.text, kind: Envelope::of(&checked).classify()? };
        // A server that rounds it answers another request.
        let is_caller = limits.numbers == Numbers::Bounded;
        let is_rounded = |id: &Id| matches!(id, Id::Integer(number) if !strict::is_exact(&number.to_string()));
        let token = message.meta().and_then(|meta| meta.progress_token.as_ref());
        if is_caller && message.id().into_iter().chain(token).any(is_rounded) {
            return Err(ReadError::Id);
        }
        Ok(message)
    }

    /// The bytes as they were read: what is forwarded.
    pub fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// What it is.
    pub fn kind(&self) -> &Kind<'a> {
        &self.kind
    }

    /// The id of a request or an answer.
    pub fn id(&self) -> Option<&Id> {
        match &self.kind {
            Kind::Request { id, .. } => Some(id),
            Kind::Response { id, .. } => id.as_ref(),
            Kind::Notification { .. } => None,
        }
    }

    /// The method of a request or a notification.
    pub fn method(&self) -> Option<&str> {
        match &self.kind {
            Kind::Request { method, .. } | Kind::Notification { method, .. } => Some(method),
            Kind::Response { .. } => None,
        }
    }

    /// The parameters of a request or a notification.
    pub fn params(&self) -> Option<&Params<'a>> {
        match &self.kind {
            Kind::Request { params, .. } | Kind::Notification { params, .. } => params.as_ref(),
            Kind::Response { .. } => None,
        }
    }

    /// `params._meta` of a request or a notification.
    pub fn meta(&self) -> Option<&Meta<'a>> {
        self.params().map(|params| &params.meta)
    }

    /// The row of this message in the method table: its method must be known in that revision and direction, and
    /// travel as this message does. `None` is refused; an answer has no row.
    pub fn row(&self, revision: Revision, direction: Direction) -> Option<&'static MethodRow> {
        let shape = match &self.kind {
            Kind::Request { .. } => Shape::Request,
            Kind::Notification { .. } => Shape::Notification,
            Kind::Response { .. } => return None,
        };
        method::lookup(revision, direction, self.method()?).filter(|row| row.shape == shape)
    }
}

/// The top level, where `None` is absent and `null` is not.
struct Envelope<'a, 'm> {
    checked: &'m Checked<'a>,
    members: Object<'a, 'm>,
}

impl<'a, 'm> Envelope<'a, 'm> {
    fn of(checked: &'m Checked<'a>) -> Self {
        Self { checked, members: Object::of(checked, checked.root.start) }
    }

    fn classify(&self) -> Result<Kind<'a>, ReadError> {
        if self.raw("jsonrpc").and_then(scan::unescape).as_deref() != Some("2.0") {
            return Err(ReadError::Jsonrpc);
        }
        let [method, params, result, error] =
            ["method", "params", "result", "error"].map(|name| self.members.range(name));
        match (method, params, result, error) {
            (Some(_), params, None, None) => self.call(params),
            (None, None, Some(result), None) => {
                let id = Some(self.id()?.ok_or(ReadError::Id)?);
                let outcome = Outcome::Result(Box::new(ResultView::read(self.checked, result)?));
                Ok(Kind::Response { id, outcome })
            }
            (None, None, None, Some(error)) => {
                // JSON-RPC 2.0 §5: null when the request's id could not be read; MCP leaves it out.
                let id = match self.raw("id") {
                    Some("null") => None,
                    _ => self.id()?,
                };
                Ok(Kind::Response { id, outcome: Outcome::Error(ErrorView::read(self.checked, error)?) })
            }
            _ => Err(ReadError::Shape),
        }
    }

    fn call(&self, params: Option<Range<usize>>) -> Result<Kind<'a>, ReadError> {
        let method = self.raw("method").and_then(scan::unescape);
        let method = method.ok_or(ReadError::WrongType { member: "method", expected: "a string" })?;
        let params = params.map(|params| Params::read(self.checked, params)).transpose()?;
        Ok(match self.id()? {
            Some(id) => Kind::Request { id, method, params },
            None => Kind::Notification { method, params },
        })
    }

    fn id(&self) -> Result<Option<Id>, ReadError> {
        self.raw("id").map(|raw| Id::read(raw).ok_or(ReadError::Id)).transpose()
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.checked.text.get(self.members.range(name)?)
    }
}

/// A value that was checked, as the rest of the workspace takes it.
fn raw_value(raw: &str) -> Option<&RawValue> {
    serde_json::from_str(raw).ok()
}

#[cfg(test)]
mod tests;
