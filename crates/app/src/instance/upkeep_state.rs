//! The state of the background work: the clock, where our records begin, and the refusals of strangers.

use std::sync::{Arc, Mutex};

use sekisho_issuer::ListingRequest;
use sekisho_protocol::ids::NodeId;
use sekisho_store::{Refusals, Store};
use tokio::sync::mpsc;

use crate::clock::{SteadyClock, Timekeeper};
use crate::error::CommandError;
use crate::os::OsEntropy;

/// How many requests to ask a server for its tools may wait.
const LISTINGS_WAITING_MAX: usize = 16;

/// The state of the background work.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// The clock, as the timekeeper sets it.
    pub(super) clock: Arc<SteadyClock>,
    /// The timekeeper, until it is started.
    pub(super) timekeeper: Mutex<Option<Timekeeper>>,
    /// The sequence number of this node's last record before this process started; 0 if it has none.
    pub(super) begins_after: i64,
    /// The refusals of strangers, which are recorded as sums.
    pub(super) refusals: Arc<Refusals>,
    /// Where the issuer sends requests to ask a server for its tools.
    pub(super) listings: mpsc::Sender<ListingRequest>,
    /// The other end, until the task that answers the requests is started.
    pub(super) listings_seen: Mutex<Option<mpsc::Receiver<ListingRequest>>>,
}

impl Upkeep {
    /// Compares the clock with the store, and notes where our records begin.
    pub(super) async fn begin(store: &Store, node: NodeId) -> Result<Self, CommandError> {
        let clock = Arc::new(SteadyClock::new());
        let mut timekeeper = Timekeeper::new(clock.clone(), Arc::new(OsEntropy), store.clone(), node);
        if let Err(error) = timekeeper.begin().await {
            tracing::error!(%error, "the clock could not be compared with the records");
        }
        let begins_after = last_record(store, node).await?;
        let (listings, listings_seen) = mpsc::channel(LISTINGS_WAITING_MAX);
        Ok(Self {
            clock,
            timekeeper: Mutex::new(Some(timekeeper)),
            begins_after,
            refusals: Arc::default(),
            listings,
            listings_seen: Mutex::new(Some(listings_seen)),
        })
    }
}

/// Returns the sequence number of a node's newest record. This process will write the records after it.
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
