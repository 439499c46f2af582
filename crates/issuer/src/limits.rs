//! How often somebody may ask, and how much may be going on at once.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;

use crate::settings::IssuerSettings;

/// The most bytes of a form or a JSON body, in bytes. The largest honest one is the owner's first consent.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;

/// The most bytes of a registration, in bytes.
pub(crate) const REGISTRATION_BYTES_MAX: usize = 16 * 1024;

/// How long a body may take to arrive (ATK-91).
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How many addresses a limiter remembers before it forgets the idle ones.
const KEYS_MAX: usize = 10_000;

/// Authorization requests per minute from all addresses together: each that is accepted is a row until it is answered or has
/// expired. Three times what one address may send, so that one alone locks nobody out.
const AUTHORIZATIONS_IN_ALL: NonZeroU32 = NonZeroU32::new(1_800).unwrap();

/// Fetches of client metadata documents per minute: for one host, and for all together (ATK-29).
const FETCHES_PER_HOST: NonZeroU32 = NonZeroU32::new(30).unwrap();
const FETCHES_IN_ALL: NonZeroU32 = NonZeroU32::new(300).unwrap();

/// Fetches at the same time (ATK-32).
const FETCHES_AT_ONCE: usize = 16;

/// The limiters of one issuer.
pub(crate) struct Limits {
    authorizations: DefaultKeyedRateLimiter<IpAddr>,
    authorizations_in_all: DefaultDirectRateLimiter,
    registrations: DefaultKeyedRateLimiter<IpAddr>,
    fetches_by_host: DefaultKeyedRateLimiter<String>,
    fetches: DefaultDirectRateLimiter,
    /// Room for fetches at the same time.
    pub(crate) fetching: Semaphore,
}

impl Limits {
    pub(crate) fn new(settings: &IssuerSettings) -> Self {
        let per_minute = |count: u32| Quota::per_minute(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
        Self {
            authorizations: RateLimiter::keyed(per_minute(settings.authorizations_per_minute)),
            authorizations_in_all: RateLimiter::direct(Quota::per_minute(AUTHORIZATIONS_IN_ALL)),
            registrations: RateLimiter::keyed(per_minute(settings.registrations_per_minute)),
            fetches_by_host: RateLimiter::keyed(Quota::per_minute(FETCHES_PER_HOST)),
            fetches: RateLimiter::direct(Quota::per_minute(FETCHES_IN_ALL)),
            fetching: Semaphore::new(FETCHES_AT_ONCE),
        }
    }

    /// Whether one more authorization request from there is fine.
    pub(crate) fn may_authorize(&self, peer: Option<IpAddr>) -> bool {
        check(&self.authorizations, bucket(peer)) && self.authorizations_in_all.check().is_ok()
    }

    /// Whether one more registration from there is fine.
    pub(crate) fn may_register(&self, peer: Option<IpAddr>) -> bool {
        check(&self.registrations, bucket(peer))
    }

    /// Whether one more fetch from that host is fine.
    pub(crate) fn may_fetch(&self, host: &str) -> bool {
        check(&self.fetches_by_host, host.to_owned()) && self.fetches.check().is_ok()
    }
}

fn check<K: std::hash::Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>, key: K) -> bool {
    if limiter.len() > KEYS_MAX {
        limiter.retain_recent();
    }
    limiter.check_key(&key).is_ok()
}

/// Whoever has one IPv6 address has a /64 of them. Without an address everybody shares a bucket.
fn bucket(peer: Option<IpAddr>) -> IpAddr {
    match peer {
        Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => IpAddr::V4(mapped),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        },
        Some(address) => address,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, bucket};
    use crate::settings::IssuerSettings;

    /// ATK-24: one address has a budget, and another address still gets its own.
    #[test]
    fn one_address_does_not_use_up_what_others_need() {
        let limits = Limits::new(&IssuerSettings { registrations_per_minute: 3, ..IssuerSettings::default() });
        let one = Some("192.0.2.1".parse().unwrap());
        let allowed = (0..20).filter(|_| limits.may_register(one)).count();
        assert_eq!(allowed, 3);
        assert!(limits.may_register(Some("192.0.2.2".parse().unwrap())));
    }

    /// ATK-171: what all addresses together have kept is bounded, too.
    #[test]
    fn all_addresses_together_keep_a_bounded_number_of_requests() {
        let limits = Limits::new(&IssuerSettings::default());
        let address = |number: u32| Some(std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(number)));
        let from_one = (0..10_000).filter(|_| limits.may_authorize(address(0))).count();
        let from_others = (0..100_000).filter(|number| limits.may_authorize(address(1 + number % 1_000))).count();
        assert!((600..700).contains(&from_one), "{from_one}");
        assert!((1_200..1_400).contains(&from_others), "{from_others}");
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let of = |text: &str| bucket(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
