//! Who counts as one holder in the bounded tables of this surface, and how much of a table one holder may have.
//!
//! A bound for all callers together only protects the checkpoint: the first caller could take all of it. So each table
//! also counts by holder, and keeps its last quarter for holders that have little.

use std::net::{IpAddr, Ipv6Addr};

use sekisho_protocol::caller::{Basis, Caller, Subject};

/// Of the four quarters of a table, this many are open to every caller.
const OPEN_QUARTERS: usize = 3;
/// A holder has little of a table if it has less than one part in this many.
const LITTLE_PARTS: usize = 64;

/// Who counts as one: a subject with all its clients and grants, or all anonymous callers of one network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Holder {
    Anonymous(Network),
    Subject(Subject),
}

/// The network of anonymous callers: one IPv4 address, or one IPv6 /64, which is the least that one subscriber has
/// (RFC 6177 §2). Unknown if the listener does not know the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network(Option<IpAddr>);

impl Holder {
    /// Returns the holder that this caller, from this address, counts as.
    pub(crate) fn of(caller: &Caller, source: Option<IpAddr>) -> Self {
        match &caller.basis {
            Basis::Grant(granted) => Self::Subject(granted.subject.clone()),
            Basis::Open => Self::Anonymous(Network::of(source)),
        }
    }
}

impl Network {
    /// Returns the network of an address.
    pub(crate) fn of(source: Option<IpAddr>) -> Self {
        /// The first 64 of 128 bits.
        const PREFIX: u128 = !0 << 64;
        Self(source.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & PREFIX)),
        }))
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// Why a table takes no more entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The rest is kept for holders that have less.
    Share,
    /// There is no room for anybody.
    Total,
}

/// Checks that a holder with `own` of the `all` entries of a table with room for `max` may have one more.
pub(crate) fn admit(own: usize, all: usize, max: usize) -> Result<(), Full> {
    if all >= max {
        return Err(Full::Total);
    }
    let is_scarce = all >= max.saturating_mul(OPEN_QUARTERS) / 4;
    let has_little = own < (max / LITTLE_PARTS).max(1);
    if is_scarce && !has_little { Err(Full::Share) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use sekisho_protocol::caller::Caller;
    use sekisho_protocol::scope::ScopeSet;

    use super::{Full, Holder, Network, admit};

    /// ATK-153: anonymous callers are told apart by IPv4 address and by IPv6 /64, however an address is written.
    #[test]
    fn anonymous_callers_are_counted_by_network() {
        let network = |text: &str| Network::of(Some(text.parse::<IpAddr>().unwrap()));
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(network(one) == network(other), same, "{one} {other}");
        }
        let anonymous = Caller::anonymous(ScopeSet::empty());
        let source = Some("192.0.2.1".parse().unwrap());
        assert_eq!(Holder::of(&anonymous, source), Holder::Anonymous(network("192.0.2.1")));
        assert_ne!(Holder::of(&anonymous, None), Holder::of(&anonymous, source));
    }

    /// ATK-153: a holder that has much is refused once three quarters are taken; one that has little is admitted until
    /// the table is full.
    #[test]
    fn the_last_quarter_is_for_those_who_have_little() {
        for (own, all, max, expected) in [
            (0, 0, 1, Ok(())),
            (1, 1, 1, Err(Full::Total)),
            (95, 95, 128, Ok(())),
            (96, 96, 128, Err(Full::Share)),
            (1, 96, 128, Ok(())),
            (2, 97, 128, Err(Full::Share)),
            (0, 127, 128, Ok(())),
            (0, 128, 128, Err(Full::Total)),
            (11, 11, 16, Ok(())),
            (12, 12, 16, Err(Full::Share)),
            (0, 15, 16, Ok(())),
        ] {
            assert_eq!(admit(own, all, max), expected, "{own} {all} {max}");
        }
    }
}
