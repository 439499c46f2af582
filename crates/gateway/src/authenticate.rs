//! Step 3: who calls. A bearer token is verified once and then recognised by its digest. Whether its grant is still
//! alive is checked on every request, in a cache that the change feed keeps current.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use quick_cache::sync::Cache;
use sekisho_policy::model::{Authority, Trust};
use sekisho_policy::task::{BoundTask, Need};
use sekisho_protocol::caller::{Basis, Caller, Granted, IssuedBy};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_protocol::resource::ResourceId;
use sekisho_store::{GrantState, Store, StoreError};
use sekisho_token::{AccessClaims, Expectation, Keys, VerifyError, claimed_issuer, verify};

use crate::external::{Accepted, External, ExternalError, ExternalTokens, Presentation, accept};
use crate::route::Routed;

/// Why the caller is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthenticateError {
    /// The grant was revoked or has ended, its user or client is disabled, or its tokens were withdrawn.
    #[error("the grant behind the token has ended")]
    Ended,
    /// A token of the server's external authorization server gives no access.
    #[error(transparent)]
    External(#[from] ExternalError),
    /// There are two `Authorization` headers, or one that is not written as RFC 6750 §2.1 says.
    #[error("the `Authorization` header is malformed")]
    Malformed,
    /// There is no bearer token.
    #[error("no bearer token")]
    Missing,
    /// The token was not accepted.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// The store cannot say whether the grant is alive, so the call is refused (product rule: a store that is down
    /// denies).
    #[error("the store cannot be asked")]
    Unavailable(#[source] Option<StoreError>),
}

/// Who calls, and why they are trusted.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    /// The caller.
    pub(crate) caller: Arc<Caller>,
    /// The evidence that the authority still holds.
    pub(crate) proof: Proof,
    /// The declared tasks, and how far the clients are trusted.
    pub(crate) authority: Authority,
}

/// The evidence that a caller's authority still holds.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// What the store said about this grant.
    Grant(GrantId, Arc<GrantSnapshot>),
    /// The server is open to everybody. The routes say so on every request, so nothing else has to be checked.
    Open,
}

impl Authenticated {
    /// Returns an anonymous caller, at a server that was opened on purpose.
    fn anonymous(routed: &Routed) -> Self {
        let scopes = routed.card().scopes_default.clone();
        Self { caller: Arc::new(Caller::anonymous(scopes)), proof: Proof::Open, authority: Authority::default() }
    }
}

/// Returns the text in the place of a request's bearer token (RFC 6750 §2.1), whatever the headers are. A token in the
/// query is never looked at (RS-35), and no other header can replace this one (ATK-62).
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
        // Another well-formed scheme means that there is no bearer token. Everything else is malformed.
        let is_token = !scheme.is_empty()
            && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
        return Err(if is_token { AuthenticateError::Missing } else { AuthenticateError::Malformed });
    }
    while let [b' ', rest @ ..] | [rest @ .., b' '] = token {
        token = rest;
    }
    Ok(token)
}

/// Checks that the text is a `b64token` of RFC 6750 §2.1.
fn b64token(token: &[u8]) -> Result<&str, AuthenticateError> {
    let token = std::str::from_utf8(token).map_err(|_| AuthenticateError::Malformed)?;
    let body = token.trim_end_matches('=');
    let plain =
        |byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if !body.is_empty() && body.bytes().all(plain) { Ok(token) } else { Err(AuthenticateError::Malformed) }
}

/// A token that was verified before. Only the digest of its characters is kept.
#[derive(Debug)]
struct Believed {
    caller: Arc<Caller>,
    audience: ResourceId,
    grant: GrantId,
    /// The task that the token names.
    task: Option<TaskId>,
    /// The epoch that the token carries. Only tokens of our own issuer carry one.
    epoch: Option<i64>,
    issued: Timestamp,
    /// How a token of an external authorization server was accepted.
    external: Option<AcceptedUnder>,
}

/// The terms under which a token of an external authorization server was accepted.
#[derive(Debug)]
struct AcceptedUnder {
    /// The fingerprint of the server's settings.
    settings: Digest,
    /// Until when the token is accepted without being verified again.
    until: Timestamp,
}

/// Turns bearer tokens into callers.
#[derive(Debug)]
pub(crate) struct Authenticator {
    issuer: String,
    tokens: Cache<Digest, Arc<Believed>>,
    grants: Grants,
    external: External,
}

impl Authenticator {
    pub(crate) fn new(issuer: String, tokens_cached_max: usize, store: Store, external: External) -> Self {
        let (tokens, grants) = (Cache::new(tokens_cached_max), Grants::new(tokens_cached_max, store));
        Self { issuer, tokens, grants, external }
    }

    /// What the store said about grants.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Forgets every token, because the keys changed.
    pub(crate) fn forget_tokens(&self) {
        self.tokens.clear();
    }

    /// Finds out who sent this request (RS-27, RS-34), on every request anew, whatever came before on the connection.
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
        let (believed, snapshot) = match &routed.route.external {
            None => {
                let believed = self.believe(keys, (Digest::of(token), token), routed)?;
                let snapshot = self.snapshot(&believed).await?;
                (believed, snapshot)
            }
            Some(external) => self.believe_either(keys, token, (routed, external)).await?,
        };
        if !snapshot.honours(believed.epoch, routed.now) {
            return Err(AuthenticateError::Ended);
        }
        let authority = snapshot.authority(believed.task);
        let proof = Proof::Grant(believed.grant, snapshot);
        Ok(Authenticated { caller: Arc::clone(&believed.caller), proof, authority })
    }

    async fn snapshot(&self, believed: &Believed) -> Result<Arc<GrantSnapshot>, AuthenticateError> {
        let snapshot = self.grants.snapshot(believed.grant).await;
        snapshot.map_err(|error| AuthenticateError::Unavailable(Some(error)))
    }

    /// Does the same at a server with an external authorization server. Only the issuer that a token names decides who
    /// verifies it: no token is tried with the keys of the one and then of the other (ATK-380).
    async fn believe_either(
        &self,
        keys: &Keys,
        token: &[u8],
        (routed, tokens): (&Routed, &ExternalTokens),
    ) -> Result<(Arc<Believed>, Arc<GrantSnapshot>), AuthenticateError> {
        // Two servers can have the same audience at their issuer, so a token is remembered for one of them.
        let digest = Digest::of_list(&[routed.server().as_str().as_bytes(), token]);
        if let Some(believed) = self.tokens.get(&digest) {
            let holds = match &believed.external {
                Some(under) => under.settings == tokens.fingerprint() && routed.now < under.until,
                None => tokens.issuer().ours_too,
            };
            if holds {
                believed.check(&routed.card().resource, routed.now)?;
                let snapshot = self.snapshot(&believed).await?;
                // An ended grant is looked up again: its user may have let the client in anew.
                if believed.external.is_none() || snapshot.honours(None, routed.now) {
                    return Ok((believed, snapshot));
                }
            }
            self.tokens.remove(&digest);
        }
        // Boxed, like every rare branch, so that it does not enlarge the future of every call.
        Box::pin(self.accept(keys, (digest, token), (routed, tokens))).await
    }

    /// Accepts a token that is not remembered, at a server with an external authorization server.
    async fn accept(
        &self,
        keys: &Keys,
        (digest, token): (Digest, &[u8]),
        (routed, tokens): (&Routed, &ExternalTokens),
    ) -> Result<(Arc<Believed>, Arc<GrantSnapshot>), AuthenticateError> {
        let text = b64token(token)?;
        // A token of our own issuer is never shown to another one.
        if claimed_issuer(text).as_ref() == Some(&self.issuer) {
            if !tokens.issuer().ours_too {
                return Err(ExternalError::Ours.into());
            }
            let believed = self.believe(keys, (digest, token), routed)?;
            let snapshot = self.snapshot(&believed).await?;
            return Ok((believed, snapshot));
        }
        let shown = Presentation { card: routed.card(), request: routed.request, now: routed.now };
        let accepted = accept(&self.external, tokens, text, shown).await?;
        let believed = Arc::new(Believed::of_external(accepted, routed.card().resource.clone(), tokens));
        let mut snapshot = self.snapshot(&believed).await?;
        if !snapshot.honours(None, routed.now) {
            // What was remembered of the grant is older than what the store just said.
            self.grants.forget(believed.grant);
            snapshot = self.snapshot(&believed).await?;
        }
        self.tokens.insert(digest, Arc::clone(&believed));
        Ok((believed, snapshot))
    }

    /// Believes a token of our own issuer, which is remembered under this digest.
    fn believe(
        &self,
        keys: &Keys,
        (digest, token): (Digest, &[u8]),
        routed: &Routed,
    ) -> Result<Arc<Believed>, AuthenticateError> {
        let (audience, now) = (&routed.card().resource, routed.now);
        let believed = match self.tokens.get(&digest) {
            Some(believed) => believed,
            None => {
                let claims = verify(keys, b64token(token)?, &Expectation::new(&self.issuer, audience, now))?;
                let believed = Arc::new(Believed::of(claims));
                self.tokens.insert(digest, Arc::clone(&believed));
                believed
            }
        };
        believed.check(audience, now)?;
        Ok(believed)
    }
}

impl Believed {
    /// A token that was accepted for one server or one moment is not thereby accepted for another (RS-28).
    fn check(&self, audience: &ResourceId, now: Timestamp) -> Result<(), VerifyError> {
        if self.audience != *audience {
            return Err(VerifyError::Audience);
        }
        if self.caller.ends() <= now {
            return Err(VerifyError::Expired);
        }
        // The clock was ahead when the token was issued and has been set right since: the token would live longer than
        // promised (ATK-173).
        if self.issued > after(now, Expectation::LEEWAY_SECONDS) {
            return Err(VerifyError::NotYetValid);
        }
        Ok(())
    }

    fn of_external(accepted: Accepted, audience: ResourceId, tokens: &ExternalTokens) -> Self {
        let Accepted { caller, grant, issued, until } = accepted;
        let external = Some(AcceptedUnder { settings: tokens.fingerprint(), until });
        Self { caller: Arc::new(caller), audience, grant, task: None, epoch: None, issued, external }
    }

    fn of(claims: AccessClaims) -> Self {
        let granted = Granted {
            subject: claims.sub,
            client: claims.client_id,
            path: claims.path,
            grant: claims.grant,
            task: claims.task,
            token: claims.jti,
            expires: claims.exp,
            issued_by: IssuedBy::Checkpoint,
        };
        let caller = Arc::new(Caller { scopes: claims.scope, basis: Basis::Grant(granted) });
        let AccessClaims { grant, task, epoch, iat: issued, aud: audience, .. } = claims;
        Self { caller, audience, grant, task, epoch: Some(epoch), issued, external: None }
    }
}

/// What the store said about one grant, and whether something has changed since.
#[derive(Debug)]
pub(crate) struct GrantSnapshot {
    state: Option<GrantState>,
    /// The need of a token that names no task of its own.
    need: Need,
    /// The tasks of the grant, with compiled bounds. A task whose bounds cannot be read is missing, and is therefore
    /// refused.
    tasks: Vec<Arc<BoundTask>>,
    trust: Trust,
    stale: AtomicBool,
    generation: u64,
}

impl GrantSnapshot {
    /// Whether the grant lives and has this epoch. `None`: the token carries no epoch.
    fn honours(&self, epoch: Option<i64>, now: Timestamp) -> bool {
        self.state.as_ref().is_some_and(|state| state.honours(epoch.unwrap_or(state.epoch), now))
    }

    fn of(state: Option<GrantState>, generation: u64) -> Self {
        let tasks = state.iter().flat_map(|state| &state.tasks);
        let tasks: Vec<_> = tasks.filter_map(|task| BoundTask::new(task.clone()).ok().map(Arc::new)).collect();
        let origins = state.iter().flat_map(|state| &state.origins).copied();
        let trust = origins.map(Trust::of).min().unwrap_or_default();
        let need = Need::named(state.as_ref().and_then(|state| state.task), &tasks);
        Self { state, need, tasks, trust, stale: AtomicBool::new(false), generation }
    }

    /// Returns the authority behind a token of this grant: the grant's current task, and the task that the token names.
    pub(crate) fn authority(&self, task: Option<TaskId>) -> Authority {
        let current = self.state.as_ref().and_then(|state| state.task);
        let need = match task {
            None => self.need.clone(),
            Some(task) => Need::named(current.into_iter().chain([task]), &self.tasks),
        };
        Authority { need, trust: self.trust }
    }
}

/// What the store said about grants. It is read without the store while nothing changes.
#[derive(Debug)]
pub(crate) struct Grants {
    store: Store,
    known: Cache<GrantId, Arc<GrantSnapshot>>,
    /// Grows whenever anything is forgotten: what was read from the store before that must not be remembered.
    generation: AtomicU64,
    all_before: AtomicU64,
    /// Whether the store was unreachable when it was last heard of.
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

    /// Returns what is known of a grant, from the store if necessary.
    pub(crate) async fn snapshot(&self, grant: GrantId) -> Result<Arc<GrantSnapshot>, StoreError> {
        if self.is_down() {
            // Whether the store answers again or not, the result is fresh.
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
        // INVARIANT: `forget` first moves the generation and then removes the entry. So either we see that the
        // generation moved, or the removal comes after our insertion.
        if self.generation.load(Ordering::SeqCst) != before {
            snapshot.stale.store(true, Ordering::SeqCst);
            self.known.remove(&grant);
        }
        Ok(snapshot)
    }

    /// Whether authority that was established before still holds, as far as the feed has reported by now. Costs two
    /// loads. After `false` the authority has to be established anew.
    pub(crate) fn is_current(&self, snapshot: &GrantSnapshot) -> bool {
        !snapshot.stale.load(Ordering::SeqCst)
            && snapshot.generation >= self.all_before.load(Ordering::SeqCst)
            && !self.is_down()
    }

    /// Checks that the grant still honours tokens. The store is asked only if something may have changed. A grant that
    /// has ended meanwhile is refused as it would be on the next request.
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
            Ok(snapshot) if snapshot.honours(Some(epoch), now) => Ok(()),
            Ok(_) => Err(AuthenticateError::Ended),
            Err(error) => Err(AuthenticateError::Unavailable(Some(error))),
        }
    }

    /// Returns which of these grants are alive, whatever their epoch, for the streams and sessions that the feed
    /// checks.
    pub(crate) async fn alive_among(&self, grants: &[GrantId], now: Timestamp) -> Result<HashSet<GrantId>, StoreError> {
        let mut tx = self.store.read().await?;
        tx.grants().alive_among(grants, now).await
    }

    /// Forgets one grant, because it changed.
    pub(crate) fn forget(&self, grant: GrantId) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        if let Some((_, snapshot)) = self.known.remove(&grant) {
            snapshot.stale.store(true, Ordering::SeqCst);
        }
    }

    /// Forgets all grants, because anything may have changed.
    pub(crate) fn forget_all(&self) {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        self.all_before.store(generation, Ordering::SeqCst);
        self.known.clear();
    }

    /// Whether the feed last reported that the store is unreachable.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }

    /// Notes that the store became unreachable or came back. Returns whether that is new.
    pub(crate) fn set_down(&self, down: bool) -> bool {
        if !down && self.is_down() {
            // INVARIANT: the grants are forgotten first, so that nothing from before is found once the store counts as
            // reachable.
            self.forget_all();
        }
        self.down.swap(down, Ordering::SeqCst) != down
    }
}

#[cfg(test)]
mod tests;
