//! `GET /oauth/authorize`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use sekisho_web::{Visit, frame};

use crate::{Issuer, authorize, error};

/// `GET /oauth/authorize`.
pub(crate) async fn begin(State(issuer): State<Arc<Issuer>>, visit: Visit, RawQuery(query): RawQuery) -> Response {
    match authorize::begin(&issuer, &visit, query.as_deref().unwrap_or_default()).await {
        Ok(pending) => frame::go(&issuer.site, &visit, &format!("/consent/{pending}")),
        Err(error) => error::authorize(&issuer, &visit, &error),
    }
}
