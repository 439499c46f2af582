//! Event streams: read to their end, and opened again where they broke.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::http::header::HeaderName;
use sekisho_protocol::mcp::headers::PROTOCOL_VERSION;
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::sse::{Event, Parser, Piece};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::failure::BridgeError;
use super::line::{Line, SESSION};
use super::notice::Notice;
use super::room::SMALL_BYTES_MAX;
use super::settings::BridgeSettings;
use super::state::{Bridge, listening};
use crate::http::Opened;

/// How often a broken answer is requested again before it is given up.
const TRIES_MAX: u32 = 5;
/// The longest wait that a server can ask for.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Whether the body is a stream of events.
pub(super) fn is_stream(opened: &Opened) -> bool {
    opened.media_type().as_deref() == Some("text/event-stream")
}

/// Whether a request has got its answer.
pub(super) enum Answered {
    /// Not yet: it is sent again, after this wait.
    Again(Duration),
    /// Its answer was passed on.
    Yes,
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

/// How fast a stream is opened again (ATK-223). The wait that a server asks for can be extended: a stream that keeps
/// breaking right after it was opened is opened less and less often, whatever arrived on it.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many streams in a row broke right after they were opened.
    quick: u32,
    opened: Instant,
    last: Duration,
}

/// A stream that lived this many times as long as the wait before it counts as steady.
const STEADY_TIMES: u32 = 4;
/// The highest value of the shortest wait that a server can ask for, which doubles while streams break.
const FLOOR_MAX: Duration = Duration::from_secs(5);

impl Default for Pace {
    fn default() -> Self {
        Self { quick: 0, opened: Instant::now(), last: Duration::ZERO }
    }
}

impl Pace {
    /// Notes that the stream is open from now on.
    fn begin(&mut self) {
        self.opened = Instant::now();
    }

    /// Returns how long to wait before the stream is opened again: as long as the server asked for, or longer each
    /// time.
    fn wait(&mut self, resume: &Resume, settings: &BridgeSettings) -> Duration {
        if self.last > Duration::ZERO && self.opened.elapsed() >= self.last.saturating_mul(STEADY_TIMES) {
            self.quick = 0;
        }
        let doubled = |first: Duration| first.saturating_mul(1 << self.quick.min(16));
        self.last = match resume.retry {
            Some(retry) => retry.max(doubled(settings.reconnect_floor).min(FLOOR_MAX)),
            None => doubled(settings.reconnect_first),
        };
        self.last = self.last.min(settings.reconnect_max.max(FLOOR_MAX));
        self.quick = self.quick.saturating_add(1);
        self.last
    }
}

/// A stream that broke off, in the middle of an event or with an error.
#[derive(Debug)]
pub(super) struct Broken;

/// The data of an event, with the place it occupies if it is large.
pub(super) type Data = (String, Option<OwnedSemaphorePermit>);

/// The events of one response.
pub(super) struct Events {
    opened: Opened,
    parser: Parser,
    ready: VecDeque<Event>,
    bridge: Weak<Bridge>,
    /// The place of the event that is being read, if it is large.
    place: Option<OwnedSemaphorePermit>,
}

impl Events {
    pub(super) fn new(opened: Opened, bridge: &Arc<Bridge>) -> Self {
        let parser = Parser::new(bridge.settings.message_bytes_max);
        Self { opened, parser, ready: VecDeque::new(), bridge: Arc::downgrade(bridge), place: None }
    }

    /// Returns the next event, or `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.parser.open_bytes() <= SMALL_BYTES_MAX {
                self.place = None;
            } else if self.place.is_none()
                && let Some(bridge) = self.bridge.upgrade()
            {
                self.place = bridge.room.enter().await;
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

    /// Returns the data of the next event that carries a message, and notes from where the stream can be resumed.
    pub(super) async fn data(&mut self, resume: &mut Resume) -> Result<Option<Data>, Broken> {
        while let Some(event) = self.next().await? {
            resume.note(&event);
            let is_message = event.is_message();
            if let Some(data) = event.data.filter(|data| is_message && !data.is_empty()) {
                // The place goes with the data, and is free again when the data was written.
                let place = if data.len() > SMALL_BYTES_MAX { self.place.take() } else { None };
                return Ok(Some((data, place)));
            }
        }
        Ok(None)
    }
}

impl Bridge {
    /// Passes on the events of a response until the answer was among them. A broken stream is resumed if the server
    /// said from where (2025-11-25 transports, Resumability); a call is never sent again.
    pub(super) async fn pass_stream(
        self: &Arc<Self>,
        line: &Line,
        id: &Id,
        opened: Opened,
        pace: &mut Pace,
    ) -> Result<Answered, BridgeError> {
        let mut events = Events::new(opened, self);
        let mut resume = Resume::default();
        let mut tries = 0;
        pace.begin();
        loop {
            if let Ok(Some((data, place))) = events.data(&mut resume).await {
                tries = 0;
                if self.pass(Some((line, id)), data.as_bytes(), place).await {
                    return Ok(Answered::Yes);
                }
                continue;
            }
            if line.method.as_deref() == Some("subscriptions/listen") {
                self.notify(Notice::Reconnecting);
                return Ok(Answered::Again(pace.wait(&resume, &self.settings)));
            }
            let broken = || BridgeError::Broken { resource: self.resource() };
            if resume.last.is_none() || line.version.is_some() {
                return Err(broken());
            }
            events = loop {
                if tries == TRIES_MAX {
                    return Err(broken());
                }
                tokio::time::sleep(pace.wait(&resume, &self.settings)).await;
                tries += 1;
                pace.begin();
                if let Some(again) = self.resume(&resume).await {
                    break again;
                }
            };
        }
    }

    /// Passes on messages that the server sends on its own, for as long as it keeps the stream open.
    pub(super) async fn listen(self: &Arc<Self>, mut resume: Resume) {
        let mut pace = Pace::default();
        loop {
            let (request, _) = self.listening(&resume);
            pace.begin();
            match self.session.open_quietly(&request).await {
                Ok(opened) if opened.status.is_success() && is_stream(&opened) => {
                    let mut events = Events::new(opened, self);
                    let silence = self.settings.silence_max;
                    while let Ok(Ok(Some((data, place)))) =
                        tokio::time::timeout(silence, events.data(&mut resume)).await
                    {
                        self.pass(None, data.as_bytes(), place).await;
                    }
                }
                // The next call of the client logs in again.
                Ok(opened) if opened.status.as_u16() == 401 => {}
                // The server has no such stream, or has lost the session: the next request finds that out.
                Ok(opened) if matches!(opened.status.as_u16(), 400..=499) => return,
                Ok(_) | Err(_) => {}
            }
            self.notify(Notice::Reconnecting);
            tokio::time::sleep(pace.wait(&resume, &self.settings)).await;
        }
    }

    async fn resume(self: &Arc<Self>, resume: &Resume) -> Option<Events> {
        self.notify(Notice::Reconnecting);
        let (request, _) = self.listening(resume);
        let opened = self.session.open_quietly(&request).await.ok()?;
        let is_good = opened.status.is_success() && is_stream(&opened);
        is_good.then(|| Events::new(opened, self))
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
}
