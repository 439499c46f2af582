//! Everything that is open, and what ends it: each request that is being answered and each stream, by the grant behind
//! it.
//!
//! A revocation, a disabled user or a removed client reaches an open answer through the change feed and ends it within
//! a second; standing streams also end with their token (ATK-59). What is open is counted here, too (ATK-94).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sekisho_protocol::audit::OutcomeResult;
use sekisho_protocol::caller::{Basis, Caller, Subject};
use sekisho_protocol::ids::{GrantId, ServerName, UserId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::shares::{Full, Holder, Network, admit};

/// The most requests of one grant that are answered at one time.
const ANSWERS_PER_GRANT: usize = 512;
/// The most requests in all that are answered at one time.
const ANSWERS_TOTAL: usize = 32_768;
/// The anonymous callers of one network are several hosts, so at one server they may have this many times what one
/// grant may have.
const NETWORK_FACTOR: usize = 4;
/// The anonymous callers of one server may together have this many times what one grant may have.
const ANONYMOUS_FACTOR: usize = 16;
/// The most streams that are told of a change at one time. Each then writes to its client, and the end of a stream must
/// not wait for all of them.
const NUDGED_AT_ONCE: usize = 128;
/// The pause before the next streams are told.
const NUDGE_PAUSE: Duration = Duration::from_millis(20);

/// Why nothing more can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("too many open requests and streams of one grant; close some first")]
    Own,
    #[error(
        "too many open requests and streams of one caller, and what room is left is kept for others; close some first"
    )]
    Share,
    #[error("this server is stopping; try again")]
    Stopping,
    #[error("too many open streams; try again later")]
    Total,
}

impl From<Full> for OpenError {
    fn from(full: Full) -> Self {
        match full {
            Full::Share => Self::Share,
            Full::Total => Self::Total,
        }
    }
}

/// How long something stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Until the request is answered.
    Answer,
    /// Until the client, the upstream or the end of the authority ends it.
    Standing,
}

/// Why something that was open has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The authority behind it has ended.
    Revoked,
    /// The gateway stops.
    Stopping,
    /// The store is out of reach, so it is not known whether the authority still holds.
    Unconfirmed,
}

impl End {
    /// Returns what the client is told.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Revoked => "the authority behind this request has ended",
            Self::Stopping => "this server is stopping; try again",
            Self::Unconfirmed => {
                "whether the authority behind this request still stands cannot be confirmed; try again"
            }
        }
    }

    /// Returns the outcome for the records.
    pub(crate) fn outcome(self) -> OutcomeResult {
        match self {
            Self::Revoked => OutcomeResult::Revoked,
            Self::Stopping => OutcomeResult::Stopping,
            Self::Unconfirmed => OutcomeResult::Unconfirmed,
        }
    }
}

/// The grant or the anonymous callers for whom something is open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Anonymous(ServerName, Network),
    Grant(GrantId),
}

/// Tells something that it has to end, and why.
#[derive(Debug, Clone, Default)]
struct Ending {
    token: CancellationToken,
    why: Arc<OnceLock<End>>,
}

impl Ending {
    /// Returns an ending that also happens when this one does, and may happen before.
    fn child(&self) -> Self {
        Self { token: self.token.child_token(), why: Arc::default() }
    }

    /// Ends it. The first reason stays.
    fn end(&self, why: End) {
        let _ = self.why.set(why);
        self.token.cancel();
    }
}

/// One standing stream.
#[derive(Debug)]
struct StandingStream {
    ending: Ending,
    /// Tells the stream that its lists may have changed.
    nudge: Arc<Notify>,
    server: ServerName,
}

/// What is open under one key.
#[derive(Debug)]
struct Held {
    holder: Holder,
    /// Ends everything under this key.
    ending: Ending,
    answers: usize,
    standing: HashMap<u64, StandingStream>,
}

impl Held {
    fn of(holder: Holder) -> Self {
        Self { holder, ending: Ending::default(), answers: 0, standing: HashMap::new() }
    }

    fn is_empty(&self) -> bool {
        self.answers == 0 && self.standing.is_empty()
    }

    /// Ends what is open now, and nothing that is opened later.
    fn end(&mut self, why: End) {
        std::mem::take(&mut self.ending).end(why);
    }
}

/// How much is open.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    answers: usize,
    standing: usize,
}

impl Load {
    fn of(&mut self, span: Span) -> &mut usize {
        match span {
            Span::Answer => &mut self.answers,
            Span::Standing => &mut self.standing,
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    by_key: HashMap<Key, Held>,
    by_holder: HashMap<Holder, Load>,
    anonymous: HashMap<ServerName, Load>,
    all: Load,
    next: u64,
}

/// Everything that is open.
#[derive(Debug)]
pub(crate) struct Watchdog {
    streams_per_grant: usize,
    streams_total: usize,
    open: Mutex<Open>,
    stopping: AtomicBool,
    /// Notified when nothing is open any more.
    emptied: Notify,
}

/// One open answer or stream. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Watch {
    dog: Arc<Watchdog>,
    key: Key,
    holder: Holder,
    /// Ends everything under its key.
    group: Ending,
    /// For a standing stream: its number, its own ending, and its nudge.
    standing: Option<(u64, Ending, Arc<Notify>)>,
}

impl Watch {
    /// Waits until what this stream's lists show may have changed; never returns for the answer to one request. Several
    /// changes at once count as one.
    pub(crate) async fn nudged(&self) {
        match &self.standing {
            Some((_, _, nudge)) => nudge.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until this has to end, and returns the reason.
    pub(crate) async fn ended(&self) -> End {
        let own = self.standing.as_ref().map(|(_, own, _)| own);
        own.unwrap_or(&self.group).token.cancelled().await;
        let why = own.and_then(|own| own.why.get()).or_else(|| self.group.why.get());
        why.copied().unwrap_or(End::Revoked)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut open = self.dog.lock();
        let span = match &self.standing {
            None => Span::Answer,
            Some(_) => Span::Standing,
        };
        if let Some(held) = open.by_key.get_mut(&self.key) {
            match &self.standing {
                None => held.answers = held.answers.saturating_sub(1),
                Some((id, ..)) => drop(held.standing.remove(id)),
            }
            if held.is_empty() {
                open.by_key.remove(&self.key);
            }
        }
        open.release(&self.key, &self.holder, span);
        if open.by_key.is_empty() {
            self.dog.emptied.notify_waiters();
        }
    }
}

impl Open {
    /// Checks every bound for one more of this kind.
    fn admit(&self, dog: &Watchdog, key: &Key, holder: &Holder, span: Span) -> Result<(), OpenError> {
        let (per_grant, total) = match span {
            Span::Answer => (ANSWERS_PER_GRANT, ANSWERS_TOTAL),
            Span::Standing => (dog.streams_per_grant, dog.streams_total),
        };
        let under_key = self.by_key.get(key).map_or(0, |held| match span {
            Span::Answer => held.answers,
            Span::Standing => held.standing.len(),
        });
        let of = |load: Option<&Load>| load.map_or(0, |load| *load.clone().of(span));
        admit(of(self.by_holder.get(holder)), of(Some(&self.all)), total)?;
        match key {
            Key::Grant(_) if under_key >= per_grant => Err(OpenError::Own),
            Key::Grant(_) => Ok(()),
            Key::Anonymous(..) if under_key >= per_grant.saturating_mul(NETWORK_FACTOR) => Err(OpenError::Own),
            Key::Anonymous(server, _) => {
                let max = per_grant.saturating_mul(ANONYMOUS_FACTOR);
                Ok(admit(under_key, of(self.anonymous.get(server)), max)?)
            }
        }
    }

    fn count(&mut self, key: &Key, holder: &Holder, span: Span) {
        *self.all.of(span) += 1;
        *self.by_holder.entry(holder.clone()).or_default().of(span) += 1;
        if let Key::Anonymous(server, _) = key {
            *self.anonymous.entry(server.clone()).or_default().of(span) += 1;
        }
    }

    fn release(&mut self, key: &Key, holder: &Holder, span: Span) {
        let less = |load: &mut Load| {
            let count = load.of(span);
            *count = count.saturating_sub(1);
            load.answers == 0 && load.standing == 0
        };
        less(&mut self.all);
        if self.by_holder.get_mut(holder).is_some_and(less) {
            self.by_holder.remove(holder);
        }
        if let Key::Anonymous(server, _) = key
            && self.anonymous.get_mut(server).is_some_and(less)
        {
            self.anonymous.remove(server);
        }
    }
}

impl Watchdog {
    pub(crate) fn new(streams_per_grant: usize, streams_total: usize) -> Self {
        Self {
            streams_per_grant,
            streams_total,
            open: Mutex::default(),
            stopping: AtomicBool::new(false),
            emptied: Notify::new(),
        }
    }

    /// Opens something at this server for this caller, which calls from this address.
    pub(crate) fn open(
        self: &Arc<Self>,
        caller: &Caller,
        source: Option<IpAddr>,
        server: &ServerName,
        span: Span,
    ) -> Result<Watch, OpenError> {
        let holder = Holder::of(caller, source);
        let key = match &caller.basis {
            Basis::Grant(granted) => Key::Grant(granted.grant),
            Basis::Open => Key::Anonymous(server.clone(), Network::of(source)),
        };
        let mut open = self.lock();
        // Checked under the lock, so that whatever is opened before the stop is ended with the others.
        if self.stopping.load(Ordering::SeqCst) {
            return Err(OpenError::Stopping);
        }
        open.admit(self, &key, &holder, span)?;
        open.count(&key, &holder, span);
        let id = open.next;
        let held = open.by_key.entry(key.clone()).or_insert_with(|| Held::of(holder.clone()));
        let group = held.ending.clone();
        let standing = match span {
            Span::Answer => {
                held.answers += 1;
                None
            }
            Span::Standing => {
                let (ending, nudge) = (group.child(), Arc::<Notify>::default());
                let standing =
                    StandingStream { ending: ending.clone(), nudge: Arc::clone(&nudge), server: server.clone() };
                held.standing.insert(id, standing);
                open.next = id.wrapping_add(1);
                Some((id, ending, nudge))
            }
        };
        Ok(Watch { dog: Arc::clone(self), key, holder, group, standing })
    }

    /// Ends everything of one grant.
    pub(crate) fn end_of_grant(&self, grant: GrantId) {
        if let Some(held) = self.lock().by_key.get_mut(&Key::Grant(grant)) {
            held.end(End::Revoked);
        }
    }

    /// Ends all standing streams, because it is not known whether their authority still holds.
    pub(crate) fn end_standing(&self) {
        let open = self.lock();
        let streams = open.by_key.values().flat_map(|held| held.standing.values());
        streams.for_each(|stream| stream.ending.end(End::Unconfirmed));
    }

    /// Tells the standing streams of one grant that what their lists show may have changed.
    pub(crate) fn nudge_grant(&self, grant: GrantId) {
        if let Some(held) = self.lock().by_key.get(&Key::Grant(grant)) {
            held.standing.values().for_each(|stream| stream.nudge.notify_one());
        }
    }

    /// Does the same for all streams of one server, or for all streams if there is none given. They are told a few at a
    /// time, in the background.
    pub(crate) fn nudge(&self, server: Option<&ServerName>) {
        let nudges: Vec<Arc<Notify>> = {
            let open = self.lock();
            let streams = open.by_key.values().flat_map(|held| held.standing.values());
            let concerned = streams.filter(|stream| server.is_none_or(|server| stream.server == *server));
            concerned.map(|stream| Arc::clone(&stream.nudge)).collect()
        };
        let mut nudges = nudges.into_iter();
        nudges.by_ref().take(NUDGED_AT_ONCE).for_each(|nudge| nudge.notify_one());
        if nudges.len() == 0 {
            return;
        }
        tokio::spawn(async move {
            while nudges.len() > 0 {
                tokio::time::sleep(NUDGE_PAUSE).await;
                nudges.by_ref().take(NUDGED_AT_ONCE).for_each(|nudge| nudge.notify_one());
            }
        });
    }

    /// Ends everything, because the gateway stops. Nothing can be opened any more.
    pub(crate) fn stop(&self) {
        let mut open = self.lock();
        self.stopping.store(true, Ordering::SeqCst);
        open.by_key.values_mut().for_each(|held| held.end(End::Stopping));
    }

    /// Waits until nothing is open.
    pub(crate) async fn closed(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().by_key.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Returns every grant with something open; with `of`, only those of that user.
    pub(crate) fn grants(&self, of: Option<UserId>) -> Vec<GrantId> {
        let open = self.lock();
        let concerned = open.by_key.iter().filter(|(_, held)| match of {
            None => true,
            Some(user) => held.holder == Holder::Subject(Subject::User(user)),
        });
        let grants = concerned.filter_map(|(key, _)| match key {
            Key::Anonymous(..) => None,
            Key::Grant(grant) => Some(*grant),
        });
        grants.collect()
    }

    /// Whether something is open under this grant.
    pub(crate) fn holds(&self, grant: GrantId) -> bool {
        self.lock().by_key.contains_key(&Key::Grant(grant))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use sekisho_protocol::caller::{Caller, Subject};
    use sekisho_protocol::ids::GrantId;
    use sekisho_protocol::scope::ScopeSet;

    use super::{ANSWERS_PER_GRANT, End, NETWORK_FACTOR, OpenError, Span, Watch, Watchdog};

    fn caller(seed: u64) -> Caller {
        Caller::of_test(seed, |_| {})
    }

    fn grant(seed: u64) -> GrantId {
        caller(seed).grant().unwrap()
    }

    fn open(dog: &Arc<Watchdog>, caller: &Caller, server: &str, span: Span) -> Result<Watch, OpenError> {
        dog.open(caller, None, &server.parse().unwrap(), span)
    }

    /// ATK-94: a stream beyond the bound is refused, and another grant is not affected.
    #[test]
    fn streams_are_counted_by_grant_and_altogether() {
        let dog = Arc::new(Watchdog::new(2, 3));
        let first = open(&dog, &caller(1), "notes", Span::Standing).unwrap();
        let _second = open(&dog, &caller(1), "notes", Span::Standing).unwrap();
        assert_eq!(open(&dog, &caller(1), "notes", Span::Standing).unwrap_err(), OpenError::Share);
        assert!(open(&dog, &caller(1), "notes", Span::Answer).is_ok());
        let _other = open(&dog, &caller(2), "notes", Span::Standing).unwrap();
        assert_eq!(open(&dog, &caller(3), "notes", Span::Standing).unwrap_err(), OpenError::Total);
        drop(first);
        assert!(open(&dog, &caller(3), "notes", Span::Standing).is_ok());
    }

    /// ATK-153: a user with many grants cannot take all streams: the last quarter is for others.
    #[test]
    fn a_user_with_many_grants_leaves_room_for_others() {
        let dog = Arc::new(Watchdog::new(2, 64));
        let user = caller(0);
        let of_user = |seed| Caller::of_test(seed, |granted| granted.subject = user.subject().clone());
        let mut held: Vec<Watch> = Vec::new();
        let refused = (1..).find_map(|seed| match open(&dog, &of_user(seed), "notes", Span::Standing) {
            Ok(watch) => {
                held.push(watch);
                None
            }
            Err(error) => Some(error),
        });
        assert_eq!((refused, held.len()), (Some(OpenError::Share), 48));
        let others: Vec<_> = (1000..1016).map(|seed| open(&dog, &caller(seed), "notes", Span::Standing)).collect();
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(open(&dog, &caller(2000), "notes", Span::Standing).unwrap_err(), OpenError::Total);
    }

    /// ATK-94, ATK-153: the answers of one grant and of the anonymous callers of one network are bounded. Those of
    /// another network or another server have their own bounds.
    #[test]
    fn answers_are_counted_by_grant_and_of_anonymous_callers_by_network() {
        let dog = Arc::new(Watchdog::new(1, 1));
        let (notes, other) = ("notes".parse().unwrap(), "other".parse().unwrap());
        let nobody = Caller::anonymous(ScopeSet::empty());
        let [here, there] = ["192.0.2.1", "2001:db8::1"].map(|text| Some(text.parse::<IpAddr>().unwrap()));
        for (who, max) in [(&caller(1), ANSWERS_PER_GRANT), (&nobody, ANSWERS_PER_GRANT * NETWORK_FACTOR)] {
            let mut held: Vec<_> = (0..max).map(|_| dog.open(who, here, &notes, Span::Answer).unwrap()).collect();
            assert_eq!(dog.open(who, here, &notes, Span::Answer).unwrap_err(), OpenError::Own);
            assert!(dog.open(&caller(2), here, &notes, Span::Answer).is_ok());
            assert!(dog.open(&nobody, here, &other, Span::Answer).is_ok());
            assert!(dog.open(&nobody, there, &notes, Span::Answer).is_ok());
            held.pop();
            assert!(dog.open(who, here, &notes, Span::Answer).is_ok());
        }
        assert!(dog.grants(None).is_empty());
    }

    /// ATK-59, ATK-155: the end of a grant ends everything that it holds open, and nothing else. Each end has its own
    /// word.
    #[tokio::test]
    async fn the_end_of_a_grant_ends_what_it_holds_open() {
        let dog = Arc::new(Watchdog::new(8, 8));
        let stream = open(&dog, &caller(1), "notes", Span::Standing).unwrap();
        let answer = open(&dog, &caller(1), "notes", Span::Answer).unwrap();
        let other = open(&dog, &caller(2), "notes", Span::Standing).unwrap();
        let other_answer = open(&dog, &caller(2), "notes", Span::Answer).unwrap();
        assert!(dog.holds(grant(1)) && !dog.holds(grant(3)));
        let Subject::User(user) = *caller(1).subject() else { panic!("a user") };
        assert_eq!(dog.grants(Some(user)), [grant(1)]);
        dog.end_of_grant(grant(1));
        assert_eq!((stream.ended().await, answer.ended().await), (End::Revoked, End::Revoked));
        assert!(other.ended().now_or_never().is_none());
        // What is opened later was judged later, so it stays open.
        for span in [Span::Standing, Span::Answer] {
            assert!(open(&dog, &caller(1), "notes", span).unwrap().ended().now_or_never().is_none());
        }
        dog.end_standing();
        assert_eq!(other.ended().await, End::Unconfirmed);
        assert!(other_answer.ended().now_or_never().is_none());
        dog.stop();
        assert_eq!(other_answer.ended().await, End::Stopping);
        assert_eq!(open(&dog, &caller(1), "notes", Span::Answer).unwrap_err(), OpenError::Stopping);
        tokio::join!(dog.closed(), async { drop((stream, answer, other, other_answer)) });
        assert!(dog.grants(None).is_empty());
    }
}
