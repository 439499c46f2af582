//! The state that all surfaces with pages for people share.

use std::fmt::{self, Debug};
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use sekisho_protocol::env::{Clock, Entropy};
use sekisho_protocol::ids::NodeId;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::Store;
use tokio::sync::watch;
use url::Url;

use crate::cookies::Cookies;
use crate::{door, frame, session};

/// The settings of a site: where its pages are, and how long a browser stays signed in.
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
    /// Returns the absolute URL of a path of ours.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// Returns the path of the base URL, without a slash at its end; usually empty.
    pub fn prefix(&self) -> &str {
        let rest = self.base_url.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
    }

    /// Returns `scheme://host[:port]`, as a browser writes it in `Origin`.
    pub fn origin(&self) -> String {
        Url::parse(&self.base_url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }

    /// Returns host and port, to show to people.
    pub fn host(&self) -> String {
        self.origin().split_once("://").map(|(_, host)| host.to_owned()).unwrap_or_default()
    }

    /// Returns whether browsers reach us over TLS. If not, only on loopback, where sessions have doors (see
    /// [`crate::door`]).
    pub fn is_https(&self) -> bool {
        self.base_url.starts_with("https://")
    }
}

/// The parts that a site is made from.
pub struct SiteParts {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random source of secrets and identifiers.
    pub entropy: Arc<dyn Entropy>,
    /// The protected servers.
    pub servers: watch::Receiver<Arc<ServerDirectory>>,
    /// The node whose chain of records is written.
    pub node: NodeId,
    /// The settings of the site.
    pub settings: SiteSettings,
}

/// The state that all surfaces with pages share; one per process.
pub struct Site {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random source of secrets and identifiers.
    pub entropy: Arc<dyn Entropy>,
    /// The protected servers.
    pub servers: watch::Receiver<Arc<ServerDirectory>>,
    /// The node whose chain of records is written.
    pub node: NodeId,
    /// The settings of the site.
    pub settings: SiteSettings,
    /// The names and attributes of cookies.
    pub cookies: Cookies,
    pub(crate) style_name: String,
    pub(crate) script_policy: String,
}

impl Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Site {
    /// Makes a site of these parts.
    pub fn new(parts: SiteParts) -> Arc<Self> {
        let SiteParts { store, clock, entropy, servers, node, settings } = parts;
        Arc::new(Self {
            cookies: Cookies::new(&settings),
            style_name: frame::style_name(),
            script_policy: door::script_policy(),
            store,
            clock,
            entropy,
            servers,
            node,
            settings,
        })
    }

    /// Returns a path of ours for a router, with the path of the base URL in front.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.settings.prefix())
    }
}

/// The state of a surface that shows pages of a site.
pub trait HasSite: Send + Sync {
    /// The site.
    fn site(&self) -> &Site;
}

impl HasSite for Site {
    fn site(&self) -> &Site {
        self
    }
}

/// Serves the pages of all surfaces, with and without doors, and also the logout and the style sheet. Every other
/// address gets a page that tells what is here.
pub fn serve(site: Arc<Site>, pages: Router) -> Router {
    let own = Router::new().route(&site.at("/logout"), post(session::log_out)).with_state(Arc::clone(&site));
    let pages = pages.merge(own);
    let assets = Router::new().route(&site.at("/assets/{name}"), get(frame::asset)).with_state(Arc::clone(&site));
    // Only the pages for people are served behind a door.
    let behind = pages.clone();
    let enter = move |request: axum::extract::Request| door::enter(site, behind, request);
    pages.merge(assets).fallback(enter)
}

#[cfg(test)]
mod tests {
    use super::SiteSettings;

    /// AS-03, AS-04: the base URL may have a path, and is used as it is written.
    #[test]
    fn the_parts_of_the_base_url_are_read_from_its_text() {
        let of = |base_url: &str| SiteSettings { base_url: base_url.to_owned(), ..SiteSettings::default() };
        assert_eq!(of("https://h.example").prefix(), "");
        assert_eq!(of("https://h.example/t/u").prefix(), "/t/u");
        assert_eq!(of("https://h.example/t").url("/oauth/token"), "https://h.example/t/oauth/token");
        assert_eq!(of("http://localhost:8420").origin(), "http://localhost:8420");
        assert_eq!(of("https://h.example:443/t").origin(), "https://h.example");
        assert_eq!(of("http://localhost:8420").host(), "localhost:8420");
    }
}
