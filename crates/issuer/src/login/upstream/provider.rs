//! The providers of the configuration, and what is remembered of each for some minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::Arc;

use sekisho_client::http::HttpClient;
use sekisho_client::jwks::KeySets;
use sekisho_client::openid::provider::{Provider as Described, discover};
use sekisho_client::registration::Registration;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::openid::groups::{GroupRule, GroupRules};
use sekisho_protocol::openid::{ProviderName, SignOutThere, SigningAlgorithm};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::scope::ScopeSet;
use tokio::sync::Mutex;

use super::failure::UpstreamError;

/// How people sign in.
#[derive(Clone)]
pub struct LoginParts {
    /// Whether people sign in with a password. Where they do not, only an owner can with a set-up link (decision 0093).
    pub passwords: bool,
    /// The identity providers, in the order of the configuration.
    pub providers: Vec<ProviderParts>,
    /// The way to them: the operator named them, so they may be where strangers may not lead us. `None`: there are none.
    pub http: Option<Arc<dyn HttpClient>>,
}

impl Default for LoginParts {
    fn default() -> Self {
        Self { passwords: true, providers: Vec::new(), http: None }
    }
}

impl Debug for LoginParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginParts")
            .field("passwords", &self.passwords)
            .field("providers", &self.providers.len())
            .finish()
    }
}

/// One provider, as the configuration has it.
#[derive(Debug, Clone)]
pub struct ProviderParts {
    /// Its name in URLs, and before the names of its groups.
    pub name: ProviderName,
    /// What the button says.
    pub label: String,
    /// Who we are there.
    pub registration: Registration,
    /// Where it sends browsers back: at no other provider.
    pub redirect_uri: RedirectUri,
    /// What is asked for besides `openid`.
    pub scopes: ScopeSet,
    /// What it signs ID tokens with.
    pub algorithm: SigningAlgorithm,
    /// Further audiences that its ID tokens may name.
    pub audiences: Vec<String>,
    /// The claims that name a person for good.
    pub named_by: Vec<String>,
    /// Claims that people must have, each with the values that will do.
    pub require: BTreeMap<String, BTreeSet<String>>,
    /// From where groups are read.
    pub rules: Vec<GroupRule>,
    /// From how many groups on it leaves some out without saying so.
    pub groups_cut_at: Option<usize>,
    /// Where all groups of a person can be read, where a token has no room for them.
    pub overage: Option<String>,
    /// `prompt` of every request.
    pub prompt: Option<String>,
    /// How long ago a person may have proven who they are there, in seconds.
    pub max_age_seconds: Option<u32>,
    /// `acr_values` of every request.
    pub acr_values: Vec<String>,
    /// Whether one of them is required.
    pub acr_required: bool,
    /// Whether signing out there ends people's grants as well.
    pub logout_ends_grants: bool,
    /// What signing out here does there.
    pub sign_out_there: SignOutThere,
    /// Where it sends browsers back after a sign-out.
    pub signed_out_uri: String,
}

impl ProviderParts {
    /// How its groups are read.
    pub fn group_rules(&self) -> GroupRules<'_> {
        GroupRules { provider: &self.name, rules: &self.rules, cut_at: self.groups_cut_at }
    }
}

/// A provider, and what it last said of itself.
#[derive(Debug)]
pub(crate) struct KnownProvider {
    pub(crate) parts: ProviderParts,
    metadata: Mutex<Metadata>,
}

#[derive(Debug, Default)]
struct Metadata {
    good: Option<(Arc<Described>, Timestamp)>,
    failed_at: Option<Timestamp>,
}

/// For how long metadata is used without asking again, in seconds.
const METADATA_SECONDS: i64 = 300;
/// For how long metadata is used at most while the provider is away, where nobody is sent there to sign in, in seconds.
const LATE_METADATA_SECONDS: i64 = 3600;
/// For how long a provider is not asked again that could not be reached, in seconds.
const PAUSE_SECONDS: i64 = 5;

/// All providers.
pub(crate) struct Upstream {
    pub(crate) passwords: bool,
    pub(crate) providers: Vec<KnownProvider>,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) keys: KeySets,
}

impl Upstream {
    /// Those of the configuration. `otherwise`: the way out that is used where the parts name none.
    pub(crate) fn new(parts: LoginParts, otherwise: &Arc<dyn HttpClient>) -> Self {
        let http = parts.http.unwrap_or_else(|| Arc::clone(otherwise));
        let known = |parts| KnownProvider { parts, metadata: Mutex::default() };
        Self {
            passwords: parts.passwords,
            providers: parts.providers.into_iter().map(known).collect(),
            keys: KeySets::new(Arc::clone(&http)),
            http,
        }
    }

    /// The provider of this name.
    pub(crate) fn find(&self, name: &str) -> Result<&KnownProvider, UpstreamError> {
        self.providers.iter().find(|known| known.parts.name.as_str() == name).ok_or(UpstreamError::Unknown)
    }

    /// Name and label of each.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.providers.iter().map(|known| (known.parts.name.as_str(), known.parts.label.as_str()))
    }

    /// What a provider says of itself, not older than some minutes.
    pub(crate) async fn described(
        &self,
        known: &KnownProvider,
        now: Timestamp,
    ) -> Result<Arc<Described>, UpstreamError> {
        // Held across the fetch on purpose: others who want the same document wait for its outcome.
        let mut metadata = known.metadata.lock().await;
        if let Some(described) = metadata.young(now, METADATA_SECONDS) {
            return Ok(described);
        }
        if metadata.failed_at.is_some_and(|since| is_young(since, now, PAUSE_SECONDS)) {
            return Err(UpstreamError::Pause);
        }
        match discover(&*self.http, &known.parts.registration.issuer).await {
            Ok(described) => {
                let described = Arc::new(described);
                *metadata = Metadata { good: Some((Arc::clone(&described), now)), failed_at: None };
                Ok(described)
            }
            Err(error) => {
                metadata.failed_at = Some(now);
                // What a provider said before is void once it says something wrong.
                if !error.is_away() {
                    metadata.good = None;
                }
                Err(error.into())
            }
        }
    }

    /// The same where nobody is sent there to sign in: while the provider is away, what it said in the last hour will do.
    pub(crate) async fn lately_described(
        &self,
        known: &KnownProvider,
        now: Timestamp,
    ) -> Result<Arc<Described>, UpstreamError> {
        match self.described(known, now).await {
            Ok(described) => Ok(described),
            Err(error) => known.metadata.lock().await.young(now, LATE_METADATA_SECONDS).ok_or(error),
        }
    }
}

impl Metadata {
    /// The last good metadata, if they are not older than this.
    fn young(&self, now: Timestamp, seconds: i64) -> Option<Arc<Described>> {
        let good = self.good.as_ref().filter(|(_, since)| is_young(*since, now, seconds));
        good.map(|(described, _)| Arc::clone(described))
    }
}

fn is_young(since: Timestamp, now: Timestamp, seconds: i64) -> bool {
    (0..seconds).contains(&now.duration_since(since).as_secs())
}

impl Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("providers", &self.providers.len()).finish_non_exhaustive()
    }
}
