//! A queue from a child's one reader to one caller, bounded in messages and in bytes.
//!
//! The reader never waits for a caller. A caller that does not keep up loses its exchange, and the others that share
//! the child are not affected.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::ForwardError;
use crate::memory::Room;

/// The most messages that wait for one caller.
const MESSAGES_MAX: usize = 256;

/// One message for a caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Delivery {
    /// The answer: the last message of a request.
    Answer(Bytes),
    /// Any other message that belongs to the request or the session.
    Message(Bytes),
}

impl Delivery {
    /// Charges the message to `room`; `None` if there is no memory for it.
    fn sealed(self, room: &Room) -> Option<Self> {
        match self {
            Self::Answer(bytes) => room.try_seal(bytes).map(Self::Answer),
            Self::Message(bytes) => room.try_seal(bytes).map(Self::Message),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Answer(bytes) | Self::Message(bytes) => bytes.len(),
        }
    }
}

#[derive(Debug)]
struct Shared {
    queued: AtomicUsize,
    bytes_max: usize,
    /// Why nothing follows; not set if the sender was simply dropped.
    failure: OnceLock<ForwardError>,
}

/// The end at which the reader puts messages in.
#[derive(Debug)]
pub(super) struct Sender {
    queue: mpsc::Sender<Delivery>,
    /// The memory to which waiting messages are charged.
    room: Room,
    shared: Arc<Shared>,
}

/// The end at which the caller takes messages out.
#[derive(Debug)]
pub(super) struct Receiver {
    queue: mpsc::Receiver<Delivery>,
    shared: Arc<Shared>,
}

/// Why a message was not queued. After it nothing can be queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lost {
    /// The receiver is gone.
    Gone,
    /// Too many messages or bytes wait already.
    Overflow,
}

/// Creates a queue for messages of `bytes_max` bytes in all. One message always fits if nothing waits and there is
/// memory.
pub(super) fn mailbox(bytes_max: usize, room: Room) -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let shared = Arc::new(Shared { queued: AtomicUsize::new(0), bytes_max, failure: OnceLock::new() });
    (Sender { queue: sender, room, shared: shared.clone() }, Receiver { queue: receiver, shared })
}

impl Sender {
    /// Queues a message, or fails the exchange if the message does not fit.
    pub(super) fn send(&self, delivery: Delivery) -> Result<(), Lost> {
        let bytes = delivery.bytes();
        let queued = self.shared.queued.fetch_add(bytes, Ordering::Relaxed);
        let fits = queued == 0 || queued.saturating_add(bytes) <= self.shared.bytes_max;
        let sent = match delivery.sealed(&self.room) {
            Some(delivery) if fits => self.queue.try_send(delivery).map_err(|error| match error {
                mpsc::error::TrySendError::Closed(_) => Lost::Gone,
                mpsc::error::TrySendError::Full(_) => Lost::Overflow,
            }),
            Some(_) => Err(Lost::Overflow),
            None => {
                self.fail(ForwardError::NoRoom { sent: true });
                Err(Lost::Overflow)
            }
        };
        if sent == Err(Lost::Overflow) {
            self.fail(ForwardError::Busy { sent: true });
        }
        sent
    }

    /// Says why nothing follows. The first reason stays.
    pub(super) fn fail(&self, error: ForwardError) {
        // An error means that a reason is set already; the first one stays.
        let _ = self.shared.failure.set(error);
    }

    /// Whether the receiver is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.queue.is_closed()
    }
}

impl Receiver {
    /// Waits for the next message; `Ok(None)` if the sender was dropped without a reason.
    pub(super) async fn receive(&mut self) -> Result<Option<Delivery>, ForwardError> {
        match self.queue.recv().await {
            Some(delivery) => {
                self.shared.queued.fetch_sub(delivery.bytes(), Ordering::Relaxed);
                Ok(Some(delivery))
            }
            None => self.shared.failure.get().cloned().map_or(Ok(None), Err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Delivery, ForwardError, Lost, mailbox};
    use crate::memory::Memory;

    fn message(bytes: usize) -> Delivery {
        Delivery::Message(Bytes::from(vec![b' '; bytes]))
    }

    /// ATK-93: the bytes that wait for a slow caller are bounded, but one message always gets through.
    #[tokio::test]
    async fn a_slow_caller_loses_its_exchange() {
        let (sender, mut receiver) = mailbox(10, Memory::default().own_room());
        assert_eq!(sender.send(message(50)), Ok(()));
        assert_eq!(receiver.receive().await, Ok(Some(message(50))));
        assert_eq!(sender.send(message(6)), Ok(()));
        assert_eq!(sender.send(message(6)), Err(Lost::Overflow));
        drop(sender);
        assert_eq!(receiver.receive().await, Ok(Some(message(6))));
        assert_eq!(receiver.receive().await, Err(ForwardError::Busy { sent: true }));
    }

    /// ATK-189: waiting messages count towards the one bound of the process, and a message for which there is no memory
    /// is dropped.
    #[tokio::test]
    async fn what_finds_no_room_is_not_kept() {
        let memory = Memory::new(64 << 10);
        let (sender, mut receiver) = mailbox(1 << 20, memory.own_room());
        assert_eq!(sender.send(message(20 << 10)), Ok(()));
        assert_eq!(sender.send(message(20 << 10)), Err(Lost::Overflow));
        assert_eq!(memory.free_bytes(), 24 << 10);
        drop(sender);
        assert_eq!(receiver.receive().await, Ok(Some(message(20 << 10))));
        assert_eq!(receiver.receive().await, Err(ForwardError::NoRoom { sent: true }));
        assert_eq!(memory.free_bytes(), 64 << 10);
    }
}
