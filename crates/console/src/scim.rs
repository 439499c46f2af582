//! SCIM 2.0 at `/scim/v2` (RFC 7643, RFC 7644): an identity provider says who its people are, in which groups, and who has left.
//!
//! It is an endpoint for programs: no cookie counts here, and no page leads here. A request comes in through [`entry::Call`], which
//! alone knows who provisions; each resource has its file, and what changes is an act of `sekisho_acts::scim`.
//!
//! What is true when an answer is sent: the change is in the store with its record. Grants, sessions and open streams of somebody
//! who has left end through the change feed, like those of a user whom an operator shuts out.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use sekisho_acts::scim::IdentityRule;
use sekisho_store::Refusals;
use sekisho_web::{HasSite, Site};
use tokio::sync::{Semaphore, watch};

mod answer;
mod body;
mod discovery;
mod entry;
mod groups;
mod list;
mod shown;
mod users;

/// By the provider's name in the configuration: how its people are known when they sign in.
pub type IdentityRules = BTreeMap<String, IdentityRule>;

/// Requests that are worked on at one time. A provisioning client sends one after another; more would keep others from the store.
const CALLS_MAX: usize = 4;

/// What the endpoint is made of.
pub struct ProvisioningParts {
    /// Store, clock, entropy, base URL.
    pub site: Arc<Site>,
    /// How people of the providers are known when they sign in.
    pub rules: watch::Receiver<Arc<IdentityRules>>,
    /// Where refusals are counted that are not recorded one by one.
    pub refusals: Arc<Refusals>,
}

/// The endpoint for provisioning clients.
pub struct Provisioning {
    pub(crate) site: Arc<Site>,
    pub(crate) rules: watch::Receiver<Arc<IdentityRules>>,
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

    /// The routes, for programs.
    pub fn programs(self: Arc<Self>) -> Router {
        let at = |path: &str| self.site.at(&format!("/scim/v2{path}"));
        Router::new()
            .route(&at("/ServiceProviderConfig"), get(discovery::service_provider_config))
            .route(&at("/ResourceTypes"), get(discovery::resource_types))
            .route(&at("/ResourceTypes/{id}"), get(discovery::resource_type))
            .route(&at("/Schemas"), get(discovery::schemas))
            .route(&at("/Schemas/{id}"), get(discovery::schema))
            .route(&at("/Users"), get(users::list).post(users::create))
            .route(&at("/Users/{id}"), get(users::show).put(users::replace).patch(users::patch).delete(users::remove))
            .route(&at("/Groups"), get(groups::list).post(groups::create))
            .route(
                &at("/Groups/{id}"),
                get(groups::show).put(groups::replace).patch(groups::patch).delete(groups::remove),
            )
            .route(&at("/Bulk"), axum::routing::any(discovery::not_supported))
            .route(&at("/Me"), axum::routing::any(discovery::not_supported))
            .route(&at("/{*rest}"), axum::routing::any(discovery::not_there))
            .method_not_allowed_fallback(discovery::method_not_allowed)
            .with_state(self)
    }
}
