//! Serves an instance until it is told to stop, with the control socket, the change feed and the upkeep beside it.

use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use crate::base_url::hosts;
use crate::control::Control;
use crate::error::CommandError;
use crate::instance::Instance;
use crate::layers::{Entrance, Front};
use crate::listen::{self, Certificate, Listeners, Sharing};
use crate::os::OsEntropy;
use crate::proxies::Proxies;
use crate::readiness::{self, Readiness};

/// The sockets that callers connect to, and when serving ends.
pub(crate) struct Entry {
    /// The sockets.
    pub(crate) listeners: Listeners,
    /// The certificate, where TLS is spoken.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Becomes true when we are to stop.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Serves until `stop`. `ready` is called once callers and commands reach us.
pub(crate) async fn serve(
    instance: &Arc<Instance>,
    entry: Entry,
    ready: impl FnOnce() -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let Entry { listeners, certificate, stop } = entry;
    let control = Control::of(instance).listen(&instance.data.socket())?;
    let follow = tokio::spawn(instance.clone().follow());
    let heads = instance.heads()?.map(Arc::new);
    if let Err(error) = instance.note_second_place().await {
        tracing::warn!(%error, "the second place of the records could not be noted");
    }
    if let Some(heads) = &heads {
        instance.compare_heads(heads).await;
    }
    let reach = tokio::spawn(readiness::follow(instance.gateway.clone(), instance.away.clone()));
    let mut tasks = vec![control, follow, reach];
    tasks.extend(instance.keep_up());
    tasks.extend(heads.clone().map(|heads| tokio::spawn(heads.keep())));
    tasks.extend(instance.announcer()?.map(|announcer| tokio::spawn(Arc::new(announcer).keep())));
    ready()?;
    let sharing = Sharing { memory: instance.memory.clone(), proxies: proxies(instance).networks().to_vec() };
    listen::serve(listeners, front(instance), certificate, sharing, stop).await;
    for task in tasks {
        task.abort();
    }
    let _ = std::fs::remove_file(instance.data.socket());
    instance.gateway.shutdown().await;
    if let Err(error) = instance.write_refusals().await {
        tracing::error!(%error, "sums of refusals could not be recorded before the end");
    }
    // The head of everything that was recorded up to the end.
    if let Some(heads) = heads
        && let Err(error) = heads.write(0).await
    {
        tracing::error!(%error, "the last head of the records could not be written to its second place");
    }
    instance.store.close().await;
    Ok(())
}

/// Issuer, gateway and health behind one entrance.
fn front(instance: &Arc<Instance>) -> Front {
    let readiness = Readiness::new(instance.store.clone(), instance.gateway.clone(), instance.away.clone());
    let health = Router::new()
        .route("/healthz", axum::routing::get(|| async { "ok\n" }))
        .route("/readyz", axum::routing::get(readiness::show).with_state(readiness));
    let pages = instance.issuer.clone().pages().merge(instance.console.clone().pages());
    let pages = sekisho_web::serve(instance.site.clone(), pages).merge(instance.issuer.clone().programs());
    let pages = pages.merge(instance.provisioning.clone().programs());
    Front::new(Entrance {
        clock: instance.clock.clone(),
        entropy: Arc::new(OsEntropy),
        hosts: hosts(&instance.base_url),
        proxies: proxies(instance),
        gateway: instance.gateway.clone(),
        pages: pages.merge(instance.gateway.clone().router()).merge(health),
    })
}

/// The proxies in front of us that are believed. An entry that is no network was refused when the file was read.
fn proxies(instance: &Instance) -> Proxies {
    Proxies::read(&instance.configuration.load().tls.trusted_proxies).unwrap_or_default()
}
