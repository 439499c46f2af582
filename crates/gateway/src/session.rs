//! Sessions of the older revisions: our own identifier for the client, the upstream's own behind it.
//!
//! A session is no authentication (RS-34, RS-47). It is found only for the subject, client and server that opened it;
//! for all others it does not exist (PX-19, ATK-71). It outlives a step-up: real clients come back with a new grant and
//! go on in their session, and each request may do what its own token allows. Sessions live in this process. After a
//! restart, clients go on in those whose upstream is reached over HTTP (`kept`), and initialise the others anew, as the
//! protocol requires (TR-49).
//!
//! An id names one request of a session: while that is open, no other request can have the id (2025-11-25 Basic
//! Protocol, Requests). Because streams are resumed, a message under an id may be the answer to a request of long ago.

mod identifier;
pub(crate) mod kept;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sekisho_protocol::caller::{Basis, Caller, Subject};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Entropy, random};
use sekisho_protocol::ids::{ClientId, GrantId, ServerName, UserId};
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::method::MethodRow;
use sekisho_protocol::secret::McpSessionToken;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::forward::UpstreamSession;
use crate::revision::NearRevision;
use crate::shares::Holder;
use crate::upstream::UpstreamName;

/// The most requests of one session that wait for an answer; beyond that, the oldest are no longer waited for.
const OPEN_REQUESTS_MAX: usize = 1024;

/// The most questions to a person that one session waits for; beyond that, the oldest are no longer waited for.
const QUESTIONS_MAX: usize = 64;

/// The most event ids of one session from which a stream can be resumed.
const EVENTS_MAX: usize = 1024;
/// One user may have this many times the sessions of one client, over all clients.
const HOLDER_FACTOR: usize = 8;
/// The most sessions of all users and services. Beyond that, a session of the holder with the most gives way.
const SESSIONS_TOTAL: usize = 16_384;
/// The most sessions of all anonymous callers, who cannot displace users.
const ANONYMOUS_TOTAL: usize = 4096;
/// How long a session of an anonymous caller lives without a request. Beginning another needs no sign-in.
const ANONYMOUS_IDLE: Duration = Duration::from_hours(1);
/// The most sessions of earlier processes whose end in this one is remembered. Beyond that, no such session is
/// continued.
const ENDED_MAX: usize = 65_536;

/// Who owns a job. The same person through another client or another grant is another owner. Anonymous callers cannot
/// be told apart, so their jobs belong to the session in which they were begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    subject: Subject,
    client: Option<ClientId>,
    grant: Option<GrantId>,
    session: Option<Digest>,
}

impl Owner {
    /// Returns the owner; `None` if the owner could not be recognised later.
    pub(crate) fn of(caller: &Caller, session: Option<&Session>) -> Option<Self> {
        let session = match &caller.basis {
            Basis::Grant(_) => None,
            Basis::Open => Some(session?.key),
        };
        let (subject, client) = (caller.subject().clone(), caller.client().cloned());
        Some(Self { subject, client, grant: caller.grant(), session })
    }
}

/// A session at an upstream, and the key of that upstream.
#[derive(Debug, Clone)]
pub(crate) struct FarSession {
    pub(crate) upstream: UpstreamName,
    pub(crate) session: UpstreamSession,
}

/// Who owns a session. The same person through another client is another party.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Party {
    subject: Subject,
    client: Option<ClientId>,
}

impl Party {
    fn of(caller: &Caller) -> Self {
        Self { subject: caller.subject().clone(), client: caller.client().cloned() }
    }
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    key: Digest,
    party: Party,
    /// The holder to whose share the session counts.
    holder: Holder,
    /// The grant under which the session was last used. The session ends with it.
    grant: Mutex<Option<GrantId>>,
    /// The server that the session is at.
    pub(crate) server: ServerName,
    /// The revision that `initialize` agreed on with the client.
    pub(crate) near: NearRevision,
    /// The upstream's session behind it, if the upstream has sessions.
    pub(crate) far: Option<FarSession>,
    /// Whether its client opens pages for its user (2025-11-25).
    pub(crate) elicits_urls: bool,
    /// Whether its server has tools, so that their list may change.
    pub(crate) has_tools: bool,
    open: Mutex<OpenRequests>,
    /// Digests of the last event ids that were passed on, oldest first.
    events: Mutex<VecDeque<Digest>>,
    /// The questions that a person was sent to a page for, and those that are over, to be told on the standing stream.
    questions: Mutex<Questions>,
    over: Notify,
    used_at_millis: AtomicU64,
    standing: AtomicBool,
    /// Whether another process began the session.
    is_revived: bool,
}

#[derive(Debug, Default)]
struct Questions {
    open: VecDeque<String>,
    over: VecDeque<String>,
}

#[derive(Debug, Default)]
struct OpenRequests {
    rows: HashMap<IdKey, (u64, &'static MethodRow)>,
    by_age: BTreeMap<u64, IdKey>,
    next: u64,
}

/// A request id in a small form, so that a session can keep many. A client may send very long ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum IdKey {
    Integer(i64),
    String(Digest),
}

impl IdKey {
    fn of(id: &Id) -> Self {
        match id {
            Id::Integer(number) => Self::Integer(*number),
            Id::String(text) => Self::String(Digest::of(text.as_bytes())),
        }
    }
}

/// The place of a request among the open ones of its session. If this is dropped before the request was sent, the place
/// is free again; after that, only an answer frees it.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    session: Arc<Session>,
    key: IdKey,
    at: u64,
    sent: AtomicBool,
}

impl OpenRequest {
    /// Notes that the request goes to the upstream: from now on its answer may arrive on any stream of its session.
    pub(crate) fn mark_sent(&self) {
        self.sent.store(true, Ordering::Relaxed);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if !*self.sent.get_mut() {
            lock(&self.session.open).forget(self.key, self.at);
        }
    }
}

impl OpenRequests {
    /// Forgets a request, unless it was answered and another request has its id now.
    fn forget(&mut self, key: IdKey, at: u64) {
        if self.rows.get(&key).is_some_and(|(found, _)| *found == at) {
            self.rows.remove(&key);
            self.by_age.remove(&at);
        }
    }
}

impl Session {
    /// Remembers a request, so that its answer is recognised wherever it arrives. `None`: a request with this id is
    /// open.
    pub(crate) fn opens(self: &Arc<Self>, id: &Id, row: &'static MethodRow) -> Option<OpenRequest> {
        let key = IdKey::of(id);
        let mut open = lock(&self.open);
        if open.rows.contains_key(&key) {
            return None;
        }
        if open.by_age.len() >= OPEN_REQUESTS_MAX
            && let Some((_, oldest)) = open.by_age.pop_first()
        {
            open.rows.remove(&oldest);
        }
        let at = open.next;
        open.next = at.wrapping_add(1);
        open.rows.insert(key, (at, row));
        open.by_age.insert(at, key);
        drop(open);
        Some(OpenRequest { session: Arc::clone(self), key, at, sent: AtomicBool::new(false) })
    }

    /// Returns the request that this answer belongs to, which is no longer open then.
    pub(crate) fn answered(&self, id: &Id) -> Option<&'static MethodRow> {
        let mut open = lock(&self.open);
        let (at, row) = open.rows.remove(&IdKey::of(id))?;
        open.by_age.remove(&at);
        Some(row)
    }

    /// Notes that the client was told to send its user to the page of this question.
    pub(crate) fn asks(&self, question: &str) {
        let mut questions = lock(&self.questions);
        if questions.open.iter().any(|open| open == question) {
            return;
        }
        if questions.open.len() >= QUESTIONS_MAX {
            questions.open.pop_front();
        }
        questions.open.push_back(question.to_owned());
    }

    /// Notes that a person has answered a question. Has no effect if this session did not ask it.
    fn is_answered(&self, question: &str) {
        let mut questions = lock(&self.questions);
        let at = questions.open.iter().position(|open| open == question);
        let Some(question) = at.and_then(|at| questions.open.remove(at)) else { return };
        if questions.over.len() >= QUESTIONS_MAX {
            questions.over.pop_front();
        }
        questions.over.push_back(question);
        drop(questions);
        self.over.notify_one();
    }

    /// Waits until a question of this session is over, and returns the question. Dropping the future loses nothing.
    pub(crate) async fn next_over(&self) -> String {
        loop {
            let next = self.over.notified();
            if let Some(question) = lock(&self.questions).over.pop_front() {
                return question;
            }
            next.await;
        }
    }

    /// Notes that an event with this id is passed on in this session.
    pub(crate) fn gives_event(&self, id: &str) {
        let mut events = lock(&self.events);
        if events.len() >= EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(Digest::of(id.as_bytes()));
    }

    /// Whether an event with this id is among the last that were passed on in this session (PX-20).
    pub(crate) fn gave_event(&self, id: &str) -> bool {
        lock(&self.events).contains(&Digest::of(id.as_bytes()))
    }

    /// Takes the one place for a standing stream; `None` if it is taken (ATK-71).
    pub(crate) fn take_standing(self: &Arc<Self>) -> Option<StandingPlace> {
        let free = self.standing.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        free.then(|| StandingPlace(Arc::clone(self)))
    }
}

/// The place for the one standing stream of a session. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct StandingPlace(Arc<Session>);

impl Drop for StandingPlace {
    fn drop(&mut self) {
        self.0.standing.store(false, Ordering::SeqCst);
    }
}

/// A session that is to be opened.
#[derive(Debug)]
pub(crate) struct NewSession<'a> {
    /// The caller that opens it.
    pub(crate) caller: &'a Caller,
    /// The address of the caller.
    pub(crate) source: Option<IpAddr>,
    /// The server that it is at.
    pub(crate) server: &'a ServerName,
    /// The revision that the client speaks.
    pub(crate) near: NearRevision,
    /// The upstream's session behind it.
    pub(crate) far: Option<FarSession>,
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
    /// Identifies this process; set once a session has begun.
    process: OnceLock<Digest>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<Digest, Arc<Session>>,
    by_holder: HashMap<Holder, HashSet<Digest>>,
    anonymous: usize,
    /// The revived sessions that have ended. They are not revived again.
    ended: HashSet<Digest>,
}

impl Table {
    fn insert(&mut self, session: Arc<Session>) {
        self.by_holder.entry(session.holder.clone()).or_default().insert(session.key);
        self.anonymous += usize::from(matches!(session.holder, Holder::Anonymous(_)));
        self.by_key.insert(session.key, session);
    }

    fn remove(&mut self, key: &Digest) -> Option<Arc<Session>> {
        let session = self.by_key.remove(key)?;
        if session.is_revived && self.ended.len() < ENDED_MAX {
            self.ended.insert(*key);
        }
        if let Some(own) = self.by_holder.get_mut(&session.holder) {
            own.remove(key);
            if own.is_empty() {
                self.by_holder.remove(&session.holder);
            }
        }
        self.anonymous = self.anonymous.saturating_sub(usize::from(matches!(session.holder, Holder::Anonymous(_))));
        Some(session)
    }

    /// The sessions of one holder.
    fn of(&self, holder: &Holder) -> impl Iterator<Item = &Arc<Session>> + Clone {
        self.by_holder.get(holder).into_iter().flatten().filter_map(|key| self.by_key.get(key))
    }

    /// Returns the session that has to give way before this party and holder may begin another: the one that was idle
    /// longest among those of the party, of the holder, or of the holder with the most.
    fn in_the_way(&self, party: &Party, holder: &Holder, per_party_max: usize) -> Option<Digest> {
        let idlest = |session: &&Arc<Session>| session.used_at_millis.load(Ordering::Relaxed);
        let own = self.of(holder);
        let of_party = own.clone().filter(|session| session.party == *party);
        if of_party.clone().count() >= per_party_max {
            return of_party.min_by_key(idlest).map(|session| session.key);
        }
        if own.clone().count() >= per_party_max.saturating_mul(HOLDER_FACTOR) {
            return own.min_by_key(idlest).map(|session| session.key);
        }
        let is_anonymous = |holder: &Holder| matches!(holder, Holder::Anonymous(_));
        let (all, max) = match is_anonymous(holder) {
            true => (self.anonymous, ANONYMOUS_TOTAL),
            false => (self.by_key.len().saturating_sub(self.anonymous), SESSIONS_TOTAL),
        };
        if all < max {
            return None;
        }
        let alike = self.by_key.values().filter(|session| is_anonymous(&session.holder) == is_anonymous(holder));
        let count = |session: &Arc<Session>| self.by_holder.get(&session.holder).map_or(0, HashSet::len);
        alike.max_by_key(|session| (count(session), Reverse(idlest(session)))).map(|session| session.key)
    }
}

impl Sessions {
    pub(crate) fn new(per_party_max: usize, idle: Duration) -> Self {
        Self { per_party_max, idle, began: Instant::now(), process: OnceLock::new(), table: Mutex::default() }
    }

    /// Returns a digest that identifies this process.
    pub(crate) fn process(&self, entropy: &dyn Entropy) -> Digest {
        *self.process.get_or_init(|| Digest::of(&random::<32>(entropy)))
    }

    /// Opens a session under this identifier. Returns the session that had to give way, if any.
    pub(crate) fn open(&self, id: &str, new: NewSession<'_>) -> Option<Arc<Session>> {
        let session = self.begun(Digest::of(id.as_bytes()), new, false);
        let mut table = lock(&self.table);
        let evicted = table.in_the_way(&session.party, &session.holder, self.per_party_max);
        let evicted = evicted.and_then(|key| table.remove(&key));
        table.insert(Arc::new(session));
        evicted
    }

    /// Continues a session that another process began. `None`: it has ended here, or there is no place for it.
    pub(crate) fn revive(&self, id: &str, new: NewSession<'_>) -> Option<Arc<Session>> {
        let session = self.begun(Digest::of(id.as_bytes()), new, true);
        let mut table = lock(&self.table);
        if let Some(known) = table.by_key.get(&session.key) {
            return (known.party == session.party && known.server == session.server).then(|| Arc::clone(known));
        }
        let is_over = table.ended.contains(&session.key) || table.ended.len() >= ENDED_MAX;
        if is_over || table.in_the_way(&session.party, &session.holder, self.per_party_max).is_some() {
            return None;
        }
        let session = Arc::new(session);
        table.insert(Arc::clone(&session));
        Some(session)
    }

    fn begun(&self, key: Digest, new: NewSession<'_>, is_revived: bool) -> Session {
        Session {
            key,
            party: Party::of(new.caller),
            holder: Holder::of(new.caller, new.source),
            grant: Mutex::new(new.caller.grant()),
            server: new.server.clone(),
            near: new.near,
            far: new.far,
            elicits_urls: new.elicits_urls,
            has_tools: new.has_tools,
            open: Mutex::default(),
            events: Mutex::default(),
            questions: Mutex::default(),
            over: Notify::new(),
            used_at_millis: AtomicU64::new(self.millis()),
            standing: AtomicBool::new(false),
            is_revived,
        }
    }

    /// Returns the session of this identifier, if it is this caller's at this server. Another's session is as unknown
    /// as none.
    pub(crate) fn find(&self, id: &str, caller: &Caller, server: &ServerName) -> Option<Arc<Session>> {
        McpSessionToken::parse(identifier::parts(id).0).ok()?;
        let session = lock(&self.table).by_key.get(&Digest::of(id.as_bytes())).cloned()?;
        if session.server != *server || session.party != Party::of(caller) {
            return None;
        }
        *lock(&session.grant) = caller.grant();
        session.used_at_millis.store(self.millis(), Ordering::Relaxed);
        Some(session)
    }

    /// Ends a session.
    pub(crate) fn end(&self, session: &Session) {
        lock(&self.table).remove(&session.key);
    }

    /// Ends the sessions that were idle for too long, and returns them.
    pub(crate) fn sweep(&self) -> Vec<Arc<Session>> {
        let before = |idle: Duration| self.millis().saturating_sub(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        let (named, anonymous) = (before(self.idle), before(self.idle.min(ANONYMOUS_IDLE)));
        self.take(|session| {
            let before = if matches!(session.holder, Holder::Anonymous(_)) { anonymous } else { named };
            !session.standing.load(Ordering::SeqCst) && session.used_at_millis.load(Ordering::Relaxed) < before
        })
    }

    /// Ends all sessions of these grants, and returns them.
    pub(crate) fn end_of_grants(&self, grants: &HashSet<GrantId>) -> Vec<Arc<Session>> {
        self.take(|session| lock(&session.grant).is_some_and(|grant| grants.contains(&grant)))
    }

    /// Ends all sessions at servers that are not mounted any more, and returns them.
    pub(crate) fn end_unless(&self, mounted: impl Fn(&ServerName) -> bool) -> Vec<Arc<Session>> {
        self.take(|session| !mounted(&session.server))
    }

    /// Notes that a person has answered a question, whichever session asked it.
    pub(crate) fn is_answered(&self, question: &str) {
        lock(&self.table).by_key.values().for_each(|session| session.is_answered(question));
    }

    /// Returns every grant that has a session; with `of`, only those of that user.
    pub(crate) fn grants(&self, of: Option<UserId>) -> Vec<GrantId> {
        let table = lock(&self.table);
        match of {
            None => table.by_key.values().filter_map(|session| *lock(&session.grant)).collect(),
            Some(user) => {
                let user = Holder::Subject(Subject::User(user));
                table.of(&user).filter_map(|session| *lock(&session.grant)).collect()
            }
        }
    }

    fn take(&self, ended: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let mut table = lock(&self.table);
        let ended = table.by_key.values().filter(|session| ended(session));
        let keys: Vec<Digest> = ended.map(|session| session.key).collect();
        keys.iter().filter_map(|key| table.remove(key)).collect()
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
