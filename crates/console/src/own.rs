//! What every page of a signed-in person needs: the session, a check that things belong to the person, and a performer
//! for acts.

use sekisho_acts::{ActError, Performer};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::caller::Subject;
use sekisho_store::Tx;
use sekisho_web::Visit;
use sekisho_web::error::{Fault, PageError};
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::place::Place;
use sekisho_web::session::{self, Session};

use crate::Console;

/// Returns the session. If nobody is signed in, the error leads to the sign-in and back, whether there is such a page
/// or not.
pub(crate) async fn session(tx: &mut Tx, visit: &Visit, place: Place) -> Result<Session, PageError> {
    session::current(tx, visit).await?.ok_or(PageError::SignIn(place))
}

/// Returns what was found. The error for nothing names the place and the session.
pub(crate) fn only<T>(found: Option<T>, session: Session, place: Place) -> Result<(T, Session), PageError> {
    match found {
        Some(found) => Ok((found, session)),
        None => Err(PageError::NotYours { place, session: Box::new(session) }),
    }
}

/// Whose things a session shows.
pub(crate) fn subject(session: &Session) -> Subject {
    Subject::User(session.user.id)
}

/// The person who performs an act on this page.
pub(crate) fn performer<'c>(console: &'c Console, visit: &Visit, session: &Session) -> Performer<'c> {
    Performer {
        actor: Actor::User(session.user.id),
        node: console.site.node,
        request: visit.request,
        now: visit.now,
        entropy: &*console.site.entropy,
    }
}

/// Returns the page for an act that was refused. A page that can say more about a refusal handles it before.
pub(crate) fn page_error(error: ActError) -> PageError {
    match error {
        // The page found it a moment ago, so it has ended since.
        ActError::Absent { .. } | ActError::Exists { .. } => PageError::Ended,
        ActError::Invalid(_) => PageError::Malformed,
        ActError::NotAllowed(_) => PageError::NotThere,
        ActError::Store(error) => PageError::Internal(Fault::Store(error)),
    }
}

/// The fields of a form in which only `may_repeat` occur more than once.
pub(crate) fn fields<'a>(form: &'a Form, may_repeat: &[&str]) -> Result<&'a Parameters, PageError> {
    let fields = form.parameters.as_ref().map_err(|_| PageError::Malformed)?;
    if fields.repeated(may_repeat).is_some() { Err(PageError::Malformed) } else { Ok(fields) }
}
