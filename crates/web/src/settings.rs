//! Where the pages are, as the operator configured it, and what follows from that for paths.

use sekisho_protocol::secret::DoorToken;
use url::Url;

/// Where the pages are, and how long a browser stays signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSettings {
    /// The issuer identifier (RFC 8414 §2): `https://HOST[:PORT][/PATH]`, or `http://localhost:PORT` on a laptop;
    /// no trailing slash. Every URL is made from it and never from a request's headers (ATK-13).
    pub base_url: String,
    /// How long a browser stays signed in, in seconds.
    pub session_ttl_seconds: u32,
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self { base_url: "http://localhost:8420".to_owned(), session_ttl_seconds: 12 * 60 * 60 }
    }
}

impl SiteSettings {
    /// An absolute URL of ours: the base URL and this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// The path of the base URL, without a slash at its end; empty for most.
    pub fn prefix(&self) -> &str {
        let rest = self.base_url.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
    }

    /// `scheme://host[:port]`, as a browser writes it in `Origin`.
    pub fn origin(&self) -> String {
        Url::parse(&self.base_url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }

    /// Host and port, for people.
    pub fn host(&self) -> String {
        self.origin().split_once("://").map(|(_, host)| host.to_owned()).unwrap_or_default()
    }

    /// Whether browsers reach us over TLS; otherwise only on loopback, where sessions have doors (see [`crate::door`]).
    pub fn is_https(&self) -> bool {
        self.base_url.starts_with("https://")
    }
}

/// The path in which a door stands (see [`crate::door`]). `base` is the path of the issuer identifier.
pub(crate) fn behind_door(base: &str, door: &DoorToken) -> String {
    format!("{base}/~{}", door.expose())
}
