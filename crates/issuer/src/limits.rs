//! How often somebody may ask, and how much may be going on at once.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use sekisho_store::Lane;
use tokio::sync::Semaphore;

use crate::settings::IssuerSettings;

/// The most bytes of a registration, in bytes.
pub(crate) const REGISTRATION_BYTES_MAX: usize = 16 * 1024;

/// Attempts to sign in to an account from one address: five mistakes are free, then each doubles the wait, up to 15 minutes.
pub(crate) const LOGINS_BY_ACCOUNT_AND_ADDRESS: Lane = Lane { free: 5, wait_seconds_max: 900 };

/// Attempts to sign in to an account from anywhere, by browsers that never signed in to it. A slow lane and no lock: guesses
/// from very many addresses come to two a minute, and between two of them the account's own person gets in as well.
pub(crate) const LOGINS_BY_ACCOUNT: Lane = Lane { free: 20, wait_seconds_max: 30 };

/// Attempts to sign in from one address to whatever accounts, by browsers that are not known. An office or a proxy that is
/// not named in `tls.trusted_proxies` is one address, so this is a slow lane, too.
pub(crate) const LOGINS_BY_ADDRESS: Lane = Lane { free: 50, wait_seconds_max: 4 };

/// Attempts to sign in from a browser that signed in to this account before.
pub(crate) const LOGINS_BY_BROWSER: Lane = Lane { free: 5, wait_seconds_max: 900 };

/// How many addresses a limiter remembers before it forgets the idle ones.
const KEYS_MAX: usize = 10_000;

/// Authorization requests per minute from all addresses together: each that is accepted is a row until it is answered or has
/// expired. Three times what one address may send, so that one address alone cannot use up the share of all.
const AUTHORIZATIONS_IN_ALL: NonZeroU32 = NonZeroU32::new(1_800).unwrap();

/// Fetches of client metadata documents per minute (ATK-29). One document is fetched at most so often, for all callers together; the other
/// three bounds are for documents that were never read: what one address makes us fetch of one host, what all make us fetch
/// of one host, and what all make us fetch at all. So a caller who names documents that are not there uses up its own share.
const FETCHES_PER_DOCUMENT: NonZeroU32 = NonZeroU32::new(6).unwrap();
const FETCHES_PER_HOST_AND_ADDRESS: NonZeroU32 = NonZeroU32::new(10).unwrap();
const FETCHES_PER_HOST: NonZeroU32 = NonZeroU32::new(60).unwrap();
const FETCHES_IN_ALL: NonZeroU32 = NonZeroU32::new(300).unwrap();

/// Fetches at the same time (ATK-32): of documents that were never read, and of those that were.
const FETCHES_AT_ONCE: usize = 16;
const FETCHES_AGAIN_AT_ONCE: usize = 16;

/// The limiters of one issuer.
pub(crate) struct Limits {
    authorizations: DefaultKeyedRateLimiter<IpAddr>,
    authorizations_in_all: DefaultDirectRateLimiter,
    registrations: DefaultKeyedRateLimiter<IpAddr>,
    fetches_by_document: DefaultKeyedRateLimiter<String>,
    fetches_by_host_and_address: DefaultKeyedRateLimiter<(String, IpAddr)>,
    fetches_by_host: DefaultKeyedRateLimiter<String>,
    fetches: DefaultDirectRateLimiter,
    /// Room for fetches at the same time, of documents that were never read.
    pub(crate) fetching: Semaphore,
    /// The same, of documents that were.
    pub(crate) fetching_again: Semaphore,
}

impl Limits {
    pub(crate) fn new(settings: &IssuerSettings) -> Self {
        let per_minute = |count: u32| Quota::per_minute(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
        Self {
            authorizations: RateLimiter::keyed(per_minute(settings.authorizations_per_minute)),
            authorizations_in_all: RateLimiter::direct(Quota::per_minute(AUTHORIZATIONS_IN_ALL)),
            registrations: RateLimiter::keyed(per_minute(settings.registrations_per_minute)),
            fetches_by_document: RateLimiter::keyed(Quota::per_minute(FETCHES_PER_DOCUMENT)),
            fetches_by_host_and_address: RateLimiter::keyed(Quota::per_minute(FETCHES_PER_HOST_AND_ADDRESS)),
            fetches_by_host: RateLimiter::keyed(Quota::per_minute(FETCHES_PER_HOST)),
            fetches: RateLimiter::direct(Quota::per_minute(FETCHES_IN_ALL)),
            fetching: Semaphore::new(FETCHES_AT_ONCE),
            fetching_again: Semaphore::new(FETCHES_AGAIN_AT_ONCE),
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

    /// Whether one more fetch of a document that was read before is fine: it has a share of its own.
    pub(crate) fn may_fetch_again(&self, document: &str) -> bool {
        check(&self.fetches_by_document, document.to_owned())
    }

    /// Whether one more fetch of a document that was never read is fine.
    pub(crate) fn may_fetch_first(&self, document: &str, host: &str, peer: Option<IpAddr>) -> bool {
        // The narrowest first: what it refuses takes nothing from the shares of others.
        check(&self.fetches_by_document, document.to_owned())
            && check(&self.fetches_by_host_and_address, (host.to_owned(), bucket(peer)))
            && check(&self.fetches_by_host, host.to_owned())
            && self.fetches.check().is_ok()
    }
}

fn check<K: std::hash::Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>, key: K) -> bool {
    if limiter.len() > KEYS_MAX {
        limiter.retain_recent();
    }
    limiter.check_key(&key).is_ok()
}

/// Without an address everybody shares a bucket.
fn bucket(peer: Option<IpAddr>) -> IpAddr {
    peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), network)
}

/// Returns what is counted as one address: the /64 of an IPv6 address, because a caller has a whole /64; and the IPv4
/// address that is written as an IPv6 one.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
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

    /// Thirty documents that are not there use up one caller's share of their host, and nobody else's.
    #[test]
    fn one_address_does_not_use_up_a_host() {
        let limits = Limits::new(&IssuerSettings::default());
        let peer = |last: u8| Some(std::net::IpAddr::from([192, 0, 2, last]));
        let fetch = |name: String, last| limits.may_fetch_first(&name, "app.example", peer(last));
        let allowed = (0..30).filter(|number| fetch(format!("https://app.example/bogus{number}"), 1)).count();
        assert_eq!(allowed, 10);
        assert!(fetch("https://app.example/genuine".to_owned(), 2));
        // The same document again and again has a bound, too, read before or not.
        let again = (0..30).filter(|_| limits.may_fetch_again("https://app.example/genuine")).count();
        assert_eq!(again, 5);
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let of = |text: &str| bucket(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
