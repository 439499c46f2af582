//! The endpoint as a value: what it is made of, shared by all of its requests.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use sekisho_acts::scim::IdentityRule;
use sekisho_store::Refusals;
use sekisho_web::{HasSite, Site};
use tokio::sync::Semaphore;

/// By the provider's name in the configuration: how its people are known when they sign in.
pub type IdentityRules = BTreeMap<String, IdentityRule>;

/// Requests that are worked on at one time. A provisioning client sends one after another; more would keep others from the store.
const CALLS_MAX: usize = 4;

/// What the endpoint is made of.
pub struct ProvisioningParts {
    /// Store, clock, entropy, base URL.
    pub site: Arc<Site>,
    /// How people of the providers are known when they sign in.
    pub rules: IdentityRules,
    /// Where refusals are counted that are not recorded one by one.
    pub refusals: Arc<Refusals>,
}

/// The endpoint for provisioning clients.
pub struct Provisioning {
    pub(crate) site: Arc<Site>,
    pub(crate) rules: IdentityRules,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) turns: Arc<Semaphore>,
}

impl Debug for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provisioning").field("site", &self.site).finish_non_exhaustive()
    }
}

impl HasSite for Provisioning {
    fn site(&self) -> &Site {
        &self.site
    }
}

impl Provisioning {
    /// An endpoint of these parts.
    pub fn new(parts: ProvisioningParts) -> Arc<Self> {
        let ProvisioningParts { site, rules, refusals } = parts;
        Arc::new(Self { site, rules, refusals, turns: Arc::new(Semaphore::new(CALLS_MAX)) })
    }

    /// Where SCIM is, without a slash at its end.
    pub(crate) fn base_url(&self) -> String {
        self.site.settings.url("/scim/v2")
    }
}
