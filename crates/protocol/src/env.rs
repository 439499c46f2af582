//! Time and randomness: the two traits through which every other crate gets them.
//!
//! The real ones live in the binary (`app/os.rs`); tests use `ManualClock` and `SeededEntropy`.

use std::fmt::Debug;

/// A moment, with nanosecond precision; the store keeps milliseconds.
pub use jiff::Timestamp;

/// Where `now` comes from. A surface reads it once for a request and passes the value down.
pub trait Clock: Debug + Send + Sync {
    /// The current moment.
    fn now(&self) -> Timestamp;
}

/// Where randomness comes from: a cryptographically secure generator, except in tests.
pub trait Entropy: Debug + Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` unpredictable bytes.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// `now` plus whole seconds, saturating at the end of time.
pub fn after(now: Timestamp, seconds: u32) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX)
}

#[cfg(any(test, feature = "test-util"))]
mod test_util {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Clock, Entropy, Timestamp, after};

    /// A clock that moves only when told to.
    #[derive(Debug)]
    pub struct ManualClock(Mutex<Timestamp>);

    impl ManualClock {
        /// A clock that stands at `now`.
        pub fn at(now: Timestamp) -> Self {
            Self(Mutex::new(now))
        }

        /// Moves the clock forward.
        pub fn advance_seconds(&self, seconds: u32) {
            let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *now = after(*now, seconds);
        }

        /// Sets the clock, also backwards.
        pub fn set(&self, to: Timestamp) {
            *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = to;
        }
    }

    impl Default for ManualClock {
        /// 2026-01-01T00:00:00Z.
        fn default() -> Self {
            Self::at(Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH))
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    /// Different bytes at every call, the same at every run. Never secure.
    #[derive(Debug, Default)]
    pub struct SeededEntropy(AtomicU64);

    impl SeededEntropy {
        /// Entropy that starts at `seed`: two different seeds give different bytes.
        pub fn from_seed(seed: u64) -> Self {
            Self(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        }
    }

    impl Entropy for SeededEntropy {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(8) {
                // splitmix64
                let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^= z >> 31;
                for (to, from) in chunk.iter_mut().zip(z.to_le_bytes()) {
                    *to = from;
                }
            }
        }
    }
}

#[cfg(any(test, feature = "test-util"))]
pub use test_util::{ManualClock, SeededEntropy};
