//! The bridge from a client that speaks in lines over standard input and output to a server that speaks Streamable
//! HTTP, or the older HTTP+SSE (ST-04 to ST-09).
//!
//! Messages go through unchanged, in whichever revision both sides share. The bridge adds what the client cannot do
//! over lines: headers, sessions, reconnecting of broken streams, and the login. Lines arrive through one channel and
//! leave through another; nothing else is ever written to the second one.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::Method;
use futures_util::future::BoxFuture;
use sekisho_protocol::mcp::error::ErrorCode;
use sekisho_protocol::mcp::message::{Id, Message, Outcome};
use sekisho_protocol::mcp::mirror::Annotations;
use sekisho_protocol::mcp::strict::Limits;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use crate::http::{Destination, HttpError, Opened, Response};
use crate::login::Login;
use crate::session::{Session, SessionError};

mod answers;
mod legacy;
mod line;
mod pages;
mod room;
mod streams;

use answers::Answered;
use legacy::Legacy;
use line::{Kind, Line};
use room::Room;
use streams::{Pace, Resume};

pub use room::OutLine;

/// The bounds of a bridge.
#[derive(Debug, Clone)]
pub struct BridgeSettings {
    /// The largest message in either direction, in bytes.
    pub message_bytes_max: usize,
    /// How long a response may take to begin. The client has its own timeout and can cancel.
    pub begins_within: Duration,
    /// How many requests may be under way at once; further ones are refused.
    pub requests_max: usize,
    /// How long to wait before a stream is opened again for the first time. Each further wait is twice as long.
    pub reconnect_first: Duration,
    /// The longest wait before a stream is opened again.
    pub reconnect_max: Duration,
    /// The shortest wait that a server can ask for. It doubles each time while streams keep breaking at once.
    pub reconnect_floor: Duration,
    /// How long a standing stream may be silent before it is opened again. After a sleep of the machine, or behind a
    /// proxy that forgot the connection, it would stay silent for ever.
    pub silence_max: Duration,
    /// How long requests may go on after the client has closed its side.
    pub finish_within: Duration,
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 * 1024 * 1024,
            begins_within: Duration::from_secs(600),
            requests_max: 64,
            reconnect_first: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(30),
            reconnect_floor: Duration::from_millis(250),
            silence_max: Duration::from_secs(300),
            finish_within: Duration::from_secs(5),
        }
    }
}

/// Something that a person may want to know. It is never part of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A person has to decide something, and the page for it was shown.
    Asked {
        /// The page.
        url: String,
    },
    /// The server had forgotten the session, and a new one was started.
    BegunAgain,
    /// The server sent something that is not a message, and it was dropped.
    Dropped {
        /// Why it was dropped.
        why: String,
    },
    /// A stream broke and is being opened again.
    Reconnecting,
    /// Tools with wrongly declared headers were left out (TR-32).
    ToolsLeftOut {
        /// Their names.
        names: Vec<String>,
    },
}

impl Notice {
    fn kind(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::BegunAgain => "begun again",
            Self::Dropped { .. } => "dropped",
            Self::Reconnecting => "reconnecting",
            Self::ToolsLeftOut { .. } => "tools left out",
        }
    }
}

/// Why a request got no answer from the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    /// The response broke off. Whether the call took effect is unknown, so it is not sent again.
    #[error("the connection to `{resource}` broke before the answer came; the call may have had its effect")]
    Broken { resource: String },
    /// The response could not be read, for example because it is too long.
    #[error("the answer of `{resource}` cannot be read: {source}")]
    Http { resource: String, source: HttpError },
    /// The response is not a message.
    #[error("`{resource}` answered with status {status} and no message")]
    NoMessage { resource: String, status: u16 },
    /// The response names a page that this server may not name.
    #[error("`{resource}` wants a page to be opened that is no web page, or less secure than itself")]
    Page { resource: String },
    /// The login failed, or the server could not be reached.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// The session is lost, and no new one could be started.
    #[error("`{resource}` has forgotten the session and begins no new one")]
    SessionLost { resource: String },
}

/// Connects a client that speaks in lines with one server.
pub struct Bridge {
    session: Session,
    settings: BridgeSettings,
    lines: mpsc::Sender<OutLine>,
    tell: Box<dyn Fn(Notice) + Send + Sync>,
    state: Mutex<State>,
    places: Arc<Semaphore>,
    /// Held while a session is started anew, so that only one task does that at a time.
    beginning: tokio::sync::Mutex<()>,
    /// The places for large messages.
    room: Room,
    /// How often each kind of notice has occurred.
    told: Mutex<HashMap<&'static str, u64>>,
}

#[derive(Default)]
struct State {
    /// The revision that `initialize` agreed on.
    revision: Option<String>,
    /// The value of `Mcp-Session-Id`.
    session: Option<String>,
    /// The client's `initialize`. It is repeated if the server has forgotten the session.
    initialize: Option<Line>,
    /// The number of the current session; each new session gets the next number.
    generation: u64,
    /// By tool name: the arguments that are repeated in headers (TR-31).
    mirrored: HashMap<String, Annotations>,
    running: HashMap<Id, Running>,
    standing: Option<AbortHandle>,
    legacy: Option<Arc<Legacy>>,
    /// Whether the server speaks only the transport from before Streamable HTTP.
    is_legacy: bool,
    /// The pages that were shown already.
    shown: Vec<String>,
}

struct Running {
    handle: AbortHandle,
    /// Whether the request is cancelled by ending its HTTP exchange (2026-07-28).
    modern: bool,
}

/// For how many tools the declared headers are remembered.
const TOOLS_MAX: usize = 10_000;
/// How many different pages are shown, each once. An honest server has no reason to show more to one person.
const SHOWN_MAX: usize = 256;
/// How many notices of one kind are all shown. After that, only those whose number is a power of two are shown.
const NOTICES_MAX: u64 = 8;
/// The longest body of a refused request that is read, in bytes. An error message is shorter.
const REFUSAL_BYTES_MAX: usize = room::SMALL_BYTES_MAX;

impl Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Bridge {
    /// Creates a bridge to the server of `session`. Lines for the client are sent to `lines`, without their line feed.
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

    /// Carries lines until the client closes its side, then ends the session.
    pub async fn run(self: &Arc<Self>, mut client: mpsc::Receiver<Vec<u8>>) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                line = client.recv() => match line {
                    Some(line) => self.take(line, &mut tasks).await,
                    None => break,
                },
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
        if let Some(standing) = self.state().standing.take() {
            standing.abort();
        }
        // Requests that are under way may still be answered for a while.
        let all = async { while tasks.join_next().await.is_some() {} };
        tokio::time::timeout(self.settings.finish_within, all).await.ok();
        tasks.abort_all();
        self.end().await;
    }

    /// Returns the login of the session. Its exchanges have to finish before the program ends.
    pub fn login(&self) -> Option<&Login> {
        self.session.login()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a notice to the person, unless there were too many of this kind already: a server that breaks off a
    /// thousand times must not fill a log (ATK-223).
    fn notify(&self, notice: Notice) {
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

    fn resource(&self) -> String {
        self.session.resource().as_str().to_owned()
    }

    async fn take(self: &Arc<Self>, bytes: Vec<u8>, tasks: &mut JoinSet<()>) {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let line = match Line::read(&bytes, &Limits::default()) {
            Ok(line) => line,
            Err(error) => return self.say_error(None, error.code(), &error.to_string()).await,
        };
        match &line.kind {
            Kind::Request(id) => {
                let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                    let why = format!("more than {} requests at once", self.settings.requests_max);
                    return self.say_error(Some(id), ErrorCode::Internal, &why).await;
                };
                let (bridge, id, modern) = (Arc::clone(self), id.clone(), line.version.is_some());
                let of = id.clone();
                // The request is registered before it can run, because the task needs the lock that is held here.
                let mut state = self.state();
                let handle = tasks.spawn(async move {
                    let _place = place;
                    bridge.exchange(&line, &of).await;
                    bridge.state().running.remove(&of);
                });
                state.running.insert(id, Running { handle, modern });
            }
            Kind::Cancelled(id) => {
                let running = self.state().running.remove(id);
                match running {
                    // In 2026-07-28 a request is cancelled by closing its connection (ST-08).
                    Some(Running { handle, modern: true }) => handle.abort(),
                    Some(running) => {
                        self.state().running.insert(id.clone(), running);
                        self.post(&line).await;
                    }
                    None => {}
                }
            }
            // Sent in order: later messages must arrive after `notifications/initialized`.
            Kind::Initialized => {
                self.post(&line).await;
                self.stand(tasks);
            }
            Kind::Other => self.post(&line).await,
        }
    }

    async fn exchange(self: &Arc<Self>, line: &Line, id: &Id) {
        if let Err(error) = self.answer(line, id).await {
            self.say_error(Some(id), ErrorCode::Internal, &error.to_string()).await;
        }
    }

    /// Sends a request and passes its answer on.
    async fn answer(self: &Arc<Self>, line: &Line, id: &Id) -> Result<(), BridgeError> {
        if let Some(legacy) = self.legacy().await? {
            return legacy.answer(self, line, id).await;
        }
        let (mut begun, mut learned) = (false, false);
        let (mut pace, mut asked) = (Pace::default(), false);
        loop {
            let (request, generation) = self.request(line);
            let used_session = request.headers.contains_key(line::SESSION);
            // A call asks a person at most once, however often it is sent.
            let opened = match std::mem::replace(&mut asked, true) {
                false => self.session.open(&request, &line.operation()).await?,
                true => self.session.open_quietly(&request).await?,
            };
            if opened.status.is_success() {
                match self.pass_answer(line, id, opened, &mut pace).await? {
                    Answered::Yes => return Ok(()),
                    // A subscription goes on until it is cancelled (ST-09).
                    Answered::Again(wait) => tokio::time::sleep(wait).await,
                }
                continue;
            }
            let refusal = self.whole(opened, REFUSAL_BYTES_MAX).await?;
            if refusal.status.as_u16() == 404 && used_session && !begun {
                begun = true;
                self.begin_again(generation).await?;
            } else if is_header_mismatch(&refusal) && line.tool.is_some() && !learned {
                // The client did not list the tools before the call, so it was not known which arguments are repeated
                // in headers.
                learned = true;
                self.learn(line).await?;
            } else if line.method.as_deref() == Some("initialize") && may_be_legacy(&refusal) {
                let Some(legacy) = Legacy::open(self).await? else { return self.pass_refusal(id, refusal).await };
                self.is_legacy(line, &legacy);
                return legacy.answer(self, line, id).await;
            } else {
                return self.pass_refusal(id, refusal).await;
            }
        }
    }

    fn is_legacy(&self, initialize: &Line, legacy: &Arc<Legacy>) {
        let mut state = self.state();
        state.legacy = Some(Arc::clone(legacy));
        state.is_legacy = true;
        state.initialize = Some(initialize.clone());
    }

    /// Returns the connection to a server with the older transport. It is opened again if it broke.
    async fn legacy(self: &Arc<Self>) -> Result<Option<Arc<Legacy>>, BridgeError> {
        let _one = self.beginning.lock().await;
        let (legacy, is_legacy) = {
            let state = self.state();
            (state.legacy.clone(), state.is_legacy)
        };
        if legacy.is_some() || !is_legacy {
            return Ok(legacy);
        }
        let lost = || BridgeError::SessionLost { resource: self.resource() };
        let legacy = Legacy::open(self).await?.ok_or_else(lost)?;
        legacy.begin_again(self).await?;
        self.state().legacy = Some(Arc::clone(&legacy));
        self.notify(Notice::BegunAgain);
        Ok(Some(legacy))
    }

    /// Sends a message that has no response. The client cannot be told about a failure, so it becomes a notice.
    /// The future is boxed because this function also answers a server's request while the server's stream is read.
    fn post<'a>(self: &'a Arc<Self>, line: &'a Line) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let sent = match self.legacy().await {
                Err(error) => Err(error),
                Ok(Some(legacy)) => legacy.post(self, line).await.map(drop),
                Ok(None) => {
                    let (request, _) = self.request(line);
                    self.session.open(&request, &line.operation()).await.map(drop).map_err(BridgeError::from)
                }
            };
            if let Err(error) = sent {
                self.notify(Notice::Dropped { why: error.to_string() });
            }
        })
    }

    /// Repeats the client's `initialize` to a server that has forgotten the session.
    async fn begin_again(self: &Arc<Self>, generation: u64) -> Result<(), BridgeError> {
        let _one = self.beginning.lock().await;
        let initialize = {
            let mut state = self.state();
            if state.generation != generation {
                return Ok(());
            }
            state.session = None;
            state.initialize.clone()
        };
        let lost = || BridgeError::SessionLost { resource: self.resource() };
        let line = initialize.ok_or_else(lost)?;
        let (request, _) = self.request(&line);
        let opened = self.session.open_quietly(&request).await?;
        self.note_session(&opened);
        let Kind::Request(id) = &line.kind else { return Err(lost()) };
        let answer = self.only_answer(id, opened).await?.ok_or_else(lost)?;
        let agreed = Message::read(&answer, &Limits::upstream()).ok().and_then(|message| match message.kind() {
            sekisho_protocol::mcp::message::Kind::Response { outcome: Outcome::Result(result), .. } => {
                result.protocol_version.as_ref().map(ToString::to_string)
            }
            _ => None,
        });
        // The client was told one revision, which cannot change now.
        if agreed != self.state().revision {
            return Err(lost());
        }
        let initialized = Line::initialized();
        let (request, _) = self.request(&initialized);
        self.session.open_quietly(&request).await?;
        self.state().generation += 1;
        self.notify(Notice::BegunAgain);
        Ok(())
    }

    /// Asks the server for its tools, to learn which arguments their calls repeat in headers.
    async fn learn(self: &Arc<Self>, line: &Line) -> Result<(), BridgeError> {
        let list = line.list_of_tools();
        let Kind::Request(id) = &list.kind else { return Ok(()) };
        let (request, _) = self.request(&list);
        let opened = self.session.open_quietly(&request).await?;
        if let Some(answer) = self.only_answer(id, opened).await? {
            self.read_tools(&answer);
        }
        Ok(())
    }

    /// Ends the session, if the server gave us one.
    async fn end(&self) {
        let (session, revision) = {
            let state = self.state();
            (state.session.clone(), state.revision.clone())
        };
        let Some(session) = session else { return };
        let request = line::delete(self.session.resource().as_str(), &session, revision.as_deref());
        tokio::time::timeout(self.settings.finish_within, self.session.open_quietly(&request)).await.ok();
    }

    async fn whole(&self, opened: Opened, max: usize) -> Result<Response, BridgeError> {
        let read = opened.read(max).await;
        read.map_err(|source| BridgeError::Http { resource: self.resource(), source })
    }

    /// Writes a line for the client. `place` is the place of a large message, which is kept until the message is
    /// written.
    async fn say(&self, bytes: &[u8], place: Option<OwnedSemaphorePermit>) {
        // JSON has line breaks only between its parts, so they can become spaces: a line must contain none (ST-04).
        let line = bytes.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
        // If the reader is gone, the client closes the other side as well, and that ends the bridge.
        self.lines.send(OutLine::new(line, place)).await.ok();
    }

    async fn say_error(&self, id: Option<&Id>, code: ErrorCode, why: &str) {
        let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code.code(), "message": why } });
        self.say(error.to_string().as_bytes(), None).await;
    }

    /// Opens a stream for messages that the server sends on its own, in the revisions that have one.
    fn stand(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        if self.state().is_legacy {
            return;
        }
        let bridge = Arc::clone(self);
        let handle = tasks.spawn(async move { bridge.listen(Resume::default()).await });
        if let Some(before) = self.state().standing.replace(handle) {
            before.abort();
        }
    }
}

/// Whether the server refused a request because a header was missing or wrong (TR-34).
fn is_header_mismatch(refusal: &Response) -> bool {
    let code = |message: serde_json::Value| message.pointer("/error/code")?.as_i64();
    refusal.json::<serde_json::Value>().and_then(code) == Some(i64::from(ErrorCode::HeaderMismatch.code()))
}

/// Whether a server that refuses `initialize` like this may speak the transport from before Streamable HTTP.
fn may_be_legacy(refusal: &Response) -> bool {
    let is_message = Message::read(&refusal.body, &Limits::upstream()).is_ok();
    matches!(refusal.status.as_u16(), 400 | 404 | 405) && !is_message
}

/// Builds the request that opens a stream for messages that the server sends on its own.
fn listening(url: &str) -> crate::http::Request {
    crate::http::Request::new(Method::GET, Destination::given(url), bytes::Bytes::new())
        .header(::http::header::ACCEPT, "text/event-stream")
}

#[cfg(test)]
mod tests;
