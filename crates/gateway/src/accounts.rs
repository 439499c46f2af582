//! The accounts that people linked: which token or key an upstream is shown in a caller's name, and its renewal.
//!
//! What the store said is kept, still sealed, until the change feed says that it changed; it is opened for one call and
//! wiped with that call. A token is renewed by one process at a time: calls of one process wait for one task, and
//! processes take turns by a lease in the store. The task goes on when its caller leaves, because a vendor may give
//! each refresh token's successor only once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use quick_cache::sync::Cache;
use sekisho_acts::{ActError, Performer, link};
use sekisho_client::http::HttpClient;
use sekisho_client::vendor::{AccountTokens, VendorError, refresh};
use sekisho_protocol::account::{AccountRule, AccountWay, OAuthVendor};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::env::{Clock, Entropy, Timestamp, after, random};
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_protocol::secret::AccessToken;
use sekisho_store::{AccountKey, LinkedAccount, Renewed, SecretBytes, Store, StoreError};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

/// The most accounts that are kept in memory.
const KNOWN_MAX: usize = 10_000;
/// How long a vendor may take to answer a refresh.
const REFRESH_WAIT: Duration = Duration::from_secs(15);
/// How long one process may hold the turn to refresh, in seconds: longer than a vendor may take. After a process died
/// with it, others wait at most this long.
const LEASE_SECONDS: u32 = 20;
/// How long a call waits for a token that another process renews.
const TURN_WAIT: Duration = Duration::from_secs(25);
/// How often it looks whether the token is there.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// The most characters of a reason.
const REASON_CHARS_MAX: usize = 200;

/// Why a caller's account cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountError {
    /// The vendor cannot be asked for the next token. The text is for the operator.
    #[error("the vendor of the linked account gives no token at the moment: {0}")]
    Away(String),
    /// The account cannot be used any more, for this reason.
    #[error("the linked account cannot be used any more: {0}")]
    Ended(String),
    /// The user has linked none.
    #[error("the user has linked no account")]
    Missing,
    /// The store cannot be asked. The text is for the operator.
    #[error("the store cannot be asked for the linked account: {0}")]
    Store(String),
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// The token or key of an account, for one call.
#[derive(Debug)]
pub(crate) struct AccountToken {
    /// The access token or the key.
    pub(crate) access: AccessToken,
    /// Which of the account's tokens it is.
    pub(crate) generation: i64,
}

/// The parts from which the accounts are made.
pub(crate) struct AccountParts {
    pub(crate) store: Store,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) node: NodeId,
}

/// The linked accounts of all callers.
pub(crate) struct Accounts {
    parts: AccountParts,
    /// What the store said; `None`: there is none.
    known: Cache<AccountKey, Option<Arc<LinkedAccount>>>,
    /// Grows whenever anything is forgotten: what was read from the store before that must not be remembered.
    generation: AtomicU64,
    /// One lock for each account whose token is being renewed.
    turns: Mutex<HashMap<AccountKey, Weak<AsyncMutex<()>>>>,
    /// When accounts were last used, until the store is told.
    used: Mutex<HashMap<AccountKey, Timestamp>>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

impl Accounts {
    pub(crate) fn new(parts: AccountParts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            known: Cache::new(KNOWN_MAX),
            generation: AtomicU64::new(0),
            turns: Mutex::default(),
            used: Mutex::default(),
        })
    }

    /// Ends the leases of this node's last process, which is gone.
    pub(crate) async fn begin(&self) -> Result<(), StoreError> {
        let mut tx = self.parts.store.begin().await?;
        tx.linked_accounts().release_of_node(self.parts.node).await?;
        tx.commit().await
    }

    /// Returns what an upstream is shown in the name of this user. Asks the store only the first time, and the vendor
    /// only when the token ends.
    pub(crate) async fn token(
        self: &Arc<Self>,
        key: &AccountKey,
        rule: &Arc<AccountRule>,
        now: Timestamp,
    ) -> Result<AccountToken, AccountError> {
        let account = match self.known.get(key) {
            Some(known) => known,
            None => Box::pin(self.read(key)).await?,
        };
        let account = usable(account.as_deref(), rule)?;
        if account.token_expires_at.is_some_and(|end| end <= now) {
            return Box::pin(self.renewed(key, rule, account.generation)).await;
        }
        self.note_use(key, now);
        self.open(account)
    }

    /// Whether this user has an account that can be used, without asking its vendor.
    pub(crate) async fn state(&self, key: &AccountKey, rule: &AccountRule) -> Result<(), AccountError> {
        let account = match self.known.get(key) {
            Some(known) => known,
            None => Box::pin(self.read(key)).await?,
        };
        usable(account.as_deref(), rule).map(drop)
    }

    /// Returns the next token, after an upstream has refused this one. A key has no next one: its account has ended. So
    /// it has if the next token was refused as well, of which the caller tells by [`Accounts::end`].
    pub(crate) async fn refused(
        self: &Arc<Self>,
        key: &AccountKey,
        rule: &Arc<AccountRule>,
        generation: i64,
    ) -> Result<AccountToken, AccountError> {
        match &rule.way {
            AccountWay::Key => {
                let reason = format!("{} does not accept the key any more", rule.vendor);
                self.end(key, generation, reason.clone()).await;
                Err(AccountError::Ended(reason))
            }
            AccountWay::OAuth(_) => Box::pin(self.renewed(key, rule, generation)).await,
        }
    }

    /// Notes that an account cannot be used any more. It is also told if the store cannot keep it.
    pub(crate) async fn end(&self, key: &AccountKey, generation: i64, reason: String) {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let ended = async {
            let by = self.performer();
            let mut tx = self.parts.store.begin().await?;
            link::expire(&mut tx, &by, key, generation, &reason).await?;
            Ok::<_, ActError>(tx.commit().await?)
        };
        if let Err(error) = ended.await {
            tracing::error!(server = %key.server, %error, "that a linked account has ended could not be kept");
        }
        self.forget(key);
    }

    /// Forgets what the store said of one account.
    pub(crate) fn forget(&self, key: &AccountKey) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.remove(key);
    }

    /// Forgets everything, because anything may have changed.
    pub(crate) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.clear();
    }

    /// Tells the store when accounts were last used.
    pub(crate) async fn keep_uses(&self) {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return;
        }
        let kept = async {
            let mut tx = self.parts.store.begin().await?;
            for (key, at) in used {
                tx.linked_accounts().touch(&key, at).await?;
            }
            tx.commit().await
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "when linked accounts were last used could not be kept");
        }
    }

    fn note_use(&self, key: &AccountKey, now: Timestamp) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(key) {
            Some(at) => *at = now,
            None => drop(used.insert(key.clone(), now)),
        }
    }

    async fn read(&self, key: &AccountKey) -> Result<Option<Arc<LinkedAccount>>, StoreError> {
        let before = self.generation.load(Ordering::SeqCst);
        let account = self.parts.store.read().await?.linked_accounts().find(key).await?.map(Arc::new);
        self.known.insert(key.clone(), account.clone());
        // INVARIANT: `forget` first moves the generation and then removes the entry. So either we see that the
        // generation moved, or the removal comes after our insertion.
        if self.generation.load(Ordering::SeqCst) != before {
            self.known.remove(key);
        }
        Ok(account)
    }

    fn open(&self, account: &LinkedAccount) -> Result<AccountToken, AccountError> {
        let opened = self.parts.store.open_account(account)?;
        let access = AccountTokens::access_of(opened.expose()).ok_or_else(unreadable)?;
        Ok(AccountToken { access, generation: account.generation })
    }

    /// Renews the token with this generation, unless that was done meanwhile. The work goes on if the caller leaves.
    async fn renewed(
        self: &Arc<Self>,
        key: &AccountKey,
        rule: &Arc<AccountRule>,
        generation: i64,
    ) -> Result<AccountToken, AccountError> {
        let (accounts, key, rule) = (Arc::clone(self), key.clone(), Arc::clone(rule));
        let work = tokio::spawn(async move { accounts.renew_in_turn(&key, &rule, generation).await });
        work.await.unwrap_or_else(|_| Err(AccountError::Away("the renewal was interrupted".to_owned())))
    }

    async fn renew_in_turn(
        &self,
        key: &AccountKey,
        rule: &AccountRule,
        generation: i64,
    ) -> Result<AccountToken, AccountError> {
        let turn = self.turn(key);
        let _held = turn.lock().await;
        let begun = Instant::now();
        loop {
            // Another process may have renewed it, or the user has linked another account.
            let account = self.read(key).await?;
            let account = usable(account.as_deref(), rule)?;
            if account.generation != generation {
                self.note_use(key, self.parts.clock.now());
                return self.open(account);
            }
            if let Some(lease) = self.lease(account).await? {
                return self.renew(rule, account, &lease).await;
            }
            if begun.elapsed() >= TURN_WAIT {
                return Err(AccountError::Away("another process has been renewing it for too long".to_owned()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Takes the turn to renew this token, if no other process has it.
    async fn lease(&self, account: &LinkedAccount) -> Result<Option<String>, StoreError> {
        let now = self.parts.clock.now();
        let random: [u8; 16] = random(self.parts.entropy.as_ref());
        let number = random.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let lease = format!("{} {number}", self.parts.node);
        let mut tx = self.parts.store.begin().await?;
        let ends_at = after(now, LEASE_SECONDS);
        let taken = tx.linked_accounts().lease(&account.key, account.generation, (&lease, ends_at), now).await?;
        tx.commit().await?;
        Ok(taken.then_some(lease))
    }

    /// Asks the vendor for the next token, once, and stores it before anybody uses it.
    async fn renew(
        &self,
        rule: &AccountRule,
        account: &LinkedAccount,
        lease: &str,
    ) -> Result<AccountToken, AccountError> {
        let key = &account.key;
        let opened = self.parts.store.open_account(account)?;
        let mut tokens = AccountTokens::from_bytes(opened.expose()).ok_or_else(unreadable)?;
        let AccountWay::OAuth(vendor) = &rule.way else { return Err(AccountError::Missing) };
        if tokens.refresh.is_none() {
            return Err(self.ended(account, format!("{} gave no way to renew the access", rule.vendor)).await);
        }
        take_configured_secret(&mut tokens, vendor);
        let asking = refresh(&*self.parts.http, &tokens, self.parts.clock.now());
        match tokio::time::timeout(REFRESH_WAIT, asking).await {
            Ok(Ok(next)) => self.keep(account, lease, &next).await,
            Ok(Err(error)) if error.is_refusal() => Err(self
                .ended(account, format!("{} refuses to renew the access: {}", rule.vendor, plain(&error)))
                .await),
            Ok(Err(error)) => {
                self.release(key, lease).await;
                Err(AccountError::Away(with_causes(&error)))
            }
            Err(_) => {
                self.release(key, lease).await;
                Err(AccountError::Away(format!("no answer within {} s", REFRESH_WAIT.as_secs())))
            }
        }
    }

    async fn keep(
        &self,
        account: &LinkedAccount,
        lease: &str,
        next: &AccountTokens,
    ) -> Result<AccountToken, AccountError> {
        let (key, now) = (&account.key, self.parts.clock.now());
        let secret = SecretBytes::new(next.to_bytes().to_vec());
        let renewed = Renewed {
            issuer: &account.issuer,
            scopes: next.scopes.as_deref(),
            secret: &secret,
            token_expires_at: next.renew_at(now),
        };
        let mut tx = self.parts.store.begin().await?;
        let stored = tx.linked_accounts().renew(key, lease, &renewed).await?;
        tx.commit().await?;
        self.forget(key);
        if !stored {
            // The user has linked another account or removed this one. The token of the old one is not used.
            return Err(AccountError::Missing);
        }
        self.note_use(key, now);
        let account = self.read(key).await?.ok_or(AccountError::Missing)?;
        self.open(&account)
    }

    async fn ended(&self, account: &LinkedAccount, reason: String) -> AccountError {
        self.end(&account.key, account.generation, reason.clone()).await;
        AccountError::Ended(reason.chars().take(REASON_CHARS_MAX).collect())
    }

    async fn release(&self, key: &AccountKey, lease: &str) {
        let released = async {
            let mut tx = self.parts.store.begin().await?;
            tx.linked_accounts().release(key, lease).await?;
            tx.commit().await
        };
        if let Err(error) = released.await {
            tracing::warn!(server = %key.server, %error, "a lease could not be given back; it ends by itself");
        }
    }

    fn turn(&self, key: &AccountKey) -> Arc<AsyncMutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(AsyncMutex::new(()));
        turns.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }

    fn performer(&self) -> Performer<'_> {
        let (now, entropy) = (self.parts.clock.now(), self.parts.entropy.as_ref());
        let request = RequestId::generate(now, entropy);
        Performer { actor: Actor::Checkpoint, node: self.parts.node, request, now, entropy }
    }
}

/// The name of the question with which a person is asked to link an account.
pub(crate) fn link_question(key: &AccountKey) -> String {
    format!("link {} {}", key.user, key.server)
}

/// The account, if it may be used for this server.
fn usable<'a>(account: Option<&'a LinkedAccount>, rule: &AccountRule) -> Result<&'a LinkedAccount, AccountError> {
    let account = account.filter(|account| rule.admits(&account.issuer)).ok_or(AccountError::Missing)?;
    match &account.ended_reason {
        Some(reason) => Err(AccountError::Ended(reason.clone())),
        None => Ok(account),
    }
}

/// An operator may have given the client another secret since the account was linked.
fn take_configured_secret(tokens: &mut AccountTokens, vendor: &OAuthVendor) {
    if let (Some(endpoint), Some(client)) = (&mut tokens.endpoint, &vendor.client)
        && endpoint.client == client.id
    {
        endpoint.secret.clone_from(&client.secret);
    }
}

fn unreadable() -> AccountError {
    AccountError::Store("what is kept of it cannot be read".to_owned())
}

/// What a vendor said, for its user.
fn plain(error: &VendorError) -> String {
    match error {
        VendorError::Refused { code, description } if description.is_empty() => code.clone(),
        VendorError::Refused { code, description } => format!("{code} ({description})"),
        other => other.to_string(),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
