//! What comes back from a child, as a stream of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use sekisho_protocol::mcp::message::Message;
use sekisho_protocol::mcp::method::Method;
use sekisho_protocol::mcp::strict::Limits;

use super::super::{Event, EventStream, ForwardError, ForwardRequest};
use super::connection::Ticket;
use super::mailbox::{Delivery, Receiver};
use super::router::Opening;
use super::slot::{Slot, StartError};
use super::upstream::{StdioUpstream, outgoing};
use crate::upstream::EnvValue;

/// Times that a subscription is opened again before its client is told.
const RESUMED_MAX: usize = 8;

/// One request to a child, kept for as long as its answer is not complete.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) upstream: Arc<StdioUpstream>,
    pub(super) slot: Arc<Slot>,
    pub(super) opening: Opening,
    pub(super) request: ForwardRequest,
    /// With which the child is started, if it does not run.
    pub(super) environment: Arc<BTreeMap<String, EnvValue>>,
    pub(super) method: Method,
    /// Whether dropping it cancels the request.
    pub(super) cancels: bool,
}

impl Exchange {
    /// Starts the child if need be, and sends the request to it.
    pub(super) async fn begin(self) -> Result<Streaming, ForwardError> {
        let (ticket, receiver) = self.open().await?;
        Ok(Streaming { exchange: self, ticket, receiver, resumed: 0, skip_acknowledgement: false })
    }

    async fn open(&self) -> Result<(Ticket, Receiver), ForwardError> {
        let up = match self.upstream.up(&self.slot, &self.environment).await {
            Ok(up) => up,
            Err(StartError::Forward(error)) => return Err(error.unsent()),
            // Begun by another client's words, which the program accepted then.
            Err(StartError::Rejected(_)) => return Err(ForwardError::SessionGone),
        };
        let (number, receiver) = self.slot.router.lock().open(self.opening.clone())?;
        // Until it is sent nothing is to be cancelled, but the number is to be forgotten.
        let mut ticket = Ticket { connection: up.connection.clone(), number, cancels: true };
        let message = outgoing(&self.request, self.method, number)?;
        up.connection.write(&message).await?;
        ticket.cancels = self.cancels;
        Ok((ticket, receiver))
    }
}

/// An open request and what comes back for it.
#[derive(Debug)]
pub(super) struct Streaming {
    exchange: Exchange,
    ticket: Ticket,
    receiver: Receiver,
    resumed: usize,
    skip_acknowledgement: bool,
}

impl Streaming {
    /// The next message. A subscription outlives its child: it is opened again at the next one (ST-09).
    pub(super) async fn receive(&mut self) -> Result<Delivery, ForwardError> {
        loop {
            match self.receiver.receive().await {
                Ok(Some(Delivery::Message(bytes))) if self.is_repeated(&bytes) => {}
                Ok(Some(delivery)) => return Ok(delivery),
                Ok(None) => return Err(ForwardError::Malformed { reason: "no answer".to_owned() }),
                Err(error @ ForwardError::ChildExited { .. }) if self.exchange.opening.is_subscription => {
                    self.resume(error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Cancels the request although the revision does not have it so: its time is over.
    pub(super) fn give_up(self) {
        self.ticket.give_up();
    }

    /// The rest, `first` before it. The stream ends with the answer.
    pub(super) fn events(self, first: Bytes) -> EventStream {
        let state = Some((self, Some(Delivery::Message(first))));
        Box::pin(stream::unfold(state, |state| async move {
            let (mut streaming, first) = state?;
            let next = match first {
                Some(first) => Ok(first),
                None => streaming.receive().await,
            };
            match next {
                Ok(Delivery::Message(data)) => Some((Ok(message(data)), Some((streaming, None)))),
                Ok(Delivery::Answer(data)) => Some((Ok(message(data)), None)),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    async fn resume(&mut self, mut error: ForwardError) -> Result<(), ForwardError> {
        while self.resumed < RESUMED_MAX && !self.exchange.slot.context.stopping.is_cancelled() {
            self.resumed += 1;
            match self.exchange.open().await {
                Ok((ticket, receiver)) => {
                    self.ticket = ticket;
                    self.receiver = receiver;
                    self.skip_acknowledgement = true;
                    return Ok(());
                }
                Err(ForwardError::Restarting { retry_after }) => tokio::time::sleep(retry_after).await,
                Err(again) => error = again,
            }
        }
        Err(error)
    }

    /// The acknowledgement of a subscription that was opened again: its client had one already (TR-41).
    fn is_repeated(&mut self, bytes: &[u8]) -> bool {
        if !std::mem::take(&mut self.skip_acknowledgement) {
            return false;
        }
        let message = Message::read(bytes, &Limits::upstream());
        message.is_ok_and(|message| message.method() == Some("notifications/subscriptions/acknowledged"))
    }
}

/// A session's own stream: until it is opened again, or the session ends.
pub(super) fn of_session(receiver: Receiver) -> EventStream {
    Box::pin(stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver = receiver?;
        match receiver.receive().await {
            Ok(Some(Delivery::Answer(data) | Delivery::Message(data))) => Some((Ok(message(data)), Some(receiver))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

fn message(data: Bytes) -> Event {
    Event::Message { data, id: None, name: None }
}
