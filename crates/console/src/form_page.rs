//! The handlers of pages with a form: they show the form, take what was sent, and show the page again if something is
//! wrong with it.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use sekisho_web::error::{self, PageError};
use sekisho_web::parameters::Parameters;
use sekisho_web::place::Place;
use sekisho_web::sentence::Sentence;
use sekisho_web::{Visit, frame};

use crate::Console;

/// A form as a page shows it.
#[derive(Debug, Default)]
pub(crate) struct Filled<F> {
    /// What was written.
    pub(crate) form: F,
    /// What is wrong with it.
    pub(crate) problem: Option<Sentence>,
}

/// The result of a form that was sent.
pub(crate) enum Changed<F> {
    /// Nothing yet: the page shows the form again.
    Not(Filled<F>),
    /// It is done, and this is where to see it.
    Now(Place),
}

impl<F> Changed<F> {
    /// Nothing was changed, because of this problem with the form.
    pub(crate) fn problem(form: F, problem: Sentence) -> Self {
        Self::Not(Filled { form, problem: Some(problem) })
    }
}

/// A form that was sent, and where.
#[derive(Clone, Copy)]
pub(crate) struct Submission<'a> {
    pub(crate) console: &'a Console,
    pub(crate) visit: &'a Visit,
    pub(crate) form: &'a Parameters,
}

/// Answers a request for a page with a form.
pub(crate) fn show<F, P: Template>(
    console: &Console,
    visit: &Visit,
    filled: &Filled<F>,
    page: Result<P, PageError>,
) -> Response {
    let status = if filled.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match page {
        Ok(page) => frame::page(visit, &console.site, status, &page, ""),
        Err(error) => error::page(&console.site, visit, &error),
    }
}

/// Answers a form that was sent. `page` makes the page again.
pub(crate) async fn answer<F, P: Template>(
    console: &Console,
    visit: &Visit,
    changed: Result<Changed<F>, PageError>,
    page: impl AsyncFnOnce(&Filled<F>) -> Result<P, PageError>,
) -> Response {
    match changed {
        Ok(Changed::Not(filled)) => show(console, visit, &filled, page(&filled).await),
        Ok(Changed::Now(place)) => frame::go(&console.site, visit, &place.path()),
        Err(error) => error::page(&console.site, visit, &error),
    }
}
