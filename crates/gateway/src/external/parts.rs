//! What one server accepts of an external authorization server, and what is kept of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quick_cache::sync::Cache;
use sekisho_client::http::HttpClient;
use sekisho_client::introspection::Introspection;
use sekisho_client::issuers::TokenIssuers;
use sekisho_client::jwks::KeySets;
use sekisho_client::registration::Registration;
use sekisho_policy::rights::Rights;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Entropy, Timestamp};
use sekisho_protocol::external::{ExternalIssuer, ScopeMap};
use sekisho_protocol::ids::{GrantId, NodeId, RequestId};
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::server::ServerCard;
use sekisho_store::Store;
use sekisho_token::TokenType;
use tokio::sync::{Semaphore, watch};

/// How many introspection endpoints have a cache of answers at once.
const INTROSPECTIONS_MAX: usize = 256;

/// How many users and grants are made at once.
const ADMISSIONS_MAX: usize = 16;

/// What one server accepts of an external authorization server.
#[derive(Debug, Clone)]
pub struct ExternalParts {
    /// The issuer, and what its scopes mean.
    pub issuer: Arc<ExternalIssuer>,
    /// The issuer identifier of the login provider whose people the tokens are about. It is the issuer of their
    /// identities here.
    pub provider_issuer: String,
    /// The claims that name a person, in order.
    pub named_by: Vec<String>,
    /// Claims that a person must have, each with the values that are accepted.
    pub require: BTreeMap<String, BTreeSet<String>>,
    /// The audiences of which a token has to name one.
    pub audiences: Vec<String>,
    /// Further audiences that a token may name beside it.
    pub other_audiences: Vec<String>,
    /// The form of the tokens.
    pub form: TokenForm,
}

/// The form of the access tokens of an external authorization server.
#[derive(Debug, Clone)]
pub enum TokenForm {
    /// The issuer is asked about each (RFC 7662). This is the client as which it is asked.
    Introspected(Box<Registration>),
    /// Signed tokens, which the issuer's published keys verify (RFC 9068).
    Signed {
        /// The algorithms that the issuer signs with.
        algorithms: Vec<SigningAlgorithm>,
        /// The types that its access tokens have.
        typed: TokenType,
    },
}

/// What one server accepts of an external authorization server, with a fingerprint.
#[derive(Debug)]
pub struct ExternalTokens {
    pub(super) parts: ExternalParts,
    /// The issuer identifier, for callers.
    pub(super) issuer: Arc<str>,
    /// The same for equal settings. What was accepted under other settings is not accepted.
    pub(super) fingerprint: Digest,
}

impl ExternalTokens {
    /// Creates the settings of one server.
    pub fn new(parts: ExternalParts) -> Arc<Self> {
        let secret = match &parts.form {
            TokenForm::Introspected(registration) => registration.secret.as_ref().map(|secret| secret.digest()),
            TokenForm::Signed { .. } => None,
        };
        // The description of a registration leaves its secret out.
        let described = format!("{parts:?}");
        let secret = secret.map(|digest| digest.to_string()).unwrap_or_default();
        let fingerprint = Digest::of_list(&[described.as_bytes(), secret.as_bytes()]);
        let issuer = parts.issuer.issuer.as_str().into();
        Arc::new(Self { parts, issuer, fingerprint })
    }

    /// The issuer.
    pub(crate) fn issuer(&self) -> &ExternalIssuer {
        &self.parts.issuer
    }

    /// What the issuer's scopes mean here.
    pub(crate) fn scopes(&self) -> &ScopeMap {
        &self.parts.issuer.scopes
    }

    /// The fingerprint of these settings.
    pub(crate) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }
}

/// What a token was accepted as.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The caller.
    pub(crate) caller: Caller,
    /// The grant behind it.
    pub(crate) grant: GrantId,
    /// When the token was issued, or when it was first seen if it does not say that.
    pub(crate) issued: Timestamp,
    /// Until when this may be used without looking at the token again.
    pub(crate) until: Timestamp,
}

/// The parts from which [`External`] is made.
#[derive(Debug)]
pub(crate) struct ExternalSources {
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) store: Store,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) node: NodeId,
    pub(crate) rights: watch::Receiver<Arc<Rights>>,
}

/// How the tokens of all external authorization servers are checked.
#[derive(Debug)]
pub(crate) struct External {
    pub(super) sources: ExternalSources,
    pub(super) issuers: TokenIssuers,
    pub(super) keys: KeySets,
    pub(super) introspections: Cache<Digest, Arc<Introspection>>,
    /// Places for those who make users and grants.
    pub(super) admissions: Semaphore,
}

/// The request with which a token came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presentation<'a> {
    pub(crate) card: &'a ServerCard,
    pub(crate) request: RequestId,
    pub(crate) now: Timestamp,
}

impl External {
    pub(crate) fn new(sources: ExternalSources) -> Self {
        Self {
            issuers: TokenIssuers::new(Arc::clone(&sources.http)),
            keys: KeySets::new(Arc::clone(&sources.http)),
            introspections: Cache::new(INTROSPECTIONS_MAX),
            admissions: Semaphore::new(ADMISSIONS_MAX),
            sources,
        }
    }
}
