//! The authorization server of Sekisho (OAuth 2.1): login, consent, codes, tokens, clients.
//!
//! It does not judge calls and never sees one: what it grants is a scope of a server, and `policy` and the gateway
//! decide what that is worth. It does not know where it listens, which machine it runs on, or how keys are kept.
//!
//! Start from [`Issuer`]: made of [`IssuerParts`], served by [`Issuer::router`]. A person lets a client in along
//! the modules below, from top to bottom: `authorize` judges the request and keeps it, `consent` shows who asks,
//! `login` finds out who answers, `consent` again makes a code of the answer, and `token` an access token of the
//! code. Every request enters as a `visit::Visit` (its only `now`, its name, its browser) and leaves through
//! `pages` or `error`.
//!
//! To add a check to authorization requests: a named function in `authorize::read_request`, at the place where its
//! failure is cheapest. To add a sentence: a row in `text`. To add an endpoint: a file, a route in
//! [`Issuer::router`], an error enum beside it and its mapping in `error`.

use std::fmt::{self, Debug};
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use sekisho_client::http::HttpClient;
use sekisho_client::jwks::KeySets;
use sekisho_policy::rights::Rights;
pub use sekisho_protocol::caller::PeerAddress;
use sekisho_protocol::env::{Clock, Entropy};
use sekisho_protocol::ids::NodeId;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::{Refusals, Store};
use sekisho_token::Keys;
use tokio::sync::watch;

mod access;
mod agents;
mod approvals;
mod auditing;
mod authorize;
mod clients;
mod consent;
mod grant;
mod home;
mod jwks;
pub mod login;
mod metadata;
mod redirect;
mod register;
mod revoke;
mod session;
mod settings;
pub mod setup;
mod tasks;
mod token;
mod tools;

mod cookies;
mod door;
mod error;
mod limits;
mod own;
mod pages;
mod parameters;
mod place;
mod records;
mod shown;
#[cfg(test)]
mod testing;
mod text;
mod visit;

pub use settings::{DocumentPolicy, IssuerSettings, RegistrationPolicy};

/// What an issuer is made of.
pub struct IssuerParts {
    /// Everything remembered.
    pub store: Store,
    /// The signing keys in force.
    pub keys: watch::Receiver<Keys>,
    /// Where `now` comes from.
    pub clock: Arc<dyn Clock>,
    /// Where secrets and identifiers come from.
    pub entropy: Arc<dyn Entropy>,
    /// The way out, for documents and keys that clients publish. It must not reach loopback or private addresses
    /// unless the operator allowed them: whoever can send a browser here can make it fetch (ATK-29).
    pub http: Arc<dyn HttpClient>,
    /// What users may do, and so what they may hand on.
    pub rights: watch::Receiver<Arc<Rights>>,
    /// The servers for which tokens are issued.
    pub servers: watch::Receiver<Arc<ServerDirectory>>,
    /// Whose chain of records is written.
    pub node: NodeId,
    /// Where refusals are counted that are not recorded one by one.
    pub refusals: Arc<Refusals>,
    /// What the operator decided.
    pub settings: IssuerSettings,
}

/// The authorization server.
pub struct Issuer {
    pub(crate) store: Store,
    pub(crate) keys: watch::Receiver<Keys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) rights: watch::Receiver<Arc<Rights>>,
    pub(crate) servers: watch::Receiver<Arc<ServerDirectory>>,
    pub(crate) node: NodeId,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) settings: IssuerSettings,
    pub(crate) cookies: cookies::Cookies,
    pub(crate) limits: limits::Limits,
    pub(crate) documents: clients::metadata_document::Documents,
    pub(crate) client_keys: KeySets,
    pub(crate) passwords: login::local::Passwords,
    pub(crate) style_name: String,
    pub(crate) script_policy: String,
}

impl Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Issuer {
    /// An issuer of these parts.
    pub fn new(parts: IssuerParts) -> Arc<Self> {
        let IssuerParts { store, keys, clock, entropy, http, rights, servers, node, refusals, settings } = parts;
        Arc::new(Self {
            cookies: cookies::Cookies::new(&settings),
            limits: limits::Limits::new(&settings),
            documents: clients::metadata_document::Documents::new(),
            client_keys: KeySets::new(Arc::clone(&http)),
            passwords: login::local::Passwords::new(),
            style_name: pages::style_name(),
            script_policy: door::script_policy(),
            store,
            keys,
            clock,
            entropy,
            http,
            rights,
            servers,
            node,
            refusals,
            settings,
        })
    }

    /// Every route, at the paths that the issuer identifier gives them.
    pub fn router(self: Arc<Self>) -> Router {
        let prefix = self.settings.prefix().to_owned();
        let at = |path: &str| format!("{prefix}{path}");
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
        let people = Router::new()
            .route(&at("/oauth/authorize"), get(authorize::authorize))
            .route(&at("/consent/{pending}"), get(consent::show).post(consent::decide))
            .route(&at("/login"), get(login::show).post(login::submit))
            .route(&at("/logout"), post(session::log_out))
            .route(&at("/setup/{token}"), get(setup::show).post(setup::submit))
            .route(&at("/approvals/{id}"), get(approvals::show).post(approvals::answer))
            .route(&at("/access/{id}"), get(access::show).post(access::change))
            .route(&at("/tasks/{id}"), get(tasks::show).post(tasks::change))
            .route(&at("/agents/end"), post(agents::end_all))
            .route(&at("/grants/{id}"), get(agents::show))
            .route(&at("/grants/{id}/end"), post(agents::end))
            .route(&at("/grants/{id}/tasks"), post(agents::begin))
            .route(&at("/servers/{name}/tools"), get(tools::show).post(tools::accept))
            .route(&at("/records"), get(auditing::list))
            .route(&at("/records/{request}"), get(auditing::show).post(auditing::reveal))
            .route(&at("/"), get(home::show))
            .with_state(Arc::clone(&self));
        let assets = Router::new().route(&at("/assets/{name}"), get(pages::asset));
        // What lies behind a door is the pages for people and nothing else.
        let (issuer, behind) = (Arc::clone(&self), people.clone());
        let enter = move |request: axum::extract::Request| door::enter(issuer, behind, request);
        let programs = programs.route_layer(axum::middleware::from_fn(error::cross_origin)).merge(assets);
        programs.with_state(self).merge(people).fallback(enter)
    }
}
