//! Documents that anyone may read: authorization server metadata and the public keys.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::Issuer;
use crate::error::document;
use crate::metadata::metadata;

/// `GET /.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>) -> Response {
    let servers = Arc::clone(&issuer.site.servers.borrow());
    document(&metadata(&issuer.site.settings, &issuer.settings, &servers))
}

/// `GET /oauth/jwks` (RFC 7517 §5): the public halves of the keys in force. A key is announced before it signs, so a copy of five minutes is never too old.
pub(crate) async fn show_keys(State(issuer): State<Arc<Issuer>>) -> Response {
    let keys = issuer.keys.borrow().clone();
    document(&keys.jwks())
}
