//! Sessions of the older revisions: our own identifier for the client, the upstream's own behind it.
//!
//! A session authenticates nobody (RS-34, RS-47). It is found only for the subject, client and server that opened it;
//! for everybody else it does not exist (PX-19, ATK-71). It outlives a step-up: real clients come back with a new
//! grant and go on in their session, and what each request may do is decided by its own token. Sessions live in this
//! process: after a restart clients initialise anew, as the protocol has them do (TR-49).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekisho_protocol::caller::{Caller, Subject};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Entropy;
use sekisho_protocol::ids::{ApprovalId, ClientId, GrantId, ServerName};
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::method::{MethodRow, Revision};
use sekisho_protocol::secret::McpSessionToken;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::forward::UpstreamSession;

/// Requests of one session that wait for an answer; of more, the oldest are no longer waited for.
const OPEN_REQUESTS_MAX: usize = 1024;

/// Questions to a person that one session waits for; of more, the oldest are no longer waited for.
const QUESTIONS_MAX: usize = 64;

/// Event ids of one session that can be resumed from.
const EVENTS_MAX: usize = 4096;

/// Whose a job is: the same person through another client or another grant is another owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    subject: Subject,
    client: Option<ClientId>,
    grant: Option<GrantId>,
}

impl Owner {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self { subject: caller.subject.clone(), client: caller.client.clone(), grant: caller.grant }
    }
}

/// Whose a session is: the same person through another client is another party.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Party {
    subject: Subject,
    client: Option<ClientId>,
}

impl Party {
    fn of(caller: &Caller) -> Self {
        Self { subject: caller.subject.clone(), client: caller.client.clone() }
    }
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    key: Digest,
    party: Party,
    /// Under which it was last used: the session ends with it.
    grant: Mutex<Option<GrantId>>,
    /// At which server.
    pub(crate) server: ServerName,
    /// What `initialize` agreed on.
    pub(crate) revision: Revision,
    /// What stands behind it, if the upstream has sessions.
    pub(crate) upstream: Option<UpstreamSession>,
    /// Whether its client opens pages for its user (2025-11-25).
    pub(crate) elicits_urls: bool,
    /// Whether its server has tools, whose list may change.
    pub(crate) has_tools: bool,
    open: Mutex<OpenRequests>,
    /// Digests of the last event ids that were passed on, oldest first.
    events: Mutex<VecDeque<Digest>>,
    /// What a person was sent to a page for, and what of it is over, to be told on the standing stream.
    questions: Mutex<Questions>,
    over: Notify,
    used_at_millis: AtomicU64,
    standing: AtomicBool,
}

#[derive(Debug, Default)]
struct Questions {
    open: VecDeque<ApprovalId>,
    over: VecDeque<ApprovalId>,
}

#[derive(Debug, Default)]
struct OpenRequests {
    rows: HashMap<Id, (u64, &'static MethodRow)>,
    by_age: BTreeMap<u64, Id>,
    next: u64,
}

impl Session {
    /// Remembers a request, so that its answer is known wherever it arrives.
    pub(crate) fn opened(&self, id: &Id, row: &'static MethodRow) {
        let mut open = lock(&self.open);
        if open.by_age.len() >= OPEN_REQUESTS_MAX
            && let Some((_, oldest)) = open.by_age.pop_first()
        {
            open.rows.remove(&oldest);
        }
        let at = open.next;
        open.next = at.wrapping_add(1);
        if let Some((before, _)) = open.rows.insert(id.clone(), (at, row)) {
            open.by_age.remove(&before);
        }
        open.by_age.insert(at, id.clone());
    }

    /// The request that this answer is to, which is answered with that.
    pub(crate) fn answered(&self, id: &Id) -> Option<&'static MethodRow> {
        let mut open = lock(&self.open);
        let (at, row) = open.rows.remove(id)?;
        open.by_age.remove(&at);
        Some(row)
    }

    /// The client of this session was told to send its user to the page of this question.
    pub(crate) fn asks(&self, question: ApprovalId) {
        let mut questions = lock(&self.questions);
        if questions.open.contains(&question) {
            return;
        }
        if questions.open.len() >= QUESTIONS_MAX {
            questions.open.pop_front();
        }
        questions.open.push_back(question);
    }

    /// A person has answered somewhere. News only for the session that asked this.
    fn is_answered(&self, question: ApprovalId) {
        let mut questions = lock(&self.questions);
        let Some(at) = questions.open.iter().position(|open| *open == question) else { return };
        questions.open.remove(at);
        if questions.over.len() >= QUESTIONS_MAX {
            questions.over.pop_front();
        }
        questions.over.push_back(question);
        drop(questions);
        self.over.notify_one();
    }

    /// Resolves when a question of this session is over, with the question. Dropping it before loses nothing.
    pub(crate) async fn next_over(&self) -> ApprovalId {
        loop {
            let next = self.over.notified();
            if let Some(question) = lock(&self.questions).over.pop_front() {
                return question;
            }
            next.await;
        }
    }

    /// An event with this id is passed on in this session.
    pub(crate) fn gives_event(&self, id: &str) {
        let mut events = lock(&self.events);
        if events.len() >= EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(Digest::of(id.as_bytes()));
    }

    /// Whether an event with this id was passed on in this session, and not too long ago (PX-20).
    pub(crate) fn gave_event(&self, id: &str) -> bool {
        lock(&self.events).contains(&Digest::of(id.as_bytes()))
    }

    /// Takes the one place for a standing stream; `None` when it is taken (ATK-71).
    pub(crate) fn take_standing(self: &Arc<Self>) -> Option<StandingPlace> {
        let free = self.standing.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        free.then(|| StandingPlace(Arc::clone(self)))
    }
}

/// The place of the one standing stream of a session; free again when dropped.
#[derive(Debug)]
pub(crate) struct StandingPlace(Arc<Session>);

impl Drop for StandingPlace {
    fn drop(&mut self) {
        self.0.standing.store(false, Ordering::SeqCst);
    }
}

/// A session to be opened.
#[derive(Debug)]
pub(crate) struct NewSession<'a> {
    /// By whom.
    pub(crate) caller: &'a Caller,
    /// Where.
    pub(crate) server: &'a ServerName,
    /// In which revision.
    pub(crate) revision: Revision,
    /// What stands behind it.
    pub(crate) upstream: Option<UpstreamSession>,
    /// Whether its client opens pages for its user.
    pub(crate) elicits_urls: bool,
    /// Whether its server has tools.
    pub(crate) has_tools: bool,
}

/// All sessions of this process.
#[derive(Debug)]
pub(crate) struct Sessions {
    per_party_max: usize,
    idle: Duration,
    began: Instant,
    by_key: Mutex<HashMap<Digest, Arc<Session>>>,
}

impl Sessions {
    pub(crate) fn new(per_party_max: usize, idle: Duration) -> Self {
        Self { per_party_max, idle, began: Instant::now(), by_key: Mutex::default() }
    }

    /// Opens a session. Gives the identifier for the client, and the session that had to give way, if any.
    pub(crate) fn open(&self, new: NewSession<'_>, entropy: &dyn Entropy) -> (McpSessionToken, Option<Arc<Session>>) {
        let token = McpSessionToken::generate(entropy);
        let key = token.digest();
        let party = Party::of(new.caller);
        let session = Session {
            key,
            party: party.clone(),
            grant: Mutex::new(new.caller.grant),
            server: new.server.clone(),
            revision: new.revision,
            upstream: new.upstream,
            elicits_urls: new.elicits_urls,
            has_tools: new.has_tools,
            open: Mutex::default(),
            events: Mutex::default(),
            questions: Mutex::default(),
            over: Notify::new(),
            used_at_millis: AtomicU64::new(self.millis()),
            standing: AtomicBool::new(false),
        };
        let mut by_key = lock(&self.by_key);
        let own = by_key.values().filter(|session| session.party == party);
        // Nobody in particular is many.
        let max = if new.caller.grant.is_some() { self.per_party_max } else { self.per_party_max.saturating_mul(64) };
        let evicted = if own.clone().count() >= max {
            own.min_by_key(|session| session.used_at_millis.load(Ordering::Relaxed)).map(|session| session.key)
        } else {
            None
        };
        let evicted = evicted.and_then(|key| by_key.remove(&key));
        by_key.insert(key, Arc::new(session));
        (token, evicted)
    }

    /// The session of this identifier, if it is this caller's at this server. Someone else's is as unknown as none.
    pub(crate) fn find(&self, token: &str, caller: &Caller, server: &ServerName) -> Option<Arc<Session>> {
        let token = McpSessionToken::parse(token).ok()?;
        let session = lock(&self.by_key).get(&token.digest()).cloned()?;
        if session.server != *server || session.party != Party::of(caller) {
            return None;
        }
        *lock(&session.grant) = caller.grant;
        session.used_at_millis.store(self.millis(), Ordering::Relaxed);
        Some(session)
    }

    /// Ends a session. Whoever asks has found it first.
    pub(crate) fn end(&self, session: &Session) {
        lock(&self.by_key).remove(&session.key);
    }

    /// Ends those that were idle for too long, and gives them.
    pub(crate) fn sweep(&self) -> Vec<Arc<Session>> {
        let idle = u64::try_from(self.idle.as_millis()).unwrap_or(u64::MAX);
        let before = self.millis().saturating_sub(idle);
        self.take(|session| {
            !session.standing.load(Ordering::SeqCst) && session.used_at_millis.load(Ordering::Relaxed) < before
        })
    }

    /// Ends all of one grant, and gives them.
    pub(crate) fn end_of_grant(&self, grant: GrantId) -> Vec<Arc<Session>> {
        self.take(|session| *lock(&session.grant) == Some(grant))
    }

    /// Ends all at servers that are not mounted any more, and gives them.
    pub(crate) fn end_unless(&self, mounted: impl Fn(&ServerName) -> bool) -> Vec<Arc<Session>> {
        self.take(|session| !mounted(&session.server))
    }

    /// A person has answered a question, whichever session asked it.
    pub(crate) fn is_answered(&self, question: ApprovalId) {
        lock(&self.by_key).values().for_each(|session| session.is_answered(question));
    }

    /// Every grant that has a session.
    pub(crate) fn grants(&self) -> Vec<GrantId> {
        lock(&self.by_key).values().filter_map(|session| *lock(&session.grant)).collect()
    }

    fn take(&self, ended: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let mut by_key = lock(&self.by_key);
        let keys: Vec<Digest> = by_key.values().filter(|session| ended(session)).map(|session| session.key).collect();
        keys.iter().filter_map(|key| by_key.remove(key)).collect()
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
