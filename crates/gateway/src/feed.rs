//! What the change feed says reaches caches, sessions and open streams: within a second on every node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sekisho_protocol::ids::{ApprovalId, GrantId, ServerName};
use sekisho_store::{Change, ChangeFeed, ChangeKind, FeedEvent};

use crate::Gateway;
use crate::era::initialize;
use crate::session::Session;

/// Between two looks at what was idle for too long.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Follows the feed and the keys until the gateway stops. Nothing in here waits for anything but the store, for a
/// revocation may be the next to come.
pub(crate) async fn follow(gateway: Arc<Gateway>, mut feed: ChangeFeed) {
    let stopped = gateway.stopped.clone();
    let (mut keys, mut rights) = (gateway.keys.clone(), gateway.rights.clone());
    let mut rights_live = true;
    // Whoever made the channel may be gone; what it last said stays in force.
    let mut keys_live = true;
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            event = feed.next() => on_event(&gateway, event).await,
            changed = keys.changed(), if keys_live => {
                keys_live = changed.is_ok();
                gateway.authenticator.forget_tokens();
            }
            changed = rights.changed(), if rights_live => {
                rights_live = changed.is_ok();
                gateway.watchdog.nudge(None);
            }
        }
    }
}

/// Follows the routes, and ends what was idle for too long: both may have to wait for upstreams.
pub(crate) async fn keep(gateway: Arc<Gateway>) {
    let stopped = gateway.stopped.clone();
    let mut routes = gateway.routes.clone();
    let mut routes_live = true;
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            changed = routes.changed(), if routes_live => {
                routes_live = changed.is_ok();
                gateway.remount().await;
            }
            _ = sweep.tick() => {
                gateway.rates.sweep();
                end_all(&gateway, gateway.sessions.sweep());
            }
        }
    }
}

/// Ends sessions at their upstreams. One that is slow to say goodbye holds up nobody.
fn end_all(gateway: &Arc<Gateway>, sessions: Vec<Arc<Session>>) {
    for session in sessions {
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move { initialize::end(&gateway, &session).await });
    }
}

async fn on_event(gateway: &Arc<Gateway>, event: FeedEvent) {
    let grants = gateway.authenticator.grants();
    if event == FeedEvent::Unavailable {
        if grants.set_down(true) {
            tracing::error!("the store is out of reach: every call asks it anew and is refused until it answers");
        }
        // Their authority cannot be confirmed any more.
        gateway.watchdog.end_standing();
        return;
    }
    if grants.set_down(false) {
        tracing::info!("the store is in reach again");
    }
    match event {
        FeedEvent::Change(change) => on_change(gateway, &change).await,
        FeedEvent::Gap => {
            grants.forget_all();
            gateway.authenticator.forget_tokens();
            reload_catalogues(gateway).await;
            recheck(gateway, None).await;
        }
        FeedEvent::Unavailable => {}
    }
}

async fn on_change(gateway: &Arc<Gateway>, change: &Change) {
    let grants = gateway.authenticator.grants();
    match change.kind {
        ChangeKind::Approval => {
            if let Ok(question) = change.id.parse::<ApprovalId>() {
                gateway.sessions.is_answered(question);
            }
        }
        ChangeKind::Catalogue => {
            if let Ok(server) = change.id.parse::<ServerName>() {
                reload(gateway, &server).await;
                gateway.watchdog.nudge(Some(&server));
            }
        }
        ChangeKind::Client | ChangeKind::User => {
            grants.forget_all();
            recheck(gateway, None).await;
        }
        ChangeKind::Grant => match change.id.parse::<GrantId>() {
            Ok(grant) => {
                grants.forget(grant);
                recheck(gateway, Some(grant)).await;
                gateway.watchdog.nudge_grant(grant);
            }
            Err(_) => grants.forget_all(),
        },
        ChangeKind::Key => gateway.authenticator.forget_tokens(),
        // Carried to us by the rights, the routes and the settings, if they concern us.
        ChangeKind::Loan | ChangeKind::Server | ChangeKind::Setting => {}
    }
}

/// Ends what grants that have ended hold open: streams, requests, sessions.
async fn recheck(gateway: &Arc<Gateway>, only: Option<GrantId>) {
    let holders: BTreeSet<GrantId> = gateway.watchdog.grants().into_iter().chain(gateway.sessions.grants()).collect();
    let now = gateway.clock.now();
    for grant in holders.into_iter().filter(|grant| only.is_none_or(|only| only == *grant)) {
        if gateway.authenticator.grants().lives(grant, now).await {
            continue;
        }
        gateway.watchdog.end_of_grant(grant);
        end_all(gateway, gateway.sessions.end_of_grant(grant));
    }
}

async fn reload_catalogues(gateway: &Arc<Gateway>) {
    let servers: Vec<ServerName> = gateway.routes.borrow().servers.keys().cloned().collect();
    for server in servers {
        reload(gateway, &server).await;
    }
}

/// Reads a server's catalogue anew. Where the store does not answer, what was known stays until it does: the feed
/// then reports a gap.
pub(crate) async fn reload(gateway: &Arc<Gateway>, server: &ServerName) {
    if let Err(error) = gateway.catalogues.reload(server).await {
        tracing::error!(%server, %error, "the catalogue could not be read");
    }
}
