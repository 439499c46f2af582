//! The messages that come back from a child, as a stream of events.

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

/// How often a subscription is opened again before its client gets an error.
const RESUMED_MAX: usize = 8;

/// One request to a child, kept until its answer is complete.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) upstream: Arc<StdioUpstream>,
    pub(super) slot: Arc<Slot>,
    pub(super) opening: Opening,
    pub(super) request: ForwardRequest,
    /// The environment with which the child is started, if it does not run.
    pub(super) environment: Arc<BTreeMap<String, EnvValue>>,
    pub(super) method: Method,
    /// Whether dropping it cancels the request.
    pub(super) cancels: bool,
}

impl Exchange {
    /// Starts the child if necessary, and sends the request to it.
    pub(super) async fn begin(self) -> Result<Streaming, ForwardError> {
        let (ticket, receiver) = self.open().await?;
        Ok(Streaming { exchange: self, ticket, receiver, resumed: 0, skip_acknowledgement: false })
    }

    async fn open(&self) -> Result<(Ticket, Receiver), ForwardError> {
        let up = match self.upstream.up(&self.slot, &self.environment).await {
            Ok(up) => up,
            Err(StartError::Forward(error)) => return Err(error.unsent()),
            // The child is initialised with another client's request, which the program accepted before.
            Err(StartError::Rejected(_)) => return Err(ForwardError::SessionGone),
        };
        let (number, receiver) = self.slot.router.lock().open(self.opening.clone())?;
        // Until the request is sent there is nothing to cancel at the child, but the number has to be forgotten.
        let mut ticket = Ticket { connection: up.connection.clone(), number, cancels: true };
        let message = outgoing(&self.request, self.method, number)?;
        up.connection.write(&message).await?;
        ticket.cancels = self.cancels;
        Ok((ticket, receiver))
    }
}

/// An open request and the messages that come back for it.
#[derive(Debug)]
pub(super) struct Streaming {
    exchange: Exchange,
    ticket: Ticket,
    receiver: Receiver,
    resumed: usize,
    skip_acknowledgement: bool,
}

impl Streaming {
    /// Waits for the next message. A subscription outlives its child: it is opened again at the next one (ST-09).
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

    /// Cancels the request in any revision, because its time is over.
    pub(super) fn give_up(self) {
        self.ticket.give_up();
    }

    /// Returns the remaining messages, with `first` before them. The stream ends with the answer.
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

    /// Whether this acknowledges a subscription that was opened again: its client already had an acknowledgement
    /// (TR-41).
    fn is_repeated(&mut self, bytes: &[u8]) -> bool {
        if !std::mem::take(&mut self.skip_acknowledgement) {
            return false;
        }
        let message = Message::read(bytes, &Limits::upstream());
        message.is_ok_and(|message| message.method() == Some("notifications/subscriptions/acknowledged"))
    }
}

/// Returns a session's own stream, which ends when it is opened again or the session ends.
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
