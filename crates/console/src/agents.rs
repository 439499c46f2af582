//! Connected agents: the grants that somebody gave, each with its tasks, and `/grants/{id}`, the page of one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_web::parameters::Form;
use sekisho_web::place::Place;
use sekisho_web::sentence::Sentence;
use sekisho_web::{Visit, error, frame};

use crate::Console;

mod change;
mod task_form;
mod found;
mod list;
mod page;

use change::Begun;
pub(crate) use list::{GrantLine, grant_lines};
use task_form::TaskForm;

/// `GET /grants/{id}`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(id): Path<String>) -> Response {
    shown_with(&console, &visit, &id, &TaskForm::default(), None).await
}

async fn shown_with(
    console: &Console,
    visit: &Visit,
    id: &str,
    draft: &TaskForm,
    problem: Option<Sentence>,
) -> Response {
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match page::page(console, visit, id, draft, problem).await {
        Ok(page) => frame::page(visit, &console.site, status, &page, ""),
        Err(error) => error::page(&console.site, visit, &error),
    }
}

/// `POST /grants/{id}/end`: the person who gave a grant revokes it.
pub(crate) async fn end(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match change::end(&console, &visit, &id, &form).await {
        Ok(()) => frame::go(&console.site, &visit, "/"),
        Err(error) => error::page(&console.site, &visit, &error),
    }
}

/// `POST /grants/{id}/release`: the person of an ended grant lets its client in again.
pub(crate) async fn release(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match change::release(&console, &visit, &id, &form).await {
        Ok(grant) => frame::go(&console.site, &visit, &Place::Grant(grant).path()),
        Err(error) => error::page(&console.site, &visit, &error),
    }
}

/// `POST /agents/end`: the person who is signed in revokes all grants of their own.
pub(crate) async fn end_all(State(console): State<Arc<Console>>, visit: Visit, form: Form) -> Response {
    match change::end_all(&console, &visit, &form).await {
        Ok(()) => frame::go(&console.site, &visit, "/"),
        Err(error) => error::page(&console.site, &visit, &error),
    }
}

/// `POST /grants/{id}/tasks`: the person who gave a grant begins a task on it.
pub(crate) async fn begin(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match change::begin(&console, &visit, &id, &form).await {
        Ok(Begun::Task(task)) => frame::go(&console.site, &visit, &Place::Task(task).path()),
        Ok(Begun::Not(draft, problem)) => shown_with(&console, &visit, &id, &draft, Some(problem)).await,
        Err(error) => error::page(&console.site, &visit, &error),
    }
}
