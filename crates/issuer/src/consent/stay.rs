//! Whether access outlasts the browser session in which it is given.

use sekisho_protocol::scope::{Scope, ScopeSet};

use super::request::Request;
use crate::Issuer;

/// The box `offline_access`: whether the access outlasts the browser session in which it is given (decision 0037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// The client asked for it: the box is ticked.
    Asked,
    /// It is not on the page: the client has no use for a refresh token, or none is issued here.
    Never,
    /// The client did not ask, and could: the box is not ticked.
    Offered,
}

impl Stay {
    pub(super) fn of(issuer: &Issuer, request: &Request) -> Self {
        if !request.client.refresh || issuer.settings.refresh_ttl_seconds == 0 {
            Self::Never
        } else if request.pending.scopes.contains(&Scope::offline_access()) {
            Self::Asked
        } else {
            Self::Offered
        }
    }

    pub(crate) fn is_on_page(self) -> bool {
        self != Self::Never
    }

    pub(crate) fn is_ticked(self) -> bool {
        self == Self::Asked
    }

    /// The scope, where the box is on the page.
    pub(crate) fn scope(self) -> ScopeSet {
        self.is_on_page().then(Scope::offline_access).into_iter().collect()
    }
}
