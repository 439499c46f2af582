//! Keeps the records complete: sums of refusals, calls that were cut off, and the heads in the second place.

use std::sync::Arc;
use std::time::Duration;

use sekisho_acts::{Performer, records};
use sekisho_protocol::audit::{Actor, Event, Outcome, OutcomeResult, Record};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::RequestId;
use sekisho_store::{REFUSALS_WRITTEN_EVERY, StoreError, UnendedCall, UnendedCursor};

use super::wiring::Instance;
use crate::heads::{Heads, PLACE_SETTING, SecondPlace};
use crate::os::{self, OsEntropy, READ_TIMEOUT};

/// How often to note the time since which calls may be open.
const NOTED_EVERY: Duration = Duration::from_mins(5);
/// How long to wait after an error before trying again to close calls whose end is not on record.
const CLOSE_RETRY: Duration = Duration::from_secs(5);
/// The most outcomes that one transaction writes.
const CLOSED_AT_ONCE: usize = 500;
/// How far back to look for calls without an end if the store has no time noted, as after an earlier version; in
/// seconds.
const LOOKED_BACK_SECONDS: i64 = 86_400;

impl Instance {
    /// Records, from time to time, the sums of refusals that were not recorded one by one.
    pub(super) async fn count_refusals(self: Arc<Self>) {
        let mut every = tokio::time::interval(REFUSALS_WRITTEN_EVERY);
        loop {
            every.tick().await;
            if let Err(error) = self.write_refusals().await {
                tracing::warn!(%error, "sums of refusals could not be recorded; they are counted on");
            }
        }
    }

    /// Records the sums of refusals now.
    pub(crate) async fn write_refusals(&self) -> Result<(), StoreError> {
        let sums = self.upkeep.refusals.take();
        if sums.is_empty() {
            return Ok(());
        }
        let written = self.write_all(sums.iter().cloned().map(Event::Refusals)).await;
        if written.is_err() {
            self.upkeep.refusals.restore(&sums);
        }
        written
    }

    async fn write_all(&self, events: impl Iterator<Item = Event>) -> Result<(), StoreError> {
        let at = self.clock.now();
        let records: Vec<Record> =
            events.map(|event| Record { at, request: RequestId::generate(at, &OsEntropy), event }).collect();
        let mut tx = self.store.begin().await?;
        tx.audit().append(self.node, &records, at).await?;
        tx.commit().await
    }

    /// Closes the calls of earlier runs whose end is not on record, and then notes from time to time since when calls
    /// of this run may be open.
    pub(super) async fn close_calls(self: Arc<Self>) {
        while let Err(error) = self.close_unended().await {
            tracing::warn!(%error, "calls that were cut off could not be closed in the records; trying again");
            tokio::time::sleep(CLOSE_RETRY).await;
        }
        let mut every = tokio::time::interval(NOTED_EVERY);
        loop {
            every.tick().await;
            if let Err(error) = self.note_open_since(self.gateway.open_since()).await {
                tracing::debug!(%error, "since when calls are open could not be noted");
            }
        }
    }

    /// Records the outcome *unknown* for each decision whose outcome was lost (ATK-175).
    async fn close_unended(&self) -> Result<(), StoreError> {
        let mut tx = self.store.read().await?;
        let noted = tx.audit().open_since(self.node).await?;
        drop(tx);
        let now = self.clock.now();
        let since = noted.unwrap_or_else(|| {
            Timestamp::from_second(now.as_second().saturating_sub(LOOKED_BACK_SECONDS)).unwrap_or(now)
        });
        let mut cursor = UnendedCursor::from(since);
        let mut closed = 0;
        loop {
            let mut tx = self.store.read().await?;
            let Some(calls) = tx.audit().unended(self.node, self.upkeep.begins_after, &mut cursor).await? else {
                break;
            };
            drop(tx);
            for calls in calls.chunks(CLOSED_AT_ONCE) {
                self.close_all(calls).await?;
                closed += calls.len();
            }
        }
        if closed > 0 {
            tracing::warn!(closed, "calls were cut off when we ended last: nobody knows what became of them");
        }
        self.note_open_since(self.gateway.open_since()).await
    }

    async fn close_all(&self, calls: &[UnendedCall]) -> Result<(), StoreError> {
        let at = self.clock.now();
        let records = calls.iter().map(|call| {
            let server = call.server.clone();
            let outcome = Outcome { server, result: OutcomeResult::Unknown, status: 0, bytes: 0, millis: 0 };
            Record { at, request: call.request, event: Event::Outcome(outcome) }
        });
        let records: Vec<Record> = records.collect();
        let mut tx = self.store.begin().await?;
        tx.audit().append(self.node, &records, at).await?;
        tx.commit().await
    }

    async fn note_open_since(&self, since: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.audit().set_open_since(self.node, since).await?;
        tx.commit().await
    }

    /// Compares the records with the newest heads in the second place, and logs contradictions as errors (ATK-176).
    /// They do not keep us from starting: otherwise whoever can cut the records could also stop the checkpoint, and
    /// nothing that happens from now on would be on record.
    pub(crate) async fn compare_heads(&self, heads: &Heads) {
        let place = heads.place.clone();
        let newest = os::beside(READ_TIMEOUT, move || place.newest()).await;
        let found = match newest.unwrap_or_else(|| Err("the disk does not answer".to_owned())) {
            Ok(newest) => records::contradictions(&self.store, &newest).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        let said = match found {
            Ok(said) => said,
            Err(error) => return tracing::error!(%error, "the records could not be compared with their second place"),
        };
        for why in &said {
            tracing::error!("the records contradict their second place: {why}; see `sekisho audit verify`");
        }
        if let Err(error) = self.note_contradictions(said).await {
            tracing::error!(%error, "that the records contradict their second place is not on record");
        }
    }

    async fn note_contradictions(&self, said: Vec<String>) -> Result<(), StoreError> {
        if said.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let request = RequestId::generate(now, &OsEntropy);
        let by = Performer { actor: Actor::Checkpoint, node: self.node, request, now, entropy: &OsEntropy };
        let mut tx = self.store.begin().await?;
        records::note_contradictions(&mut tx, &by, said).await?;
        tx.commit().await
    }

    /// Stores which second place is configured, for commands that run while no instance does.
    pub(crate) async fn note_second_place(&self) -> Result<(), StoreError> {
        let place = self.configuration.load().audit.heads.clone().unwrap_or_default();
        let mut tx = self.store.read().await?;
        let noted = tx.settings().get(PLACE_SETTING).await?.unwrap_or_default();
        drop(tx);
        if noted == place {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        tx.settings().put(PLACE_SETTING, &place).await?;
        tx.commit().await
    }

    /// Returns the second place of the configuration in force.
    pub(crate) fn second_place(&self) -> Option<SecondPlace> {
        let configuration = self.configuration.load();
        configuration.audit.heads.as_deref().and_then(|place| SecondPlace::read(place).ok())
    }
}
