//! `POST /oauth/revoke`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use sekisho_web::Visit;
use sekisho_web::parameters::Form;

use crate::{Issuer, error, revoke};

/// `POST /oauth/revoke`.
pub(crate) async fn revoke(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    match revoke::revoke(&issuer, &visit, form).await {
        Ok(()) => error::revoked(),
        Err(error) => error::token(&visit, &error),
    }
}
