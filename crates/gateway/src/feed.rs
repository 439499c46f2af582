//! Brings changes from the feed to caches, sessions and open streams, on every node within a second.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sekisho_protocol::ids::{GrantId, ServerName, UserId};
use sekisho_store::{AccountKey, Change, ChangeFeed, ChangeKind, FeedEvent};
use tokio::time::Instant;

use crate::Gateway;
use crate::accounts::link_question;
use crate::era::initialize;
use crate::session::Session;

/// How long to wait before looking for idle things again.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How long after a change of rights streams are told that their lists may have changed. By then the streams that the
/// same change ends are gone, and several changes are told at once.
const NUDGE_DELAY: Duration = Duration::from_millis(250);
/// The most events that are handled together. The feed itself holds no more for a slow listener.
const EVENTS_AT_ONCE: usize = 4096;

/// Follows the feed and the keys until the gateway stops. This task waits for nothing but the store, because the next
/// event may be a revocation.
pub(crate) async fn follow(gateway: Arc<Gateway>, mut feed: ChangeFeed) {
    let stopped = gateway.stopped.clone();
    let (mut keys, mut rights) = (gateway.keys.clone(), gateway.rights.clone());
    let mut rights_live = true;
    let mut nudge_at = None;
    // The sender of the channel may be gone. The keys it sent last stay in force.
    let mut keys_live = true;
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            event = feed.next() => {
                let events = gather(event, &mut feed);
                on_events(&gateway, events).await;
            }
            changed = keys.changed(), if keys_live => {
                keys_live = changed.is_ok();
                gateway.authenticator.forget_tokens();
            }
            changed = rights.changed(), if rights_live => {
                rights_live = changed.is_ok();
                nudge_at.get_or_insert_with(|| Instant::now() + NUDGE_DELAY);
            }
            () = until(nudge_at) => {
                nudge_at = None;
                gateway.watchdog.nudge(None);
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Follows the routes, and ends what was idle for too long. This is a task of its own, because both may have to wait
/// for upstreams.
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
                gateway.jobs.sweep();
                gateway.accounts.keep_uses().await;
                end_all(&gateway, gateway.sessions.sweep());
            }
        }
    }
}

/// Ends sessions at their upstreams, in the background: an upstream that is slow to end one delays nothing else.
fn end_all(gateway: &Arc<Gateway>, sessions: Vec<Arc<Session>>) {
    for session in sessions {
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move { initialize::end(&gateway, &session).await });
    }
}

/// Collects the events that are there already, in order. A change that ends many grants sends one event for each, and
/// they are handled together.
fn gather(first: FeedEvent, feed: &mut ChangeFeed) -> Vec<FeedEvent> {
    let mut events = vec![first];
    while events.len() < EVENTS_AT_ONCE
        && let Some(event) = feed.next().now_or_never()
    {
        events.push(event);
    }
    events
}

/// The grants that may have ended, according to the feed.
#[derive(Debug, Default)]
struct Concerned {
    all: bool,
    grants: BTreeSet<GrantId>,
    users: BTreeSet<UserId>,
}

async fn on_events(gateway: &Arc<Gateway>, events: Vec<FeedEvent>) {
    let mut concerned = Concerned::default();
    for event in events {
        on_event(gateway, event, &mut concerned).await;
    }
    let ended = recheck(gateway, &concerned).await;
    let live_on = concerned.grants.iter().filter(|grant| !ended.contains(grant));
    live_on.for_each(|grant| gateway.watchdog.nudge_grant(*grant));
}

async fn on_event(gateway: &Arc<Gateway>, event: FeedEvent, concerned: &mut Concerned) {
    let grants = gateway.authenticator.grants();
    if event == FeedEvent::Unavailable {
        if grants.set_down(true) {
            tracing::error!("the store is out of reach: every call asks it anew and is refused until it answers");
        }
        // The authority of the standing streams cannot be confirmed any more.
        gateway.watchdog.end_standing();
        return;
    }
    if grants.set_down(false) {
        tracing::info!("the store is in reach again");
    }
    match event {
        FeedEvent::Change(change) => on_change(gateway, &change, concerned).await,
        FeedEvent::Gap => {
            grants.forget_all();
            gateway.authenticator.forget_tokens();
            gateway.accounts.forget_all();
            reload_catalogues(gateway).await;
            concerned.all = true;
        }
        FeedEvent::Unavailable => {}
    }
}

async fn on_change(gateway: &Arc<Gateway>, change: &Change, concerned: &mut Concerned) {
    let grants = gateway.authenticator.grants();
    match change.kind {
        ChangeKind::Approval => {
            gateway.sessions.is_answered(&change.id);
        }
        ChangeKind::Catalogue => {
            if let Ok(server) = change.id.parse::<ServerName>() {
                reload(gateway, &server).await;
                gateway.watchdog.nudge(Some(&server));
            }
        }
        // The change concerns every grant that is derived from a grant of this client.
        ChangeKind::Client => {
            grants.forget_all();
            concerned.all = true;
        }
        ChangeKind::User => {
            grants.forget_all();
            match change.id.parse::<UserId>() {
                Ok(user) => drop(concerned.users.insert(user)),
                Err(_) => concerned.all = true,
            }
        }
        ChangeKind::Grant => match change.id.parse::<GrantId>() {
            Ok(grant) => {
                grants.forget(grant);
                concerned.grants.insert(grant);
            }
            Err(_) => {
                grants.forget_all();
                concerned.all = true;
            }
        },
        ChangeKind::Key => gateway.authenticator.forget_tokens(),
        ChangeKind::LinkedAccount => match AccountKey::read_change(&change.id) {
            Some(key) => {
                gateway.accounts.forget(&key);
                gateway.sessions.is_answered(&link_question(&key));
            }
            None => gateway.accounts.forget_all(),
        },
        // These changes reach us through the rights, the routes and the settings.
        ChangeKind::Loan | ChangeKind::Server | ChangeKind::Setting => {}
    }
}

/// Ends what grants that have ended hold open: streams, requests, sessions. The store is asked once for many grants,
/// because everything that one change ends has to end within a second. Returns the grants that have ended.
async fn recheck(gateway: &Arc<Gateway>, concerned: &Concerned) -> HashSet<GrantId> {
    let (watchdog, sessions) = (&gateway.watchdog, &gateway.sessions);
    let mut holders: BTreeSet<GrantId> = BTreeSet::new();
    if concerned.all {
        holders.extend(watchdog.grants(None).into_iter().chain(sessions.grants(None)));
    } else {
        for user in &concerned.users {
            holders.extend(watchdog.grants(Some(*user)).into_iter().chain(sessions.grants(Some(*user))));
        }
        let of_sessions: HashSet<GrantId> = match concerned.grants.is_empty() {
            true => HashSet::new(),
            false => sessions.grants(None).into_iter().collect(),
        };
        let held = concerned.grants.iter().filter(|grant| watchdog.holds(**grant) || of_sessions.contains(grant));
        holders.extend(held);
    }
    if holders.is_empty() {
        return HashSet::new();
    }
    let holders: Vec<GrantId> = holders.into_iter().collect();
    // If the store cannot say that a grant lives, the grant counts as ended.
    let alive = gateway.authenticator.grants().alive_among(&holders, gateway.clock.now()).await.unwrap_or_default();
    let ended: HashSet<GrantId> = holders.into_iter().filter(|grant| !alive.contains(grant)).collect();
    ended.iter().for_each(|grant| watchdog.end_of_grant(*grant));
    end_all(gateway, sessions.end_of_grants(&ended));
    ended
}

async fn reload_catalogues(gateway: &Arc<Gateway>) {
    let servers: Vec<ServerName> = gateway.routes.borrow().servers.keys().cloned().collect();
    for server in servers {
        reload(gateway, &server).await;
    }
}

/// Reads a server's catalogue anew. If the store does not answer, the old catalogue stays until it does: the feed then
/// reports a gap.
pub(crate) async fn reload(gateway: &Arc<Gateway>, server: &ServerName) {
    if let Err(error) = gateway.catalogues.reload(server).await {
        tracing::error!(%server, %error, "the catalogue could not be read");
    }
}
