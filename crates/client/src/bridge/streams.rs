//! Streams of events: read to their end, and opened again where they broke.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::HeaderName;
use sekisho_protocol::mcp::headers::PROTOCOL_VERSION;
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::sse::{Event, Parser, Piece};

use super::answers::Answered;
use super::line::{Line, SESSION};
use super::{Bridge, BridgeError, Notice, listening};
use crate::http::Opened;

/// How often a broken answer is asked for again before it is given up.
const TRIES_MAX: u32 = 5;
/// The longest wait that a server can ask for.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Whether the body is a stream of events.
pub(super) fn is_stream(opened: &Opened) -> bool {
    opened.media_type().as_deref() == Some("text/event-stream")
}

/// Where a stream can go on.
#[derive(Debug, Default)]
pub(super) struct Resume {
    last: Option<String>,
    retry: Option<Duration>,
}

impl Resume {
    fn note(&mut self, event: &Event) {
        if let Some(id) = &event.id {
            self.last = Some(id.clone()).filter(|id| !id.is_empty());
        }
        if let Some(retry) = event.retry {
            self.retry = Some(Duration::from_millis(retry).min(RETRY_MAX));
        }
    }
}

/// A stream that broke off, in the middle of an event or with an error.
#[derive(Debug)]
pub(super) struct Broken;

/// The events of one answer.
pub(super) struct Events {
    opened: Opened,
    parser: Parser,
    ready: VecDeque<Event>,
}

impl Events {
    pub(super) fn new(opened: Opened, event_bytes_max: usize) -> Self {
        Self { opened, parser: Parser::new(event_bytes_max), ready: VecDeque::new() }
    }

    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match self.opened.next().await {
                None => return if self.parser.is_between_events() { Ok(None) } else { Err(Broken) },
                Some(Err(_)) => return Err(Broken),
                Some(Ok(chunk)) => {
                    let pieces = self.parser.push(&chunk).map_err(|_| Broken)?;
                    self.ready.extend(pieces.into_iter().filter_map(|piece| match piece {
                        Piece::Comment { .. } => None,
                        Piece::Event(event) => Some(event),
                    }));
                }
            }
        }
    }

    /// The data of the next event that has some; where the stream can go on is noted on the way.
    pub(super) async fn data(&mut self, resume: &mut Resume) -> Result<Option<String>, Broken> {
        while let Some(event) = self.next().await? {
            resume.note(&event);
            if let Some(data) = event.data.filter(|data| !data.is_empty()) {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl Bridge {
    /// Passes on the events of an answer until it was among them. A stream that broke is taken up where it broke, if
    /// the server said where that is (2025-11-25 transports, Resumability); a call is never sent again.
    pub(super) async fn pass_stream(
        self: &Arc<Self>,
        line: &Line,
        id: &Id,
        opened: Opened,
    ) -> Result<Answered, BridgeError> {
        let mut events = Events::new(opened, self.settings.message_bytes_max);
        let mut resume = Resume::default();
        let mut tries = 0;
        loop {
            if let Ok(Some(data)) = events.data(&mut resume).await {
                tries = 0;
                if self.pass(Some(line), Some(id), data.as_bytes()).await {
                    return Ok(Answered::Yes);
                }
                continue;
            }
            if line.method.as_deref() == Some("subscriptions/listen") {
                (self.tell)(Notice::Reconnecting);
                return Ok(Answered::Again(self.wait(&resume, 0)));
            }
            let broken = || BridgeError::Broken { resource: self.resource() };
            if resume.last.is_none() || line.version.is_some() {
                return Err(broken());
            }
            events = loop {
                if tries == TRIES_MAX {
                    return Err(broken());
                }
                tokio::time::sleep(self.wait(&resume, tries)).await;
                tries += 1;
                if let Some(again) = self.resume(&resume).await {
                    break again;
                }
            };
        }
    }

    /// What the server says of its own accord, for as long as it lets us listen.
    pub(super) async fn listen(self: &Arc<Self>, mut resume: Resume) {
        let mut tries = 0;
        loop {
            let (request, _) = self.listening(&resume);
            match self.session.open(&request, "listen").await {
                Ok(opened) if opened.status.is_success() && is_stream(&opened) => {
                    let mut events = Events::new(opened, self.settings.message_bytes_max);
                    let silence = self.settings.silence_max;
                    while let Ok(Ok(Some(data))) = tokio::time::timeout(silence, events.data(&mut resume)).await {
                        tries = 0;
                        self.pass(None, None, data.as_bytes()).await;
                    }
                }
                // It has no such stream, or no such session any more: the next request finds out about that.
                Ok(opened) if matches!(opened.status.as_u16(), 400..=499) => return,
                Ok(_) | Err(_) => {}
            }
            (self.tell)(Notice::Reconnecting);
            tokio::time::sleep(self.wait(&resume, tries)).await;
            tries += 1;
        }
    }

    async fn resume(self: &Arc<Self>, resume: &Resume) -> Option<Events> {
        (self.tell)(Notice::Reconnecting);
        let (request, _) = self.listening(resume);
        let opened = self.session.open(&request, "resume").await.ok()?;
        let is_good = opened.status.is_success() && is_stream(&opened);
        is_good.then(|| Events::new(opened, self.settings.message_bytes_max))
    }

    fn listening(&self, resume: &Resume) -> (crate::http::Request, u64) {
        let mut request = listening(self.session.resource().as_str());
        let state = self.state();
        for (name, value) in [
            (SESSION, &state.session),
            (HeaderName::from_static(PROTOCOL_VERSION), &state.revision),
            (HeaderName::from_static("last-event-id"), &resume.last),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        (request, state.generation)
    }

    /// How long to wait: as the server said, or longer each time.
    fn wait(&self, resume: &Resume, tries: u32) -> Duration {
        let doubled = self.settings.reconnect_first.saturating_mul(1 << tries.min(16));
        resume.retry.unwrap_or(doubled).min(self.settings.reconnect_max)
    }
}
