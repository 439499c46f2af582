//! What an instance does beside answering: it deletes what has ended, renews keys, keeps the records whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sekisho_acts::{Performer, records};
use sekisho_protocol::audit::{Actor, Event, Outcome, OutcomeResult, Record};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{REFUSALS_WRITTEN_EVERY, Refusals, Store, StoreError, UnendedCall, UnendedCursor};
use tokio::task::JoinHandle;

use super::{Instance, READ_TIMEOUT};
use crate::clock::{SteadyClock, Timekeeper};
use crate::error::CommandError;
use crate::heads::{Heads, PLACE_SETTING, SecondPlace};
use crate::keys;
use crate::os::{self, OsEntropy};

/// How often what has ended is deleted.
const SWEEP_EVERY: Duration = Duration::from_mins(5);
/// Between two attempts to close calls of which no end is on record.
const CLOSE_RETRY: Duration = Duration::from_secs(5);
/// How many outcomes one transaction writes.
const CLOSED_AT_ONCE: usize = 500;
/// How far back calls without an end are looked for where nobody noted since when there may be any: a store of an earlier
/// version.
const LOOKED_BACK_SECONDS: i64 = 86_400;

/// What this work goes by.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// The clock, as the one that keeps it right knows it.
    pub(super) clock: Arc<SteadyClock>,
    /// Who keeps it right, until that begins.
    timekeeper: Mutex<Option<Timekeeper>>,
    /// The last record of this node before we began.
    begins_after: i64,
    /// What strangers were refused.
    pub(super) refusals: Arc<Refusals>,
}

impl Upkeep {
    /// Compares the clock with what is stored, and notes where our records begin.
    pub(super) async fn begin(store: &Store, node: NodeId) -> Result<Self, CommandError> {
        let clock = Arc::new(SteadyClock::new());
        let mut timekeeper = Timekeeper::new(clock.clone(), Arc::new(OsEntropy), store.clone(), node);
        if let Err(error) = timekeeper.begin().await {
            tracing::error!(%error, "the clock could not be compared with the records");
        }
        let begins_after = last_record(store, node).await?;
        Ok(Self { clock, timekeeper: Mutex::new(Some(timekeeper)), begins_after, refusals: Arc::default() })
    }
}

/// The place of the newest record of a node: what is on record beyond it was written by this process.
async fn last_record(store: &Store, node: NodeId) -> Result<i64, CommandError> {
    let found = async {
        let mut tx = store.read().await?;
        tx.audit().head(node).await
    };
    let head = found
        .await
        .map_err(|error| CommandError::environment(format!("the records cannot be read: {error}"), "see the disk"))?;
    Ok(head.map_or(0, |head| head.seq))
}

impl Instance {
    /// The work beside answering, each until it is aborted.
    pub(super) fn keep_up(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let timekeeper = self.upkeep.timekeeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut work = vec![
            tokio::spawn(self.clone().housekeep()),
            tokio::spawn(self.clone().count_refusals()),
            tokio::spawn(self.clone().close_calls()),
        ];
        work.extend(timekeeper.map(|timekeeper| tokio::spawn(timekeeper.keep())));
        work
    }

    /// Deletes what has expired, renews keys, keeps room on the disk.
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
            // By a clock that was just set, what has not ended may seem to have.
            let trusted = self.upkeep.clock.is_trusted();
            if trusted && let Err(error) = self.delete_ended(&mut brought_back).await {
                tracing::warn!(%error, "expired entries could not be deleted");
            }
            brought_back &= trusted;
            match keys::in_force(&self.store, self.clock.as_ref(), &OsEntropy).await {
                Ok(keys) => drop(self.keys.send_replace(keys)),
                Err(error) => tracing::error!(%error, "signing keys could not be renewed"),
            }
        }
    }

    /// Deletes what has ended. Once, whenever the clock has come to be trusted, what seems to be made in the future is set
    /// right before.
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

    /// Puts the sums of refusals on record that were not recorded one by one.
    async fn count_refusals(self: Arc<Self>) {
        let mut every = tokio::time::interval(REFUSALS_WRITTEN_EVERY);
        loop {
            every.tick().await;
            if let Err(error) = self.write_refusals().await {
                tracing::warn!(%error, "sums of refusals could not be recorded; they are counted on");
            }
        }
    }

    /// Puts them on record now.
    pub(super) async fn write_refusals(&self) -> Result<(), StoreError> {
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

    /// Closes the calls of earlier runs of which no end is on record, and then notes from time to time since when calls of
    /// this run may be open.
    async fn close_calls(self: Arc<Self>) {
        while let Err(error) = self.close_unended().await {
            tracing::warn!(%error, "calls that were cut off could not be closed in the records; trying again");
            tokio::time::sleep(CLOSE_RETRY).await;
        }
        let mut every = tokio::time::interval(SWEEP_EVERY);
        loop {
            every.tick().await;
            if let Err(error) = self.note_open_since(self.gateway.open_since()).await {
                tracing::debug!(%error, "since when calls are open could not be noted");
            }
        }
    }

    /// A decision whose outcome was lost gets one: nobody knows it (ATK-175).
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

    /// Holds the heads in the second place against the records, as far as that is quick, and says loudly what does not fit
    /// (ATK-176). It does not keep us from starting: then whoever can cut the records could also stop the checkpoint, and
    /// what happens from now on would be on record nowhere.
    pub(super) async fn compare_heads(&self, heads: &Heads) {
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

    /// Notes the second place in force in the store, for commands that run while no instance does.
    pub(super) async fn note_second_place(&self) -> Result<(), StoreError> {
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

    /// The second place in force.
    pub(crate) fn second_place(&self) -> Option<SecondPlace> {
        let configuration = self.configuration.load();
        configuration.audit.heads.as_deref().and_then(|place| SecondPlace::read(place).ok())
    }
}
