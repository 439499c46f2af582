//! Our scopes in the words of the issuer that a client asks for them: its own names at an external authorization server,
//! and ours otherwise.

use sekisho_protocol::caller::IssuedBy;
use sekisho_protocol::scope::{Scope, ScopeSet};

use crate::route::Route;

/// RS-11: a server does not ask for a scope that only serves to get a refresh token; that is the client's choice.
pub(crate) fn challenged(scopes: &ScopeSet) -> ScopeSet {
    scopes.without(&Scope::offline_access())
}

/// Returns scopes in the words of the issuer that a client asks first: the external one, if there is one. `None`: no
/// scope of that issuer gives one of them.
pub(crate) fn spoken(route: &Route, scopes: &ScopeSet) -> Option<ScopeSet> {
    route.external.as_ref().map_or_else(|| Some(scopes.clone()), |external| external.scopes().theirs(scopes))
}

/// Returns scopes in the words of the issuer whose token a caller has. `None`: no token of that issuer permits them.
pub(crate) fn spoken_to(route: &Route, issued_by: Option<&IssuedBy>, scopes: &ScopeSet) -> Option<ScopeSet> {
    match issued_by {
        Some(IssuedBy::Checkpoint) => Some(scopes.clone()),
        Some(IssuedBy::External(_)) | None => spoken(route, scopes),
    }
}
