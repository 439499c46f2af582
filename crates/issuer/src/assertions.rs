//! Providers whose identity assertions are taken (enterprise-managed authorization), and where the keys of each are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::Arc;

use sekisho_client::http::{Destination, HttpClient};
use sekisho_client::jwks::{KeySetError, KeySets};
use sekisho_client::openid::provider::{ProviderError, discover};
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::openid::SigningAlgorithm;
use tokio::sync::Mutex;

/// A provider that is trusted to say that a client may act for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertionIssuer {
    /// Its name in the configuration, for the records.
    pub name: String,
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// The algorithms that it signs with.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The claims that name a person, as at sign-in.
    pub named_by: Vec<String>,
    /// Claims that people must have to come in, with the values that will do, as at sign-in.
    pub require: BTreeMap<String, BTreeSet<String>>,
}

/// Why there are no keys to verify an assertion with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    Keys(#[from] KeySetError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("the provider could not be asked a moment ago")]
    Wait,
}

/// Where the keys of one provider are.
#[derive(Debug, Default)]
struct Place {
    known: Option<(Destination, Timestamp)>,
    /// When it was last asked, whether it answered or not.
    asked: Option<Timestamp>,
}

/// What is known of the providers at the moment. Only those of the configuration are ever asked, so an assertion cannot have us
/// call an address of its own.
pub(crate) struct AssertionKeys {
    http: Arc<dyn HttpClient>,
    sets: KeySets,
    places: BTreeMap<String, Mutex<Place>>,
}

impl Debug for AssertionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionKeys").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

impl AssertionKeys {
    /// How long the address of the keys is reused, in seconds.
    const FRESH_SECONDS: u32 = 60 * 60;
    /// Between two attempts to ask, in seconds.
    const PAUSE_SECONDS: u32 = 60;

    pub(crate) fn new(http: Arc<dyn HttpClient>, issuers: &[AssertionIssuer]) -> Self {
        let places = issuers.iter().map(|one| (one.issuer.clone(), Mutex::default())).collect();
        Self { sets: KeySets::new(Arc::clone(&http)), http, places }
    }

    /// Checks something with the keys of this provider, and once more with newer ones if the check lacks one.
    pub(crate) async fn check<T, E>(
        &self,
        issuer: &str,
        now: Timestamp,
        check: impl Fn(&str) -> Result<T, E>,
        lacks_key: impl Fn(&E) -> bool,
    ) -> Result<Result<T, E>, KeysError> {
        let at = self.place(issuer, now).await?;
        Ok(self.sets.check(&at, now, check, lacks_key).await?)
    }

    async fn place(&self, issuer: &str, now: Timestamp) -> Result<Destination, KeysError> {
        let place = self.places.get(issuer).ok_or(KeysError::Wait)?;
        // Held across the fetch on purpose: others who want the same wait for its outcome.
        let mut place = place.lock().await;
        if let Some((at, since)) = &place.known
            && now < after(*since, Self::FRESH_SECONDS)
        {
            return Ok(at.clone());
        }
        if place.asked.is_some_and(|asked| now < after(asked, Self::PAUSE_SECONDS)) {
            return place.known.as_ref().map(|(at, _)| at.clone()).ok_or(KeysError::Wait);
        }
        place.asked = Some(now);
        match discover(&*self.http, issuer).await {
            Ok(provider) => {
                place.known = Some((provider.keys.clone(), now));
                Ok(provider.keys)
            }
            // Where the keys were an hour ago they mostly still are; they are fetched anew, and not believed from memory.
            Err(error) => place.known.as_ref().map(|(at, _)| at.clone()).ok_or_else(|| error.into()),
        }
    }
}
