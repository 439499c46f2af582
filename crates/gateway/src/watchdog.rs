//! What is open, and what ends it: every request that is being answered and every stream, by the grant behind it.
//!
//! Revocation, a disabled user, a removed client reach an open answer through the change feed and end it within a
//! second; standing streams also end with their token (ATK-59). What is open is counted here, too (ATK-94).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sekisho_protocol::caller::Caller;
use sekisho_protocol::ids::{GrantId, ServerName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Requests of one grant that are being answered at one time.
const ANSWERS_PER_GRANT: usize = 512;
/// Anonymous callers are many: all of one server together may have this many times what one grant may.
const ANONYMOUS_FACTOR: usize = 16;

/// Why nothing more may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("too many open requests and streams of one grant; close some first")]
    Own,
    #[error("too many open streams; try again later")]
    Total,
}

/// How long something stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Until one request is answered.
    Answer,
    /// Until somebody ends it.
    Standing,
}

/// On whose behalf something is open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Anonymous(ServerName),
    Grant(GrantId),
}

/// One standing stream.
#[derive(Debug)]
struct Standing {
    ended: CancellationToken,
    /// How it is told that its lists may have changed.
    nudge: Arc<Notify>,
    server: ServerName,
}

/// What one holder has open.
#[derive(Debug, Default)]
struct Held {
    /// Ends all of it.
    ended: CancellationToken,
    answers: usize,
    standing: HashMap<u64, Standing>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.answers == 0 && self.standing.is_empty()
    }

    /// Ends what is open now, and nothing that is opened later.
    fn end(&mut self) {
        std::mem::take(&mut self.ended).cancel();
    }
}

#[derive(Debug, Default)]
struct Open {
    by_holder: HashMap<Holder, Held>,
    standing: usize,
    next: u64,
}

/// Everything that is open.
#[derive(Debug)]
pub(crate) struct Watchdog {
    streams_per_grant: usize,
    streams_total: usize,
    open: Mutex<Open>,
    /// Told when nothing is open any more.
    emptied: Notify,
}

/// One open answer or stream; not open any more when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    dog: Arc<Watchdog>,
    holder: Holder,
    ended: CancellationToken,
    /// Of a standing stream: which it is, and how it is nudged.
    standing: Option<(u64, Arc<Notify>)>,
}

impl Watch {
    /// Resolves when what this stream's lists show may have changed; never for the answer to one request. Several changes
    /// at once are one.
    pub(crate) async fn nudged(&self) {
        match &self.standing {
            Some((_, nudge)) => nudge.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Resolves when the authority behind it has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut open = self.dog.lock();
        let Some(held) = open.by_holder.get_mut(&self.holder) else { return };
        match self.standing {
            None => held.answers = held.answers.saturating_sub(1),
            Some((id, _)) => drop(held.standing.remove(&id)),
        }
        if held.is_empty() {
            open.by_holder.remove(&self.holder);
        }
        open.standing = open.standing.saturating_sub(usize::from(self.standing.is_some()));
        if open.by_holder.is_empty() {
            self.dog.emptied.notify_waiters();
        }
    }
}

impl Watchdog {
    pub(crate) fn new(streams_per_grant: usize, streams_total: usize) -> Self {
        Self { streams_per_grant, streams_total, open: Mutex::default(), emptied: Notify::new() }
    }

    /// Opens something for this caller at this server.
    pub(crate) fn open(self: &Arc<Self>, caller: &Caller, server: &ServerName, span: Span) -> Result<Watch, OpenError> {
        let (holder, factor) = match caller.grant {
            Some(grant) => (Holder::Grant(grant), 1),
            None => (Holder::Anonymous(server.clone()), ANONYMOUS_FACTOR),
        };
        let mut open = self.lock();
        if span == Span::Standing && open.standing >= self.streams_total {
            return Err(OpenError::Total);
        }
        let id = open.next;
        let held = open.by_holder.entry(holder.clone()).or_default();
        let is_full = match span {
            Span::Answer => held.answers >= ANSWERS_PER_GRANT.saturating_mul(factor),
            Span::Standing => held.standing.len() >= self.streams_per_grant.saturating_mul(factor),
        };
        if is_full {
            // What was just made for nothing goes again; a full one has something in it, except at bound 0.
            if held.is_empty() {
                open.by_holder.remove(&holder);
            }
            return Err(OpenError::Own);
        }
        let (ended, standing) = match span {
            Span::Answer => {
                held.answers += 1;
                (held.ended.clone(), None)
            }
            Span::Standing => {
                let (ended, nudge) = (held.ended.child_token(), Arc::<Notify>::default());
                let standing = Standing { ended: ended.clone(), nudge: Arc::clone(&nudge), server: server.clone() };
                held.standing.insert(id, standing);
                open.next = id.wrapping_add(1);
                open.standing += 1;
                (ended, Some((id, nudge)))
            }
        };
        Ok(Watch { dog: Arc::clone(self), holder, ended, standing })
    }

    /// Ends everything of one grant.
    pub(crate) fn end_of_grant(&self, grant: GrantId) {
        if let Some(held) = self.lock().by_holder.get_mut(&Holder::Grant(grant)) {
            held.end();
        }
    }

    /// Ends what stands open without a request: nobody can say any more that its authority lasts.
    pub(crate) fn end_standing(&self) {
        let open = self.lock();
        open.by_holder.values().flat_map(|held| held.standing.values()).for_each(|stream| stream.ended.cancel());
    }

    /// Tells the standing streams of one grant that what their lists show may have changed.
    pub(crate) fn nudge_grant(&self, grant: GrantId) {
        if let Some(held) = self.lock().by_holder.get(&Holder::Grant(grant)) {
            held.standing.values().for_each(|stream| stream.nudge.notify_one());
        }
    }

    /// The same, all of one server; all there are, without one.
    pub(crate) fn nudge(&self, server: Option<&ServerName>) {
        let open = self.lock();
        let streams = open.by_holder.values().flat_map(|held| held.standing.values());
        let concerned = streams.filter(|stream| server.is_none_or(|server| stream.server == *server));
        concerned.for_each(|stream| stream.nudge.notify_one());
    }

    /// Ends everything, because we stop.
    pub(crate) fn end_all(&self) {
        self.lock().by_holder.values_mut().for_each(Held::end);
    }

    /// Waits until nothing is open.
    pub(crate) async fn closed(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().by_holder.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Every grant with something open.
    pub(crate) fn grants(&self) -> Vec<GrantId> {
        let open = self.lock();
        let grant = |holder: &Holder| match holder {
            Holder::Anonymous(_) => None,
            Holder::Grant(grant) => Some(*grant),
        };
        open.by_holder.keys().filter_map(grant).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sekisho_protocol::caller::Caller;
    use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy};
    use sekisho_protocol::ids::GrantId;
    use sekisho_protocol::scope::ScopeSet;

    use super::{ANONYMOUS_FACTOR, ANSWERS_PER_GRANT, OpenError, Span, Watchdog};

    fn caller(seed: u64) -> Caller {
        let grant = GrantId::generate(ManualClock::default().now(), &SeededEntropy::from_seed(seed));
        Caller { grant: Some(grant), ..Caller::anonymous(ScopeSet::empty()) }
    }

    /// ATK-94: the stream beyond the bound is refused, and another grant is not affected.
    #[test]
    fn streams_are_counted_by_grant_and_altogether() {
        let dog = Arc::new(Watchdog::new(2, 3));
        let server = "notes".parse().unwrap();
        let first = dog.open(&caller(1), &server, Span::Standing).unwrap();
        let _second = dog.open(&caller(1), &server, Span::Standing).unwrap();
        assert_eq!(dog.open(&caller(1), &server, Span::Standing).unwrap_err(), OpenError::Own);
        assert!(dog.open(&caller(1), &server, Span::Answer).is_ok());
        let _other = dog.open(&caller(2), &server, Span::Standing).unwrap();
        assert_eq!(dog.open(&caller(3), &server, Span::Standing).unwrap_err(), OpenError::Total);
        drop(first);
        assert!(dog.open(&caller(1), &server, Span::Standing).is_ok());
    }

    /// ATK-94: so many answers of one grant at a time, and of all who are nobody in particular at a server.
    #[test]
    fn answers_are_counted_by_grant_and_of_nobody_by_server() {
        let dog = Arc::new(Watchdog::new(1, 1));
        let (notes, other) = ("notes".parse().unwrap(), "other".parse().unwrap());
        let nobody = Caller::anonymous(ScopeSet::empty());
        for (who, max) in [(&caller(1), ANSWERS_PER_GRANT), (&nobody, ANSWERS_PER_GRANT * ANONYMOUS_FACTOR)] {
            let mut open: Vec<_> = (0..max).map(|_| dog.open(who, &notes, Span::Answer).unwrap()).collect();
            assert_eq!(dog.open(who, &notes, Span::Answer).unwrap_err(), OpenError::Own);
            assert!(dog.open(&caller(2), &notes, Span::Answer).is_ok());
            assert!(dog.open(&nobody, &other, Span::Answer).is_ok());
            open.pop();
            assert!(dog.open(who, &notes, Span::Answer).is_ok());
        }
        assert!(dog.grants().is_empty());
    }

    /// ATK-59: what one grant holds open ends with it, and nothing else does.
    #[tokio::test]
    async fn the_end_of_a_grant_ends_what_it_holds_open() {
        let dog = Arc::new(Watchdog::new(8, 8));
        let server = "notes".parse().unwrap();
        let stream = dog.open(&caller(1), &server, Span::Standing).unwrap();
        let answer = dog.open(&caller(1), &server, Span::Answer).unwrap();
        let other = dog.open(&caller(2), &server, Span::Standing).unwrap();
        dog.end_of_grant(caller(1).grant.unwrap());
        stream.ended().await;
        answer.ended().await;
        assert!(!other.ended.is_cancelled());
        // What is opened later was judged later.
        for span in [Span::Standing, Span::Answer] {
            assert!(!dog.open(&caller(1), &server, span).unwrap().ended.is_cancelled());
        }
        dog.end_standing();
        other.ended().await;
        tokio::join!(dog.closed(), async { drop((stream, answer, other)) });
        assert!(dog.grants().is_empty());
    }
}
