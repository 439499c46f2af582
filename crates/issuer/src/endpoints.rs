//! Every endpoint of the issuer: which path leads to which handler.
//!
//! A handler reads its input, calls one operation and renders the result, an error by `error`. Operations name neither
//! handlers nor `error`.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;

use crate::error;
use crate::issuer::Issuer;
use crate::settings::RegistrationPolicy;

mod authorize;
mod consent;
mod links;
mod login;
mod logout;
mod metadata;
mod password;
mod provider;
mod register;
mod revoke;
mod setup;
mod token;
mod ways;

impl Issuer {
    /// The endpoints that programs call, at the paths that the issuer identifier gives them.
    pub fn programs(self: Arc<Self>) -> Router {
        let prefix = self.site.settings.prefix().to_owned();
        let at = |path: &str| self.site.at(path);
        // RFC 8414 §3.1 puts the identifier's path behind the well-known one; OpenID Connect Discovery §4.1 before.
        let mut programs = Router::new()
            .route(&format!("/.well-known/oauth-authorization-server{prefix}"), get(metadata::show))
            .route(&format!("/.well-known/openid-configuration{prefix}"), get(metadata::show))
            .route(&at("/oauth/jwks"), get(metadata::show_keys))
            .route(&at("/oauth/token"), post(token::issue))
            .route("/token", post(token::refresh_at_origin).fallback(async || StatusCode::NOT_FOUND))
            .route(&at("/oauth/revoke"), post(revoke::revoke));
        if !prefix.is_empty() {
            programs = programs.route(&at("/.well-known/openid-configuration"), get(metadata::show));
        }
        if self.settings.registration == RegistrationPolicy::Open {
            programs = programs.route(&at("/oauth/register"), post(register::register));
        }
        // A provider calls this one itself, so it is not part of what scripts of other origins may call.
        let providers = Router::new().route(&at("/login/{provider}/backchannel"), post(provider::log_out));
        programs.route_layer(axum::middleware::from_fn(error::cross_origin)).merge(providers).with_state(self)
    }

    /// The pages on which a person lets a client in and signs in, for `sekisho_web::serve`.
    pub fn pages(self: Arc<Self>) -> Router {
        let at = |path: &str| self.site.at(path);
        let mut pages = Router::new()
            .route(&at("/oauth/authorize"), get(authorize::begin))
            .route(&at("/consent/{pending}"), get(consent::show).post(consent::decide))
            .route(&at("/links"), get(links::list))
            .route(&at("/links/client.json"), get(links::document))
            .route(&at("/links/{server}"), get(links::show).post(links::change))
            .route(&at("/links/{server}/go"), get(links::depart))
            .route(&at("/links/{server}/callback"), get(links::arrive))
            .route(&at("/login"), get(login::show))
            .route(&at("/login/{provider}"), get(provider::depart))
            .route(&at("/login/{provider}/callback"), get(provider::arrive))
            .route(&at("/login/{provider}/signed-out"), get(logout::come_back))
            .route(&at("/logout"), post(logout::submit))
            .route(&at("/ways"), get(ways::show))
            .route(&at("/ways/add"), post(ways::add))
            .route(&at("/ways/remove"), post(ways::remove))
            .route(&at("/ways/{provider}/add"), get(ways::depart))
            .route(&at("/setup/{token}"), get(setup::show).post(setup::submit));
        if self.upstream.passwords {
            pages = pages
                .route(&at("/login"), post(login::submit))
                .route(&at("/password"), get(password::show).post(password::submit));
        }
        pages.with_state(Arc::clone(&self))
    }
}
