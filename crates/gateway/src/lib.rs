//! The protected resource: every MCP request passes here.
//!
//! It is not the authorization server (that is the issuer) and not the policy (that is pure and elsewhere): it reads,
//! asks, records, forwards and filters. Start from [`Gateway`]. A request enters at `/mcp/{name}` and takes the steps
//! of `pipeline.rs`, in this order: route, authenticate, call, authorize, credential, settle, forward, filter, audit.
//! The response is made of the upstream's own bytes, or is one documented refusal (`error.rs`).
//!
//! To add a reason to refuse, add a variant to the step's error enum and a row to `error.rs`. To add a kind of
//! upstream, add a variant to [`UpstreamSettings`] and a module to `forward`. To change what a client gets to see,
//! change `filter.rs`.

// The body of an answer is a state machine that holds another; optimised builds compute its layout in one go.
#![recursion_limit = "256"]

mod account;
mod accounts;
mod answer;
mod asking;
mod approval;
mod audit;
mod authenticate;
mod authorize;
mod body;
mod call;
mod catalogue;
mod challenge;
mod cors;
mod credential;
mod credential_settings;
mod era;
mod error;
mod external;
mod fault;
mod feed;
mod filter;
mod forward;
mod gateway;
mod job;
mod limits;
mod listen;
pub mod memory;
mod metadata;
mod own;
mod pipeline;
mod profiles;
mod refusal;
mod revision;
mod rounds;
mod route;
mod scope_words;
mod session;
mod settle;
mod shares;
mod telling;
mod upstream;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::mcp::method::Revision;
use tokio_util::sync::CancellationToken;

pub use credential_settings::{CredentialPlace, CredentialSettings, SecretCommand};
pub use external::{ExternalParts, ExternalTokens, TokenForm};
pub use forward::check_upstream_url;
pub use forward::guard;
pub use gateway::{Gateway, GatewayParts};
pub use limits::{GatewaySettings, Limits};
pub use route::{Arrival, KeepArguments, Route, Routes, Upstream};
pub use upstream::{
    BuiltIn, BuiltInAnswer, BuiltInCall, BuiltInSettings, EnvValue, HttpSettings, Isolation, StdioSettings,
    UpstreamName, UpstreamSettings,
};

use accounts::{AccountParts, Accounts};
use audit::Journal;
use authenticate::Authenticator;
use catalogue::{Catalogues, RefreshError};
use external::{External, ExternalSources};
use forward::{ForwardError, ForwardLimits, Upstreams};
use job::Jobs;
use limits::Rates;
use session::Sessions;
use watchdog::Watchdog;

/// How long open answers may take to end when we stop.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// How long records may take to be written when we stop.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// What an upstream was found to be.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The revisions that it and we speak, oldest first.
    pub revisions: Vec<Revision>,
    /// Its name and version as it writes them, as JSON; only for people.
    pub server_info: Option<String>,
    /// Its tools, as the catalogue has them now.
    pub tools: Vec<Tool>,
}

/// Why an upstream could not be examined. The text is for the operator: it may quote what a child wrote.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No server of this name is mounted.
    #[error("no server `{0}` is mounted")]
    Unknown(ServerName),
    /// The store did not accept the result.
    #[error(transparent)]
    Store(#[from] sekisho_store::StoreError),
    /// The upstream cannot be reached at the moment.
    #[error("{0}")]
    Away(String),
    /// The upstream does not work, or not as an MCP server.
    #[error("{0}")]
    Upstream(String),
}

impl From<forward::ForwardError> for ProbeError {
    fn from(error: forward::ForwardError) -> Self {
        let text = error.to_string();
        if error.is_away() { Self::Away(text) } else { Self::Upstream(text) }
    }
}

impl Gateway {
    /// Makes a gateway and starts its background work: records, change feed, cleaning up.
    pub async fn start(parts: GatewayParts) -> Arc<Self> {
        // Subscribed before anything is read, so that no change is missed in between.
        let feed = parts.store.changes();
        let limits = parts.settings.limits.clone();
        let (journal, writing) = Journal::new(
            parts.node,
            parts.store.clone(),
            Arc::clone(&parts.clock),
            limits.records_queued_max,
            parts.settings.record_reads_first,
        );
        tokio::spawn(writing);
        let forward = ForwardLimits {
            answer_bytes_max: limits.answer_bytes_max,
            memory: limits.memory.clone(),
            ..ForwardLimits::default()
        };
        let external = External::new(ExternalSources {
            http: Arc::clone(&parts.http),
            store: parts.store.clone(),
            entropy: Arc::clone(&parts.entropy),
            node: parts.node,
            rights: parts.rights.clone(),
        });
        let accounts = Accounts::new(AccountParts {
            store: parts.store.clone(),
            http: parts.http,
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            node: parts.node,
        });
        if let Err(error) = accounts.begin().await {
            tracing::warn!(%error, "leases of the last process could not be ended; they end by themselves");
        }
        let gateway = Arc::new(Self {
            accounts,
            authenticator: Authenticator::new(
                parts.settings.base_url.clone(),
                limits.tokens_cached_max,
                parts.store.clone(),
                external,
            ),
            catalogues: Catalogues::new(parts.store.clone()),
            jobs: Jobs::default(),
            journal,
            rates: Rates::new(&limits),
            refusals: parts.refusals,
            sessions: Sessions::new(limits.sessions_per_grant, limits.session_idle),
            stopped: CancellationToken::new(),
            store: parts.store,
            upstreams: Upstreams::new(forward, parts.routes.clone()),
            watchdog: Arc::new(Watchdog::new(limits.streams_per_grant, limits.streams_total)),
            keys: parts.keys,
            rights: parts.rights,
            routes: parts.routes,
            clock: parts.clock,
            entropy: parts.entropy,
            settings: parts.settings,
        });
        gateway.remount().await;
        tokio::spawn(feed::follow(Arc::clone(&gateway), feed));
        tokio::spawn(feed::keep(Arc::clone(&gateway)));
        gateway
    }

    /// Answers one request to something below `/mcp/`. Other paths are not answered there (ATK-61).
    pub fn serve(self: &Arc<Self>, request: Request, arrival: Arrival) -> impl Future<Output = Response> + Send {
        pipeline::serve(self, request, arrival)
    }

    /// The routes of the metadata of the servers below `/mcp/`.
    pub fn router(self: Arc<Self>) -> Router {
        let described = format!("{}/mcp/{{name}}", metadata::ROOT);
        Router::new()
            .route(metadata::ROOT, get(describe).options(cors::preflight_for_everybody))
            .route(&described, get(describe).options(cors::preflight_for_everybody))
            .with_state(self)
    }

    /// Ends streams, and calls that are not answered yet. Their clients are told that the gateway stops.
    pub fn stop(&self) {
        self.stopped.cancel();
        self.watchdog.stop();
    }

    /// Ends streams, sessions and children, and writes the records that still wait.
    pub async fn shutdown(&self) {
        self.stop();
        // Clients that do not read the end of their stream are left behind.
        let _ = tokio::time::timeout(CLOSE_WAIT, self.watchdog.closed()).await;
        self.upstreams.shutdown().await;
        self.accounts.keep_uses().await;
        if tokio::time::timeout(FLUSH_WAIT, self.journal.flush()).await.is_err() {
            tracing::error!("records could not be written before the end");
        }
    }

    /// Whether calls can be put on record at the moment. While they cannot, no call is answered.
    pub fn is_recording(&self) -> bool {
        self.journal.is_recording()
    }

    /// Returns a moment before which every call that has begun has its outcome on record.
    pub fn open_since(&self) -> Timestamp {
        self.journal.open_since(self.clock.now())
    }

    /// Waits until every record that was handed over so far is written, for a limited time.
    pub async fn recorded(&self) {
        self.journal.written().await;
    }

    /// Examines what stands behind a server, and fills its part of the catalogue.
    pub async fn probe(&self, name: &ServerName) -> Result<Probe, ProbeError> {
        let route = self.mounted(name).ok_or_else(|| ProbeError::Unknown(name.clone()))?;
        // A server that was mounted a moment ago may not have been taken over yet.
        self.upstreams.mount();
        let spoken = self.upstreams.revisions(route.upstream.name(), None).await?;
        let tools = match self.catalogues.list(&self.upstreams, route.mount(None), self.clock.now()).await {
            Ok(tools) => tools,
            Err(RefreshError::Forward(error)) => return Err(error.into()),
            Err(RefreshError::Store(error)) => return Err(error.into()),
        };
        let server_info = spoken.server_info.clone();
        Ok(Probe { revisions: spoken.revisions.clone(), server_info, tools })
    }

    /// The servers whose upstream is reached over HTTP.
    pub fn remote_servers(&self) -> Vec<ServerName> {
        let routes = self.routes.borrow();
        let remote =
            routes.servers.iter().filter(|(_, route)| matches!(route.upstream.settings(), UpstreamSettings::Http(_)));
        remote.map(|(name, _)| name.clone()).collect()
    }

    /// Checks that what stands behind a server answers. The result is kept, so only the first check is expensive.
    pub async fn reach(&self, name: &ServerName) -> Result<(), ProbeError> {
        let route = self.mounted(name).ok_or_else(|| ProbeError::Unknown(name.clone()))?;
        match self.upstreams.revisions(route.upstream.name(), None).await {
            // It is there, and answers people with accounts.
            Err(ForwardError::WantsOwnCredential { .. }) if route.upstream.source().is_of_the_person() => Ok(()),
            reached => Ok(reached.map(drop)?),
        }
    }

    /// Takes over the routes in force and waits for that. Without this call they are taken over as well, a little
    /// later.
    pub async fn remount(self: &Arc<Self>) {
        let routes = Arc::clone(&self.routes.borrow());
        self.upstreams.mount();
        self.catalogues.retain(|server| routes.servers.contains_key(server));
        // The upstream's side of these sessions is gone with the upstream.
        self.sessions.end_unless(|server| routes.servers.contains_key(server));
        for server in routes.servers.keys() {
            feed::reload(self, server).await;
        }
    }
}

/// Protected resource metadata (RFC 9728 §3).
async fn describe(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let routes = Arc::clone(&gateway.routes.borrow());
    let found = route::check_host(&gateway.settings, request.uri(), request.headers())
        .and_then(|()| metadata::find(&routes, request.uri().path()));
    match found {
        Ok(route) if route::is_other_name(&gateway.settings, request.uri(), request.headers()) => {
            error::described_elsewhere(route.card.resource.as_str())
        }
        Ok(route) => metadata::response(route, &gateway.settings.base_url),
        Err(error) => error::unrouted(error).0,
    }
}
