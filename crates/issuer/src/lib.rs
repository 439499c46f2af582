//! The authorization server of Sekisho (OAuth 2.1): login, consent, codes, tokens, clients.
//!
//! It does not judge calls and never sees one: what it grants is a scope of a server, and `policy` and the gateway
//! decide what that is worth. It does not know where it listens, which machine it runs on, or how keys are kept.
//!
//! Start from [`Issuer`]: made of [`IssuerParts`], served by [`Issuer::programs`] and [`Issuer::pages`]. A person lets a client in along
//! the modules below, from top to bottom: `authorize` judges the request and keeps it, `consent` shows who asks,
//! `login` finds out who answers, `consent` again makes a code of the answer, and `token` an access token of the
//! code. Every request of a person enters as a `sekisho_web::Visit` (its only `now`, its name, its browser) and leaves through
//! `sekisho_web::frame` or `error`. What a signed-in person sees otherwise is in `console`.
//!
//! To add a check to authorization requests: a named function in `authorize::read_request`, at the place where its
//! failure is cheapest. To add an endpoint: a file, a route in [`Issuer::programs`] or [`Issuer::pages`], an error enum beside
//! it and its mapping in `error`.

use std::fmt::{self, Debug};
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use sekisho_client::http::HttpClient;
use sekisho_client::jwks::KeySets;
use sekisho_policy::rights::Rights;
use sekisho_store::Refusals;
use sekisho_token::Keys;
use sekisho_web::{HasSite, Site};
use tokio::sync::watch;

mod authorize;
mod clients;
mod consent;
mod grant;
mod jwks;
pub mod login;
mod metadata;
mod redirect;
mod register;
mod revoke;
mod settings;
pub mod setup;
mod token;

mod error;
mod limits;
mod pages;
mod records;
#[cfg(test)]
mod testing;

pub use settings::{DocumentPolicy, IssuerSettings, RegistrationPolicy};

/// What an issuer is made of.
pub struct IssuerParts {
    /// The pages' common ground: store, clock, entropy, servers, base URL.
    pub site: Arc<Site>,
    /// The signing keys in force.
    pub keys: watch::Receiver<Keys>,
    /// The way out, for documents and keys that clients publish. It must not reach loopback or private addresses
    /// unless the operator allowed them: whoever can send a browser here can make it fetch (ATK-29).
    pub http: Arc<dyn HttpClient>,
    /// What users may do, and so what they may hand on.
    pub rights: watch::Receiver<Arc<Rights>>,
    /// Where refusals are counted that are not recorded one by one.
    pub refusals: Arc<Refusals>,
    /// What the operator decided.
    pub settings: IssuerSettings,
    /// How people sign in.
    pub login: login::upstream::LoginParts,
}

/// The authorization server.
pub struct Issuer {
    pub(crate) site: Arc<Site>,
    pub(crate) keys: watch::Receiver<Keys>,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) rights: watch::Receiver<Arc<Rights>>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) settings: IssuerSettings,
    pub(crate) limits: limits::Limits,
    pub(crate) documents: clients::metadata_document::Documents,
    pub(crate) client_keys: KeySets,
    pub(crate) passwords: login::password::Passwords,
    pub(crate) upstream: login::upstream::Upstream,
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
        let IssuerParts { site, keys, http, rights, refusals, settings, login } = parts;
        Arc::new(Self {
            limits: limits::Limits::new(&settings),
            documents: clients::metadata_document::Documents::new(),
            client_keys: KeySets::new(Arc::clone(&http)),
            passwords: login::password::Passwords::new(),
            upstream: login::upstream::Upstream::new(login, &http),
            site,
            keys,
            http,
            rights,
            refusals,
            settings,
        })
    }

    /// The endpoints that programs call, at the paths that the issuer identifier gives them.
    pub fn programs(self: Arc<Self>) -> Router {
        let prefix = self.site.settings.prefix().to_owned();
        let at = |path: &str| self.site.at(path);
        // RFC 8414 §3.1 puts the identifier's path behind the well-known one; OpenID Connect Discovery §4.1 before.
        let mut programs = Router::new()
            .route(&format!("/.well-known/oauth-authorization-server{prefix}"), get(metadata::show))
            .route(&format!("/.well-known/openid-configuration{prefix}"), get(metadata::show))
            .route(&at("/oauth/jwks"), get(jwks::show))
            .route(&at("/oauth/token"), post(token::answer_request))
            .route("/token", post(token::answer_refresh_at_origin).fallback(async || StatusCode::NOT_FOUND))
            .route(&at("/oauth/revoke"), post(revoke::revoke));
        if !prefix.is_empty() {
            programs = programs.route(&at("/.well-known/openid-configuration"), get(metadata::show));
        }
        if self.settings.registration == RegistrationPolicy::Open {
            programs = programs.route(&at("/oauth/register"), post(register::register));
        }
        let providers = login::upstream::programs(&self);
        programs.route_layer(axum::middleware::from_fn(error::cross_origin)).merge(providers).with_state(self)
    }

    /// The pages on which a person lets a client in and signs in, for `sekisho_web::serve`.
    pub fn pages(self: Arc<Self>) -> Router {
        let at = |path: &str| self.site.at(path);
        let mut pages = Router::new()
            .route(&at("/oauth/authorize"), get(authorize::authorize))
            .route(&at("/consent/{pending}"), get(consent::show).post(consent::decide))
            .route(&at("/login"), get(login::show))
            .route(&at("/setup/{token}"), get(setup::show).post(setup::submit));
        if self.upstream.passwords {
            pages = pages
                .route(&at("/login"), post(login::submit))
                .route(&at("/password"), get(login::show_change).post(login::change_password));
        }
        pages.merge(login::upstream::pages(&self)).with_state(Arc::clone(&self))
    }
}
