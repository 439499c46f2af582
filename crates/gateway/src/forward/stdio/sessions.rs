//! The sessions at one child: what each has subscribed to, and what waits for its own stream.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::super::ForwardError;
use super::mailbox::{self, Delivery, Receiver, Sender};
use crate::memory::Room;
use crate::shares::Holder;

/// The most sessions at one child. Beyond that, a session of the holder with the most gives way.
const SESSIONS_MAX: usize = 256;
/// The most messages that wait for a session that does not listen yet.
const BACKLOG_MAX: usize = 64;
/// The most resources that one session subscribes to, and the most bytes of their URIs together.
const SUBSCRIPTIONS_MAX: usize = 1024;
const SUBSCRIPTION_BYTES_MAX: usize = 256 << 10;

/// The number of a session, which is never used again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct SessionId(u64);

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    holder: Holder,
    /// The order of the last use: larger than that of every session that was used before.
    used: u64,
    /// The memory to which waiting messages are charged.
    room: Room,
    listener: Option<Sender>,
    backlog: VecDeque<Bytes>,
    backlog_bytes: usize,
    subscriptions: BTreeSet<String>,
}

impl Session {
    fn of(holder: Holder, room: Room, used: u64) -> Self {
        Self {
            holder,
            used,
            room,
            listener: None,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            subscriptions: BTreeSet::new(),
        }
    }

    /// Whether it subscribed to a resource, or to one that holds it (2025-11-25 resources: the URI of an update may be
    /// a sub-resource of the one subscribed to).
    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        self.subscriptions.iter().any(|subscribed| {
            let rest = uri.strip_prefix(subscribed.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || subscribed.ends_with('/'))
        })
    }

    fn is_listening(&self) -> bool {
        self.listener.as_ref().is_some_and(|listener| !listener.is_gone())
    }

    fn send(&mut self, bytes_max: usize, message: Bytes) -> bool {
        if let Some(listener) = &self.listener
            && listener.send(Delivery::Message(message.clone())).is_ok()
        {
            return true;
        }
        self.listener = None;
        let fits = self.backlog_bytes.saturating_add(message.len()) <= bytes_max;
        if !fits || self.backlog.len() >= BACKLOG_MAX {
            return false;
        }
        let Some(message) = self.room.try_seal(message) else { return false };
        self.backlog_bytes += message.len();
        self.backlog.push_back(message);
        true
    }
}

/// All sessions at one child.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    next: u64,
    sessions: BTreeMap<SessionId, Session>,
}

impl Sessions {
    /// Begins a session.
    pub(super) fn attach(&mut self, holder: Holder, room: Room) -> SessionId {
        let next = self.tick();
        self.sessions.insert(SessionId(next), Session::of(holder, room, next));
        SessionId(next)
    }

    /// Returns the session that has to give way before another may begin: of the holder with the most sessions, the one
    /// that was unused for longest.
    pub(super) fn in_the_way(&self) -> Option<SessionId> {
        if self.sessions.len() < SESSIONS_MAX {
            return None;
        }
        let mut counts: BTreeMap<&Holder, usize> = BTreeMap::new();
        for session in self.sessions.values() {
            *counts.entry(&session.holder).or_default() += 1;
        }
        let rank = |session: &Session| (counts.get(&session.holder).copied(), Reverse(session.used));
        self.sessions.iter().max_by_key(|(_, session)| rank(session)).map(|(id, _)| *id)
    }

    /// Notes that a session is used. Returns `false` if there is no such session.
    pub(super) fn touch(&mut self, id: SessionId) -> bool {
        let now = self.tick();
        let session = self.sessions.get_mut(&id);
        session.map(|session| session.used = now).is_some()
    }

    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn detach(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Returns the session, if there is exactly one.
    pub(super) fn only(&self) -> Option<SessionId> {
        let mut ids = self.sessions.keys();
        ids.next().copied().filter(|_| ids.next().is_none())
    }

    pub(super) fn is_listened_to(&self) -> bool {
        self.sessions.values().any(Session::is_listening)
    }

    pub(super) fn listens(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(Session::is_listening)
    }

    /// Opens a session's own stream. Waiting messages come first. A stream that was open before ends, because no
    /// message may go to two streams (2025-11-25 Multiple Connections; TR-40).
    pub(super) fn listen(&mut self, id: SessionId, bytes_max: usize) -> Result<Receiver, ForwardError> {
        let session = self.sessions.get_mut(&id).ok_or(ForwardError::SessionGone)?;
        let (sender, receiver) = mailbox::mailbox(bytes_max, session.room.clone());
        for message in session.backlog.drain(..) {
            // The bound of the backlog is smaller than that of the mailbox, so everything fits.
            let _ = sender.send(Delivery::Message(message));
        }
        session.backlog_bytes = 0;
        session.listener = Some(sender);
        Ok(receiver)
    }

    /// Sends a message to a session. Returns whether the session got it, or will get it when it listens.
    pub(super) fn send(&mut self, id: SessionId, bytes_max: usize, message: Bytes) -> bool {
        self.sessions.get_mut(&id).is_some_and(|session| session.send(bytes_max, message))
    }

    /// Sends a message to all sessions that `wants` selects.
    pub(super) fn tell(&mut self, bytes_max: usize, message: &[u8], wants: impl Fn(&Session) -> bool) {
        for session in self.sessions.values_mut().filter(|session| wants(session)) {
            // A session with a full backlog misses this notice of a change; it will list again when it listens.
            session.send(bytes_max, Bytes::copy_from_slice(message));
        }
    }

    /// Notes a subscription.
    pub(super) fn subscribe(&mut self, id: SessionId, uri: &str) -> Result<(), ForwardError> {
        let session = self.sessions.get_mut(&id).ok_or(ForwardError::SessionGone)?;
        let bytes = session.subscriptions.iter().map(String::len).sum::<usize>();
        if session.subscriptions.len() >= SUBSCRIPTIONS_MAX || bytes + uri.len() > SUBSCRIPTION_BYTES_MAX {
            return Err(ForwardError::Busy { sent: false });
        }
        session.subscriptions.insert(uri.to_owned());
        Ok(())
    }

    /// Notes the end of a subscription. Returns whether another session still has it, so that the child must not be
    /// told.
    pub(super) fn unsubscribe(&mut self, id: SessionId, uri: &str) -> bool {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.subscriptions.remove(uri);
        }
        self.sessions.values().any(|session| session.subscriptions.contains(uri))
    }

    /// Returns all subscribed resources, which are subscribed to again after a restart.
    pub(super) fn subscriptions(&self) -> BTreeSet<String> {
        self.sessions.values().flat_map(|session| session.subscriptions.iter().cloned()).collect()
    }
}
