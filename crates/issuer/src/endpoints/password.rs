//! `/password`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sekisho_web::parameters::Form;
use sekisho_web::{Visit, error, frame, session};

use crate::Issuer;
use crate::login::change::{self, ChangeRefusal};
use crate::pages::PasswordPage;

/// `GET /password`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit) -> Response {
    let found = async {
        let mut tx = issuer.site.store.read().await?;
        session::current(&mut tx, &visit).await
    };
    match found.await {
        Ok(Some(session)) => answer(&issuer, &visit, StatusCode::OK, &change::page(&issuer, &visit, &session, None)),
        Ok(None) => frame::go(&issuer.site, &visit, "/login"),
        Err(error) => error::page(&issuer.site, &visit, &error.into()),
    }
}

/// `POST /password`.
pub(crate) async fn submit(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    match change::change(&issuer, &visit, &form).await {
        Ok(signed_in) => frame::signed_in(&issuer.site, &visit, &signed_in, "/"),
        Err(ChangeRefusal::Page(error)) => error::page(&issuer.site, &visit, &error),
        Err(ChangeRefusal::Problem(session, problem)) => {
            let page = change::page(&issuer, &visit, &session, Some(problem));
            answer(&issuer, &visit, StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
    }
}

fn answer(issuer: &Issuer, visit: &Visit, status: StatusCode, page: &PasswordPage) -> Response {
    frame::page(visit, &issuer.site, status, page, "")
}
