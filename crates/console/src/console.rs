//! The console as a value: the site that it shares with other surfaces, and the rights in force.

use std::fmt::{self, Debug};
use std::sync::Arc;

use sekisho_policy::rights::Rights;
use sekisho_web::{HasSite, Site};
use tokio::sync::watch;

/// The pages of those who are signed in.
pub struct Console {
    pub(crate) site: Arc<Site>,
    pub(crate) rights: watch::Receiver<Arc<Rights>>,
}

impl Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("site", &self.site).finish_non_exhaustive()
    }
}

impl HasSite for Console {
    fn site(&self) -> &Site {
        &self.site
    }
}

impl Console {
    /// A console of this site. `rights`: what users may do.
    pub fn new(site: Arc<Site>, rights: watch::Receiver<Arc<Rights>>) -> Arc<Self> {
        Arc::new(Self { site, rights })
    }
}
