//! Errors shown to people, as pages.
//!
//! Our own faults are logged in full; the page shows only the identifier of the request.

use askama::Template;
use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use sekisho_store::StoreError;

use crate::frame::{self, Chrome};
use crate::place::Place;
use crate::sentence::Sentence;
use crate::session::Session;
use crate::site::Site;
use crate::visit::Visit;

/// A fault of ours, with its source.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Too many requests wanted the same row; the same request may succeed a moment later.
    #[error("too many requests met at one row")]
    Contended,
    /// Another part of ours failed.
    #[error(transparent)]
    Internal(Box<dyn std::error::Error + Send + Sync>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault {
    /// Makes a fault of an error.
    pub fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(error))
    }

    /// Logs the fault, and returns the status of the answer: 503 if the same request may succeed later.
    pub fn status(&self, visit: &Visit) -> StatusCode {
        let error: &dyn std::error::Error = self;
        tracing::error!(request = %visit.request, error, "a request failed");
        match self {
            Self::Contended => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(error) if error.is_unavailable() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a page of a signed-in person cannot be shown, or nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The subject of the form, such as a grant, has ended.
    #[error("what the form is about has ended")]
    Ended,
    /// The form did not come from this browser's page, or what it showed has changed.
    #[error("the form did not come from this browser's page, or what it showed has changed")]
    Forgery,
    /// The form cannot be read.
    #[error("the form cannot be read")]
    Malformed,
    /// There is no such page.
    #[error("no identifier of ours")]
    NotThere,
    /// It belongs to another user or does not exist. The answer is the same for both.
    #[error("there is nothing like that of this user")]
    NotYours {
        /// The page that was asked for.
        place: Place,
        /// Who asked.
        session: Box<Session>,
    },
    /// The person has to sign in first.
    #[error("nobody is signed in")]
    SignIn(Place),
    /// We failed.
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// The page for an error after which the person cannot be sent anywhere else.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    chrome: Chrome,
    what: Sentence,
    detail: String,
    hint: Sentence,
}

/// The page for an unknown address, which tells what is here.
#[derive(Template)]
#[template(path = "nothing.html")]
struct NothingPage {
    chrome: Chrome,
    /// The URL pattern of the servers.
    calls: String,
}

/// A message for a person.
#[derive(Debug)]
pub struct Telling {
    /// The status of the page.
    pub status: StatusCode,
    /// What happened.
    pub what: Sentence,
    /// The name to insert into `what`; empty if it has no place for one.
    pub detail: String,
    /// What to do.
    pub hint: Sentence,
}

/// Makes a message without a name.
pub fn tell(status: StatusCode, what: Sentence, hint: Sentence) -> Telling {
    Telling { status, what, detail: String::new(), hint }
}

/// Logs a fault of ours, and makes the message about it.
pub fn tell_fault(fault: &Fault, visit: &Visit) -> Telling {
    let status = fault.status(visit);
    let what =
        if status == StatusCode::SERVICE_UNAVAILABLE { Sentence::ErrorUnavailable } else { Sentence::ErrorInternal };
    tell(status, what, Sentence::HintTellOperator)
}

/// Returns the page with a message.
pub fn told(site: &Site, visit: &Visit, telling: Telling) -> Response {
    told_in(Chrome::new(site, visit), site, visit, telling)
}

fn told_in(chrome: Chrome, site: &Site, visit: &Visit, telling: Telling) -> Response {
    let Telling { status, what, detail, hint } = telling;
    let page = ErrorPage { chrome, what, detail, hint };
    let mut response = frame::page(visit, site, status, &page, "");
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    }
    response
}

/// Answers a request whose page cannot be shown.
pub fn page(site: &Site, visit: &Visit, error: &PageError) -> Response {
    let nothing = tell(StatusCode::NOT_FOUND, Sentence::ErrorNotYours, Sentence::HintOtherAccount);
    let telling = match error {
        PageError::Ended => tell(StatusCode::GONE, Sentence::ErrorEnded, Sentence::HintReload),
        PageError::Forgery => tell(StatusCode::FORBIDDEN, Sentence::ErrorForgery, Sentence::HintReload),
        PageError::Internal(fault) => tell_fault(fault, visit),
        PageError::Malformed => tell(StatusCode::BAD_REQUEST, Sentence::ErrorRequestMalformed, Sentence::HintReload),
        PageError::NotThere => nothing,
        PageError::NotYours { place, session } => {
            let chrome = Chrome::new(site, visit).with(visit, session, Some(place.to_string()));
            return told_in(chrome, site, visit, nothing);
        }
        PageError::SignIn(place) => return frame::go(site, visit, &place.login()),
    };
    told(site, visit, telling)
}

/// Answers a browser's request for an unknown address.
pub(crate) fn nothing_here(site: &Site, visit: &Visit) -> Response {
    let page = NothingPage { chrome: Chrome::new(site, visit), calls: site.settings.url("/mcp/NAME") };
    frame::page(visit, site, StatusCode::NOT_FOUND, &page, "")
}
