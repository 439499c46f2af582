//! `/tasks/{id}`: a declared piece of work as its person sees it, and what only a person may do with it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use sekisho_web::Visit;
use sekisho_web::parameters::Form;

use crate::form_page::Filled;
use crate::{Console, form_page};

mod change;
mod found;
mod page;
mod widening_form;

use widening_form::WideningForm;

/// `GET /tasks/{id}`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(id): Path<String>) -> Response {
    let filled = Filled::default();
    form_page::show(&console, &visit, &filled, page::page(&console, &visit, &id, &filled).await)
}

/// `POST /tasks/{id}`: widen, finish or resume.
pub(crate) async fn change(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    let changed = change::change(&console, &visit, &id, &form).await;
    let again = async |filled: &Filled<WideningForm>| page::page(&console, &visit, &id, filled).await;
    form_page::answer(&console, &visit, changed, again).await
}
