//! `/readyz`: whether calls are answered at the moment. They are not while records cannot be written. The answer names
//! servers that cannot be reached; these do not make the checkpoint unready.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::join_all;
use sekisho_gateway::Gateway;
use sekisho_protocol::ids::ServerName;
use sekisho_store::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer is reused, so that all questions together cost at most one small write a second.
const KEPT: Duration = Duration::from_secs(1);
/// How often servers are asked that have not answered yet.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long the write may take. With [`KEPT`], an answer is true within two seconds.
const PROBE_WAIT: Duration = Duration::from_millis(900);

/// The last result, and when it was asked for.
#[derive(Debug)]
pub(crate) struct Readiness {
    store: Store,
    gateway: Arc<Gateway>,
    away: Away,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    pub(crate) fn new(store: Store, gateway: Arc<Gateway>, away: Away) -> Arc<Self> {
        Arc::new(Self { store, gateway, away, last: Mutex::default() })
    }

    /// Writes a row, unless that was done a moment ago. Other questions meanwhile wait for the same answer.
    async fn is_ready(&self) -> bool {
        let mut last = self.last.lock().await;
        let writes = match *last {
            Some((asked, writes)) if asked.elapsed() < KEPT => writes,
            _ => {
                let asked = Instant::now();
                let writes = tokio::time::timeout(PROBE_WAIT, self.store.probe()).await.is_ok_and(|done| done.is_ok());
                *last = Some((asked, writes));
                writes
            }
        };
        writes && self.gateway.is_recording()
    }
}

/// `GET /readyz`.
pub(crate) async fn show(State(readiness): State<Arc<Readiness>>) -> (StatusCode, String) {
    if !readiness.is_ready().await {
        let text = "nothing can be recorded at the moment, so no call is answered\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
    }
    let away = readiness.away.names();
    let lines = away.iter().map(|server| format!("server `{server}` is not ready: its upstream cannot be reached\n"));
    (StatusCode::OK, format!("ready\n{}", lines.collect::<String>()))
}

/// The servers whose upstream has not answered yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Away(Arc<std::sync::Mutex<BTreeSet<ServerName>>>);

impl Away {
    fn names(&self) -> BTreeSet<ServerName> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<ServerName>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Asks every server over HTTP until it has answered once, and logs which are not ready and which became ready. Servers that
/// are added later are asked as well.
pub(crate) async fn follow(gateway: Arc<Gateway>, away: Away) {
    let mut ready = BTreeSet::new();
    loop {
        let servers: BTreeSet<ServerName> = gateway.remote_servers().into_iter().collect();
        ready.retain(|server| servers.contains(server));
        away.lock().retain(|server| servers.contains(server));
        let asking = servers.difference(&ready).map(|server| async { (server.clone(), gateway.reach(server).await) });
        for (server, reached) in join_all(asking.collect::<Vec<_>>()).await {
            match reached {
                Ok(()) => {
                    if away.lock().remove(&server) {
                        tracing::info!(%server, "the server is ready: its upstream answers");
                    }
                    ready.insert(server);
                }
                Err(error) => {
                    if away.lock().insert(server.clone()) {
                        tracing::warn!(%server, %error, "the server is not ready; it becomes ready once its upstream answers");
                    }
                }
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}
