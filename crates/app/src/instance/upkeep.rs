//! Background work of an instance: deletes expired rows, renews keys, keeps room on the disk.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sekisho_store::StoreError;
use tokio::task::JoinHandle;

use super::wiring::Instance;
use crate::keys;
use crate::os::{self, OsEntropy, READ_TIMEOUT};

/// How often expired rows are deleted.
const SWEEP_EVERY: Duration = Duration::from_mins(5);

impl Instance {
    /// Starts the background tasks, each of which runs until it is aborted.
    pub(crate) fn keep_up(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let timekeeper = self.upkeep.timekeeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut work = vec![
            tokio::spawn(self.clone().housekeep()),
            tokio::spawn(self.clone().count_refusals()),
            tokio::spawn(self.clone().close_calls()),
        ];
        work.extend(timekeeper.map(|timekeeper| tokio::spawn(timekeeper.keep())));
        let listings = self.upkeep.listings_seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.extend(listings.map(|requests| tokio::spawn(self.clone().list_for_consents(requests))));
        work
    }

    /// Deletes expired rows, renews keys, keeps room on the disk.
    async fn housekeep(self: Arc<Self>) {
        let mut every = tokio::time::interval(SWEEP_EVERY);
        let mut brought_back = false;
        loop {
            every.tick().await;
            let store = self.store.clone();
            match os::beside(READ_TIMEOUT, move || store.keep_reserve()).await {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(%error, "no room could be kept for a full disk"),
                None => tracing::warn!("no room could be kept for a full disk: the disk does not answer"),
            }
            // With a clock that was just set, rows may seem to have expired that have not.
            let trusted = self.upkeep.clock.is_trusted();
            if trusted && let Err(error) = self.delete_ended(&mut brought_back).await {
                tracing::warn!(%error, "expired entries could not be deleted");
            }
            brought_back &= trusted;
            match keys::in_force(&self.store, self.clock.as_ref(), &OsEntropy).await {
                Ok(keys) => drop(self.watches.keys.send_replace(keys)),
                Err(error) => tracing::error!(%error, "signing keys could not be renewed"),
            }
        }
    }

    /// Deletes expired rows. Before the first time after the clock has become trusted, corrects rows that seem to be
    /// made in the future.
    async fn delete_ended(&self, brought_back: &mut bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        if !*brought_back {
            let rows = self.store.bring_back(now).await?;
            if rows > 0 {
                tracing::warn!(rows, "what was made by a clock that was ahead lasts from now on");
            }
            *brought_back = true;
        }
        self.store.sweep(now).await.map(drop)
    }
}
