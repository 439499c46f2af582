//! Decides who gets each message of one child. Only tables: no I/O, no waiting.
//!
//! Many callers share a child, and each numbers its requests as it likes. So every id that crosses is replaced: ids and
//! progress tokens of callers by our numbers, which are never used twice, and ids of the child's own requests by our
//! numbers towards each session. A message under a number that is not open belongs to nobody and is dropped (TR-11,
//! ATK-73).
//!
//! The tables outlive the child: sessions stay when the child is started again, open requests do not.

use std::collections::HashMap;

use bytes::Bytes;
use sekisho_protocol::mcp::error::{self, ErrorCode};
use sekisho_protocol::mcp::message::{Id, Kind, Message, Meta, Outcome, Params};
use sekisho_protocol::mcp::splice::{self, SpliceError};
use sekisho_protocol::mcp::strict::Limits;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::probe::reply_to;
use super::super::{Deadline, ForwardError};
use super::mailbox::{self, Delivery, Lost, Receiver, Sender};
use super::sessions::{SessionId, Sessions};
use crate::memory::Room;
use crate::shares::{Full, Holder, admit};

/// The most requests that are open at one child.
const PENDING_MAX: usize = 1024;
/// The most requests of the child that wait for clients.
const ASKED_MAX: usize = 256;

/// One request that is open at the child.
#[derive(Debug)]
struct Pending {
    /// The id as the caller wrote it.
    id: Id,
    /// The token as the caller wrote it.
    progress_token: Option<Id>,
    session: Option<SessionId>,
    holder: Option<Holder>,
    /// Whether this is `subscriptions/listen`, which gets notifications until it ends.
    is_subscription: bool,
    deadline: Option<Deadline>,
    sender: Sender,
}

/// A request that is to be opened.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) id: Id,
    pub(super) progress_token: Option<Id>,
    pub(super) session: Option<SessionId>,
    /// The holder to whose share the request counts; none for a question of our own.
    pub(super) holder: Option<Holder>,
    pub(super) is_subscription: bool,
    pub(super) deadline: Option<Deadline>,
    /// The memory to which the messages for this request are charged.
    pub(super) room: Room,
}

/// A request of the child that waits for a client's answer.
#[derive(Debug)]
struct PendingQuestion {
    /// The id as the child wrote it.
    id: Id,
    session: SessionId,
    /// The stream on which the client was asked: that of an open request (its number), or the session's own (`None`).
    via: Option<i64>,
}

/// What followed from one line of the child.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Heard {
    /// A message to be written to the child.
    pub(super) reply: Option<Vec<u8>>,
    /// Whether the line answered an open request.
    pub(super) answered: bool,
    /// Why the line was dropped, for the log.
    pub(super) dropped: Option<&'static str>,
}

impl Heard {
    fn dropped(reason: &'static str) -> Self {
        Self { dropped: Some(reason), ..Self::default() }
    }
}

/// The bounds, in bytes, of the messages that wait for a caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueBytes {
    pub(super) request_max: usize,
    pub(super) session_max: usize,
}

/// The tables of one child and its successors.
#[derive(Debug)]
pub(super) struct Router {
    bytes: QueueBytes,
    /// Whether callers of several subjects share the child. In that case no receiver is guessed.
    shared: bool,
    /// Whether only the gateway asks the child. In that case we answer what the child asks, because there is no client.
    is_own: bool,
    next: i64,
    pending: HashMap<i64, Pending>,
    asked: HashMap<i64, PendingQuestion>,
    sessions: Sessions,
}

impl Router {
    pub(super) fn new(bytes: QueueBytes, shared: bool) -> Self {
        Self {
            bytes,
            shared,
            is_own: false,
            next: 1,
            pending: HashMap::new(),
            asked: HashMap::new(),
            sessions: Sessions::default(),
        }
    }

    /// The tables of a child that serves no caller.
    pub(super) fn of_our_own(bytes: QueueBytes) -> Self {
        Self { is_own: true, ..Self::new(bytes, true) }
    }

    pub(super) fn sessions(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    /// Whether nothing waits for the child and nobody listens to it.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && !self.sessions.is_listened_to()
    }

    /// Opens a request under a number of ours.
    pub(super) fn open(&mut self, opening: Opening) -> Result<(i64, Receiver), ForwardError> {
        self.admit(&opening)?;
        let Opening { id, progress_token, session, holder, is_subscription, deadline, room } = opening;
        let (sender, receiver) = mailbox::mailbox(self.bytes.request_max, room);
        let number = self.number();
        let pending = Pending { id, progress_token, session, holder, is_subscription, deadline, sender };
        self.pending.insert(number, pending);
        Ok((number, receiver))
    }

    /// Checks that there is a place for one more request, and that the caller may have it.
    fn admit(&self, opening: &Opening) -> Result<(), ForwardError> {
        let all = self.pending.len();
        // A child of one subject keeps no places for others, and while fewer than half are taken nobody is counted.
        let own = match &opening.holder {
            Some(holder) if self.shared && all >= PENDING_MAX / 2 => {
                self.pending.values().filter(|pending| pending.holder.as_ref() == Some(holder)).count()
            }
            _ => 0,
        };
        admit(own, all, PENDING_MAX).map_err(|full| match full {
            Full::Share => ForwardError::Share,
            Full::Total => ForwardError::Busy { sent: false },
        })
    }

    /// Begins a session. If another session had to give way, also returns the messages that tell the child of its end.
    pub(super) fn attach(&mut self, holder: Holder, room: Room) -> (SessionId, Vec<Vec<u8>>) {
        let told = self.sessions.in_the_way().map(|session| self.detach(session)).unwrap_or_default();
        (self.sessions.attach(holder, room), told)
    }

    /// Forgets a request whose caller went away, and returns the message that cancels it at the child (ST-08).
    pub(super) fn cancel(&mut self, number: i64, reason: &str) -> Option<Vec<u8>> {
        self.pending.remove(&number)?;
        self.forget_asked(|asked| asked.via == Some(number));
        Some(cancelled(number, reason))
    }

    /// Ends the requests whose time is over with an error, and returns the messages that cancel them at the child
    /// (TR-44).
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let is_over = |pending: &Pending| pending.deadline.is_some_and(|deadline| deadline.at() <= now);
        let over: Vec<i64> =
            self.pending.iter().filter_map(|(number, pending)| is_over(pending).then_some(*number)).collect();
        for number in &over {
            self.fail(*number, ForwardError::Timeout { sent: true });
        }
        over.into_iter().map(|number| cancelled(number, "timeout")).collect()
    }

    /// Notes that the child ended: every open request gets `error`, and the child's own questions are forgotten.
    pub(super) fn child_ended(&mut self, error: &ForwardError) {
        for (_, pending) in self.pending.drain() {
            pending.sender.fail(error.clone());
        }
        self.asked.clear();
    }

    /// Handles a line that was too long to be read, so that its receiver is unknown. If only one request is open, it is
    /// that one.
    pub(super) fn line_too_long(&mut self, max: usize) {
        let mut open = self.pending.keys().copied();
        if let (Some(number), None) = (open.next(), open.next()) {
            self.fail(number, ForwardError::TooLarge { max });
        }
    }

    /// Ends a session and its open requests. Returns the messages that tell the child.
    pub(super) fn detach(&mut self, session: SessionId) -> Vec<Vec<u8>> {
        self.sessions.detach(session);
        let of_session: Vec<i64> = self
            .pending
            .iter()
            .filter_map(|(number, pending)| (pending.session == Some(session)).then_some(*number))
            .collect();
        for number in &of_session {
            self.fail(*number, ForwardError::SessionGone);
        }
        let mut lines: Vec<_> = of_session.into_iter().map(|number| cancelled(number, "session ended")).collect();
        let refused = self.asked.values().filter(|asked| asked.session == session);
        lines.extend(refused.map(|asked| no_client(&asked.id)));
        self.asked.retain(|_, asked| asked.session != session);
        lines
    }

    /// Returns the number under which a session's request is open, for the client's `notifications/cancelled`.
    pub(super) fn number_of(&self, session: SessionId, id: &Id) -> Option<i64> {
        let mut open = self.pending.iter();
        let found = open.find(|(_, pending)| pending.session == Some(session) && pending.id == *id);
        found.map(|(number, _)| *number)
    }

    /// Whether the child waits for an answer of this session.
    pub(super) fn asks(&self, session: SessionId) -> bool {
        self.asked.values().any(|asked| asked.session == session)
    }

    /// Returns a client's answer with the id that the child knows. `None` if the child did not ask; such an answer is
    /// dropped.
    pub(super) fn respond(&mut self, session: SessionId, id: &Id, body: &[u8]) -> Option<Vec<u8>> {
        let Id::Integer(number) = id else { return None };
        if self.asked.get(number).is_none_or(|asked| asked.session != session) {
            return None;
        }
        let asked = self.asked.remove(number)?;
        splice::replace_id(body, &asked.id).ok()
    }

    /// Handles one line of the child.
    pub(super) fn hear(&mut self, line: &[u8]) -> Heard {
        let Ok(message) = Message::read(line, &Limits::upstream()) else {
            return Heard::dropped("not an MCP message");
        };
        match message.kind() {
            Kind::Response { id, outcome } => self.hear_answer(line, id.as_ref(), outcome),
            Kind::Request { id, method, .. } => self.hear_request(line, id, method),
            Kind::Notification { method, params } => self.hear_notification(line, method, params.as_ref()),
        }
    }

    fn hear_answer(&mut self, line: &[u8], id: Option<&Id>, outcome: &Outcome<'_>) -> Heard {
        let Some(Id::Integer(number)) = id else { return Heard::dropped("answers nothing") };
        let Some(pending) = self.pending.remove(number) else {
            return Heard::dropped("answers nothing that is open");
        };
        self.forget_asked(|asked| asked.via == Some(*number));
        let restored = splice::replace_id(line, &pending.id).and_then(|line| match outcome {
            Outcome::Result(result) if result.meta.subscription_id.is_some() => {
                let mut result: Value = serde_json::from_str(result.raw)?;
                if let Some(Value::Object(meta)) = result.get_mut("_meta") {
                    meta.insert(Meta::SUBSCRIPTION_ID.to_owned(), json!(pending.id));
                }
                splice::set_result(&line, "_meta", &result.get("_meta"))
            }
            Outcome::Result(_) | Outcome::Error(_) => Ok(line),
        });
        deliver(&pending, restored, Delivery::Answer);
        Heard { answered: true, ..Heard::default() }
    }

    fn hear_notification(&mut self, line: &[u8], method: &str, params: Option<&Params<'_>>) -> Heard {
        let meta = params.map(|params| &params.meta);
        if let Some(token) = params.and_then(|params| params.progress_token.as_ref())
            && method == "notifications/progress"
        {
            return self.hear_progress(line, token);
        }
        if let Some(subscription) = meta.and_then(|meta| meta.subscription_id.as_ref()) {
            let restored = |id: &Id| splice::set_meta(line, Meta::SUBSCRIPTION_ID, id);
            return self.hear_of_subscription(subscription, restored);
        }
        let param = |get: fn(&Params<'_>) -> Option<Id>| params.and_then(get);
        match method {
            "notifications/cancelled" => self.hear_cancelled(line, param(|params| params.request_id.clone())),
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => {
                self.sessions.tell(self.bytes.session_max, line, |_| true);
                Heard::default()
            }
            "notifications/resources/updated" => {
                let uri = params.and_then(|params| params.uri.as_deref()).unwrap_or_default();
                let max = self.bytes.session_max;
                self.sessions.tell(max, line, |session| session.is_subscribed(uri));
                Heard::default()
            }
            _ => self.hear_uncorrelated(line),
        }
    }

    fn hear_progress(&mut self, line: &[u8], token: &Id) -> Heard {
        let Id::Integer(number) = token else { return Heard::dropped("progress of nothing") };
        let Some(pending) = self.pending.get(number) else {
            return Heard::dropped("progress of nothing that is open");
        };
        let Some(token) = &pending.progress_token else {
            return Heard::dropped("progress that nobody wants");
        };
        let (number, restored) = (*number, splice::set_param(line, "progressToken", token));
        self.extend(number);
        self.deliver_to(number, restored)
    }

    /// Gives a request that reports progress its full time again, up to its last moment.
    fn extend(&mut self, number: i64) {
        if let Some(pending) = self.pending.get_mut(&number)
            && let Some(deadline) = &mut pending.deadline
        {
            deadline.extend(Instant::now());
        }
    }

    fn hear_of_subscription(
        &mut self,
        subscription: &Id,
        restored: impl Fn(&Id) -> Result<Vec<u8>, SpliceError>,
    ) -> Heard {
        let Id::Integer(number) = subscription else { return Heard::dropped("of no subscription") };
        match self.pending.get(number).filter(|pending| pending.is_subscription) {
            Some(pending) => self.deliver_to(*number, restored(&pending.id)),
            None => Heard::dropped("of no open subscription"),
        }
    }

    /// Handles a cancellation by the child, of a request of its own or of a subscription.
    fn hear_cancelled(&mut self, line: &[u8], id: Option<Id>) -> Heard {
        let Some(id) = id else { return Heard::dropped("cancels nothing") };
        let asked = self.asked.iter().find(|(_, asked)| asked.id == id).map(|(number, _)| *number);
        if let Some(number) = asked
            && let Some(asked) = self.asked.remove(&number)
        {
            let restored = splice::set_param(line, "requestId", &Id::Integer(number));
            return self.deliver_via(asked.session, asked.via, restored);
        }
        let restored = |id: &Id| splice::set_param(line, "requestId", id);
        self.hear_of_subscription(&id, restored)
    }

    /// Handles a notification that names none of our numbers: it goes to the only receiver that can be meant.
    fn hear_uncorrelated(&mut self, line: &[u8]) -> Heard {
        let whole = || Ok(line.to_vec());
        if let Some((session, via)) = self.meant().filter(|_| !self.shared || self.sessions.len() == 1) {
            return self.deliver_via(session, via, whole());
        }
        // Revisions without sessions: it goes to the only open request, if all callers are one subject.
        let mut open = self.pending.iter().filter(|(_, pending)| !pending.is_subscription);
        match (open.next(), open.next()) {
            (Some((number, pending)), None) if !self.shared && pending.session.is_none() => {
                let number = *number;
                self.deliver_to(number, whole())
            }
            _ => Heard::dropped("nobody can be told to be meant"),
        }
    }

    fn hear_request(&mut self, line: &[u8], id: &Id, method: &str) -> Heard {
        if method == "ping" || self.is_own {
            return Heard { reply: Some(reply_to(id, method)), ..Heard::default() };
        }
        let refused = |dropped| Heard { reply: Some(no_client(id)), dropped: Some(dropped), ..Heard::default() };
        let Some((session, via)) = self.meant().filter(|_| self.asked.len() < ASKED_MAX) else {
            return refused("a request, and nobody can be told to be meant");
        };
        let number = self.number();
        self.asked.insert(number, PendingQuestion { id: id.clone(), session, via });
        let heard = self.deliver_via(session, via, splice::replace_id(line, &Id::Integer(number)));
        if heard.dropped.is_some() {
            self.asked.remove(&number);
            return refused("a request, and its client is not there");
        }
        heard
    }

    /// Returns the only session that an unasked message of the child can be meant for: the only one that is attached,
    /// or the only one with an open request. Also returns the stream that carries the message.
    fn meant(&self) -> Option<(SessionId, Option<i64>)> {
        let mut busy = self.pending.values().filter_map(|pending| pending.session);
        let session = match self.sessions.only() {
            Some(session) => session,
            None => {
                let first = busy.next()?;
                busy.all(|session| session == first).then_some(first)?
            }
        };
        let mut open: Vec<i64> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.session == Some(session) && !pending.sender.is_gone())
            .map(|(number, _)| *number)
            .collect();
        open.sort_unstable();
        let via = match open.as_slice() {
            [only] => Some(*only),
            // Several requests are open, and nothing says which is meant: the session's own stream if it has one,
            // otherwise the newest.
            [.., newest] if !self.sessions.listens(session) => Some(*newest),
            _ => None,
        };
        Some((session, via))
    }

    fn deliver_via(&mut self, session: SessionId, via: Option<i64>, message: Result<Vec<u8>, SpliceError>) -> Heard {
        if let Some(number) = via {
            return self.deliver_to(number, message);
        }
        match message {
            Ok(message) => {
                let told = self.sessions.send(session, self.bytes.session_max, Bytes::from(message));
                if told { Heard::default() } else { Heard::dropped("its session hears nothing") }
            }
            Err(_) => Heard::dropped("cannot be edited"),
        }
    }

    fn deliver_to(&mut self, number: i64, message: Result<Vec<u8>, SpliceError>) -> Heard {
        let Some(pending) = self.pending.get(&number) else { return Heard::dropped("nobody waits for it") };
        match deliver(pending, message, Delivery::Message) {
            Some(Lost::Overflow) => {
                self.pending.remove(&number);
                Heard { reply: Some(cancelled(number, "too slow")), ..Heard::dropped("a caller is too slow") }
            }
            Some(Lost::Gone) => Heard::dropped("its caller went away"),
            None => Heard::default(),
        }
    }

    fn fail(&mut self, number: i64, error: ForwardError) {
        if let Some(pending) = self.pending.remove(&number) {
            pending.sender.fail(error);
        }
        self.forget_asked(|asked| asked.via == Some(number));
    }

    /// Forgets the child's requests that went to a stream that is gone, because they cannot be answered. The child is
    /// not told, because the request to which they belong is over for it.
    fn forget_asked(&mut self, gone: impl Fn(&PendingQuestion) -> bool) {
        self.asked.retain(|_, asked| !gone(asked));
    }

    fn number(&mut self) -> i64 {
        let number = self.next;
        // At a million requests a second this lasts 290 000 years.
        self.next = number.saturating_add(1);
        number
    }
}

fn deliver(
    pending: &Pending,
    message: Result<Vec<u8>, SpliceError>,
    as_delivery: fn(Bytes) -> Delivery,
) -> Option<Lost> {
    match message {
        Ok(message) => pending.sender.send(as_delivery(Bytes::from(message))).err(),
        Err(error) => {
            pending.sender.fail(ForwardError::Malformed { reason: error.to_string() });
            None
        }
    }
}

fn cancelled(number: i64, reason: &str) -> Vec<u8> {
    let params = json!({ "requestId": number, "reason": reason });
    // Strings and integers always serialise, so the default is never taken.
    error::notification("notifications/cancelled", Some(&params)).unwrap_or_default()
}

fn no_client(id: &Id) -> Vec<u8> {
    error::error_response(Some(id), ErrorCode::MethodNotFound, "no client is there to answer", None::<&()>)
}

#[cfg(test)]
mod tests;
