//! Puts changes of the configuration file and of the store in force while calls are answered.

use std::sync::Arc;

use futures_util::FutureExt as _;
use sekisho_gateway::Routes;
use sekisho_store::{ChangeKind, FeedEvent};

use super::wiring::Instance;
use crate::config::Configuration;
use crate::definitions::{defined, people};
use crate::error::CommandError;
use crate::keys;
use crate::os::{self, OsEntropy, READ_TIMEOUT};
use crate::servers::{self, Defined, RouteParts};

impl Instance {
    /// Takes over changes of the store; they are in force when this returns.
    pub(crate) async fn take_over(&self) -> Result<(), CommandError> {
        let _turn = self.reloading.lock().await;
        self.put_in_force(&self.configuration.load_full()).await
    }

    /// Takes over changed definitions; after an error, the old ones stay in force.
    pub(crate) async fn reload(&self, configuration: &Configuration) -> Result<(), CommandError> {
        let _turn = self.reloading.lock().await;
        self.put_in_force(configuration).await
    }

    /// Puts a configuration in force. The caller holds the lock `reloading`: otherwise an older state could replace a
    /// newer one.
    async fn put_in_force(&self, configuration: &Configuration) -> Result<(), CommandError> {
        let defined = defined(&self.store, &self.source, configuration).await?;
        let people = people(&self.store, self.clock.now()).await?;
        let directory = servers::directory(&defined, &self.base_url, &configuration.login)?;
        let rights = servers::rights(&defined, people, configuration)?;
        let routes = self.routes_of(defined, configuration).await?;
        self.watches.rights.send_replace(Arc::new(rights));
        self.watches.directory.send_replace(Arc::new(directory));
        self.watches.routes.send_replace(Arc::new(routes));
        // The new routes have to be in use before anybody is told that they are in force.
        self.gateway.remount().await;
        self.configuration.store(Arc::new(configuration.clone()));
        Ok(())
    }

    /// Makes routes, reading the secrets that they name. Their files may hang, so they are read on a thread that nobody
    /// else waits for.
    async fn routes_of(&self, defined: Vec<Defined>, configuration: &Configuration) -> Result<Routes, CommandError> {
        let (arguments_days, login) = (configuration.audit.arguments_days, configuration.login.clone());
        let (base_url, extra_ca, builtin) = (self.base_url.clone(), self.extra_ca.clone(), self.builtin.clone());
        let read = os::beside(READ_TIMEOUT, move || {
            let (base_url, extra_ca) = (base_url.as_str(), extra_ca.as_deref());
            let (builtin, login) = (&builtin, &login);
            servers::routes(&defined, RouteParts { base_url, arguments_days, extra_ca, builtin, login })
        });
        read.await.unwrap_or_else(|| {
            Err(CommandError::environment(
                "the files that hold secrets of servers could not be read in time",
                "see that none of them is a pipe, and the disk",
            ))
        })
    }

    /// Follows the change feed: users, loans, servers and keys are re-read when they change. What changed together is read again
    /// once: a group that a provider changes concerns thousands of users.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut feed = self.store.changes();
        loop {
            let mut stale = Stale::default();
            stale.note(feed.next().await);
            while let Some(event) = feed.next().now_or_never() {
                stale.note(event);
            }
            if stale.keys
                && let Ok(keys) = keys::in_force(&self.store, self.clock.as_ref(), &OsEntropy).await
            {
                self.watches.keys.send_replace(keys);
            }
            if stale.definitions
                && let Err(error) = self.take_over().await
            {
                tracing::error!(%error, "a change could not be taken over; the old state stays");
            }
        }
    }
}

/// What has to be read again.
#[derive(Debug, Default)]
struct Stale {
    keys: bool,
    definitions: bool,
}

impl Stale {
    fn note(&mut self, event: FeedEvent) {
        let kind = match event {
            FeedEvent::Change(change) => Some(change.kind),
            FeedEvent::Gap => None,
            FeedEvent::Unavailable => return,
        };
        self.keys |= matches!(kind, None | Some(ChangeKind::Key));
        self.definitions |= matches!(kind, None | Some(ChangeKind::Loan | ChangeKind::Server | ChangeKind::User));
    }
}
