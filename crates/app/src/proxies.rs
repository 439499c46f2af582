//! From where a request comes: the address of the connection, or what a configured proxy says of it. This is the one place
//! that decides it, for records, policies (`context.source`) and every limit that counts by address.
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-For` are read from configured proxies alone; from anybody else they are what a
//! stranger wrote. Each proxy adds the address it saw at the right, so the list is read from there: the first address that is
//! no proxy of ours is the caller's. What stands left of it may be invented by the caller.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// The older header, which has no RFC.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many addresses of one list are read. No chain of proxies is that long.
const HOPS_MAX: usize = 16;

/// The configured proxies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Reads networks such as `10.0.0.0/8`, and single addresses. The first that is neither is the error.
    pub(crate) fn read(texts: &[String]) -> Result<Self, String> {
        let network = |text: &String| {
            let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
            text.parse::<IpNet>().ok().or_else(single).ok_or_else(|| text.clone())
        };
        texts.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Their networks.
    pub(crate) fn networks(&self) -> &[IpNet] {
        &self.0
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// From where a request comes that came over a connection from `peer`. An IPv4 address that is written as an IPv6 one
    /// (RFC 4291 §2.5.5.2) is taken as what it is.
    pub(crate) fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        // Without a proxy, nothing else is looked at.
        if self.0.is_empty() || !self.contain(peer) {
            return peer;
        }
        let forwarded = lines(headers, &header::FORWARDED).map(|list| self.caller(peer, &list, forwarded_for));
        let older = lines(headers, &X_FORWARDED_FOR).map(|list| self.caller(peer, &list, plain));
        match (forwarded, older) {
            (None, None) => peer,
            (Some(one), None) | (None, Some(one)) => one,
            // If both headers are there, the proxy may have written one and passed the other on, and nobody knows which
            // one is its own.
            (Some(one), Some(other)) => {
                if one == other {
                    one
                } else {
                    peer
                }
            }
        }
    }

    /// The rightmost address that is no proxy; what a proxy wrote that is no address ends the reading there.
    fn caller(&self, peer: IpAddr, list: &str, read: impl Fn(&str) -> Option<IpAddr>) -> IpAddr {
        let mut nearest = peer;
        for element in list.rsplit(',').take(HOPS_MAX) {
            let Some(address) = read(element.trim()) else { return nearest };
            nearest = address.to_canonical();
            if !self.contain(nearest) {
                return nearest;
            }
        }
        nearest
    }
}

/// The lines of a header as one list (RFC 9110 §5.3). `None`: there is none, or one that is no text.
fn lines(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let texts: Option<Vec<&str>> = headers.get_all(name).iter().map(|value| value.to_str().ok()).collect();
    texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join(","))
}

/// The parameter `for` of one element of `Forwarded` (RFC 7239 §4). Twice, or hidden (`unknown`, `_name`), it is none.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = element
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| name.eq_ignore_ascii_case("for"));
    let (_, value) = found.next()?;
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    if found.next().is_some() { None } else { plain(unquoted) }
}

/// An address, with a port or without; IPv6 in brackets where there is a port, and mostly where there is none.
fn plain(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::Proxies;

    fn source(peer: &str, lines: &[(&str, &str)]) -> String {
        let proxies =
            Proxies::read(&["10.0.0.0/8".to_owned(), "2001:db8:1::/64".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(axum::http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        proxies.source(peer.parse().unwrap(), &headers).to_string()
    }

    /// ATK-137: what a stranger writes into a header is not where the stranger is.
    #[test]
    fn only_a_configured_proxy_is_believed() {
        for header in ["x-forwarded-for", "forwarded"] {
            assert_eq!(source("198.51.100.1", &[(header, "203.0.113.9")]), "198.51.100.1");
            assert_eq!(source("::ffff:198.51.100.1", &[(header, "for=203.0.113.9")]), "198.51.100.1");
        }
        assert_eq!(source("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(source("192.0.2.7", &[("x-forwarded-for", "203.0.113.9")]), "203.0.113.9");
        assert_eq!(source("192.0.2.8", &[("x-forwarded-for", "203.0.113.9")]), "192.0.2.8");
        assert!(Proxies::read(&["10.0.0.0/8".to_owned(), "proxy.example".to_owned()]).is_err());
    }

    /// ATK-137: the rightmost address that is no proxy counts, and nothing left of it.
    #[test]
    fn a_list_is_read_from_the_right() {
        for (list, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("1.2.3.4, 203.0.113.9", "203.0.113.9"),
            ("1.2.3.4, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
            ("203.0.113.9:4711, 10.0.0.3:80", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1], 2001:db8:1::5", "2001:db8::1"),
            // All of them are ours: the leftmost is as far as is known.
            ("10.0.0.4, 10.0.0.3", "10.0.0.4"),
            // The reading ends at an entry that is not an address.
            ("203.0.113.9, unknown", "10.0.0.1"),
            ("203.0.113.9, garbage, 10.0.0.3", "10.0.0.3"),
            ("", "10.0.0.1"),
            (",", "10.0.0.1"),
        ] {
            assert_eq!(source("10.0.0.1", &[("x-forwarded-for", list)]), expected, "{list}");
        }
        let two = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "10.0.0.3")];
        assert_eq!(source("10.0.0.1", &two), "203.0.113.9");
    }

    #[test]
    fn the_standard_header_is_read_as_it_is_written() {
        for (list, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"203.0.113.9:80\";proto=https;by=10.0.0.1", "203.0.113.9"),
            ("for=1.2.3.4, for=203.0.113.9;host=h, for=10.0.0.3", "203.0.113.9"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=203.0.113.9, for=unknown", "10.0.0.1"),
            ("for=203.0.113.9, for=_hidden", "10.0.0.1"),
            ("for=203.0.113.9;for=1.2.3.4", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(source("10.0.0.1", &[("forwarded", list)]), expected, "{list}");
        }
    }

    /// ATK-137: two headers that say different things say nothing.
    #[test]
    fn headers_that_disagree_count_for_nothing() {
        let both = |one, other| source("10.0.0.1", &[("forwarded", one), ("x-forwarded-for", other)]);
        assert_eq!(both("for=203.0.113.9", "203.0.113.9"), "203.0.113.9");
        assert_eq!(both("for=203.0.113.9", "1.2.3.4, 203.0.113.9"), "203.0.113.9");
        assert_eq!(both("for=203.0.113.9", "198.51.100.2"), "10.0.0.1");
        assert_eq!(both("for=unknown", "198.51.100.2"), "10.0.0.1");
    }
}
