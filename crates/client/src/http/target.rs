//! The target of a request, as far as its URL tells.

use std::net::IpAddr;

use sekisho_protocol::redirect::is_loopback_host;
use url::{Host, Url};

use super::address::{is_public, plain};
use super::{HttpError, HttpSettings};

/// Ports above 1023 of other services, which might understand an HTTP request as commands (after the Fetch standard's
/// "bad ports", and services that commonly run beside a server).
const FOREIGN_PORTS: [u16; 24] = [
    1719, 1720, 1723, 2049, 2375, 2376, 2379, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6443, 6566,
    6667, 10250, 11211, 27017, 50070,
];

/// A URL that may be called, parsed once; its original spelling no longer matters.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: Host<String>,
    pub(super) port: u16,
    pub(super) secure: bool,
    /// `HOST` or `HOST:PORT`, for the `Host` header.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

impl Target {
    /// Parses the URL of a request, and refuses everything that can be refused before a name is looked up.
    pub(super) fn read(text: &str, settings: &HttpSettings) -> Result<Self, HttpError> {
        let url = Url::parse(text).map_err(|_| HttpError::Url)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(HttpError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(HttpError::Url);
        }
        let host = url.host().ok_or(HttpError::Url)?.to_owned();
        let name = url.host_str().unwrap_or_default();
        let allowed = secure || (settings.allow_http_loopback && is_loopback_host(name));
        if !allowed {
            return Err(HttpError::Scheme);
        }
        let port = url.port_or_known_default().ok_or(HttpError::Url)?;
        if (port < 1024 && !matches!(port, 80 | 443)) || FOREIGN_PORTS.contains(&port) {
            return Err(HttpError::Port { port });
        }
        let authority = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Ok(Self { host, port, secure, authority, path })
    }

    /// Returns the address in the URL itself, if there is one; `localhost` counts as one.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Domain(name) => (name == "localhost").then_some(std::net::Ipv4Addr::LOCALHOST.into()),
            Host::Ipv4(address) => Some((*address).into()),
            Host::Ipv6(address) => Some((*address).into()),
        }
    }

    /// Returns the addresses that may be called: all of them, or none. A name that mixes public and internal addresses
    /// has no honest reason to, and its owner would choose which one is called (ATK-30).
    pub(super) fn admit(&self, addresses: Vec<IpAddr>, settings: &HttpSettings) -> Result<Vec<IpAddr>, HttpError> {
        if addresses.is_empty() {
            return Err(HttpError::Resolve { host: self.host.to_string() });
        }
        if addresses.iter().all(|address| self.admits(*address, settings)) {
            // The addresses that were checked are the ones connected to: the plain form.
            Ok(addresses.into_iter().map(plain).collect())
        } else {
            Err(HttpError::Address { host: self.host.to_string() })
        }
    }

    fn admits(&self, address: IpAddr, settings: &HttpSettings) -> bool {
        let address = plain(address);
        // Plain http was only accepted for a loopback host, so it must stay there.
        if !self.secure {
            return address.is_loopback();
        }
        is_public(address) || settings.allow_private.iter().any(|network| network.contains(&address))
    }
}
