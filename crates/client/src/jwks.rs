//! Fetches the published keys of other issuers (RFC 7517), caches them, and fetches them again at a bounded rate
//! (ATK-60).
//!
//! The text is passed on as it is; the code that verifies with it decides which keys can be used (`token::PublicKeys`).

use std::fmt::{self, Debug};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::http::{Destination, HttpClient, HttpError, Request};

/// Why there is no key set.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeySetError {
    /// The fetch failed, and no earlier set is recent enough.
    #[error("the key set could not be fetched")]
    Http(#[source] Arc<HttpError>),
    /// The response is not a JSON object, or its status is not 200.
    #[error("the URL of the key set answers with something else (status {status})")]
    Malformed {
        /// The status.
        status: u16,
    },
    /// A fetch failed a moment ago, and the next attempt is not allowed yet.
    #[error("the key set could not be fetched a moment ago: try again in a minute")]
    Wait,
}

/// A cache of key sets by URL. There is one fetch at a time for each URL, and at most [`KeySets::URLS_MAX`] URLs are
/// cached.
pub struct KeySets {
    http: Arc<dyn HttpClient>,
    known: Cache<String, Arc<Mutex<CachedKeySet>>>,
}

/// Which set is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// One that is not old.
    Fresh,
    /// One that is newer than the cached one, because a key is missing.
    Newer,
}

#[derive(Default)]
struct CachedKeySet {
    /// The last usable set, and when it was fetched.
    good: Option<(Arc<str>, Timestamp)>,
    /// When the last fetch was started, even if it failed.
    tried: Option<Timestamp>,
    /// Fetches for missing keys that were made beyond one a minute, and when one of them was last forgotten.
    extra: Option<(u32, Timestamp)>,
}

impl KeySets {
    /// How many URLs are cached; the least recently used one is dropped.
    pub const URLS_MAX: u64 = 1000;
    /// How long a set is used without a new fetch.
    const FRESH: SignedDuration = SignedDuration::from_mins(15);
    /// How long the last set is used while fetches fail. A key that its owner has withdrawn is trusted for this long at
    /// most.
    const STALE_MAX: SignedDuration = SignedDuration::from_hours(4);
    /// How long to wait before the same URL is fetched again: a URL that does not respond costs us no more, and unknown
    /// names of keys (`kid`) cost the owner of the keys no more in the long run.
    const PAUSE: SignedDuration = SignedDuration::from_secs(60);
    /// How many times in a row a missing key may cause a fetch within [`Self::PAUSE`]. So the tokens of a key that is
    /// published just after a fetch are accepted at once, and a stranger cannot cause a flood of requests.
    const EXTRA_MAX: u32 = 4;
    /// How long to wait between two such fetches.
    const EXTRA_PAUSE: SignedDuration = SignedDuration::from_secs(1);

    /// Creates an empty cache that fetches through `http`.
    pub fn new(http: Arc<dyn HttpClient>) -> Self {
        Self { http, known: Cache::new(Self::URLS_MAX) }
    }

    /// Returns the key set at this URL. It is at most a quarter of an hour old if the URL responds.
    pub async fn current(&self, at: &Destination, now: Timestamp) -> Result<Arc<str>, KeySetError> {
        self.obtain(at, now, Wish::Fresh).await
    }

    /// Returns the key set after a new fetch, because the cached set lacks a key. If there were too many fetches in the
    /// last minute, the cached set is returned.
    pub async fn renewed(&self, at: &Destination, now: Timestamp) -> Result<Arc<str>, KeySetError> {
        self.obtain(at, now, Wish::Newer).await
    }

    /// Returns when the cached set was fetched. A key that is missing from it may have been published since.
    pub async fn fetched_at(&self, at: &Destination) -> Option<Timestamp> {
        let known = self.known.get(at.as_str())?;
        let known = known.lock().await;
        known.good.as_ref().map(|(_, from)| *from)
    }

    /// Runs `check` with the keys at this URL. If the check says that it lacks a key, it runs once more with the keys
    /// that are published now, which costs their owner a few requests at most, and one a minute in the long run (ATK-60).
    pub async fn check<T, E>(
        &self,
        at: &Destination,
        now: Timestamp,
        check: impl Fn(&str) -> Result<T, E>,
        lacks_key: impl Fn(&E) -> bool,
    ) -> Result<Result<T, E>, KeySetError> {
        let known = self.current(at, now).await?;
        let refused = match check(&known) {
            Err(error) if lacks_key(&error) => error,
            done => return Ok(done),
        };
        let newer = self.renewed(at, now).await?;
        if newer == known { Ok(Err(refused)) } else { Ok(check(&newer)) }
    }

    async fn obtain(&self, at: &Destination, now: Timestamp, wish: Wish) -> Result<Arc<str>, KeySetError> {
        let known = self.known.get_with_by_ref(at.as_str(), Arc::default);
        // Held across the fetch on purpose: other tasks that want the same URL wait for its outcome.
        let mut known = known.lock().await;
        if let Some((text, from)) = &known.good
            && wish == Wish::Fresh
            && now.duration_since(*from) < Self::FRESH
        {
            return Ok(Arc::clone(text));
        }
        let failure = if !known.may_fetch(wish, now) {
            KeySetError::Wait
        } else {
            known.tried = Some(now);
            match self.fetch(at).await {
                Ok(text) => {
                    known.good = Some((Arc::clone(&text), now));
                    return Ok(text);
                }
                Err(error) => error,
            }
        };
        match &known.good {
            Some((text, from)) if now.duration_since(*from) < Self::STALE_MAX => Ok(Arc::clone(text)),
            _ => Err(failure),
        }
    }

    async fn fetch(&self, at: &Destination) -> Result<Arc<str>, KeySetError> {
        let response =
            self.http.send(Request::get(at.clone())).await.map_err(|error| KeySetError::Http(Arc::new(error)))?;
        let status = response.status.as_u16();
        let malformed = KeySetError::Malformed { status };
        if status != 200 || response.json::<serde_json::Map<String, serde_json::Value>>().is_none() {
            return Err(malformed);
        }
        std::str::from_utf8(&response.body).map(Arc::from).map_err(|_| malformed)
    }
}

impl CachedKeySet {
    /// Whether the URL may be fetched now. Counts the fetch if it is beyond one a minute.
    fn may_fetch(&mut self, wish: Wish, now: Timestamp) -> bool {
        let Some(tried) = self.tried else { return true };
        let since = now.duration_since(tried);
        let (made, from) = self.extra.unwrap_or((0, now));
        let minutes = u32::try_from(now.duration_since(from).as_mins()).unwrap_or(0);
        // One extra fetch is forgotten a minute, and the regular fetch of a minute takes the place of one.
        if since >= KeySets::PAUSE {
            self.extra = self.extra.map(|_| (made.saturating_sub(minutes.saturating_sub(1)), now));
            return true;
        }
        if wish == Wish::Fresh || since < KeySets::EXTRA_PAUSE {
            return false;
        }
        let (made, from) = if minutes == 0 { (made, from) } else { (made.saturating_sub(minutes), now) };
        let may = made < KeySets::EXTRA_MAX;
        self.extra = Some((made + u32::from(may), from));
        may
    }
}

impl Debug for KeySets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySets").field("known", &self.known.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
