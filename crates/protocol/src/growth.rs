//! For tests: checks that work grows linearly with its input.
//!
//! A parser whose cost grows with the square of its input lets a stranger stop a processor with one message. Such a parser
//! looks fast on every input of a usual size, so the input is doubled five times and each step is measured.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[cfg(test)]
mod readers;

/// How often the input is doubled.
pub const DOUBLINGS: u32 = 5;
/// The largest factor by which a doubling may increase the processor time, on average. Linear work doubles; the rest is
/// allowed for sorting, and for caches that no longer hold the input.
const FACTOR_MAX: f64 = 2.2;
/// The largest factor for a single doubling. A step out of a cache, or to memory that is allocated again each time, is
/// steeper than the average; quadratic work takes four times as long.
const STEP_MAX: f64 = 3.5;
/// How often each size is measured; the fastest time counts, because disturbances only make work slower.
const TRIES: usize = 3;
/// How often all sizes are measured again before they count as too slow, because other work on the machine slows single
/// ones down.
const AGAIN: usize = 12;
/// The least time that the first size takes, so that the clock is exact enough.
const FIRST_MIN: Duration = Duration::from_micros(500);
/// A step that ends below this time is not judged by itself: it is harmless, and too short to measure exactly.
const STEP_MIN: Duration = Duration::from_millis(2);
/// The most units of the first size; if it takes more to be measurable, the work hardly depends on the input.
const FIRST_UNITS_MAX: usize = 1 << 20;

/// Runs `work` on inputs of `units` units and twice, four times up to 32 times as many, and panics if its processor time
/// grows faster than in proportion. The first size is raised until it takes long enough to be measured. `what` names the
/// work in the message. Gives the processor time of the largest input.
///
/// Only the time of this thread counts, so that other tests on the same machine disturb it little.
pub fn in_proportion<I, O>(what: &str, units: usize, make: impl Fn(usize) -> I, work: impl Fn(&I) -> O) -> Duration {
    let mut units = units.max(1);
    let mut first = make(units);
    while fastest(&first, &work) < FIRST_MIN && units < FIRST_UNITS_MAX {
        units *= 2;
        first = make(units);
    }
    let larger = (1..=DOUBLINGS).map(|times| make(units << times));
    check(what, &std::iter::once(first).chain(larger).collect::<Vec<_>>(), work)
}

/// Does the same for given inputs, each of which has twice the size of the one before.
#[expect(clippy::panic, reason = "it is the assertion of a test")]
pub fn check<I, O>(what: &str, inputs: &[I], work: impl Fn(&I) -> O) -> Duration {
    let mut times: Vec<Duration> = inputs.iter().map(|input| fastest(input, &work)).collect();
    for _ in 0..AGAIN {
        if is_in_proportion(&times) {
            break;
        }
        for (time, input) in times.iter_mut().zip(inputs) {
            *time = fastest(input, &work).min(*time);
        }
    }
    if !is_in_proportion(&times) {
        panic!("{what}: doubling the input multiplies the processor time by more than {FACTOR_MAX}: {times:?}");
    }
    times.last().copied().unwrap_or_default()
}

fn is_in_proportion(times: &[Duration]) -> bool {
    let seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    let steps = seconds.iter().zip(seconds.iter().skip(1));
    let (Some(first), Some(last)) = (seconds.first(), seconds.last()) else { return true };
    let doublings = i32::try_from(seconds.len().saturating_sub(1)).unwrap_or(i32::MAX);
    let step_min = STEP_MIN.as_secs_f64();
    *last <= first.max(FIRST_MIN.as_secs_f64()) * FACTOR_MAX.powi(doublings)
        && steps.clone().all(|(one, two)| *two <= step_min || *two <= one * STEP_MAX)
}

fn fastest<I, O>(input: &I, work: &impl Fn(&I) -> O) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let before = processor_time();
        std::hint::black_box(work(std::hint::black_box(input)));
        best = best.min(processor_time().saturating_sub(before));
    }
    best
}

/// Returns the processor time that this thread has used.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{check, in_proportion};

    fn pairs(count: &usize) -> usize {
        let items: Vec<usize> = (0..*count).collect();
        items
            .iter()
            .filter(|one| items.iter().all(|other| other != *one || std::hint::black_box(other) == *one))
            .count()
    }

    #[test]
    fn work_in_proportion_passes() {
        in_proportion("a sum", 1 << 16, |units| vec![1_u64; units], |input| input.iter().sum::<u64>());
    }

    #[test]
    #[should_panic(expected = "pairs: doubling the input multiplies")]
    fn work_that_grows_with_the_square_is_found() {
        check("pairs", &[128, 256, 512, 1024, 2048, 4096], pairs);
    }
}
