//! The clock of a checkpoint that runs. It counts the time that really passes, and follows the clock of the machine.
//!
//! What lasts ten minutes lasts ten minutes, whatever somebody sets the machine's clock to meanwhile: between two looks at
//! that clock only the count of time since boot is read. Small differences are made up slowly, so that time neither stands
//! still nor goes back. A step is noticed within [`LOOK_EVERY`] and taken over as one: what is stored moves with it, and
//! the step is on record (decision 0046, ATK-173).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sekisho_protocol::audit::{Event, Record};
use sekisho_protocol::env::{Clock, Entropy, Timestamp};
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{ClockStep, Store, StoreError};

use crate::os::{SystemClock, since_boot_micros};

/// How often the machine's clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two attempts to take over a step while the store does not take it.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// A difference of this much is a step: clocks that are kept right by the network do not drift as far.
const STEP_MICROS: i64 = 2_000_000;
/// How much of a smaller difference is made up at each look: a tenth of the time that passes.
const SLEW_MICROS: i64 = 50_000;
/// After a step nothing is deleted for so long: a clock that was set wrongly is set right again soon, and what was deleted
/// does not come back.
const STEADY_AFTER: Duration = Duration::from_hours(1);
/// A checkpoint that was off for longer may have been started with a wrong clock: then nothing is deleted at first.
const OFF_AT_MOST: Duration = Duration::from_hours(30 * 24);
/// Up to here a clock that stands before the last record was ahead and was set right; beyond, it may have been lost, and
/// is not believed at once.
const BEHIND_AT_MOST: Duration = Duration::from_hours(7 * 24);

/// The clock.
#[derive(Debug)]
pub(crate) struct SteadyClock {
    /// Added to the time since boot, in microseconds, it gives the time.
    offset: AtomicI64,
    /// What was said last, so that nothing earlier is said while a difference is made up.
    floor: AtomicI64,
    /// Since when (of the time since boot) the clock is trusted as far as deleting goes.
    trusted_from: AtomicI64,
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let now = since_boot_micros().saturating_add(self.offset.load(Ordering::Acquire));
        let floor = self.floor.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_microsecond(now.max(floor)).unwrap_or(Timestamp::MAX)
    }
}

/// What the clock and the newest record say of each other at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// The clock stands before the newest record by no more than a week: it was ahead before, and was set right.
    Corrected,
    /// It stands further before it, or very long after it.
    Doubtful,
    /// Nothing is odd.
    Usual,
}

impl Beginning {
    fn of(last_record: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(last) = last_record else { return Self::Usual };
        let since = now.duration_since(last);
        let (behind, off) = (Duration::try_from(-since), Duration::try_from(since));
        match (behind, off) {
            (Ok(behind), _) if behind > BEHIND_AT_MOST => Self::Doubtful,
            (Ok(behind), _) if behind > Duration::from_micros(STEP_MICROS.unsigned_abs()) => Self::Corrected,
            (_, Ok(off)) if off > OFF_AT_MOST => Self::Doubtful,
            _ => Self::Usual,
        }
    }
}

impl SteadyClock {
    /// A clock that says what the machine's clock says now.
    pub(crate) fn new() -> Self {
        let now = SystemClock.now().as_microsecond();
        Self {
            offset: AtomicI64::new(now.saturating_sub(since_boot_micros())),
            floor: AtomicI64::new(i64::MIN),
            trusted_from: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether what has ended by this clock may be deleted.
    pub(crate) fn is_trusted(&self) -> bool {
        since_boot_micros() >= self.trusted_from.load(Ordering::Relaxed)
    }

    fn doubt(&self) {
        let wait = i64::try_from(STEADY_AFTER.as_micros()).unwrap_or(i64::MAX);
        self.trusted_from.store(since_boot_micros().saturating_add(wait), Ordering::Relaxed);
    }

    /// How far the machine's clock is ahead of this one, in microseconds.
    fn difference(&self, machine: Timestamp) -> i64 {
        let own = since_boot_micros().saturating_add(self.offset.load(Ordering::Acquire));
        machine.as_microsecond().saturating_sub(own)
    }

    /// Makes up a part of a small difference.
    fn slew(&self, difference: i64) {
        self.offset.fetch_add(difference.clamp(-SLEW_MICROS, SLEW_MICROS), Ordering::AcqRel);
    }

    /// Goes over to another time.
    fn step(&self, difference: i64) {
        self.offset.fetch_add(difference, Ordering::AcqRel);
        self.floor.store(i64::MIN, Ordering::Relaxed);
    }
}

/// Keeps a clock by the machine's.
pub(crate) struct Timekeeper {
    pub(crate) clock: Arc<SteadyClock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) store: Store,
    pub(crate) node: NodeId,
}

impl Timekeeper {
    /// Compares the clock with the newest record of this node, and says loudly what is odd. A store that cannot be asked or
    /// written to does not keep us from starting.
    pub(crate) async fn begin(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut tx = self.store.read().await?;
        let last = tx.audit().last_kept_at(self.node).await?;
        drop(tx);
        let (beginning, from) = (Beginning::of(last, now), last.unwrap_or(now));
        match beginning {
            Beginning::Usual => return Ok(()),
            Beginning::Corrected => {
                tracing::warn!(%now, last_record = %from, "the clock stands before the newest record: it was ahead before, and what was made then lasts from now on");
            }
            Beginning::Doubtful => {
                self.clock.doubt();
                tracing::error!(%now, last_record = %from, "compare the clock of this machine: it is far from the newest record. Nothing that has ended by it is deleted for an hour");
            }
        }
        if beginning == Beginning::Corrected {
            self.store.bring_back(now).await?;
        }
        if now < from {
            self.record(from, now).await?;
        }
        Ok(())
    }

    /// Until the task is ended.
    pub(crate) async fn keep(self) {
        let mut since = self.clock.now();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let difference = self.clock.difference(SystemClock.now());
            if difference.abs() < STEP_MICROS {
                self.clock.slew(difference);
            } else {
                since = self.take_step(since, difference).await;
            }
        }
    }

    /// Takes over a step, with all that is stored since this process began. Gives when it began by the time that is in
    /// force now.
    async fn take_step(&self, since: Timestamp, difference: i64) -> Timestamp {
        let from = self.clock.now();
        let by = jiff::SignedDuration::from_micros(difference);
        let moved = |at: Timestamp| at.checked_add(by).unwrap_or(at);
        let to = moved(from);
        tracing::warn!(%from, %to, "the clock of this machine was set: what is stored moves with it");
        self.clock.doubt();
        let step = ClockStep { since, from, to };
        // Nothing may end too early in between: what moves ahead is moved before the time is in force, and what moves back
        // after it.
        if difference < 0 {
            self.clock.step(difference);
        }
        while let Err(error) = self.store.take_step(step).await {
            tracing::error!(%error, "what is stored could not be moved to the time in force; trying again");
            tokio::time::sleep(RETRY_EVERY).await;
        }
        if difference > 0 {
            self.clock.step(difference);
        }
        if let Err(error) = self.record(from, to).await {
            tracing::error!(%error, "that the clock was set is not on record");
        }
        moved(since)
    }

    async fn record(&self, from: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        let now = self.clock.now();
        let request = RequestId::generate(now, self.entropy.as_ref());
        let record = Record { at: now, request, event: Event::ClockSet { from, to } };
        let mut tx = self.store.begin().await?;
        tx.audit().append(self.node, [&record], now).await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use sekisho_protocol::env::{Clock as _, Timestamp};

    use super::{Beginning, SLEW_MICROS, STEP_MICROS, SteadyClock};

    #[test]
    fn a_start_is_compared_with_the_newest_record() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| Some(Timestamp::from_second(1_800_000_000 + seconds).unwrap());
        for (last, expected) in [
            (None, Beginning::Usual),
            (at(-3_600), Beginning::Usual),
            (at(1), Beginning::Usual),
            (at(7_200), Beginning::Corrected),
            (at(8 * 86_400), Beginning::Doubtful),
            (at(-31 * 86_400), Beginning::Doubtful),
        ] {
            assert_eq!(Beginning::of(last, now), expected, "{last:?}");
        }
    }

    /// ATK-173: time goes on, whatever the difference is that is made up, and a step is followed at once.
    #[test]
    fn time_goes_on_while_a_difference_is_made_up() {
        let clock = SteadyClock::new();
        let began = clock.now();
        clock.slew(-STEP_MICROS);
        assert!(clock.now() >= began, "not back");
        let expected = -SLEW_MICROS;
        let difference = clock.difference(began);
        assert!(difference.abs_diff(-expected) < 1_000_000, "{difference}");
        clock.step(-7_200_000_000);
        let back = began.duration_since(clock.now());
        assert!(Duration::try_from(back).unwrap() > Duration::from_secs(7_190), "{back}");
        assert!(clock.is_trusted());
        clock.doubt();
        assert!(!clock.is_trusted());
        clock.trusted_from.store(0, Ordering::Relaxed);
        assert!(clock.is_trusted());
    }
}
