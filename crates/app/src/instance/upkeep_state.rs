//! What the work beside answering goes by: the clock, where our records begin, and what strangers were refused.

use std::sync::{Arc, Mutex};

use sekisho_protocol::ids::NodeId;
use sekisho_store::{Refusals, Store};

use crate::clock::{SteadyClock, Timekeeper};
use crate::error::CommandError;
use crate::os::OsEntropy;

/// What this work goes by.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// The clock, as the timekeeper sets it.
    pub(super) clock: Arc<SteadyClock>,
    /// What keeps the clock right, until that begins.
    pub(super) timekeeper: Mutex<Option<Timekeeper>>,
    /// The last record of this node before we began.
    pub(super) begins_after: i64,
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
