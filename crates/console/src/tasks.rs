//! `/tasks/{id}`: a declared piece of work as its person sees it, and what only a person may do with it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_web::parameters::Form;
use sekisho_web::sentence::Sentence;
use sekisho_web::{Visit, error, frame};

use crate::Console;

mod change;
mod found;
mod page;
mod widening_form;

use change::Changed;
use widening_form::WideningForm;

/// `GET /tasks/{id}`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(id): Path<String>) -> Response {
    shown_with(&console, &visit, &id, &WideningForm::default(), None).await
}

async fn shown_with(
    console: &Console,
    visit: &Visit,
    id: &str,
    wish: &WideningForm,
    problem: Option<Sentence>,
) -> Response {
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match page::page(console, visit, id, wish, problem).await {
        Ok(page) => frame::page(visit, &console.site, status, &page, ""),
        Err(error) => error::page(&console.site, visit, &error),
    }
}

/// `POST /tasks/{id}`: widen, finish or resume.
pub(crate) async fn change(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match change::change(&console, &visit, &id, &form).await {
        Ok(Changed::Not(wish, problem)) => shown_with(&console, &visit, &id, &wish, Some(problem)).await,
        Ok(Changed::Now(place)) => frame::go(&console.site, &visit, &place.path()),
        Err(error) => error::page(&console.site, &visit, &error),
    }
}
