//! A bridge as a value: its two sides, its bounds and what it knows of the session, with the ways to write to either side.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};

use ::http::Method;
use sekisho_protocol::mcp::error::ErrorCode;
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::mirror::Annotations;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::failure::BridgeError;
use super::legacy::Legacy;
use super::line::Line;
use super::notice::Notice;
use super::room::{OutLine, Room};
use super::settings::BridgeSettings;
use crate::http::{Destination, Opened, Response};
use crate::login::Login;
use crate::session::Session;

/// Tools whose headers are remembered.
pub(super) const TOOLS_MAX: usize = 10_000;
/// Pages that are shown, each once. A server that has had so many shown to one person has no honest reason for more.
pub(super) const SHOWN_MAX: usize = 256;
/// Up to this many notices of one kind are all given. After that, only a notice whose number is a power of two is
/// given.
const NOTICES_MAX: u64 = 8;
/// Between a client's lines and a server.
pub struct Bridge {
    pub(super) session: Session,
    pub(super) settings: BridgeSettings,
    pub(super) lines: mpsc::Sender<OutLine>,
    pub(super) tell: Box<dyn Fn(Notice) + Send + Sync>,
    pub(super) state: Mutex<State>,
    pub(super) places: Arc<Semaphore>,
    /// One at a time begins a session anew.
    pub(super) beginning: tokio::sync::Mutex<()>,
    /// For answers that are large.
    pub(super) room: Room,
    /// How often each kind of notice was given.
    pub(super) told: Mutex<HashMap<&'static str, u64>>,
}

#[derive(Default)]
pub(super) struct State {
    /// Agreed on by `initialize`.
    pub(super) revision: Option<String>,
    /// `Mcp-Session-Id`.
    pub(super) session: Option<String>,
    /// The client's `initialize`, to be repeated when the server has forgotten it.
    pub(super) initialize: Option<Line>,
    /// Counts the sessions.
    pub(super) generation: u64,
    /// What is mirrored into headers, by tool (TR-31).
    pub(super) mirrored: HashMap<String, Annotations>,
    pub(super) running: HashMap<Id, Running>,
    pub(super) standing: Option<AbortHandle>,
    pub(super) legacy: Option<Arc<Legacy>>,
    /// Whether the server is of the time before Streamable HTTP.
    pub(super) is_legacy: bool,
    /// Pages that were shown.
    pub(super) shown: Vec<String>,
}

pub(super) struct Running {
    pub(super) handle: AbortHandle,
    /// Whether ending the exchange is what cancels it (2026-07-28).
    pub(super) modern: bool,
}

impl Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Bridge {
    /// A bridge to the server of `session`. Lines for the client go into `lines`, without their line feed.
    pub fn new(
        session: Session,
        settings: BridgeSettings,
        lines: mpsc::Sender<OutLine>,
        tell: Box<dyn Fn(Notice) + Send + Sync>,
    ) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(settings.requests_max.clamp(1, Semaphore::MAX_PERMITS)));
        let (state, beginning) = (Mutex::default(), tokio::sync::Mutex::default());
        let (room, told) = (Room::new(), Mutex::default());
        Arc::new(Self { session, settings, lines, tell, state, places, beginning, room, told })
    }

    /// The login of its session. Its exchanges have to be finished before the program ends.
    pub fn login(&self) -> Option<&Login> {
        self.session.login()
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a person, if there was not enough of this kind already: a server that breaks off a thousand times fills no
    /// log (ATK-223).
    pub(super) fn notify(&self, notice: Notice) {
        let number = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let number = told.entry(notice.kind()).or_default();
            *number = number.saturating_add(1);
            *number
        };
        if number <= NOTICES_MAX || number.is_power_of_two() || matches!(notice, Notice::Asked { .. }) {
            (self.tell)(notice);
        }
    }

    pub(super) fn resource(&self) -> String {
        self.session.resource().as_str().to_owned()
    }

    pub(super) async fn whole(&self, opened: Opened, max: usize) -> Result<Response, BridgeError> {
        let read = opened.read(max).await;
        read.map_err(|source| BridgeError::Http { resource: self.resource(), source })
    }

    /// Writes a line for the client. `place`: what a large one keeps until it is written.
    pub(super) async fn say(&self, bytes: &[u8], place: Option<OwnedSemaphorePermit>) {
        // JSON has line ends between its parts only, and a line has none at all (ST-04).
        let line = bytes.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
        // The reader has gone. We end too, because the other side closes as well.
        self.lines.send(OutLine::new(line, place)).await.ok();
    }

    pub(super) async fn say_error(&self, id: Option<&Id>, code: ErrorCode, why: &str) {
        let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code.code(), "message": why } });
        self.say(error.to_string().as_bytes(), None).await;
    }
}

/// The request that opens a stream for what the server says of its own accord.
pub(super) fn listening(url: &str) -> crate::http::Request {
    crate::http::Request::new(Method::GET, Destination::given(url), bytes::Bytes::new())
        .header(::http::header::ACCEPT, "text/event-stream")
}
