//! One JSON-RPC message, viewed in its own bytes.
//!
//! Reading starts with the walk of [`super::strict`]; what this view then says about the bytes is what every other
//! parser would say. Unknown members are not an error and are not lost, for the bytes are what is forwarded.

use std::borrow::Cow;
use std::ops::Range;

use super::method::{self, Direction, MethodRow, Revision, Shape};
use super::scan;
use super::strict::{self, Checked, Limits, Numbers};

mod answer;
mod error;
mod id;
mod item;
mod object;
mod params;

pub use answer::{ErrorView, Outcome, ResultView, asked_methods};
pub use error::ReadError;
pub use id::Id;
pub use item::{ListItem, list_items};
pub use params::{CompletionReference, Filter, Meta, Params};

use object::Object;

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

#[cfg(test)]
mod tests;
