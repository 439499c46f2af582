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

use super::{
    Answer, AnswerBody, ForwardError, ForwardLimits, ForwardRequest, InitDigest, Isolation, ListenRequest, Outgoing,
    StdioSettings, UpstreamSession,
};
use connection::Context;
use own::OwnChild;
use router::Opening;
use sessions::SessionId;
use slot::{Scope, Slot, SlotKey, StartError, Up};
use stream::Streaming;

/// How long a start waits for a child that was stopped to make room, beside the time it has to stop.
const ROOM: Duration = Duration::from_secs(5);

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
    own: OwnChild,
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
            own: OwnChild::default(),
            next_session: AtomicU64::new(0),
            _stop: stopping.drop_guard(),
        }
    }

    /// Stops all children and waits until the last of them is gone (ST-13).
    pub(super) async fn stop(&self) {
        self.context.stopping.cancel();
        self.context.tasks.close();
        self.context.tasks.wait().await;
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
        let bytes_max = self.context.limits.event_bytes_max.saturating_mul(2);
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
        let slot = self.slot(SlotKey { scope, init: Some(init) }, Some((id.clone(), request.body.clone())));
        let json = |answer: &[u8]| {
            let answer = splice::replace_id(answer, id).map_err(|error| edit(&error))?;
            Ok(AnswerBody::Json(Bytes::from(answer)))
        };
        let up = match in_time(request.deadline, self.up(&slot)).await? {
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
        let id = slot.router.lock().sessions().attach(room)?;
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
        let room = self.context.limits.memory.room(request.cleared.caller(), &request.server);
        let opening = Opening { id, progress_token, session, is_subscription, deadline, room };
        let cancels = request.revision.era() == Era::Stateless;
        let exchange = stream::Exchange { upstream: self.clone(), slot, opening, request, method, cancels };
        let deadline = exchange.request.deadline;
        let streaming = in_time(deadline, exchange.begin()).await?;
        let mut streaming: Streaming = streaming?;
        let first = match tokio::time::timeout_at(deadline, streaming.receive()).await {
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
        in_time(request.deadline, up.connection.write(&message)).await??;
        Ok(accepted)
    }

    /// A client's answer to what the child asked it. One that was not asked for is taken and goes nowhere.
    async fn respond(&self, request: &ForwardRequest, id: &Id) -> Result<Answer, ForwardError> {
        let (slot, session) = self.place(request)?;
        let session = session.ok_or(ForwardError::SessionGone)?;
        let message = slot.router.lock().respond(session, id, &request.body);
        if let (Some(message), Some(up)) = (message, slot.running()) {
            in_time(request.deadline, up.connection.write(&message)).await??;
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
                Ok((self.slot(SlotKey { scope, init: None }, None), None))
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
        if !is_ours || !is_subjects || !slot.router.lock().sessions().contains(session.id) {
            return Err(ForwardError::SessionGone);
        }
        Ok((slot, session.id))
    }

    fn slot(&self, key: SlotKey, initialize: Option<(Id, Bytes)>) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&key) {
            return slot.clone();
        }
        // Whoever comes first pays for the order of those who left.
        let now = Instant::now();
        slots.retain(|_, slot| !slot.is_spent(now) || Arc::strong_count(slot) > 1);
        let slot = Arc::new(Slot::new(self.context.clone(), key.clone(), initialize));
        slots.insert(key, slot.clone());
        slot
    }

    async fn up(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<Arc<Up>, StartError> {
        slot.up(|| {
            let upstream = self.clone();
            async move { upstream.permit().await }
        })
        .await
    }

    /// The leave to start one more child. When there is none left, a child with nothing to do makes room: the one that
    /// was not wanted for longest, our own last.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, ForwardError> {
        let max = self.context.settings.children_max;
        let too_many = ForwardError::TooManyChildren { max };
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let idle = {
            let slots = self.slots();
            let idle = slots.values().filter_map(|slot| Some((slot.idle_since()?, slot.running()?)));
            idle.min_by_key(|(since, _)| *since).map(|(_, up)| up.connection.clone())
        };
        let idle = idle.or_else(|| self.own.running().filter(|connection| connection.is_idle()));
        idle.ok_or_else(|| too_many.clone())?.stop();
        let patience = self.context.settings.stop_grace.saturating_mul(3) + ROOM;
        match tokio::time::timeout(patience, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(too_many),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SlotKey, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
