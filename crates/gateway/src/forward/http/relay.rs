//! An upstream's event stream, passed on event by event, without waiting for the next one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body::Body as _;
use hyper::body::Incoming;
use sekisho_protocol::mcp::message::Message;
use sekisho_protocol::mcp::sse::{self, Parser, Piece, SseError};
use sekisho_protocol::mcp::strict::Limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use super::super::{Answer, AnswerBody, Deadline, Event, EventStream, ForwardError};
use crate::memory::{Charge, Collecting, Room};

/// The most events that wait for a client of the older revisions. The size of each has its own bound.
const RELAYED_MAX: usize = 4;

/// The events in a body. Dropping it closes the connection, which is how 2026-07-28 cancels a request (TR-37).
pub(super) struct Relay {
    body: Incoming,
    parser: Parser,
    ready: VecDeque<Event>,
    /// The charge for the event that is being read, and for the next one that is handed out.
    collecting: Collecting,
    /// Set while there is no memory for more; nothing is read meanwhile.
    waiting: Option<Waiting>,
    deadline: Option<(Deadline, Pin<Box<Sleep>>)>,
    url: String,
    ended: bool,
}

type Waiting = Pin<Box<dyn Future<Output = Option<Charge>> + Send>>;

impl Relay {
    /// Reads `body`, one event having at most `bytes_max` bytes, until `deadline` if there is one. What is read is
    /// charged to `room`. `url` is for errors.
    pub(super) fn new(body: Incoming, bytes_max: usize, deadline: Option<Deadline>, room: Room, url: &str) -> Self {
        Self {
            body,
            parser: Parser::new(bytes_max),
            ready: VecDeque::new(),
            collecting: Collecting::new(room),
            waiting: None,
            deadline: deadline.map(|deadline| (deadline, Box::pin(tokio::time::sleep_until(deadline.at())))),
            url: url.to_owned(),
            ended: false,
        }
    }

    fn take(&mut self, chunk: &Bytes) -> Result<(), ForwardError> {
        for piece in self.parser.push(chunk).map_err(refused)? {
            match piece {
                Piece::Comment { raw } if raw.starts_with(b":") => self.ready.push_back(Event::Comment),
                // A blank line between events carries nothing.
                Piece::Comment { .. } => {}
                Piece::Event(event) => self.take_event(event),
            }
        }
        Ok(())
    }

    /// Takes an event. One of another type than `message` counts as a keep-alive, but its id can be resumed from.
    fn take_event(&mut self, event: sse::Event) {
        self.ready.extend(event.retry.map(Event::Retry));
        let is_message = event.is_message();
        let data = event.data.filter(|data| !data.is_empty() && is_message);
        if let Some(data) = &data
            && let Some((deadline, ending)) = &mut self.deadline
            && is_progress(data.as_bytes())
        {
            deadline.extend(Instant::now());
            ending.as_mut().reset(deadline.at());
        }
        let event = match (data, event.id) {
            (Some(data), id) => Event::Message { data: Bytes::from(data), id, name: event.event },
            (None, Some(id)) => Event::Position { id },
            (None, None) if is_message => return,
            (None, None) => Event::Comment,
        };
        self.ready.push_back(event);
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, ForwardError>>> {
        loop {
            // The bytes that are kept here, and those of the event that goes next: both have to be charged.
            let next = self.ready.front().map_or(0, bytes_of);
            let kept = self.parser.kept_bytes();
            if !ready!(self.poll_room(kept.saturating_add(next), context)) {
                return Poll::Ready(Some(Err(ForwardError::NoRoom { sent: true })));
            }
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(self.charged(event))));
            }
            if kept == 0 {
                self.collecting.clear();
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers say nothing that we need.
                    let Ok(chunk) = frame.into_data() else { continue };
                    if let Err(error) = self.take(&chunk) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.broken(&error.to_string())))),
                None if self.parser.is_between_events() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(self.broken("the stream ended inside an event")))),
            }
        }
    }

    /// Whether there is memory for this many bytes, once that is known.
    fn poll_room(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<bool> {
        if self.waiting.is_none() {
            if self.collecting.try_reach(bytes) {
                return Poll::Ready(true);
            }
            self.waiting = Some(Box::pin(self.collecting.waiting(bytes)));
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(true) };
        let found = ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        let is_there = found.is_some();
        found.into_iter().for_each(|charge| self.collecting.add(charge));
        Poll::Ready(is_there)
    }

    fn charged(&mut self, event: Event) -> Event {
        match event {
            Event::Message { data, id, name } => Event::Message { data: self.collecting.seal(data), id, name },
            other => other,
        }
    }

    fn broken(&self, reason: &str) -> ForwardError {
        ForwardError::Unreachable { url: self.url.clone(), reason: reason.to_owned(), sent: true }
    }
}

impl Stream for Relay {
    type Item = Result<Event, ForwardError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Event, ForwardError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match self.poll_body(context) {
            Poll::Pending => match &mut self.deadline {
                Some((_, ending)) => {
                    ready!(ending.as_mut().poll(context));
                    Some(Err(ForwardError::Timeout { sent: true }))
                }
                None => return Poll::Pending,
            },
            Poll::Ready(next) => next,
        };
        // After an error, what follows cannot be split into events reliably.
        self.ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

/// Whether a message reports progress. The message is only read if it contains the method's name.
fn is_progress(data: &[u8]) -> bool {
    const METHOD: &[u8] = b"notifications/progress";
    const BYTES_MAX: usize = 64 << 10;
    data.len() <= BYTES_MAX
        && memchr::memmem::find(data, METHOD).is_some()
        && Message::read(data, &Limits::upstream())
            .is_ok_and(|message| message.method() == Some("notifications/progress"))
}

fn bytes_of(event: &Event) -> usize {
    match event {
        Event::Message { data, .. } => data.len(),
        Event::Comment | Event::Position { .. } | Event::Retry(_) => 0,
    }
}

fn refused(error: SseError) -> ForwardError {
    match error {
        SseError::NotUtf8 => ForwardError::Malformed { reason: "an event is not UTF-8".to_owned() },
        SseError::TooLarge { max } => ForwardError::TooLarge { max },
    }
}

/// Carries one exchange of the older revisions to its end although its client went away, because there a disconnect is
/// not a cancellation (TR-38). Run it in a task of its own: it notices that the receiver of `reply` is gone, and goes
/// on. At most as many exchanges as `abandoned` has permits go on like this; further ones are given up, which closes
/// their connections.
pub(super) async fn survive(
    exchange: impl Future<Output = Result<Answer, ForwardError>>,
    mut reply: oneshot::Sender<Result<Answer, ForwardError>>,
    abandoned: Arc<Semaphore>,
) -> Option<Answer> {
    tokio::pin!(exchange);
    let mut permit: Option<OwnedSemaphorePermit> = None;
    let result = tokio::select! {
        result = &mut exchange => result,
        () = reply.closed() => {
            permit = Some(abandoned.clone().try_acquire_owned().ok()?);
            exchange.await
        }
    };
    let (answer, mut events) = match result {
        Ok(Answer { status, session, body: AnswerBody::Events(events) }) => {
            (Answer { status, session, body: AnswerBody::Accepted }, events)
        }
        result => return reply.send(result).err().and_then(Result::ok),
    };
    let (sender, receiver) = mpsc::channel(RELAYED_MAX);
    let body = AnswerBody::Events(received(receiver));
    let unread = reply.send(Ok(Answer { body, session: answer.session.clone(), ..answer })).is_err();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = sender.closed(), if permit.is_none() => {
                permit = Some(abandoned.clone().try_acquire_owned().ok()?);
                continue;
            }
        };
        let Some(event) = event else { break };
        // A client that went away is noticed above; its events are dropped.
        let _ = sender.send(event).await;
    }
    drop(permit);
    unread.then_some(Answer { body: AnswerBody::Accepted, ..answer })
}

fn received(receiver: mpsc::Receiver<Result<Event, ForwardError>>) -> EventStream {
    Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|event| (event, receiver))
    }))
}
