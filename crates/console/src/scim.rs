//! SCIM 2.0 at `/scim/v2` (RFC 7643, RFC 7644): an identity provider says who its people are, in which groups, and who has left.
//!
//! It is an endpoint for programs: no cookie counts here, and no page leads here. A request comes in through `entry::Call`, which
//! alone knows who provisions; each resource has its file, and what changes is an act of `sekisho_acts::scim`.
//!
//! What is true when an answer is sent: the change is in the store with its record. Grants, sessions and open streams of somebody
//! who has left end through the change feed, like those of a user whom an operator shuts out.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

mod answer;
mod body;
mod discovery;
mod entry;
mod groups;
mod list;
mod provisioning;
mod shown;
mod users;

pub use provisioning::{IdentityRules, Provisioning, ProvisioningParts};

impl Provisioning {
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
            .route(&at("/Users/.search"), post(users::search))
            .route(&at("/Users/{id}"), get(users::show).put(users::replace).patch(users::patch).delete(users::remove))
            .route(&at("/Groups"), get(groups::list).post(groups::create))
            .route(&at("/Groups/.search"), post(groups::search))
            .route(
                &at("/Groups/{id}"),
                get(groups::show).put(groups::replace).patch(groups::patch).delete(groups::remove),
            )
            .route(&at("/.search"), axum::routing::any(discovery::not_supported))
            .route(&at("/Bulk"), axum::routing::any(discovery::not_supported))
            .route(&at("/Me"), axum::routing::any(discovery::not_supported))
            .route(&at("/{*rest}"), axum::routing::any(discovery::not_there))
            .method_not_allowed_fallback(discovery::method_not_allowed)
            .with_state(self)
    }
}
