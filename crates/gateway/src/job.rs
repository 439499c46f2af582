//! Jobs: what MCP itself calls tasks. A job belongs to the subject, client and grant whose call started it, and a job
//! of an anonymous caller belongs to its session. For all other callers it does not exist (RS-53, ATK-72).
//!
//! The owners are kept in the memory of this process. Their number is bounded, in all and for each holder, and idle
//! ones are forgotten. A poll for a job without a known owner is answered as for an unknown job.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ServerName;
use tokio::time::Instant;

use crate::session::Owner;
use crate::shares::Holder;

/// The most jobs whose owners are remembered. Beyond that, the holder with the most jobs loses the one that was not
/// asked about for longest.
const JOBS_MAX: usize = 100_000;
/// The most jobs of one holder whose owners are remembered.
const JOBS_PER_HOLDER: usize = 1024;
/// How long an owner is remembered after the job was last used.
const JOB_IDLE: Duration = Duration::from_hours(24);
/// The most bytes of an identifier. A job with a longer one has no owner.
const JOB_ID_BYTES_MAX: usize = 1024;

/// Who started which job.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// The jobs, by server and identifier.
    jobs: HashMap<Digest, Job>,
    /// The jobs of each holder, in the order in which they were last used.
    by_holder: HashMap<Holder, BTreeMap<u64, Digest>>,
    next: u64,
}

#[derive(Debug)]
struct Job {
    owner: Owner,
    holder: Holder,
    /// The job's position among those of its holder.
    place: u64,
    used: Instant,
}

impl Table {
    fn place(&mut self, holder: &Holder, key: Digest) -> u64 {
        let place = self.next;
        self.next = place.wrapping_add(1);
        self.by_holder.entry(holder.clone()).or_default().insert(place, key);
        place
    }

    fn unplace(&mut self, holder: &Holder, place: u64) {
        let Some(own) = self.by_holder.get_mut(holder) else { return };
        own.remove(&place);
        if own.is_empty() {
            self.by_holder.remove(holder);
        }
    }

    fn forget(&mut self, key: &Digest) {
        if let Some(job) = self.jobs.remove(key) {
            self.unplace(&job.holder, job.place);
        }
    }

    fn oldest(&self, holder: &Holder) -> Option<Digest> {
        Some(*self.by_holder.get(holder)?.first_key_value()?.1)
    }

    fn make_room(&mut self, holder: &Holder) {
        let own = self.by_holder.get(holder).map_or(0, BTreeMap::len);
        let in_the_way = if own >= JOBS_PER_HOLDER {
            self.oldest(holder)
        } else if self.jobs.len() >= JOBS_MAX {
            let most = self.by_holder.iter().max_by_key(|(_, own)| own.len()).map(|(holder, _)| holder);
            most.and_then(|most| self.oldest(most))
        } else {
            None
        };
        if let Some(key) = in_the_way {
            self.forget(&key);
        }
    }
}

impl Jobs {
    /// Notes who started this job. The first owner keeps it: an upstream that repeats an identifier does not give
    /// another caller's job away.
    pub(crate) fn started(&self, server: &ServerName, id: &str, owner: Owner, holder: Holder) {
        let Some(key) = key(server, id) else { return };
        let mut table = self.lock();
        if table.jobs.contains_key(&key) {
            return;
        }
        table.make_room(&holder);
        let place = table.place(&holder, key);
        table.jobs.insert(key, Job { owner, holder, place, used: Instant::now() });
    }

    /// Whether this owner started the job.
    pub(crate) fn is_own(&self, server: &ServerName, id: &str, owner: Option<&Owner>) -> bool {
        let (Some(key), Some(owner)) = (key(server, id), owner) else { return false };
        let mut table = self.lock();
        let Some(job) = table.jobs.get(&key).filter(|job| job.owner == *owner) else { return false };
        let (holder, before) = (job.holder.clone(), job.place);
        table.unplace(&holder, before);
        let place = table.place(&holder, key);
        if let Some(job) = table.jobs.get_mut(&key) {
            (job.place, job.used) = (place, Instant::now());
        }
        true
    }

    /// Forgets the jobs that were not asked about for long.
    pub(crate) fn sweep(&self) {
        let mut table = self.lock();
        let idle = table.jobs.iter().filter(|(_, job)| job.used.elapsed() >= JOB_IDLE);
        let idle: Vec<Digest> = idle.map(|(key, _)| *key).collect();
        idle.iter().for_each(|key| table.forget(key));
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(server: &ServerName, id: &str) -> Option<Digest> {
    let is_bounded = id.len() <= JOB_ID_BYTES_MAX;
    is_bounded.then(|| Digest::of_list(&[server.as_str().as_bytes(), id.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sekisho_protocol::caller::Caller;
    use sekisho_protocol::ids::ServerName;

    use super::{JOB_IDLE, JOBS_PER_HOLDER, Jobs};
    use crate::session::Owner;
    use crate::shares::Holder;

    fn user(seed: u64) -> (Owner, Holder) {
        let caller = Caller::of_test(seed, |_| {});
        (Owner::of(&caller, None).unwrap(), Holder::of(&caller, None))
    }

    /// ATK-154: a holder that starts very many jobs loses its own oldest, and nobody else loses any.
    #[tokio::test(start_paused = true)]
    async fn jobs_without_end_displace_only_ones_own() {
        let (jobs, server): (_, ServerName) = (Jobs::default(), "notes".parse().unwrap());
        let ((ada, ada_holder), (eve, eve_holder)) = (user(1), user(2));
        jobs.started(&server, "adas", ada.clone(), ada_holder);
        for number in 0..=JOBS_PER_HOLDER {
            jobs.started(&server, &number.to_string(), eve.clone(), eve_holder.clone());
        }
        assert!(jobs.is_own(&server, "adas", Some(&ada)) && !jobs.is_own(&server, "adas", Some(&eve)));
        assert!(!jobs.is_own(&server, "0", Some(&eve)) && jobs.is_own(&server, "1", Some(&eve)));
        // The first owner keeps it, and this use makes it the most recent.
        jobs.started(&server, "adas", eve.clone(), eve_holder.clone());
        jobs.started(&server, "more", eve.clone(), eve_holder);
        assert!(jobs.is_own(&server, "adas", Some(&ada)) && jobs.is_own(&server, "1", Some(&eve)));
        assert!(!jobs.is_own(&server, "2", Some(&eve)) && !jobs.is_own(&server, "adas", None));
        tokio::time::advance(JOB_IDLE - Duration::from_secs(1)).await;
        assert!(jobs.is_own(&server, "adas", Some(&ada)));
        tokio::time::advance(Duration::from_secs(2)).await;
        jobs.sweep();
        assert!(jobs.is_own(&server, "adas", Some(&ada)) && !jobs.is_own(&server, "1", Some(&eve)));
    }
}
