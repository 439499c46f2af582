//! Upstreams that are programs, spoken to over their standard streams.
//!
//! Each child has a [`slot::Slot`], found by whose it is and how it was initialised. A slot starts its child when it is
//! wanted ([`connection`]), and all that the child says goes through the slot's tables ([`router`]) to the one whom it
//! is for. The same rules hold over any byte stream; only how the stream is had would differ (ST-03).

mod connection;
pub(super) mod framing;
mod mailbox;
mod own;
mod router;
mod sessions;
mod slot;
mod stream;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::mcp::error;
use sekisho_protocol::mcp::message::{Id, Message};
use sekisho_protocol::mcp::method::{Direction, Era, Method};
use sekisho_protocol::mcp::splice;
use sekisho_protocol::mcp::strict::Limits;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::children::stop_wait;
use super::{
    Answer, AnswerBody, ForwardError, ForwardLimits, ForwardRequest, InitDigest, Isolation, ListenRequest, Outgoing,
    StdioSettings, UpstreamSession,
};
use connection::{Connection, Context, DRAIN};
use own::OwnChildren;
use router::Opening;
use sessions::SessionId;
use slot::{Scope, Slot, SlotKey, StartError, Up};
use stream::Streaming;

use crate::settle::Cleared;
use crate::shares::Holder;

/// How long a start waits for a child that was stopped to make room, beside the time it has to stop.
const ROOM: Duration = Duration::from_secs(5);
/// Bytes that may wait for one session, or for one request before its answer. One message always fits.
const QUEUED_BYTES_MAX: usize = 4 << 20;

/// A session's place at a child.
#[derive(Clone, Debug)]
pub(crate) struct ChildSession {
    /// Weak: a session does not keep an upstream that was taken out of the configuration.
    slot: Weak<Slot>,
    id: SessionId,
}

/// One program and its children.
#[derive(Debug)]
pub(super) struct StdioUpstream {
    context: Arc<Context>,
    slots: Mutex<HashMap<SlotKey, Arc<Slot>>>,
    permits: Arc<Semaphore>,
    own: OwnChildren,
    next_session: AtomicU64,
    /// Stops the children also when nobody called [`StdioUpstream::stop`].
    _stop: DropGuard,
}

impl StdioUpstream {
    pub(super) fn new(limits: ForwardLimits, server: ServerName, settings: StdioSettings) -> Self {
        let permits = Arc::new(Semaphore::new(settings.children_max));
        let stopping = CancellationToken::new();
        let context = Context {
            server,
            settings: Arc::new(settings),
            limits,
            tasks: TaskTracker::new(),
            stopping: stopping.clone(),
        };
        Self {
            context: Arc::new(context),
            slots: Mutex::default(),
            permits,
            own: OwnChildren::default(),
            next_session: AtomicU64::new(0),
            _stop: stopping.drop_guard(),
        }
    }

    /// Stops all children and waits until the last of them is gone (ST-13), but no longer than stopping takes.
    pub(super) async fn stop(&self) {
        self.context.stopping.cancel();
        self.context.tasks.close();
        let patience = stop_wait(self.context.settings.stop_grace) + DRAIN * 2;
        if tokio::time::timeout(patience, self.context.tasks.wait()).await.is_err() {
            tracing::error!(server = %self.context.server, "a program could not be ended; it is left behind");
        }
    }

    /// Sends one message and gives the answer once its first message is there.
    pub(super) async fn send(self: &Arc<Self>, request: ForwardRequest) -> Result<Answer, ForwardError> {
        match request.kind.clone() {
            Outgoing::Request { id, method: Method::Initialize, .. } if request.revision.era() == Era::Initialize => {
                self.initialize(request, &id).await
            }
            Outgoing::Request { id, method, progress_token } => self.request(request, id, method, progress_token).await,
            Outgoing::Notification { method } => self.notify(&request, method).await,
            Outgoing::Response { id } => self.respond(&request, &id).await,
        }
    }

    /// A session's own stream.
    pub(super) fn listen(self: &Arc<Self>, request: ListenRequest) -> Result<Answer, ForwardError> {
        let subject = request.cleared.caller().subject.to_string();
        let (slot, session) = self.session(request.session.as_ref(), &subject)?;
        let bytes_max = QUEUED_BYTES_MAX.saturating_mul(2);
        let receiver = slot.router.lock().sessions().listen(session, bytes_max)?;
        // There is nothing to hear from a child that was stopped while nobody listened.
        let upstream = self.clone();
        self.context.tasks.spawn(async move {
            if let Err(error) = upstream.up(&slot).await {
                tracing::debug!(?error, "a stream was opened, and its child did not start");
            }
        });
        let body = AnswerBody::Events(stream::of_session(receiver));
        Ok(Answer { status: StatusCode::OK, session: None, body })
    }

    /// Ends a session, and its child if it was nobody else's.
    pub(super) fn end_session(&self, session: &ChildSession) {
        let Some(slot) = session.slot.upgrade() else { return };
        let messages = slot.router.lock().detach(session.id);
        if let Some(up) = slot.running() {
            for message in messages {
                up.connection.write_later(&message);
            }
            if matches!(slot.key.scope, Scope::Session(_)) {
                up.connection.stop();
            }
        }
        if matches!(slot.key.scope, Scope::Session(_)) {
            self.slots().remove(&slot.key);
        }
    }

    /// The first `initialize` of its kind begins the child; the others are answered from what it said then.
    async fn initialize(self: &Arc<Self>, request: ForwardRequest, id: &Id) -> Result<Answer, ForwardError> {
        let init = request.init.unwrap_or_else(|| InitDigest::of(request.revision, "{}"));
        let scope = match self.context.settings.isolation {
            Isolation::Session => Scope::Session(self.next_session.fetch_add(1, Ordering::Relaxed)),
            Isolation::Shared => Scope::Shared,
            Isolation::Subject => Scope::Subject(request.cleared.caller().subject.to_string()),
        };
        let holder = holder(&request.cleared);
        let key = SlotKey { scope, init: Some(init) };
        let slot = self.slot((key, holder.clone()), Some((id.clone(), request.body.clone())));
        let json = |answer: &[u8]| {
            let answer = splice::replace_id(answer, id).map_err(|error| edit(&error))?;
            Ok(AnswerBody::Json(Bytes::from(answer)))
        };
        let up = match in_time(request.deadline.at(), self.up(&slot)).await? {
            Ok(up) => up,
            Err(StartError::Forward(error)) => return Err(error),
            Err(StartError::Rejected(answer)) => {
                // The next one may be accepted, and must not find this one's words.
                self.slots().remove(&slot.key);
                return Ok(Answer { status: StatusCode::OK, session: None, body: json(&answer)? });
            }
        };
        let handshake = up.handshake.as_ref().ok_or(ForwardError::SessionGone)?;
        let body = json(handshake)?;
        let room = self.context.limits.memory.room(request.cleared.caller(), &request.server);
        let (id, told) = slot.router.lock().attach(holder, room);
        told.iter().for_each(|message| up.connection.write_later(message));
        let session = ChildSession { slot: Arc::downgrade(&slot), id };
        // It may have been pruned in the moment before it had a session.
        self.slots().entry(slot.key.clone()).or_insert(slot);
        Ok(Answer { status: StatusCode::OK, session: Some(UpstreamSession::Stdio(session)), body })
    }

    async fn request(
        self: &Arc<Self>,
        request: ForwardRequest,
        id: Id,
        method: Method,
        progress_token: Option<Id>,
    ) -> Result<Answer, ForwardError> {
        let (slot, session) = self.place(&request)?;
        if let Some(session) = session
            && let Some(answer) = note_subscription(&slot, session, &request, &id, method)?
        {
            return Ok(answer);
        }
        let is_subscription = method == Method::SubscriptionsListen;
        let deadline = (!is_subscription).then_some(request.deadline);
        let holder = Some(holder(&request.cleared));
        let room = self.context.limits.memory.room(request.cleared.caller(), &request.server);
        let opening = Opening { id, progress_token, session, holder, is_subscription, deadline, room };
        let cancels = request.revision.era() == Era::Stateless;
        let exchange = stream::Exchange { upstream: self.clone(), slot, opening, request, method, cancels };
        let deadline = exchange.request.deadline;
        let streaming = in_time(deadline.at(), exchange.begin()).await?;
        let mut streaming: Streaming = streaming?;
        // Progress is a message: what comes first comes within the time that a request has without any.
        let first = match tokio::time::timeout_at(deadline.at(), streaming.receive()).await {
            Ok(first) => first?,
            Err(_) => {
                streaming.give_up();
                return Err(ForwardError::Timeout { sent: true });
            }
        };
        let body = match first {
            mailbox::Delivery::Answer(bytes) => AnswerBody::Json(bytes),
            mailbox::Delivery::Message(bytes) => AnswerBody::Events(streaming.events(bytes)),
        };
        Ok(Answer { status: StatusCode::OK, session: None, body })
    }

    async fn notify(self: &Arc<Self>, request: &ForwardRequest, method: Method) -> Result<Answer, ForwardError> {
        let accepted = Answer { status: StatusCode::ACCEPTED, session: None, body: AnswerBody::Accepted };
        let (slot, session) = self.place(request)?;
        // A child that does not run has nothing to be told: it is begun anew by the next request.
        let Some(up) = slot.running() else { return Ok(accepted) };
        let message = match (method, session) {
            (Method::NotificationsInitialized, _) if !up.take_initialized() => return Ok(accepted),
            (Method::NotificationsProgress, Some(session)) if !slot.router.lock().asks(session) => {
                return Ok(accepted);
            }
            // The number of a request is its session's alone, and no child knows it.
            (Method::NotificationsCancelled, None) => return Ok(accepted),
            (Method::NotificationsCancelled, Some(session)) => {
                let message = Message::read(&request.body, &Limits::default()).map_err(|error| edit(&error))?;
                let id = message.params().and_then(|params| params.request_id.clone());
                let number = id.and_then(|id| slot.router.lock().number_of(session, &id));
                let Some(number) = number else { return Ok(accepted) };
                let edited = splice::set_param(&request.body, "requestId", &number);
                Bytes::from(edited.map_err(|error| edit(&error))?)
            }
            _ => request.body.clone(),
        };
        in_time(request.deadline.at(), up.connection.write(&message)).await??;
        Ok(accepted)
    }

    /// A client's answer to what the child asked it. One that was not asked for is taken and goes nowhere.
    async fn respond(&self, request: &ForwardRequest, id: &Id) -> Result<Answer, ForwardError> {
        let (slot, session) = self.place(request)?;
        let session = session.ok_or(ForwardError::SessionGone)?;
        let message = slot.router.lock().respond(session, id, &request.body);
        if let (Some(message), Some(up)) = (message, slot.running()) {
            in_time(request.deadline.at(), up.connection.write(&message)).await??;
        }
        Ok(Answer { status: StatusCode::ACCEPTED, session: None, body: AnswerBody::Accepted })
    }

    /// Which child a message goes to, and as whose.
    fn place(&self, request: &ForwardRequest) -> Result<(Arc<Slot>, Option<SessionId>), ForwardError> {
        let subject = request.cleared.caller().subject.to_string();
        match request.revision.era() {
            Era::Initialize => {
                let (slot, session) = self.session(request.session.as_ref(), &subject)?;
                Ok((slot, Some(session)))
            }
            Era::Stateless => {
                let scope = match self.context.settings.isolation {
                    Isolation::Shared => Scope::Shared,
                    Isolation::Session | Isolation::Subject => Scope::Subject(subject),
                };
                let key = SlotKey { scope, init: None };
                Ok((self.slot((key, holder(&request.cleared)), None), None))
            }
        }
    }

    fn session(
        &self,
        session: Option<&UpstreamSession>,
        subject: &str,
    ) -> Result<(Arc<Slot>, SessionId), ForwardError> {
        let Some(UpstreamSession::Stdio(session)) = session else { return Err(ForwardError::SessionGone) };
        let slot = session.slot.upgrade().ok_or(ForwardError::SessionGone)?;
        let is_ours = Arc::ptr_eq(&slot.context, &self.context);
        // That the session is this caller's was settled before; that the child is, is cheap to see again (PX-36).
        let is_subjects = !matches!(&slot.key.scope, Scope::Subject(owner) if owner != subject);
        if !is_ours || !is_subjects || !slot.router.lock().sessions().touch(session.id) {
            return Err(ForwardError::SessionGone);
        }
        Ok((slot, session.id))
    }

    fn slot(&self, (key, holder): (SlotKey, Holder), initialize: Option<(Id, Bytes)>) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&key) {
            return slot.clone();
        }
        // Whoever comes first pays for the order of those who left.
        let now = Instant::now();
        slots.retain(|_, slot| !slot.is_spent(now) || Arc::strong_count(slot) > 1);
        let slot = Arc::new(Slot::new(self.context.clone(), (key.clone(), holder), initialize));
        slots.insert(key, slot.clone());
        slot
    }

    async fn up(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<Arc<Up>, StartError> {
        slot.up(|| {
            let (upstream, holder) = (self.clone(), slot.holder.clone());
            async move { upstream.permit(&holder).await }
        })
        .await
    }

    /// The leave to start one more child for this holder. When there is none left, another child makes room for it.
    async fn permit(&self, holder: &Holder) -> Result<OwnedSemaphorePermit, ForwardError> {
        let max = self.context.settings.children_max;
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        match self.in_the_way(holder) {
            InTheWay::Child(child) => child.give_way(),
            InTheWay::Stopping => {}
            InTheWay::Own => return Err(ForwardError::Share),
            InTheWay::Others => return Err(ForwardError::TooManyChildren { max }),
        }
        let patience = stop_wait(self.context.settings.stop_grace) + ROOM;
        match tokio::time::timeout(patience, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ForwardError::TooManyChildren { max }),
        }
    }

    /// Which child makes room for one of this holder, who has fewer than its holder or is its holder: one that has nothing
    /// to do, else one of whoever has most; of those alike, the one that was not wanted for longest. A holder with as
    /// much as everybody else finds no room.
    fn in_the_way(&self, holder: &Holder) -> InTheWay {
        let slots = self.slots();
        let running: Vec<_> = slots.values().filter_map(|slot| Some((slot, slot.running()?))).collect();
        if running.iter().any(|(_, up)| up.connection.is_stopping()) {
            return InTheWay::Stopping;
        }
        let count = |of: &Holder| running.iter().filter(|(slot, _)| slot.holder == *of).count();
        let own = count(holder);
        let idle = running
            .iter()
            .filter(|(slot, up)| up.connection.is_idle() && (slot.holder == *holder || count(&slot.holder) > own));
        let child = idle.min_by_key(|(slot, _)| slot.used()).or_else(|| {
            // Whoever gives way must have more than the other even then, or they would take turns without end.
            let busy = running.iter().filter(|(slot, _)| count(&slot.holder) > own + 1);
            busy.max_by_key(|(slot, _)| (count(&slot.holder), Reverse(slot.used())))
        });
        match child {
            Some((_, up)) => InTheWay::Child(up.connection.clone()),
            None if own > 0 => InTheWay::Own,
            None => InTheWay::Others,
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SlotKey, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What keeps a child from being started.
enum InTheWay {
    /// A child that has to make room.
    Child(Arc<Connection>),
    /// Children of others, who have no more than this holder.
    Others,
    /// The holder's own children.
    Own,
    /// A child that is making room already.
    Stopping,
}

/// To whose share it counts what is sent.
fn holder(cleared: &Cleared) -> Holder {
    Holder::of(cleared.caller(), cleared.call().source)
}

/// Keeps account of resource subscriptions, which the sessions at one child share. Gives the answer when the child
/// must not be asked: another session still wants what this one no longer does.
fn note_subscription(
    slot: &Slot,
    session: SessionId,
    request: &ForwardRequest,
    id: &Id,
    method: Method,
) -> Result<Option<Answer>, ForwardError> {
    if !matches!(method, Method::ResourcesSubscribe | Method::ResourcesUnsubscribe) {
        return Ok(None);
    }
    let message = Message::read(&request.body, &Limits::default()).map_err(|error| edit(&error))?;
    let uri = message.params().and_then(|params| params.uri.as_deref()).unwrap_or_default();
    let mut router = slot.router.lock();
    if method == Method::ResourcesSubscribe {
        router.sessions().subscribe(session, uri)?;
        return Ok(None);
    }
    if !router.sessions().unsubscribe(session, uri) {
        return Ok(None);
    }
    let answer = error::result_response(id, &json!({})).map_err(|error| edit(&error))?;
    let body = AnswerBody::Json(Bytes::from(answer));
    Ok(Some(Answer { status: StatusCode::OK, session: None, body }))
}

/// The request as the child gets it: id and progress token are ours, all else is the authorised bytes. It is read
/// again strictly, and must be the call that was cleared (house rule for every edit).
fn outgoing(request: &ForwardRequest, method: Method, number: i64) -> Result<Vec<u8>, ForwardError> {
    let id = Id::Integer(number);
    let mut bytes = splice::replace_id(&request.body, &id).map_err(|error| edit(&error))?;
    if matches!(&request.kind, Outgoing::Request { progress_token: Some(_), .. }) {
        bytes = splice::replace_progress_token(&bytes, &id).map_err(|error| edit(&error))?;
    }
    let changed = || ForwardError::Edit { reason: "it says something else afterwards".to_owned() };
    let before = Message::read(&request.body, &Limits::default()).map_err(|error| edit(&error))?;
    let after = Message::read(&bytes, &Limits::default()).map_err(|error| edit(&error))?;
    let row = after.row(request.revision, Direction::ClientToServer).ok_or_else(changed)?;
    let target = |message: &Message<'_>| {
        message.params().map(|params| {
            let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map(str::to_owned);
            let arguments = params.arguments.map(ToOwned::to_owned);
            (text(&params.name), text(&params.uri), text(&params.task_id), arguments)
        })
    };
    let is_same = row.method == method
        && row.name == request.cleared.call().method
        && after.id() == Some(&id)
        && target(&before) == target(&after);
    if is_same { Ok(bytes) } else { Err(changed()) }
}

fn edit(error: &dyn std::fmt::Display) -> ForwardError {
    ForwardError::Edit { reason: error.to_string() }
}

/// Before anything was sent: waiting for a child, or for room in its queue.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, ForwardError> {
    tokio::time::timeout_at(deadline, work).await.map_err(|_| ForwardError::Timeout { sent: false })
}

#[cfg(test)]
mod tests;
