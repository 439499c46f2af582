//! `POST /oauth/token`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use sekisho_protocol::secret::RefreshToken;
use sekisho_web::Visit;
use sekisho_web::parameters::Form;

use crate::{Issuer, error, token};

/// `POST /oauth/token`.
pub(crate) async fn issue(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    match token::answer(&issuer, &visit, form).await {
        Ok(issued) => error::issued(&issued),
        Err(error) => error::token(&visit, &error),
    }
}

/// `POST /token` at the origin: a FastMCP client that is started again after its token has expired posts its refresh token
/// there, whatever the metadata say (PyPI `fastmcp` 4.2.3 with `mcp` 2.3.0), and would have to sign in each time. What is no
/// refresh token of ours gets 404, so that this is not taken for the token endpoint.
pub(crate) async fn refresh_at_origin(state: State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    let is_ours = form.parameters.as_ref().is_ok_and(|parameters| {
        let token = parameters.one("refresh_token").unwrap_or_default();
        parameters.one("grant_type") == Some("refresh_token") && RefreshToken::parse(token).is_ok()
    });
    if is_ours { issue(state, visit, form).await } else { StatusCode::NOT_FOUND.into_response() }
}
