//! Steps 9 and 10 together: the upstream's answer on its way to the client, filtered message by message, ended when
//! its authority ends, and recorded when it is over.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use sekisho_protocol::audit::OutcomeResult;
use sekisho_protocol::mcp::error::{ErrorCode, error_response, result_response};
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::sse::{write_comment, write_event};
use tokio::time::Instant;

use crate::audit::OutcomeEntry;
use crate::fault::ROUNDS_FULL;
use crate::filter::{Filter, Judged, Question, StreamKind};
use crate::forward::{Event, EventStream};
use crate::memory::instead_of;
use crate::session::StandingPlace;
use crate::watchdog::{End, Watch};

/// The pause after which a quiet stream gets a comment that keeps it open (TR-36).
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long an upstream may keep its stream open after the answer, before we close it.
const LINGER: Duration = Duration::from_millis(100);

/// The number of headers that most requests and responses have. hyper reads the headers of the next request into the
/// map of the last response, and a map that grows is allocated anew.
const HEADERS_USUAL: usize = 12;

/// The state that is kept until an answer has ended.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) filter: Filter,
    /// Dropped before `watch`, so that every outcome is handed over when the watchdog counts nothing open.
    pub(crate) outcome: OutcomeEntry,
    pub(crate) watch: Watch,
    /// When a standing stream ends because its token expires.
    pub(crate) ends_at: Option<Instant>,
    /// The session's place for a standing stream, held for as long as the stream is open.
    pub(crate) _place: Option<StandingPlace>,
}

/// A body that puts its outcome on record when it ends, or when it is dropped before its end.
struct Recorded<B> {
    body: B,
    outcome: OutcomeEntry,
    /// The outcome once the body has ended. For an event stream, the relay sets it.
    at_end: OutcomeResult,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Recorded<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.outcome.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        // A server may not poll again after the last frame.
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.outcome.result = self.at_end;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that is one message.
pub(crate) fn whole(status: StatusCode, message: Bytes, outcome: OutcomeEntry, result: OutcomeResult) -> Response {
    let mut outcome = outcome;
    outcome.status = status.as_u16();
    let body = Recorded { body: http_body_util::Full::new(message), outcome, at_end: result };
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.headers_mut() = headers;
    response
}

/// The response 202, without a body (TR-09).
pub(crate) fn accepted(mut outcome: OutcomeEntry) -> Response {
    outcome.status = StatusCode::ACCEPTED.as_u16();
    outcome.result = OutcomeResult::Answered;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// An answer that is a stream of events; nothing is held back (TR-10, TR-36).
pub(crate) fn streamed(events: EventStream, mut passage: Passage) -> Response {
    passage.outcome.status = StatusCode::OK.as_u16();
    let quiet = Box::pin(tokio::time::sleep(KEEP_ALIVE));
    let relay = Relay { events, passage, quiet, next: Next::Event, resumable: false };
    let stream = stream::unfold(relay, |mut relay| async move { relay.next().await.map(|bytes| (bytes, relay)) });
    let body = Body::from_stream(Infallible(Box::pin(stream)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// A stream of events that never fails towards the client: an error is reported in an event.
struct Infallible(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl Stream for Infallible {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context).map(|item| item.map(Ok))
    }
}

/// What the relay does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Waits for the upstream.
    Event,
    /// Ends; the upstream may finish on its own first.
    Linger,
    /// Ends.
    End,
}

/// Passes events on one by one.
struct Relay {
    events: EventStream,
    passage: Passage,
    quiet: Pin<Box<tokio::time::Sleep>>,
    next: Next,
    /// Whether the upstream has given an event id from which the stream can be resumed.
    resumable: bool,
}

/// Why the relay stops waiting.
enum Woken {
    Ended(End),
    Event(Option<Result<Event, crate::forward::ForwardError>>),
    Expired,
    Nudged,
    QuestionOver(Vec<u8>),
    Quiet,
}

impl Relay {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.next {
                Next::Event => {}
                Next::Linger => {
                    // Lets the upstream close its side, so that its connection can be used again.
                    let _ = tokio::time::timeout(LINGER, self.events.next()).await;
                    return None;
                }
                Next::End => return None,
            }
            let woken = self.wake().await;
            self.quiet.as_mut().reset(Instant::now() + KEEP_ALIVE);
            if let Some(out) = self.take(woken).await {
                self.passage.outcome.bytes += out.len() as u64;
                return Some(out);
            }
        }
    }

    async fn wake(&mut self) -> Woken {
        let ends_at = self.passage.ends_at;
        tokio::select! {
            biased;
            end = self.passage.watch.ended() => Woken::Ended(end),
            () = until(ends_at) => Woken::Expired,
            () = self.passage.watch.nudged() => Woken::Nudged,
            notice = self.passage.filter.question_over() => Woken::QuestionOver(notice),
            event = self.events.next() => Woken::Event(event),
            () = &mut self.quiet => Woken::Quiet,
        }
    }

    /// Returns what the client gets for this, if anything.
    async fn take(&mut self, woken: Woken) -> Option<Bytes> {
        match woken {
            Woken::Quiet | Woken::Event(Some(Ok(Event::Comment))) => {
                let mut out = Vec::new();
                write_comment(&mut out);
                Some(out.into())
            }
            Woken::QuestionOver(notice) => Some(event(None, None, &notice)),
            Woken::Nudged => self.passage.filter.tools_changed().map(|notice| event(None, None, &notice)),
            Woken::Event(Some(Ok(Event::Retry(millis)))) => Some(format!("retry: {millis}\n\n").into()),
            Woken::Event(Some(Ok(Event::Position { id }))) => {
                let id = self.resumable_from(Some(&id))?;
                Some(event(None, Some(id), b""))
            }
            Woken::Event(Some(Ok(Event::Message { data, id, name }))) => {
                self.message(data, id.as_deref(), name.as_deref()).await
            }
            Woken::Event(Some(Err(error))) => {
                tracing::warn!(server = %self.passage.filter.routed.server(), %error, "the upstream's stream broke");
                self.fail(OutcomeResult::UpstreamFailed, "the upstream's stream broke")
            }
            Woken::Event(None) => self.upstream_ended(),
            Woken::Ended(end) => self.farewell(end.outcome(), end.reason()),
            Woken::Expired => self.farewell(OutcomeResult::Answered, "the token behind this stream has expired"),
        }
    }

    async fn message(&mut self, data: Bytes, id: Option<&str>, name: Option<&str>) -> Option<Bytes> {
        let id = self.resumable_from(id);
        // What is made from the message keeps the memory that the message was charged.
        let source = data.clone();
        let event = |data: &[u8]| Some(instead_of(source.clone(), event(name, id, data)));
        // Boxed: otherwise every stream would hold the states of judging a message, and the compiler their layout.
        match Box::pin(self.passage.filter.judge(data)).await {
            Judged::Pass(data) => event(&data),
            Judged::Answer { data, error } => {
                self.passage.outcome.result = if error { OutcomeResult::Error } else { OutcomeResult::Answered };
                self.next = Next::Linger;
                event(&data)
            }
            Judged::Broken(reason) => self.fail(OutcomeResult::UpstreamFailed, reason),
            Judged::Full => self.fail(OutcomeResult::UpstreamFailed, ROUNDS_FULL),
            Judged::Drop(reason) => {
                tracing::debug!(server = %self.passage.filter.routed.server(), reason, "a message of the upstream was dropped");
                // The id is passed on although the message was dropped, so that the stream can be resumed from it. A
                // client dispatches no event without data.
                id.map(|id| format!("id: {id}\n\n").into())
            }
        }
    }

    /// Returns the id to pass on with an event: streams of sessions can be resumed, those of 2026-07-28 cannot (TR-39,
    /// TR-40).
    fn resumable_from<'a>(&mut self, id: Option<&'a str>) -> Option<&'a str> {
        let (id, session) = (id?, self.passage.filter.session.as_ref()?);
        session.gives_event(id);
        self.resumable = true;
        Some(id)
    }

    /// The upstream closed its stream. A request that is still open gets an error, unless its stream can be resumed
    /// (TR-40).
    fn upstream_ended(&mut self) -> Option<Bytes> {
        if self.passage.filter.question().is_some() && !self.resumable {
            return self.fail(OutcomeResult::UpstreamFailed, "the upstream ended without an answer");
        }
        self.passage.outcome.result = OutcomeResult::Answered;
        self.next = Next::End;
        None
    }

    /// Ends the stream: a subscription with its result (TR-43), a request with an error, the stream of a session with
    /// nothing.
    fn farewell(&mut self, result: OutcomeResult, reason: &'static str) -> Option<Bytes> {
        if let StreamKind::Listen { question, .. } = &self.passage.filter.stream {
            let done = complete_subscription(&question.id);
            self.passage.outcome.result = result;
            self.next = Next::End;
            return done;
        }
        self.fail(result, reason)
    }

    fn fail(&mut self, result: OutcomeResult, reason: &'static str) -> Option<Bytes> {
        self.passage.outcome.result = result;
        self.next = Next::End;
        let question = self.passage.filter.question()?;
        // This error is the answer to the request, so the request is no longer open in its session.
        if let Some(session) = &self.passage.filter.session {
            session.answered(&question.id);
        }
        Some(event(None, None, &failure(question, reason)))
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The error that takes the place of an answer that cannot be passed on.
pub(crate) fn failure(question: &Question, reason: &str) -> Vec<u8> {
    error_response(Some(&question.id), ErrorCode::Internal, reason, None::<&()>)
}

fn complete_subscription(id: &Id) -> Option<Bytes> {
    let mut meta = serde_json::Map::new();
    meta.insert(sekisho_protocol::mcp::message::Meta::SUBSCRIPTION_ID.to_owned(), serde_json::to_value(id).ok()?);
    let result = serde_json::json!({ "resultType": "complete", "_meta": meta });
    result_response(id, &result).ok().map(|done| event(None, None, &done))
}

fn event(name: Option<&str>, id: Option<&str>, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 16);
    // The filter passes only UTF-8, so the default is never taken.
    write_event(&mut out, name, id, std::str::from_utf8(data).unwrap_or_default());
    out.into()
}
