//! `POST /oauth/register`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use sekisho_web::Visit;

use crate::{Issuer, error, register};

/// `POST /oauth/register`.
pub(crate) async fn register(State(issuer): State<Arc<Issuer>>, visit: Visit, request: Request) -> Response {
    match register::register(&issuer, &visit, request).await {
        Ok(registered) => error::registered(&registered),
        Err(error) => error::registration(&visit, &error),
    }
}
