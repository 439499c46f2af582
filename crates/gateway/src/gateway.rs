//! The gateway of one process: everything that a request needs on its way.

use std::sync::Arc;

use sekisho_client::http::HttpClient;
use sekisho_policy::rights::Rights;
use sekisho_protocol::env::{Clock, Entropy, Timestamp};
use sekisho_protocol::ids::{NodeId, ServerName};
use sekisho_store::{Refusals, Store};
use sekisho_token::Keys;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::audit::Journal;
use crate::authenticate::Authenticator;
use crate::catalogue::Catalogues;
use crate::forward::Upstreams;
use crate::job::Jobs;
use crate::limits::{GatewaySettings, Rates};
use crate::route::{Mount, Route, Routes};
use crate::session::Sessions;
use crate::watchdog::Watchdog;

/// The parts from which a gateway is made.
#[derive(Debug)]
pub struct GatewayParts {
    /// The database.
    pub store: Store,
    /// The keys with which tokens are verified.
    pub keys: watch::Receiver<Keys>,
    /// What users may do.
    pub rights: watch::Receiver<Arc<Rights>>,
    /// Which servers are mounted.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// Where `now` comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub entropy: Arc<dyn Entropy>,
    /// The node whose chain of records is written.
    pub node: NodeId,
    /// The way to servers that only the operator names: external authorization servers, and vendors of linked accounts.
    pub http: Arc<dyn HttpClient>,
    /// Counts the refusals that are not recorded one by one.
    pub refusals: Arc<Refusals>,
    /// The rest of the configuration.
    pub settings: GatewaySettings,
}

/// The gateway of one process.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) keys: watch::Receiver<Keys>,
    pub(crate) rights: watch::Receiver<Arc<Rights>>,
    pub(crate) routes: watch::Receiver<Arc<Routes>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) settings: GatewaySettings,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) authenticator: Authenticator,
    pub(crate) catalogues: Catalogues,
    pub(crate) jobs: Jobs,
    pub(crate) journal: Journal,
    pub(crate) rates: Rates,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) sessions: Sessions,
    pub(crate) stopped: CancellationToken,
    pub(crate) store: Store,
    pub(crate) upstreams: Upstreams,
    pub(crate) watchdog: Arc<Watchdog>,
}

impl Gateway {
    /// Returns the route of a mount that is in force.
    pub(crate) fn mounted(&self, server: &ServerName) -> Option<Arc<Route>> {
        self.routes.borrow().servers.get(server).cloned()
    }

    /// Lists an upstream's tools before this returns, unless that was done a moment ago.
    pub(crate) async fn list_now(gateway: &Arc<Self>, mount: Mount<'_>, now: Timestamp) {
        if let Err(error) = gateway.catalogues.refresh(&gateway.upstreams, mount, now).await {
            let server = mount.server;
            tracing::warn!(%server, %error, "the upstream's tools could not be listed");
        }
    }

    /// Lists an upstream's tools in the background, as soon as it may be asked again, because it said that they
    /// changed.
    pub(crate) fn list_soon(gateway: &Arc<Self>, server: &ServerName) {
        if !gateway.catalogues.ask_once(server) {
            return;
        }
        let (gateway, server) = (Arc::clone(gateway), server.clone());
        tokio::spawn(async move {
            tokio::time::sleep_until(gateway.catalogues.due(&server).await).await;
            gateway.catalogues.was_asked(&server);
            if let Some(route) = gateway.mounted(&server).filter(|route| !route.upstream.source().is_of_the_person()) {
                Self::list_now(&gateway, route.mount(None), gateway.clock.now()).await;
            }
        });
    }
}
