//! Pages about what is one's own: who has to sign in first, and who is told that there is nothing.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::caller::Subject;
use sekisho_store::{Grant, StoreError, Tx};

use crate::error::{self, Fault};
use crate::pages;
use crate::parameters::{Form, Parameters};
use crate::place::Place;
use crate::session::{self, Session};
use crate::visit::Visit;
use crate::{Issuer, home};

/// Why a page about something of one's own cannot be shown, or nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnError {
    #[error("what the form is about has ended")]
    Ended,
    #[error("the form did not come from this browser's page, or what it showed has changed")]
    Forgery,
    #[error("the form cannot be read")]
    Malformed,
    #[error("no identifier of ours")]
    NotThere,
    /// Somebody else's, or nobody's: nobody can tell which.
    #[error("there is nothing like that of this user")]
    NotYours { place: Place, session: Box<Session> },
    #[error("nobody is signed in")]
    SignIn(Place),
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for OwnError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// Who is signed in; or the way to sign in and come back, whether there is such a page or not.
pub(crate) async fn session(tx: &mut Tx, visit: &Visit, place: Place) -> Result<Session, OwnError> {
    session::current(tx, visit).await?.ok_or(OwnError::SignIn(place))
}

/// What was found, if it is of the one who is signed in.
pub(crate) fn only<T>(found: Option<T>, session: Session, place: Place) -> Result<(T, Session), OwnError> {
    match found {
        Some(found) => Ok((found, session)),
        None => Err(OwnError::NotYours { place, session: Box::new(session) }),
    }
}

/// A page that only who is signed in may see, and whose way one finds from the first page: whoever is not signed in is sent
/// there. Where there are doors, the page itself asks to sign in: somebody may be signed in behind one.
pub(crate) fn page_or_home<P: Template>(issuer: &Issuer, visit: &Visit, page: Result<Option<P>, OwnError>) -> Response {
    match page {
        Ok(Some(page)) => pages::page(visit, issuer, StatusCode::OK, &page, ""),
        Ok(None) if issuer.settings.is_https() => pages::go(issuer, visit, "/"),
        Ok(None) => home::before_doors(issuer, visit, &visit.target),
        Err(error) => error::own(issuer, visit, &error),
    }
}

/// Whose things a session shows.
pub(crate) fn subject(session: &Session) -> Subject {
    Subject::User(session.user.id)
}

/// The fields of a form in which only `may_repeat` occur more than once.
pub(crate) fn fields<'a>(form: &'a Form, may_repeat: &[&str]) -> Result<&'a Parameters, OwnError> {
    let fields = form.parameters.as_ref().map_err(|_| OwnError::Malformed)?;
    if fields.repeated(may_repeat).is_some() { Err(OwnError::Malformed) } else { Ok(fields) }
}

/// Whether tokens of this grant are good for anything: it, its user and its clients are.
pub(crate) async fn is_alive(tx: &mut Tx, grant: &Grant, visit: &Visit) -> Result<bool, StoreError> {
    let state = tx.grants().alive(grant.id).await?;
    Ok(state.is_some_and(|state| state.honours(state.epoch, visit.now)))
}
