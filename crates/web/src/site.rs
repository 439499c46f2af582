//! The state that all surfaces with pages for people share.

use std::fmt::{self, Debug};
use std::sync::Arc;

use sekisho_protocol::env::{Clock, Entropy};
use sekisho_protocol::ids::NodeId;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::Store;
use tokio::sync::watch;

use crate::cookies::Cookies;
use crate::settings::SiteSettings;
use crate::{script, style};

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
            style_name: style::style_name(),
            script_policy: script::script_policy(),
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
