//! `/setup/{token}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_web::parameters::Form;
use sekisho_web::{Visit, frame};

use crate::setup::{self, SetupError};
use crate::{Issuer, error};

/// `GET /setup/{token}`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, Path(token): Path<String>) -> Response {
    match setup::find(&issuer, &visit, &token).await {
        Ok((_, user)) => {
            let page = setup::setup_page(&issuer, &visit, &token, &user, None);
            frame::page(&visit, &issuer.site, StatusCode::OK, &page, "")
        }
        Err(error) => error::setup(&issuer, &visit, &error),
    }
}

/// `POST /setup/{token}`.
pub(crate) async fn submit(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(token): Path<String>,
    form: Form,
) -> Response {
    let (link, user) = match setup::find(&issuer, &visit, &token).await {
        Ok(found) => found,
        Err(error) => return error::setup(&issuer, &visit, &error),
    };
    match setup::set_password(&issuer, &visit, &link, &user, &form).await {
        Ok(signed_in) => frame::signed_in(&issuer.site, &visit, &signed_in, "/"),
        Err(SetupError::Password(problem)) => {
            let page = setup::setup_page(&issuer, &visit, &token, &user, Some(problem));
            frame::page(&visit, &issuer.site, StatusCode::UNPROCESSABLE_ENTITY, &page, "")
        }
        Err(error) => error::setup(&issuer, &visit, &error),
    }
}
