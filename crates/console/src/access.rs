//! `/access/{id}`: a user asks an owner for a tool that the rules do not allow, and the owner answers.
//!
//! A refusal names its request and nothing else, so the first page is found by that: from the record of the decision.
//! Once it is asked, the page has a name of its own, which the asker and the owners can open.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use sekisho_store::{StoreError, Tx};
use sekisho_web::parameters::Form;
use sekisho_web::session::Session;
use sekisho_web::{Visit, shown};

use crate::form_page::Filled;
use crate::{Console, form_page};

mod change;
mod form;
mod found;
mod page;

use form::AccessForm;

/// How many open requests an owner's home page lists, the oldest first.
const ASKED_MAX: usize = 100;

/// `GET /access/{id}`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(id): Path<String>) -> Response {
    let filled = Filled::default();
    form_page::show(&console, &visit, &filled, page::page(&console, &visit, &id, &filled).await)
}

/// `POST /access/{id}`: ask, lend, refuse, take back.
pub(crate) async fn change(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    let changed = change::change(&console, &visit, &id, &form).await;
    let again = async |filled: &Filled<AccessForm>| page::page(&console, &visit, &id, filled).await;
    form_page::answer(&console, &visit, changed, again).await
}

/// One request on an owner's home page.
pub(crate) struct AskedLine {
    pub(crate) id: String,
    pub(crate) person: String,
    pub(crate) server: String,
    pub(crate) tool: String,
}

/// Returns the requests that wait for an owner. For other people the list is empty.
pub(crate) async fn asked_lines(
    console: &Console,
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
) -> Result<Vec<AskedLine>, StoreError> {
    if !session.user.role.administers() {
        return Ok(Vec::new());
    }
    let mut open = tx.access_requests().open(visit.now).await?;
    open.retain(|asked| found::may_answer(session, asked));
    open.truncate(ASKED_MAX);
    let mut lines = Vec::new();
    for asked in open {
        lines.push(AskedLine {
            id: asked.id.to_string(),
            person: shown::person(tx, &asked.subject).await?,
            server: shown::server(&console.site, &asked.server).title,
            tool: shown::exact(&asked.tool, 80),
        });
    }
    Ok(lines)
}
