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

use crate::os::{self, SystemClock, since_boot_micros};

/// How often the machine's clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two attempts to take over a step while the store does not take it.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// A difference of this much is a step: clocks that are kept right by the network do not drift as far.
const STEP_MICROS: i64 = 2_000_000;
/// How much of a smaller difference is made up at each look: a tenth of the time that passes.
const SLEW_MICROS: i64 = 50_000;
/// The note of the clock in the store is written again when it is wrong by this much: a fourth of a step, so that the
/// next start does not take it for a step.
const NOTED_MICROS: u64 = 500_000;
/// How long nothing is deleted after the clock was set: a clock that was set wrongly is usually corrected soon, and
/// what was deleted would be lost.
const STEADY_AFTER: Duration = Duration::from_hours(1);
/// After a longer pause, the checkpoint may have been started with a wrong clock, and nothing is deleted at first.
const OFF_AT_MOST: Duration = Duration::from_hours(30 * 24);
/// If the clock is behind the last record by up to this much, it was ahead before and has been corrected. If it is
/// further behind, its time may have been lost, and it is not trusted at once.
const BEHIND_AT_MOST: Duration = Duration::from_hours(7 * 24);

/// The clock.
#[derive(Debug)]
pub(crate) struct SteadyClock {
    /// Added to the time since boot, in microseconds, it gives the time.
    offset: AtomicI64,
    /// The last time that was given, so that no earlier one is given while a difference is made up.
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

/// How the clock compares with the newest record at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// The clock stands before the newest record by no more than a week: it was ahead before, and was set right.
    Corrected,
    /// The clock is further behind the record, or very far ahead of it.
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
    /// Returns a clock that agrees with the machine's clock now.
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

    /// Says what another clock of the same run of the machine would say.
    fn go_on(&self, offset: i64) {
        self.offset.store(offset, Ordering::Release);
        self.floor.store(i64::MIN, Ordering::Relaxed);
    }

    /// Goes over to another time.
    fn step(&self, difference: i64) {
        self.offset.fetch_add(difference, Ordering::AcqRel);
        self.floor.store(i64::MIN, Ordering::Relaxed);
    }
}

/// Keeps a clock by the machine's.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    pub(crate) clock: Arc<SteadyClock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) store: Store,
    pub(crate) node: NodeId,
    /// Since when, by the time in force, moments are stored by this clock: since the first start after the machine's.
    since: Timestamp,
    /// The note of the clock in the store.
    noted: Option<NotedClock>,
}

/// A clock as it is noted in the store, so that a later process of the same run of the machine goes on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NotedClock {
    boot: String,
    offset: i64,
    since: Timestamp,
}

impl NotedClock {
    /// The setting.
    const NAME: &'static str = "clock";

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (boot, offset, since) = (words.next()?.to_owned(), words.next()?, words.next()?);
        let since = Timestamp::from_millisecond(since.parse().ok()?).ok()?;
        Some(Self { boot, offset: offset.parse().ok()?, since })
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.boot, self.offset, self.since.as_millisecond())
    }

    /// Whether the difference is worth a write.
    fn is_like(&self, other: &Self) -> bool {
        self.boot == other.boot && self.since == other.since && self.offset.abs_diff(other.offset) < NOTED_MICROS
    }
}

impl Timekeeper {
    /// For a clock that says what the machine's does.
    pub(crate) fn new(clock: Arc<SteadyClock>, entropy: Arc<dyn Entropy>, store: Store, node: NodeId) -> Self {
        let since = clock.now();
        Self { clock, entropy, store, node, since, noted: None }
    }

    /// Goes on with the clock of an earlier process, if the machine has not been started since; otherwise compares the clock
    /// with the newest record of this node, and says loudly what is odd. A store that cannot be asked or written to does not
    /// keep us from starting.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        let mut tx = self.store.read().await?;
        let noted = tx.settings().get(NotedClock::NAME).await?.and_then(|text| NotedClock::read(&text));
        let last = tx.audit().last_kept_at(self.node).await?;
        drop(tx);
        match noted.filter(|noted| os::boot_id().is_some_and(|boot| boot == noted.boot)) {
            Some(noted) => {
                self.clock.go_on(noted.offset);
                self.since = noted.since;
                self.noted = Some(noted);
                self.look(Patience::Once).await;
            }
            None => self.compare(last).await?,
        }
        self.note().await
    }

    async fn compare(&self, last: Option<Timestamp>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (beginning, from) = (Beginning::of(last, now), last.unwrap_or(now));
        match beginning {
            Beginning::Usual => return Ok(()),
            Beginning::Corrected => {
                tracing::warn!(%now, last_record = %from, "the clock stands before the newest record: it was ahead before, and what was made then lasts from now on");
                self.store.bring_back(now).await?;
            }
            Beginning::Doubtful => {
                self.clock.doubt();
                tracing::error!(%now, last_record = %from, "compare the clock of this machine: it is far from the newest record. Nothing that has ended by it is deleted for an hour");
            }
        }
        if now < from { self.record(from, now).await } else { Ok(()) }
    }

    /// Until the task is ended.
    pub(crate) async fn keep(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look(Patience::Endless).await;
            if let Err(error) = self.note().await {
                tracing::debug!(%error, "the clock could not be noted");
            }
        }
    }

    /// Compares the clock with the machine's.
    async fn look(&mut self, patience: Patience) {
        let difference = self.clock.difference(SystemClock.now());
        if difference.abs() < STEP_MICROS {
            self.clock.slew(difference);
        } else {
            self.take_step(difference, patience).await;
        }
    }

    /// Takes over a step, with all that is stored by this clock.
    async fn take_step(&mut self, difference: i64, patience: Patience) {
        let from = self.clock.now();
        let by = jiff::SignedDuration::from_micros(difference);
        let moved = |at: Timestamp| at.checked_add(by).unwrap_or(at);
        let to = moved(from);
        tracing::warn!(%from, %to, "the clock of this machine was set: what is stored moves with it");
        self.clock.doubt();
        let step = ClockStep { since: self.since, from, to };
        // Nothing may end too early in between: what moves ahead is moved before the time is in force, and what moves back
        // after it.
        if difference < 0 {
            self.clock.step(difference);
        }
        while let Err(error) = self.store.take_step(step).await {
            tracing::error!(%error, "what is stored could not be moved to the time in force");
            if patience == Patience::Once {
                break;
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
        if difference > 0 {
            self.clock.step(difference);
        }
        self.since = moved(self.since);
        if let Err(error) = self.record(from, to).await {
            tracing::error!(%error, "that the clock was set is not on record");
        }
    }

    /// Writes the note of the clock in the store, if it differs too much.
    async fn note(&mut self) -> Result<(), StoreError> {
        let Some(boot) = os::boot_id() else { return Ok(()) };
        let own = NotedClock { boot, offset: self.clock.offset.load(Ordering::Acquire), since: self.since };
        if self.noted.as_ref().is_some_and(|noted| noted.is_like(&own)) {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        tx.settings().put(NotedClock::NAME, &own.text()).await?;
        tx.commit().await?;
        self.noted = Some(own);
        Ok(())
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

/// How long to wait for a store that does not take a step of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Endless,
    /// At a start: a full disk does not keep us from starting.
    Once,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use sekisho_protocol::env::{Clock as _, Timestamp};

    use super::{Beginning, NotedClock, SLEW_MICROS, STEP_MICROS, SteadyClock};

    #[test]
    fn a_clock_is_noted_and_read_again() {
        let clock = NotedClock { boot: "4f1c".to_owned(), offset: -17, since: Timestamp::from_second(7).unwrap() };
        assert_eq!(NotedClock::read(&clock.text()), Some(clock.clone()));
        assert!(clock.is_like(&NotedClock { offset: 400_000, ..clock.clone() }));
        assert!(!clock.is_like(&NotedClock { offset: 600_000, ..clock.clone() }));
        for bad in ["", "4f1c", "4f1c x 7", "4f1c 1"] {
            assert_eq!(NotedClock::read(bad), None, "{bad}");
        }
    }

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
