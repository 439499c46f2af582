//! Servers for tests in a few lines: a table from `METHOD URL` to responses. Feature `test-util` only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{HttpClient, HttpError, Request, Response};

/// Responds from a table, and remembers what was sent. A request that is not in the table gets 404.
#[derive(Debug, Default)]
pub struct Scripted {
    answers: Mutex<HashMap<String, Vec<Response>>>,
    sent: Mutex<Vec<SentRequest>>,
}

/// A request that was sent, with nothing taken out: for assertions only.
#[derive(Debug, Clone)]
pub struct SentRequest {
    /// `METHOD URL`.
    pub line: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl SentRequest {
    /// The fields of a form.
    pub fn form(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// Returns the body as JSON, or `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's value; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Scripted {
    /// Responds to `line` (`GET https://…`) with JSON. With several responses for a line, they are used in order and
    /// the last is repeated.
    #[must_use]
    pub fn json(self, line: &str, status: u16, body: &Value) -> Self {
        self.with(line, status, &[("content-type", "application/json")], body.to_string())
    }

    /// Responds to `line` with anything.
    #[must_use]
    pub fn with(self, line: &str, status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                map.append(HeaderName::from_static(name), value);
            }
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
        let response = Response { status, headers: map, body: body.into() };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(line.to_owned()).or_default().push(response);
        drop(answers);
        self
    }

    /// Everything that was sent so far.
    pub fn sent(&self) -> Vec<SentRequest> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines of everything that was sent so far.
    pub fn lines(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.line).collect()
    }

    fn answer(&self, line: &str) -> Response {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(list) = answers.get_mut(line) else {
            return Response { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), body: Bytes::new() };
        };
        let first = list.first().cloned();
        if list.len() > 1 {
            list.remove(0);
        }
        first.unwrap_or_else(|| Response {
            status: StatusCode::NOT_FOUND,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        })
    }
}

impl HttpClient for Scripted {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
        let line = format!("{} {}", request.method, request.url());
        let response = self.answer(&line);
        let sent = SentRequest { line, headers: request.headers, body: request.body };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        Box::pin(async move { Ok(response) })
    }
}
