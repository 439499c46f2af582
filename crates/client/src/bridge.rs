//! The bridge from a client that speaks in lines over standard input and output to a server that speaks Streamable
//! HTTP, or the older HTTP+SSE (ST-04 to ST-09).
//!
//! Messages go through unchanged, in whichever revision both sides share. The bridge adds what the client cannot do
//! over lines: headers, sessions, reconnecting of broken streams, and the login. Lines arrive through one channel and
//! leave through another; nothing else is ever written to the second one.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sekisho_protocol::mcp::error::ErrorCode;
use sekisho_protocol::mcp::message::{Id, Message, Outcome};
use sekisho_protocol::mcp::strict::Limits;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::http::Response;

mod answers;
mod connection;
mod failure;
mod legacy;
mod line;
mod notice;
mod pages;
mod request;
mod room;
mod settings;
mod state;
mod streams;

use failure::BridgeError;
use legacy::Legacy;
use line::{Kind, Line};
use state::Running;
use streams::{Answered, Pace, Resume};

pub use notice::Notice;
pub use room::OutLine;
pub use settings::BridgeSettings;
pub use state::Bridge;

/// The longest body of a refusal. An error says less.
const REFUSAL_BYTES_MAX: usize = room::SMALL_BYTES_MAX;

impl Bridge {
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
            return connection::answer(&legacy, self, line, id).await;
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
                let Some(legacy) = connection::open(self).await? else { return self.pass_refusal(id, refusal).await };
                self.remember_legacy(line, &legacy);
                return connection::answer(&legacy, self, line, id).await;
            } else {
                return self.pass_refusal(id, refusal).await;
            }
        }
    }

    fn remember_legacy(&self, initialize: &Line, legacy: &Arc<Legacy>) {
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
        let legacy = connection::open(self).await?.ok_or_else(lost)?;
        connection::begin_again(&legacy, self).await?;
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
                Ok(Some(legacy)) => connection::post(&legacy, self, line).await.map(drop),
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

    /// A stream for what the server says of its own accord, in the revisions that have one.
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

#[cfg(test)]
mod tests;
