//! Upstreams that are programs, spoken to over their standard streams.
//!
//! Each child has a [`slot::Slot`], found by whose child it is and how it was initialised. A slot starts its child when
//! a call needs it ([`connection`]), and everything that the child says goes through the slot's tables ([`router`]) to
//! its receiver. The same rules would hold for any byte stream; only the way to get the stream would differ (ST-03).

mod connection;
pub(super) mod framing;
mod mailbox;
mod own;
mod own_children;
mod redaction;
mod router;
mod sessions;
pub(super) mod slot;
mod stream;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::StatusCode;
use sekisho_protocol::mcp::error;
use sekisho_protocol::mcp::message::{Id, Message};
use sekisho_protocol::mcp::method::{Era, Method};
use sekisho_protocol::mcp::splice;
use sekisho_protocol::mcp::strict::Limits;
use serde_json::json;
use tokio::time::Instant;

use super::{Answer, AnswerBody, ForwardError, ForwardRequest, InitDigest, ListenRequest, Outgoing, UpstreamSession};
use crate::upstream::Isolation;
use router::Opening;
use sessions::SessionId;
use slot::{ChildSession, QUEUED_BYTES_MAX, Scope, Slot, SlotKey, StartError};
use stream::Streaming;
use upstream::{edit, holder};

pub(super) use upstream::StdioUpstream;

impl StdioUpstream {
    /// Sends one message and returns the answer once its first message has arrived.
    pub(super) async fn send(self: &Arc<Self>, request: ForwardRequest) -> Result<Answer, ForwardError> {
        match request.kind.clone() {
            Outgoing::Request { id, method: Method::Initialize, .. } if request.far.0.era() == Era::Initialize => {
                self.initialize(request, &id).await
            }
            Outgoing::Request { id, method, progress_token } => self.request(request, id, method, progress_token).await,
            Outgoing::Notification { method } => self.notify(&request, method).await,
            Outgoing::Response { id } => self.respond(&request, &id).await,
        }
    }

    /// Opens a session's own stream.
    pub(super) fn listen(self: &Arc<Self>, request: ListenRequest) -> Result<Answer, ForwardError> {
        let subject = request.cleared.caller().subject().to_string();
        let (slot, session) = self.session(request.session.as_ref(), &subject)?;
        let bytes_max = QUEUED_BYTES_MAX.saturating_mul(2);
        let receiver = slot.router.lock().sessions().listen(session, bytes_max)?;
        // A child that was stopped while no stream was open is started again, so that the stream has a source.
        let (upstream, environment) = (self.clone(), request.credential.into_environment());
        self.context.tasks.spawn(async move {
            if let Err(error) = upstream.up(&slot, &environment).await {
                tracing::debug!(?error, "a stream was opened, and its child did not start");
            }
        });
        let body = AnswerBody::Events(stream::of_session(receiver));
        Ok(Answer { status: StatusCode::OK, session: None, body })
    }

    /// Ends a session, and its child if no other session uses it.
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

    /// Answers `initialize`. The first one of its kind initialises the child; the others get the answer that the child
    /// gave then.
    async fn initialize(self: &Arc<Self>, request: ForwardRequest, id: &Id) -> Result<Answer, ForwardError> {
        let init = request.init.unwrap_or_else(|| InitDigest::of(request.far.0, "{}"));
        let scope = match self.context.settings.isolation {
            Isolation::Session => Scope::Session(self.next_session.fetch_add(1, Ordering::Relaxed)),
            Isolation::Shared => Scope::Shared,
            Isolation::Subject => Scope::Subject(request.cleared.caller().subject().to_string()),
        };
        let holder = holder(&request.cleared);
        let key = SlotKey { scope, init: Some(init), changing: request.credential.changing() };
        let slot = self.slot(key, holder.clone(), Some((id.clone(), request.body.clone())));
        let json = |answer: &[u8]| {
            let answer = splice::replace_id(answer, id).map_err(|error| edit(&error))?;
            Ok::<_, ForwardError>(AnswerBody::Json(Bytes::from(answer)))
        };
        let environment = request.credential.clone().into_environment();
        let up = match in_time(request.deadline.at(), self.up(&slot, &environment)).await? {
            Ok(up) => up,
            Err(StartError::Forward(error)) => return Err(error),
            Err(StartError::Rejected(answer)) => {
                // The slot keeps the bytes of the request that was refused. The next request may be accepted, so it
                // needs a new slot.
                self.slots().remove(&slot.key);
                return Ok(Answer { status: StatusCode::OK, session: None, body: json(&answer)? });
            }
        };
        let handshake = up.handshake.as_ref().ok_or(ForwardError::SessionGone)?;
        let body = json(handshake)?;
        let room = self.context.limits.memory.room(request.cleared.caller(), request.server());
        let (id, told) = slot.router.lock().attach(holder, room);
        told.iter().for_each(|message| up.connection.write_later(message));
        let session = ChildSession { slot: Arc::downgrade(&slot), id };
        // The slot may have been removed in the moment before it had a session.
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
        let room = self.context.limits.memory.room(request.cleared.caller(), request.server());
        let opening = Opening { id, progress_token, session, holder, is_subscription, deadline, room };
        let environment = request.credential.clone().into_environment();
        let cancels = request.far.0.era() == Era::Stateless;
        let exchange =
            stream::Exchange { upstream: self.clone(), slot, opening, environment, request, method, cancels };
        let deadline = exchange.request.deadline;
        let streaming = in_time(deadline.at(), exchange.begin()).await?;
        let mut streaming: Streaming = streaming?;
        // Progress is a message, too: the first message, of whatever kind, has to come within the time of a request
        // without progress.
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
        // A child that does not run need not be told: the next request initialises it anew.
        let Some(up) = slot.running() else { return Ok(accepted) };
        let message = match (method, session) {
            (Method::NotificationsInitialized, _) if !up.take_initialized() => return Ok(accepted),
            (Method::NotificationsProgress, Some(session)) if !slot.router.lock().asks(session) => {
                return Ok(accepted);
            }
            // An id of a request belongs to a session, and no child knows it.
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

    /// Takes a client's answer to a question of the child. An answer to no question is accepted and dropped.
    async fn respond(&self, request: &ForwardRequest, id: &Id) -> Result<Answer, ForwardError> {
        let (slot, session) = self.place(request)?;
        let session = session.ok_or(ForwardError::SessionGone)?;
        let message = slot.router.lock().respond(session, id, &request.body);
        if let (Some(message), Some(up)) = (message, slot.running()) {
            in_time(request.deadline.at(), up.connection.write(&message)).await??;
        }
        Ok(Answer { status: StatusCode::ACCEPTED, session: None, body: AnswerBody::Accepted })
    }
}

/// Notes changes of resource subscriptions, which the sessions at one child share. Returns the answer if the child must
/// not be asked, because another session still has the subscription that this one ends.
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

/// Limits the time before anything is sent: the wait for a child, or for a place in its queue.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, ForwardError> {
    tokio::time::timeout_at(deadline, work).await.map_err(|_| ForwardError::Timeout { sent: false })
}

#[cfg(test)]
mod tests;
