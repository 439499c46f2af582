//! Limits how many refusals of strangers are recorded one by one: the first ones of a kind are, and those beyond a
//! steady rate are counted by kind and address and recorded as sums.
//!
//! Every refusal is recorded or counted, and everything is bounded: the number of records, the number of sums, and the
//! memory for counting.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sekisho_protocol::audit::RefusalCount;
use tokio::time::{Duration, Instant};

/// The rate of records for one kind and one address. It is enough to record every attempt of an honest but
/// misconfigured client.
const PER_ADDRESS: Rate = Rate { burst: 100, every: Duration::from_secs(6) };
/// The rate of records for one kind and all addresses, so that a flood of one kind leaves room for records of other
/// kinds.
const PER_KIND: Rate = Rate { burst: 300, every: Duration::from_secs(2) };
/// The rate of records for all kinds together. A record takes up to 850 bytes of the disk: this is 73 MB a day during
/// an attack.
const IN_ALL: Rate = Rate { burst: 600, every: Duration::from_secs(1) };
/// The most addresses that are counted separately, over all kinds. Further ones are counted together, by kind.
const ADDRESSES_MAX: usize = 1_024;
/// The most sums with an address that are written at a time, the largest first; the others are added up by kind.
const SUMS_MAX: usize = 128;
/// How often sums should be written. 128 of them take about 20 kB before they are compressed.
pub const REFUSALS_WRITTEN_EVERY: Duration = Duration::from_secs(60);

/// How many records may be written: `burst` at once, then one in `every`.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// The unused part of a [`Rate`].
#[derive(Debug)]
struct Bucket {
    left: u32,
    /// When `left` was computed.
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, at: now }
    }

    /// Adds what has become available since the last call.
    fn refill(&mut self, rate: Rate, now: Instant) {
        let due = now.saturating_duration_since(self.at).as_millis() / rate.every.as_millis().max(1);
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(due).min(rate.burst);
        self.at = if self.left == rate.burst { now } else { self.at + rate.every.saturating_mul(due) };
    }
}

/// A kind, and the address if it is counted separately.
type Key = (&'static str, Option<IpAddr>);

#[derive(Debug)]
struct Told {
    records: Bucket,
    /// Refusals that are not recorded yet.
    counted: u64,
}

#[derive(Debug, Default)]
struct Inner {
    by_address: HashMap<Key, Told>,
    by_kind: HashMap<&'static str, Told>,
    in_all: Option<Bucket>,
}

/// Counts refusals.
#[derive(Debug, Default)]
pub struct Refusals {
    inner: Mutex<Inner>,
}

impl Refusals {
    /// Notes a refusal. Returns `true` if the caller should record it; otherwise it is counted here.
    pub fn admit(&self, kind: &'static str, address: Option<IpAddr>) -> bool {
        self.admit_at(kind, address.map(network), Instant::now())
    }

    /// Counts a refusal whose own record could not be written.
    pub fn count(&self, kind: &'static str, address: Option<IpAddr>) {
        let now = Instant::now();
        let mut inner = self.inner();
        let told = inner.told(kind, address.map(network), now);
        told.counted = told.counted.saturating_add(1);
    }

    fn admit_at(&self, kind: &'static str, address: Option<IpAddr>, now: Instant) -> bool {
        let mut inner = self.inner();
        let in_all = inner.in_all.get_or_insert_with(|| Bucket::full(IN_ALL, now));
        in_all.refill(IN_ALL, now);
        let room_in_all = in_all.left > 0;
        let of_kind = inner.by_kind.entry(kind).or_insert_with(|| Told::new(PER_KIND, now));
        of_kind.records.refill(PER_KIND, now);
        let room_of_kind = of_kind.records.left > 0;
        let told = inner.told(kind, address, now);
        told.records.refill(PER_ADDRESS, now);
        if !(room_in_all && room_of_kind && told.records.left > 0) {
            told.counted = told.counted.saturating_add(1);
            return false;
        }
        told.records.left -= 1;
        if let Some(of_kind) = inner.by_kind.get_mut(kind) {
            of_kind.records.left = of_kind.records.left.saturating_sub(1);
        }
        if let Some(in_all) = &mut inner.in_all {
            in_all.left = in_all.left.saturating_sub(1);
        }
        true
    }

    /// Takes the sums of counted refusals, to be recorded. If that fails, give them back with [`Refusals::restore`].
    pub fn take(&self) -> Vec<RefusalCount> {
        let now = Instant::now();
        let mut inner = self.inner();
        let mut sums: Vec<(Key, u64)> = inner
            .by_address
            .iter_mut()
            .map(|(key, told)| (*key, std::mem::take(&mut told.counted)))
            .filter(|(_, count)| *count > 0)
            .collect();
        // An address that was quiet long enough to have its full rate again is forgotten.
        inner.by_address.retain(|_, told| {
            told.records.refill(PER_ADDRESS, now);
            told.records.left < PER_ADDRESS.burst
        });
        sums.sort_unstable_by_key(|((kind, address), count)| (std::cmp::Reverse(*count), *kind, *address));
        let mut others: HashMap<&'static str, u64> = HashMap::new();
        for ((kind, _), count) in sums.drain(SUMS_MAX.min(sums.len())..) {
            *others.entry(kind).or_default() += count;
        }
        for (kind, told) in &mut inner.by_kind {
            *others.entry(kind).or_default() += std::mem::take(&mut told.counted);
        }
        let others = others.into_iter().filter(|(_, count)| *count > 0).map(|(kind, count)| ((kind, None), count));
        let sums = sums.into_iter().chain(others);
        sums.map(|((kind, address), count)| RefusalCount { what: kind.into(), source: address.map(text), count })
            .collect()
    }

    /// Adds sums that could not be recorded to the counts again, by kind.
    pub fn restore(&self, sums: &[RefusalCount]) {
        let mut inner = self.inner();
        for (kind, told) in &mut inner.by_kind {
            let back = sums.iter().filter(|sum| sum.what == *kind).map(|sum| sum.count);
            told.counted = back.fold(told.counted, u64::saturating_add);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns the entry of an address, or of the kind alone if no more addresses are counted separately.
    fn told(&mut self, kind: &'static str, address: Option<IpAddr>, now: Instant) -> &mut Told {
        let known = self.by_address.contains_key(&(kind, address));
        if known || self.by_address.len() < ADDRESSES_MAX {
            self.by_address.entry((kind, address)).or_insert_with(|| Told::new(PER_ADDRESS, now))
        } else {
            self.by_kind.entry(kind).or_insert_with(|| Told::new(PER_KIND, now))
        }
    }
}

impl Told {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { records: Bucket::full(rate, now), counted: 0 }
    }
}

/// Returns the network of an address: an owner of one IPv6 address has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

fn text(network: IpAddr) -> String {
    if network.is_ipv6() { format!("{network}/64") } else { network.to_string() }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::time::{Duration, Instant, advance};

    use super::{ADDRESSES_MAX, IN_ALL, PER_ADDRESS, PER_KIND, Refusals, SUMS_MAX};

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    /// ATK-172: every refusal is recorded or counted, and both are bounded.
    #[tokio::test(start_paused = true)]
    async fn every_refusal_is_recorded_or_counted_and_both_are_bounded() {
        let refusals = Refusals::default();
        let (mut sent, mut recorded, mut counted, mut sums_max) = (0_u64, 0_u64, 0_u64, 0);
        let began = Instant::now();
        for minute in 0..20 {
            for number in 0..5_000 {
                for kind in ["token_refused", "login_failed"] {
                    sent += 1;
                    recorded += u64::from(refusals.admit(kind, address(number % (1 + minute * 400))));
                }
            }
            advance(Duration::from_secs(60)).await;
            let sums = refusals.take();
            sums_max = sums_max.max(sums.len());
            counted += sums.iter().map(|sum| sum.count).sum::<u64>();
        }
        assert_eq!(sent, recorded + counted);
        let seconds = began.elapsed().as_secs();
        assert!(recorded <= u64::from(IN_ALL.burst) + seconds / IN_ALL.every.as_secs(), "{recorded} in {seconds} s");
        assert!(recorded > 500, "{recorded}");
        assert!(sums_max <= SUMS_MAX + 2, "{sums_max}");
        assert!(refusals.inner().by_address.len() <= ADDRESSES_MAX);
    }

    /// ATK-172: one address and one kind each have their own share of the records, and the full share again after a
    /// quiet time.
    #[tokio::test(start_paused = true)]
    async fn one_address_and_one_kind_do_not_use_up_what_others_need() {
        let refusals = Refusals::default();
        let admitted = |kind, number| (0..1_000).filter(|_| refusals.admit(kind, address(number))).count();
        assert_eq!(admitted("token_refused", 1), PER_ADDRESS.burst as usize);
        assert_eq!(admitted("token_refused", 2), PER_ADDRESS.burst as usize);
        let spent: usize = (3..50).map(|number| admitted("token_refused", number)).sum();
        assert_eq!(spent, (PER_KIND.burst - 2 * PER_ADDRESS.burst) as usize);
        assert_eq!(admitted("token_refused", 50), 0);
        assert_eq!(admitted("login_failed", 1), PER_ADDRESS.burst as usize);
        let sums = refusals.take();
        assert!(sums.iter().any(|sum| sum.source.as_deref() == Some("0.0.0.50") && sum.count == 1_000), "{sums:?}");
        assert!(refusals.take().is_empty());
        advance(PER_KIND.every * PER_KIND.burst).await;
        assert_eq!(admitted("token_refused", 1), PER_ADDRESS.burst as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn sums_that_could_not_be_written_are_counted_again() {
        let refusals = Refusals::default();
        refusals.count("token_refused", "2001:db8::7".parse().ok());
        let admitted = (0..2 * PER_ADDRESS.burst).filter(|_| refusals.admit("token_refused", address(1))).count();
        assert_eq!(admitted, PER_ADDRESS.burst as usize);
        let sums = refusals.take();
        let found: Vec<_> = sums.iter().map(|sum| (sum.source.as_deref(), sum.count)).collect();
        assert_eq!(found, [(Some("0.0.0.1"), 100), (Some("2001:db8::/64"), 1)]);
        refusals.restore(&sums);
        assert_eq!(
            refusals.take().iter().map(|sum| (sum.source.clone(), sum.count)).collect::<Vec<_>>(),
            [(None, 101)]
        );
    }
}
