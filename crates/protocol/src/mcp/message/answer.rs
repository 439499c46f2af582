//! `result` and `error`: the members that decisions depend on.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::error::ReadError;
use super::object::Object;
use super::params::Meta;
use crate::mcp::method::ListKind;
use crate::mcp::scan::{self, Member};
use crate::mcp::strict::{self, Checked};

/// How a request ended.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// `error`
    Error(ErrorView<'a>),
    /// `result`
    Result(Box<ResultView<'a>>),
}

/// A JSON-RPC error object.
#[derive(Debug)]
pub struct ErrorView<'a> {
    /// Any integer that the sender chose.
    pub code: i64,
    /// Foreign text.
    pub message: Cow<'a, str>,
    /// Whatever the sender added.
    pub data: Option<&'a RawValue>,
}

impl<'a> ErrorView<'a> {
    pub(super) fn read(checked: &Checked<'a>, range: Range<usize>) -> Result<Self, ReadError> {
        let wrong = |member, expected| ReadError::WrongType { member, expected };
        let object = Object::at(checked, &range).ok_or(wrong("error", "an object"))?;
        let code = object.text("code").and_then(|code| code.parse().ok());
        Ok(Self {
            code: code.ok_or(wrong("error.code", "an integer"))?,
            message: object.string("message", "error.message")?.unwrap_or_default(),
            data: object.raw("data"),
        })
    }
}

/// The members of a result that decisions depend on. `null` counts as absent.
#[derive(Debug)]
pub struct ResultView<'a> {
    /// All of `result`, as it stands; an object.
    pub raw: &'a str,
    /// `complete`, `input_required`, `task`, or absent, which means `complete` (TR-20).
    pub result_type: Option<Cow<'a, str>>,
    /// `public` or `private`.
    pub cache_scope: Option<Cow<'a, str>>,
    /// How many milliseconds the result may be cached (2026-07-28 Caching), as it is written.
    pub ttl_ms: Option<&'a str>,
    /// The cursor for the next page of a list.
    pub next_cursor: Option<Cow<'a, str>>,
    /// What the server asks of the client before it goes on; see [`asked_methods`].
    pub input_requests: Option<&'a str>,
    /// The state that the client has to send back with its answers.
    pub request_state: Option<Cow<'a, str>>,
    /// The job that was made or is described: `taskId`, or `task.taskId` in 2025-11-25.
    pub task_id: Option<Cow<'a, str>>,
    /// Every list that is there, whatever was asked: a result is filtered by what it holds.
    pub lists: Vec<ListKind>,
    /// The version that the server chose in its answer to `initialize`.
    pub protocol_version: Option<Cow<'a, str>>,
    /// The versions that `server/discover` offers.
    pub supported_versions: Vec<Cow<'a, str>>,
    /// The capabilities of the server, from `initialize` or `server/discover`; an object.
    pub capabilities: Option<&'a str>,
    /// `result._meta`; empty when absent.
    pub meta: Meta<'a>,
}

impl<'a> ResultView<'a> {
    pub(super) fn read(checked: &Checked<'a>, range: Range<usize>) -> Result<Self, ReadError> {
        let wrong = ReadError::WrongType { member: "result", expected: "an object" };
        let object = Object::at(checked, &range).ok_or(wrong)?;
        let task_id = match object.inner("task", "result.task") {
            Ok(Some(task)) => task.string("taskId", "result.task.taskId")?,
            // Anything may be called `task` in a result of an extension; only an object with an id is a job.
            Ok(None) | Err(_) => object.string("taskId", "result.taskId")?,
        };
        Ok(Self {
            raw: strict::slice(checked.text, range),
            result_type: object.string("resultType", "result.resultType")?,
            cache_scope: object.string("cacheScope", "result.cacheScope")?,
            ttl_ms: object.text("ttlMs").filter(|ttl| *ttl != "null"),
            next_cursor: object.string("nextCursor", "result.nextCursor")?,
            input_requests: object.object("inputRequests", "result.inputRequests")?,
            request_state: object.string("requestState", "result.requestState")?,
            task_id,
            lists: object.members().filter_map(|member| list_at(checked, member)).collect(),
            protocol_version: object.string("protocolVersion", "result.protocolVersion")?,
            supported_versions: object.strings("supportedVersions", "result.supportedVersions")?,
            capabilities: object.object("capabilities", "result.capabilities")?,
            meta: match object.inner("_meta", "result._meta")? {
                Some(meta) => Meta::read(&meta)?,
                None => Meta::default(),
            },
        })
    }
}

/// Returns the kind of list that a member holds, if it is one.
fn list_at(checked: &Checked<'_>, member: &Member<'_>) -> Option<ListKind> {
    let kind = ListKind::of_member(&member.name)?;
    (checked.text.get(member.value.clone()) != Some("null")).then_some(kind)
}

/// The methods of what a result or a job asks of the client, by the text of its `inputRequests`: elicitation, sampling
/// or roots (2026-07-28 MRTR), to be looked up as [`super::super::method::Shape::InputRequest`].
pub fn asked_methods(input_requests: &str) -> Result<Vec<Cow<'_, str>>, ReadError> {
    let error =
        || ReadError::WrongType { member: "inputRequests", expected: "an object of requests, each with `method`" };
    let entries = scan::members(input_requests, scan::root(input_requests)).ok_or_else(error)?;
    let method = |entry: Member<'_>| {
        let text = input_requests.get(entry.value)?;
        let members = scan::members(text, scan::root(text))?;
        let request = Object::scanned(text, &members);
        request.object("params", "inputRequests.params").ok()?;
        request.string("method", "inputRequests.method").ok()?
    };
    entries.into_iter().map(|entry| method(entry).ok_or_else(error)).collect()
}
