//! `result` and `error`, as far as anything in them is judged.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::object::Object;
use super::{Meta, Params, ReadError};
use crate::mcp::scan;
use crate::mcp::strict;

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
    pub(super) fn read(text: &'a str, range: Range<usize>) -> Result<Self, ReadError> {
        let wrong = |member, expected| ReadError::WrongType { member, expected };
        let object = Object::read(text, range).ok_or(wrong("error", "an object"))?;
        let code = object.text("code").and_then(|code| code.parse().ok());
        Ok(Self {
            code: code.ok_or(wrong("error.code", "an integer"))?,
            message: object.string("message", "error.message")?.unwrap_or_default(),
            data: object.raw("data"),
        })
    }
}

/// The members of a result that some method gives a meaning to. `null` counts as absent.
#[derive(Debug)]
pub struct ResultView<'a> {
    /// All of `result`, as it stands; an object.
    pub raw: &'a str,
    /// `complete`, `input_required`, `task`, or absent, which means `complete` (TR-20).
    pub result_type: Option<Cow<'a, str>>,
    /// `public` or `private`.
    pub cache_scope: Option<Cow<'a, str>>,
    /// Where a list goes on.
    pub next_cursor: Option<Cow<'a, str>>,
    /// What the server asks of the client before it goes on; read with [`InputRequest::read_all`].
    pub input_requests: Option<&'a RawValue>,
    /// To be repeated with the answers.
    pub request_state: Option<Cow<'a, str>>,
    /// The job that was made or is described: `taskId`, or `task.taskId` in 2025-11-25.
    pub task_id: Option<Cow<'a, str>>,
    /// The state of that job.
    pub status: Option<Cow<'a, str>>,
    /// Chosen by `initialize`.
    pub protocol_version: Option<Cow<'a, str>>,
    /// Offered by `server/discover`.
    pub supported_versions: Vec<Cow<'a, str>>,
    /// Of the server, from `initialize` or `server/discover`; an object.
    pub capabilities: Option<&'a RawValue>,
    /// A tool that failed.
    pub is_error: bool,
    /// `result._meta`; empty when absent.
    pub meta: Meta<'a>,
}

impl<'a> ResultView<'a> {
    pub(super) fn read(text: &'a str, range: Range<usize>) -> Result<Self, ReadError> {
        let wrong = ReadError::WrongType { member: "result", expected: "an object" };
        let raw = strict::slice(text, range.clone());
        let object = Object::read(text, range).ok_or(wrong)?;
        let (task_id, status) = match object.inner("task", "result.task") {
            Ok(Some(task)) => {
                (task.string("taskId", "result.task.taskId")?, task.string("status", "result.task.status")?)
            }
            // Anything may be called `task` in a result of an extension; only an object with an id is a job.
            Ok(None) | Err(_) => (object.string("taskId", "result.taskId")?, object.string("status", "result.status")?),
        };
        Ok(Self {
            raw,
            result_type: object.string("resultType", "result.resultType")?,
            cache_scope: object.string("cacheScope", "result.cacheScope")?,
            next_cursor: object.string("nextCursor", "result.nextCursor")?,
            input_requests: object.object("inputRequests", "result.inputRequests")?,
            request_state: object.string("requestState", "result.requestState")?,
            task_id,
            status,
            protocol_version: object.string("protocolVersion", "result.protocolVersion")?,
            supported_versions: object.strings("supportedVersions", "result.supportedVersions")?,
            capabilities: object.object("capabilities", "result.capabilities")?,
            is_error: object.boolean("isError", "result.isError")?.unwrap_or_default(),
            meta: match object.inner("_meta", "result._meta")? {
                Some(meta) => Meta::read(&meta)?,
                None => Meta::default(),
            },
        })
    }
}

/// One thing that a result or a job asks of the client: elicitation, sampling or roots (2026-07-28 MRTR).
#[derive(Debug)]
pub struct InputRequest<'a> {
    /// The key that the answer repeats.
    pub key: Cow<'a, str>,
    /// To be looked up as [`super::super::method::Shape::InputRequest`].
    pub method: Cow<'a, str>,
    /// As of a request of that method.
    pub params: Option<Params<'a>>,
}

impl<'a> InputRequest<'a> {
    /// Reads the object `inputRequests`, in order.
    pub fn read_all(raw: &'a RawValue) -> Result<Vec<Self>, ReadError> {
        let text = raw.get();
        let error =
            ReadError::WrongType { member: "inputRequests", expected: "an object of requests, each with `method`" };
        let entries = scan::members(text, scan::root(text)).ok_or_else(|| error.clone())?;
        let mut requests = Vec::with_capacity(entries.len());
        for entry in entries {
            let object = Object::read(text, entry.value).ok_or_else(|| error.clone())?;
            let method = object.string("method", "inputRequests.method")?.ok_or_else(|| error.clone())?;
            let params = match object.range("params") {
                Some(range) => Some(Params::read(text, range)?),
                None => None,
            };
            requests.push(Self { key: entry.name, method, params });
        }
        Ok(requests)
    }
}
