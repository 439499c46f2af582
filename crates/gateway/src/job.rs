//! Jobs: what MCP itself calls tasks. A job belongs to the subject, client and grant whose call started it; for
//! everybody else it does not exist (RS-53, ATK-72).
//!
//! Owners are remembered in this process, bounded by number and by idleness. A job whose owner is forgotten is
//! nobody's: polling it is answered as for an unknown one.

use std::sync::Arc;
use std::time::Duration;

use sekisho_protocol::caller::Caller;
use sekisho_protocol::ids::ServerName;

use crate::session::Owner;

/// Jobs whose owners are remembered.
const JOBS_MAX: u64 = 100_000;
/// How long an owner is remembered after the job was last spoken of.
const JOB_IDLE: Duration = Duration::from_hours(24);
/// Bytes of the longest identifier; a longer one belongs to nobody.
const JOB_ID_BYTES_MAX: usize = 1024;

/// Who started which job.
#[derive(Debug)]
pub(crate) struct Jobs {
    owners: moka::sync::Cache<(ServerName, String), Arc<Owner>>,
}

impl Jobs {
    pub(crate) fn new() -> Self {
        Self { owners: moka::sync::Cache::builder().max_capacity(JOBS_MAX).time_to_idle(JOB_IDLE).build() }
    }

    /// Notes that this caller started this job. Whoever started it first keeps it: an upstream that repeats an
    /// identifier does not hand over somebody's job.
    pub(crate) fn started(&self, server: &ServerName, id: &str, caller: &Caller) {
        if id.len() <= JOB_ID_BYTES_MAX {
            let _ = self.owners.get_with((server.clone(), id.to_owned()), || Arc::new(Owner::of(caller)));
        }
    }

    /// Whether this caller started it.
    pub(crate) fn is_own(&self, server: &ServerName, id: &str, caller: &Caller) -> bool {
        id.len() <= JOB_ID_BYTES_MAX
            && self.owners.get(&(server.clone(), id.to_owned())).is_some_and(|owner| *owner == Owner::of(caller))
    }
}
