//! The place of one child, which is started here when a call needs it, and again after it ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::mcp::error;
use sekisho_protocol::mcp::message::{Id, Kind, Message, Outcome};
use sekisho_protocol::mcp::strict::Limits;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::super::probe::Own;
use super::super::{ForwardError, InitDigest};
use super::connection::{Connection, Context, Ended, SharedRouter, answer};
use super::router::{Opening, QueueBytes, Router};
use super::sessions::SessionId;
use crate::memory::Memory;
use crate::shares::Holder;
use crate::upstream::EnvValue;

/// The most bytes that wait for one session, or for one request before its answer. One message always fits.
pub(super) const QUEUED_BYTES_MAX: usize = 4 << 20;
/// The wait before the next start after a first crash; each further crash doubles it.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest wait before the next start.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A child that lived this long starts a new count of crashes.
const STABLE: Duration = Duration::from_secs(10);
/// A caller waits for the next start if the wait is at most this long; otherwise it gets an error.
const WAITED_OUT: Duration = Duration::from_secs(1);

/// How often a child that is to end is looked at, whether it has answered everything.
const RETIRES_EVERY: Duration = Duration::from_millis(200);

/// Which child a message goes to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct SlotKey {
    pub(super) scope: Scope,
    /// How the child was initialised; `None` in revisions without a handshake.
    pub(super) init: Option<InitDigest>,
    /// The digest of the value in its environment that can change. Whoever has another value has another child.
    pub(super) changing: Option<Digest>,
}

/// Whose child it is (PX-36).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Scope {
    /// The child of one session.
    Session(u64),
    /// The child of all callers.
    Shared,
    /// The child of one subject.
    Subject(String),
}

/// Why there is no child.
#[derive(Clone, Debug)]
pub(super) enum StartError {
    Forward(ForwardError),
    /// The child refused `initialize`, with this answer.
    Rejected(Bytes),
}

impl From<ForwardError> for StartError {
    fn from(error: ForwardError) -> Self {
        Self::Forward(error)
    }
}

/// A child that is ready to be used.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) connection: Arc<Connection>,
    /// Its answer to `initialize`.
    pub(super) handshake: Option<Bytes>,
    /// Whether it was told that the handshake is over.
    initialized: AtomicBool,
    /// Whether it ends as soon as it is idle.
    retires: AtomicBool,
}

impl Up {
    /// Whether the child still has to be told that the handshake is over; `true` only once.
    pub(super) fn take_initialized(&self) -> bool {
        !self.initialized.swap(true, Ordering::Relaxed)
    }
}

type Started = Result<Arc<Up>, StartError>;

#[derive(Debug)]
enum Phase {
    Down,
    Starting(watch::Receiver<Option<Started>>),
    Up(Arc<Up>),
}

#[derive(Debug)]
struct State {
    phase: Phase,
    was_up: bool,
    failures: u32,
    not_before: Option<Instant>,
    used: Instant,
}

/// The next step towards a running child.
enum Step {
    Pause(Duration),
    Start(watch::Sender<Option<Started>>),
    Use(Arc<Up>),
    Wait(watch::Receiver<Option<Started>>),
}

/// The place of one child.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) context: Arc<Context>,
    pub(super) key: SlotKey,
    /// The holder to whose share the child counts: the one that needed it first.
    pub(super) holder: Holder,
    pub(super) router: SharedRouter,
    /// The `initialize` request that the child is sent, from the first session that needed it.
    initialize: Option<(Id, Bytes)>,
    state: Mutex<State>,
}

impl Slot {
    pub(super) fn new(context: Arc<Context>, key: SlotKey, holder: Holder, initialize: Option<(Id, Bytes)>) -> Self {
        let limits = &context.limits;
        let bytes = QueueBytes {
            // Enough for an answer and some events before it.
            request_max: limits.answer_bytes_max.saturating_add(QUEUED_BYTES_MAX),
            session_max: QUEUED_BYTES_MAX,
        };
        // Anonymous callers are one subject but many people, so no receiver is guessed among them either.
        let is_shared = key.scope == Scope::Shared
            || (matches!(holder, Holder::Anonymous(_)) && matches!(key.scope, Scope::Subject(_)));
        let router = SharedRouter::new(Router::new(bytes, is_shared));
        let state = State { phase: Phase::Down, was_up: false, failures: 0, not_before: None, used: Instant::now() };
        Self { context, key, holder, router, initialize, state: Mutex::new(state) }
    }

    /// Returns the child, and starts it if necessary. Dropping the future does not stop a start: others may wait for
    /// it, and its client may come back. `permit` waits for permission to start one more child, and `environment` is
    /// what a child is started with. A running child keeps the environment that it was started with.
    pub(super) async fn up<P>(
        self: &Arc<Self>,
        environment: &Arc<BTreeMap<String, EnvValue>>,
        permit: impl Fn() -> P,
    ) -> Started
    where
        P: Future<Output = Result<OwnedSemaphorePermit, ForwardError>> + Send + 'static,
    {
        loop {
            match self.step()? {
                Step::Use(up) => return Ok(up),
                Step::Pause(pause) => tokio::time::sleep(pause).await,
                Step::Wait(started) => return wait(started).await,
                Step::Start(done) => {
                    let (slot, permit, environment) = (self.clone(), permit(), environment.clone());
                    let waiting = done.subscribe();
                    self.context.tasks.spawn(async move {
                        let started = tokio::select! {
                            started = slot.start(environment, permit) => started,
                            () = slot.context.stopping.cancelled() => Err(stopped()),
                        };
                        slot.note(&started);
                        done.send_replace(Some(started));
                    });
                    return wait(waiting).await;
                }
            }
        }
    }

    /// Ends the child once it has answered what it was asked, because the value that it was started with has changed.
    pub(super) fn retire(self: &Arc<Self>) {
        let Some(up) = self.running() else { return };
        if up.retires.swap(true, Ordering::Relaxed) {
            return;
        }
        let stopping = self.context.stopping.clone();
        self.context.tasks.spawn(async move {
            while up.connection.ended().is_none() {
                if up.connection.is_idle() {
                    up.connection.stop();
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(RETIRES_EVERY) => {}
                    () = stopping.cancelled() => return,
                }
            }
        });
    }

    /// Returns the child if it runs.
    pub(super) fn running(&self) -> Option<Arc<Up>> {
        match &self.state().phase {
            Phase::Up(up) if up.connection.ended().is_none() => Some(up.clone()),
            Phase::Up(_) | Phase::Down | Phase::Starting(_) => None,
        }
    }

    /// Returns when the child was last needed.
    pub(super) fn used(&self) -> Instant {
        self.state().used
    }

    /// Whether the slot can be removed: no child, no session, no wait after a crash.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        let is_down = {
            let state = self.state();
            let is_down = match &state.phase {
                Phase::Down => true,
                Phase::Starting(_) => false,
                Phase::Up(up) => up.connection.ended().is_some(),
            };
            is_down && state.not_before.is_none_or(|moment| moment <= now)
        };
        is_down && self.router.lock().sessions().len() == 0
    }

    fn step(&self) -> Result<Step, StartError> {
        if self.context.stopping.is_cancelled() {
            return Err(stopped());
        }
        let mut state = self.state();
        let now = Instant::now();
        state.used = now;
        match &state.phase {
            Phase::Starting(started) => return Ok(Step::Wait(started.clone())),
            Phase::Up(up) => match up.connection.ended() {
                None => return Ok(Step::Use(up.clone())),
                Some(ended) => state.take_end(&ended),
            },
            Phase::Down => {}
        }
        // The child held the state of its only session, which is lost now, and the client must know that.
        if state.was_up && matches!(self.key.scope, Scope::Session(_)) {
            return Err(ForwardError::SessionGone.into());
        }
        if let Some(pause) = state.not_before.and_then(|moment| moment.checked_duration_since(now))
            && !pause.is_zero()
        {
            if pause <= WAITED_OUT {
                return Ok(Step::Pause(pause));
            }
            return Err(ForwardError::Restarting { retry_after: pause }.into());
        }
        let (done, starting) = watch::channel(None);
        state.phase = Phase::Starting(starting);
        Ok(Step::Start(done))
    }

    async fn start(
        &self,
        environment: Arc<BTreeMap<String, EnvValue>>,
        permit: impl Future<Output = Result<OwnedSemaphorePermit, ForwardError>>,
    ) -> Started {
        let permit = permit.await?;
        let connection = Connection::start(&self.context, &self.router, environment, permit).await?;
        let Some((id, request)) = &self.initialize else {
            return Ok(Arc::new(Up {
                connection,
                handshake: None,
                initialized: AtomicBool::new(true),
                retires: AtomicBool::default(),
            }));
        };
        let opening = own_opening(id.clone(), &self.context.limits.memory);
        let shaking = async {
            let (_ticket, mut receiver) = connection.open(opening, request).await?;
            answer(&mut receiver).await
        };
        let handshake = connection.starting(shaking).await??;
        let accepted = Message::read(&handshake, &Limits::upstream())
            .is_ok_and(|message| matches!(message.kind(), Kind::Response { outcome: Outcome::Result(_), .. }));
        if !accepted {
            return Err(StartError::Rejected(handshake));
        }
        let again = self.state().was_up;
        if again {
            self.resume(&connection).await?;
        }
        let initialized = AtomicBool::new(again);
        Ok(Arc::new(Up { connection, handshake: Some(handshake), initialized, retires: AtomicBool::default() }))
    }

    /// Brings a child that was started again to the state of its predecessor, as far as its sessions can see it: the
    /// handshake is done, and their resources are subscribed to.
    async fn resume(&self, connection: &Arc<Connection>) -> Result<(), ForwardError> {
        connection.write(&Own::initialized().bytes).await?;
        let subscriptions = self.router.lock().sessions().subscriptions();
        for uri in subscriptions {
            let id = Id::Integer(0);
            let request = error::request(&id, "resources/subscribe", &json!({ "uri": uri }));
            let request = request.map_err(|error| ForwardError::Edit { reason: error.to_string() })?;
            let (mut ticket, _) = connection.open(own_opening(id, &self.context.limits.memory), &request).await?;
            // The subscription must stay, although nothing waits for its answer.
            ticket.cancels = false;
        }
        Ok(())
    }

    fn note(&self, started: &Started) {
        let mut state = self.state();
        match started {
            Ok(up) => {
                state.was_up = true;
                state.phase = Phase::Up(up.clone());
            }
            Err(StartError::Rejected(_)) => state.phase = Phase::Down,
            Err(StartError::Forward(error)) => {
                state.phase = Phase::Down;
                // It is not this program's fault that there was no place for its child.
                if !matches!(error, ForwardError::Share | ForwardError::TooManyChildren { .. }) {
                    state.failed(Instant::now());
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_end(&mut self, ended: &Ended) {
        self.phase = Phase::Down;
        if !ended.crashed || ended.lived >= STABLE {
            self.failures = 0;
        }
        if ended.crashed {
            self.failed(ended.at);
        }
    }

    fn failed(&mut self, at: Instant) {
        let doubled = BACKOFF_FIRST.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(at + doubled.min(BACKOFF_MAX));
    }
}

/// Describes a question that we ask for ourselves or for everybody. Its deadline is that of whoever asks.
pub(super) fn own_opening(id: Id, memory: &Memory) -> Opening {
    let room = memory.own_room();
    Opening { id, progress_token: None, session: None, holder: None, is_subscription: false, deadline: None, room }
}

async fn wait(mut started: watch::Receiver<Option<Started>>) -> Started {
    match started.wait_for(Option::is_some).await {
        Ok(done) => done.clone().unwrap_or_else(|| Err(stopped())),
        // The task that starts the child is gone with the runtime.
        Err(_) => Err(stopped()),
    }
}

fn stopped() -> StartError {
    let status = "was stopped".to_owned();
    ForwardError::ChildExited { status, stderr_tail: Vec::new(), withheld: Vec::new(), sent: false }.into()
}

/// A session's place at a child.
#[derive(Clone, Debug)]
pub(crate) struct ChildSession {
    /// Weak, so that a session does not keep an upstream that was removed from the configuration.
    pub(super) slot: Weak<Slot>,
    pub(super) id: SessionId,
}
