//! Step 3: who calls. A bearer token is verified once and then known by its digest; whether its grant is still
//! alive is asked on every request, of a cache that the change feed keeps honest.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use quick_cache::sync::Cache;
use sekisho_policy::model::{Authority, Trust};
use sekisho_policy::task::{BoundTask, Need};
use sekisho_protocol::caller::{Basis, Caller, Granted};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_protocol::resource::ResourceId;
use sekisho_store::{GrantState, Store, StoreError};
use sekisho_token::{AccessClaims, Expectation, Keys, VerifyError, verify};

use crate::route::Routed;

/// Why it is not known who calls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthenticateError {
    /// The grant is revoked or over, its user or client disabled, or its tokens were called in.
    #[error("the grant behind the token has ended")]
    Ended,
    /// Two `Authorization` headers, or one that does not read as RFC 6750 §2.1 says.
    #[error("the `Authorization` header is malformed")]
    Malformed,
    /// No bearer token.
    #[error("no bearer token")]
    Missing,
    /// The token is not believed.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// The store cannot say whether the grant is alive, so the call is refused (product rule: a store that is down denies).
    #[error("the store cannot be asked")]
    Unavailable(#[source] Option<StoreError>),
}

/// Who calls, and what their authority rests on.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    /// Who.
    pub(crate) caller: Arc<Caller>,
    /// What shows that the authority still holds.
    pub(crate) proof: Proof,
    /// The declared tasks, and how far the clients are trusted.
    pub(crate) authority: Authority,
}

/// What shows that a caller's authority still holds.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// What the store said of this grant.
    Grant(GrantId, Arc<GrantSnapshot>),
    /// The server is open to everybody. The routes say so at every request, so nothing else has to be asked.
    Open,
}

impl Authenticated {
    /// An anonymous caller, at a server opened on purpose.
    fn anonymous(routed: &Routed) -> Self {
        let scopes = routed.card().scopes_default.clone();
        Self { caller: Arc::new(Caller::anonymous(scopes)), proof: Proof::Open, authority: Authority::default() }
    }
}

/// What stands where the bearer token of a request stands (RFC 6750 §2.1), total over all headers. A token in the query
/// is never looked at (RS-35), and no other header can stand in for this one (ATK-62).
fn bearer(headers: &HeaderMap) -> Result<&[u8], AuthenticateError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(AuthenticateError::Missing),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err(AuthenticateError::Malformed),
    };
    let space = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, mut token) = value.split_at(space);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        // Another well-formed scheme is no bearer token; anything else is broken.
        let is_token = !scheme.is_empty()
            && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
        return Err(if is_token { AuthenticateError::Missing } else { AuthenticateError::Malformed });
    }
    while let [b' ', rest @ ..] | [rest @ .., b' '] = token {
        token = rest;
    }
    Ok(token)
}

/// The `b64token` of RFC 6750 §2.1, which what stands there has to be.
fn b64token(token: &[u8]) -> Result<&str, AuthenticateError> {
    let token = std::str::from_utf8(token).map_err(|_| AuthenticateError::Malformed)?;
    let body = token.trim_end_matches('=');
    let plain =
        |byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if !body.is_empty() && body.bytes().all(plain) { Ok(token) } else { Err(AuthenticateError::Malformed) }
}

/// A token that was believed once. Only the digest of its characters is kept.
#[derive(Debug)]
struct Believed {
    caller: Arc<Caller>,
    audience: ResourceId,
    grant: GrantId,
    /// The task that the token names.
    task: Option<TaskId>,
    epoch: i64,
    issued: Timestamp,
}

/// Turns bearer tokens into callers.
#[derive(Debug)]
pub(crate) struct Authenticator {
    issuer: String,
    tokens: Cache<Digest, Arc<Believed>>,
    grants: Grants,
}

impl Authenticator {
    pub(crate) fn new(issuer: String, tokens_cached_max: usize, store: Store) -> Self {
        Self { issuer, tokens: Cache::new(tokens_cached_max), grants: Grants::new(tokens_cached_max, store) }
    }

    /// What the store says of grants.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Forgets every token, because the keys changed.
    pub(crate) fn forget_tokens(&self) {
        self.tokens.clear();
    }

    /// Who sent this request (RS-27, RS-34): asked anew on every request, whatever came before on the connection.
    pub(crate) async fn authenticate(
        &self,
        keys: &Keys,
        routed: &Routed,
        headers: &HeaderMap,
    ) -> Result<Authenticated, AuthenticateError> {
        let token = match bearer(headers) {
            Ok(token) => token,
            Err(AuthenticateError::Missing) if routed.card().public => return Ok(Authenticated::anonymous(routed)),
            Err(error) => return Err(error),
        };
        let believed = self.believe(keys, token, &routed.card().resource, routed.now)?;
        let snapshot = self.grants.snapshot(believed.grant).await;
        let snapshot = snapshot.map_err(|error| AuthenticateError::Unavailable(Some(error)))?;
        if !snapshot.honours(believed.epoch, routed.now) {
            return Err(AuthenticateError::Ended);
        }
        let authority = snapshot.authority(believed.task);
        let proof = Proof::Grant(believed.grant, snapshot);
        Ok(Authenticated { caller: Arc::clone(&believed.caller), proof, authority })
    }

    fn believe(
        &self,
        keys: &Keys,
        token: &[u8],
        audience: &ResourceId,
        now: Timestamp,
    ) -> Result<Arc<Believed>, AuthenticateError> {
        let digest = Digest::of(token);
        let believed = match self.tokens.get(&digest) {
            Some(believed) => believed,
            None => {
                let claims = verify(keys, b64token(token)?, &Expectation::new(&self.issuer, audience, now))?;
                let believed = Arc::new(Believed::of(claims));
                self.tokens.insert(digest, Arc::clone(&believed));
                believed
            }
        };
        // What was believed for one server or one moment is not believed for another (RS-28).
        if believed.audience != *audience {
            return Err(VerifyError::Audience.into());
        }
        if believed.caller.ends() <= now {
            return Err(VerifyError::Expired.into());
        }
        // The clock was ahead when it was issued, and was set right: its end is further away than was promised (ATK-173).
        if believed.issued > after(now, Expectation::LEEWAY_SECONDS) {
            return Err(VerifyError::NotYetValid.into());
        }
        Ok(believed)
    }
}

impl Believed {
    fn of(claims: AccessClaims) -> Self {
        let granted = Granted {
            subject: claims.sub,
            client: claims.client_id,
            path: claims.path,
            grant: claims.grant,
            task: claims.task,
            token: claims.jti,
            expires: claims.exp,
        };
        let caller = Arc::new(Caller { scopes: claims.scope, basis: Basis::Grant(granted) });
        let AccessClaims { grant, task, epoch, iat: issued, aud: audience, .. } = claims;
        Self { caller, audience, grant, task, epoch, issued }
    }
}

/// What the store said of one grant, and whether something changed since.
#[derive(Debug)]
pub(crate) struct GrantSnapshot {
    state: Option<GrantState>,
    /// What a token needs that names no task of its own.
    need: Need,
    /// The tasks of the grant, their bounds ready; one whose bounds cannot be read is missing, and so refuses.
    tasks: Vec<Arc<BoundTask>>,
    trust: Trust,
    stale: AtomicBool,
    generation: u64,
}

impl GrantSnapshot {
    fn honours(&self, epoch: i64, now: Timestamp) -> bool {
        self.state.as_ref().is_some_and(|state| state.honours(epoch, now))
    }

    fn of(state: Option<GrantState>, generation: u64) -> Self {
        let tasks = state.iter().flat_map(|state| &state.tasks);
        let tasks: Vec<_> = tasks.filter_map(|task| BoundTask::new(task.clone()).ok().map(Arc::new)).collect();
        let origins = state.iter().flat_map(|state| &state.origins).copied();
        let trust = origins.map(Trust::of).min().unwrap_or_default();
        let need = Need::named(state.as_ref().and_then(|state| state.task), &tasks);
        Self { state, need, tasks, trust, stale: AtomicBool::new(false), generation }
    }

    /// What stands behind a token of this grant: the grant's current task, and the task that the token names.
    pub(crate) fn authority(&self, task: Option<TaskId>) -> Authority {
        let current = self.state.as_ref().and_then(|state| state.task);
        let need = match task {
            None => self.need.clone(),
            Some(task) => Need::named(current.into_iter().chain([task]), &self.tasks),
        };
        Authority { need, trust: self.trust }
    }
}

/// What the store said of grants. Read without the store while nothing changes.
#[derive(Debug)]
pub(crate) struct Grants {
    store: Store,
    known: Cache<GrantId, Arc<GrantSnapshot>>,
    /// Grows whenever anything is forgotten: what was read from the store before that must not be remembered.
    generation: AtomicU64,
    all_before: AtomicU64,
    /// The store was not reachable when last heard of.
    down: AtomicBool,
}

impl Grants {
    fn new(known_max: usize, store: Store) -> Self {
        Self {
            store,
            known: Cache::new(known_max),
            generation: AtomicU64::new(0),
            all_before: AtomicU64::new(0),
            down: AtomicBool::new(false),
        }
    }

    /// What is known of a grant, from the store if need be.
    pub(crate) async fn snapshot(&self, grant: GrantId) -> Result<Arc<GrantSnapshot>, StoreError> {
        if self.is_down() {
            // The store answers again, or it does not: either way the answer is fresh.
            return Box::pin(self.read(grant)).await;
        }
        match self.known.get(&grant) {
            Some(snapshot) => Ok(snapshot),
            None => Box::pin(self.read(grant)).await,
        }
    }

    async fn read(&self, grant: GrantId) -> Result<Arc<GrantSnapshot>, StoreError> {
        let before = self.generation.load(Ordering::SeqCst);
        let mut tx = self.store.read().await?;
        let state = tx.grants().alive(grant).await?;
        drop(tx);
        let snapshot = Arc::new(GrantSnapshot::of(state, before));
        self.known.insert(grant, Arc::clone(&snapshot));
        // INVARIANT: `forget` first moves the generation and then removes. So either we see that it moved, or the removal
        // comes after our insertion.
        if self.generation.load(Ordering::SeqCst) != before {
            snapshot.stale.store(true, Ordering::SeqCst);
            self.known.remove(&grant);
        }
        Ok(snapshot)
    }

    /// Whether authority that was established before still holds, as far as the feed has said by now. Costs two
    /// loads; `false` means that it has to be established anew.
    pub(crate) fn is_current(&self, snapshot: &GrantSnapshot) -> bool {
        !snapshot.stale.load(Ordering::SeqCst)
            && snapshot.generation >= self.all_before.load(Ordering::SeqCst)
            && !self.is_down()
    }

    /// That the grant still honours tokens. The store is asked only where something may have changed. A grant that has
    /// ended meanwhile is refused like at the next request.
    pub(crate) async fn still_stands(
        &self,
        grant: GrantId,
        snapshot: &GrantSnapshot,
        now: Timestamp,
    ) -> Result<(), AuthenticateError> {
        if self.is_current(snapshot) {
            return Ok(());
        }
        let epoch = snapshot.state.as_ref().map(|state| state.epoch).ok_or(AuthenticateError::Ended)?;
        match self.snapshot(grant).await {
            Ok(snapshot) if snapshot.honours(epoch, now) => Ok(()),
            Ok(_) => Err(AuthenticateError::Ended),
            Err(error) => Err(AuthenticateError::Unavailable(Some(error))),
        }
    }

    /// Which of these grants live, whatever the epoch: for streams and sessions that the feed asks about.
    pub(crate) async fn alive_among(&self, grants: &[GrantId], now: Timestamp) -> Result<HashSet<GrantId>, StoreError> {
        let mut tx = self.store.read().await?;
        tx.grants().alive_among(grants, now).await
    }

    /// One grant changed.
    pub(crate) fn forget(&self, grant: GrantId) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        if let Some((_, snapshot)) = self.known.remove(&grant) {
            snapshot.stale.store(true, Ordering::SeqCst);
        }
    }

    /// Anything may have changed.
    pub(crate) fn forget_all(&self) {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        self.all_before.store(generation, Ordering::SeqCst);
        self.known.clear();
    }

    /// Whether the feed last said that the store is out of reach.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }

    /// The store went out of reach, or came back. Says whether that is news.
    pub(crate) fn set_down(&self, down: bool) -> bool {
        if !down && self.is_down() {
            // INVARIANT: forgotten first, so that nothing from before is found once the store counts as reachable.
            self.forget_all();
        }
        self.down.swap(down, Ordering::SeqCst) != down
    }
}

#[cfg(test)]
mod tests;
