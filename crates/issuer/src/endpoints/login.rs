//! `/login`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::sentence::Sentence;
use sekisho_web::{Visit, door, frame};

use crate::login::{self, LoginError};
use crate::{Issuer, error};

/// `GET /login`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::read(query.as_deref().unwrap_or_default()).unwrap_or_default();
    let place = parameters.one("request").and_then(|id| id.parse().ok());
    let (mut page, target) = login::login_page(&issuer, &visit, place, "", None).await;
    // A person who is signed in already goes on. Not after a form, because its answer says what was wrong with it.
    page.chrome.entry = door::entry(&issuer.site, &visit, &login::destination(place));
    frame::entry_page(&visit, &issuer.site, &page, &target)
}

/// `POST /login`.
pub(crate) async fn submit(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    let input = match login::read(&visit, &form) {
        Ok(input) => input,
        Err(error) => return error::login(&issuer, &visit, &error),
    };
    let (problem, status) = match login::log_in(&issuer, &visit, &input).await {
        Ok(signed_in) => return frame::signed_in(&issuer.site, &visit, &signed_in, &login::destination(input.place)),
        Err(LoginError::Wrong) => (Sentence::LoginFailed, StatusCode::UNAUTHORIZED),
        Err(LoginError::Throttled) => (Sentence::LoginThrottled, StatusCode::TOO_MANY_REQUESTS),
        Err(error) => return error::login(&issuer, &visit, &error),
    };
    let (page, target) = login::login_page(&issuer, &visit, input.place, &input.username, Some(problem)).await;
    frame::page(&visit, &issuer.site, status, &page, &target)
}
