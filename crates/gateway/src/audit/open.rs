//! Which calls are open, by the minute in which they began. From this the next start knows how far back it has to look
//! for calls without an outcome on record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sekisho_protocol::env::Timestamp;

/// How many minutes are told apart: nearly three days. A call that is open for longer counts as one that began so many
/// minutes later. If the process is killed then, the next start does not find it, and it stays without an outcome.
const MINUTES: usize = 4_096;
const MINUTE_MILLIS: i64 = 60_000;

/// How many open calls began in each minute.
#[derive(Debug)]
pub(crate) struct OpenCalls([AtomicU32; MINUTES]);

impl Default for OpenCalls {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; MINUTES])
    }
}

/// Marks a call as open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenMark {
    calls: Arc<OpenCalls>,
    minute: i64,
}

impl OpenCalls {
    /// Marks a call that began at this moment as open.
    pub(crate) fn mark(calls: &Arc<Self>, began: Timestamp) -> OpenMark {
        let minute = began.as_millisecond().div_euclid(MINUTE_MILLIS);
        if let Some(count) = calls.of(minute) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        OpenMark { calls: Arc::clone(calls), minute }
    }

    /// Returns a moment before the beginning of every open call.
    pub(crate) fn since(&self, now: Timestamp) -> Timestamp {
        let now = now.as_millisecond().div_euclid(MINUTE_MILLIS);
        let oldest = now.saturating_sub(i64::try_from(MINUTES - 1).unwrap_or(i64::MAX));
        let open = |minute: &i64| self.of(*minute).is_some_and(|count| count.load(Ordering::Relaxed) > 0);
        // A call that begins right now may not be counted yet, so the minute before is returned.
        let minute = (oldest..now).find(open).unwrap_or(now).saturating_sub(1);
        Timestamp::from_millisecond(minute.saturating_mul(MINUTE_MILLIS)).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn of(&self, minute: i64) -> Option<&AtomicU32> {
        let at = minute.rem_euclid(i64::try_from(MINUTES).unwrap_or(i64::MAX));
        self.0.get(usize::try_from(at).ok()?)
    }
}

impl OpenMark {
    /// Leaves the call marked as open for good.
    pub(crate) fn stay(self) {
        std::mem::forget(self);
    }
}

impl Drop for OpenMark {
    fn drop(&mut self) {
        if let Some(count) = self.calls.of(self.minute) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sekisho_protocol::env::{Clock as _, ManualClock};

    use super::{MINUTE_MILLIS, OpenCalls};

    #[test]
    fn the_oldest_open_call_says_since_when_calls_are_open() {
        let (clock, calls) = (ManualClock::default(), Arc::new(OpenCalls::default()));
        let minutes_ago = |calls: &OpenCalls, clock: &ManualClock| {
            let now = clock.now();
            (now.as_millisecond() - calls.since(now).as_millisecond()) / MINUTE_MILLIS
        };
        let first = OpenCalls::mark(&calls, clock.now());
        clock.advance_seconds(600);
        let second = OpenCalls::mark(&calls, clock.now());
        clock.advance_seconds(600);
        assert_eq!(minutes_ago(&calls, &clock), 21);
        drop(first);
        assert_eq!(minutes_ago(&calls, &clock), 11);
        second.stay();
        clock.advance_seconds(86_400);
        assert_eq!(minutes_ago(&calls, &clock), 1_451);
        assert_eq!(minutes_ago(&OpenCalls::default(), &clock), 1);
    }
}
