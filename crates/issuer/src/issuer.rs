//! The authorization server as a value: what it is made of, and what it holds while it runs.

use std::fmt::{self, Debug};
use std::sync::Arc;

use sekisho_client::http::HttpClient;
use sekisho_client::jwks::KeySets;
use sekisho_policy::rights::Rights;
use sekisho_store::Refusals;
use sekisho_token::Keys;
use sekisho_web::{HasSite, Site};
use tokio::sync::{mpsc, watch};

use crate::assertions::AssertionKeys;
use crate::clients::documents::Documents;
use crate::consent::ListingRequest;
use crate::limits::Limits;
use crate::login::password::Passwords;
use crate::login::upstream::{LoginParts, Upstream};
use crate::settings::IssuerSettings;

/// The parts of an issuer.
pub struct IssuerParts {
    /// The pages' common ground: store, clock, entropy, servers, base URL.
    pub site: Arc<Site>,
    /// The signing keys in force.
    pub keys: watch::Receiver<Keys>,
    /// The way out, for documents and keys that clients publish. It must not reach loopback or private addresses
    /// unless the operator allowed them, because anyone who can send a browser here can make it fetch (ATK-29).
    pub http: Arc<dyn HttpClient>,
    /// What users may do, and so what they may hand on.
    pub rights: watch::Receiver<Arc<Rights>>,
    /// Where refusals are counted that are not recorded one by one.
    pub refusals: Arc<Refusals>,
    /// Takes requests to ask a server for its tools.
    pub listings: mpsc::Sender<ListingRequest>,
    /// The settings of the operator.
    pub settings: IssuerSettings,
    /// How people sign in.
    pub login: LoginParts,
}

/// The authorization server.
pub struct Issuer {
    pub(crate) site: Arc<Site>,
    pub(crate) keys: watch::Receiver<Keys>,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) rights: watch::Receiver<Arc<Rights>>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) listings: mpsc::Sender<ListingRequest>,
    pub(crate) settings: IssuerSettings,
    pub(crate) limits: Limits,
    pub(crate) documents: Documents,
    pub(crate) client_keys: KeySets,
    pub(crate) assertion_keys: AssertionKeys,
    pub(crate) passwords: Passwords,
    pub(crate) upstream: Upstream,
}

impl Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl HasSite for Issuer {
    fn site(&self) -> &Site {
        &self.site
    }
}

impl Issuer {
    /// An issuer of these parts.
    pub fn new(parts: IssuerParts) -> Arc<Self> {
        let IssuerParts { site, keys, http, rights, refusals, listings, settings, login } = parts;
        let upstream = Upstream::new(login, &http);
        Arc::new(Self {
            limits: Limits::new(&settings),
            documents: Documents::new(),
            client_keys: KeySets::new(Arc::clone(&http)),
            // A provider of the configuration is asked in the same way for a sign-in and for an assertion.
            assertion_keys: AssertionKeys::new(Arc::clone(&upstream.http), &settings.assertion_issuers),
            passwords: Passwords::new(),
            upstream,
            site,
            keys,
            http,
            rights,
            refusals,
            listings,
            settings,
        })
    }
}
