//! `GET /oauth/jwks`: the public halves of the keys in force (RFC 7517 §5).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::Issuer;
use crate::error::document;

/// `GET /oauth/jwks`. A key is announced before it signs, so a copy of five minutes is never too old.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>) -> Response {
    let keys = issuer.keys.borrow().clone();
    document(&keys.jwks())
}
