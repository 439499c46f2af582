//! Connected agents: the grants that somebody gave, each with its tasks, and `/grants/{id}`, the page of one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use sekisho_web::parameters::Form;
use sekisho_web::place::Place;
use sekisho_web::{Visit, error, frame};

use crate::form_page::Filled;
use crate::{Console, form_page};

mod change;
mod task_form;
mod found;
mod list;
mod page;

pub(crate) use list::{GrantLine, grant_lines};
use task_form::TaskForm;

/// `GET /grants/{id}`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(id): Path<String>) -> Response {
    let filled = Filled::default();
    form_page::show(&console, &visit, &filled, page::page(&console, &visit, &id, &filled).await)
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
    let changed = change::begin(&console, &visit, &id, &form).await;
    let again = async |filled: &Filled<TaskForm>| page::page(&console, &visit, &id, filled).await;
    form_page::answer(&console, &visit, changed, again).await
}
