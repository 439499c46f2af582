//! `POST /logout`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::error::{self, PageError};
use crate::parameters::Form;
use crate::place::Place;
use crate::site::Site;
use crate::visit::Visit;
use crate::{frame, session};

/// `POST /logout`: ends the session; with a request, leads back to its page, where another person can sign in.
pub(crate) async fn log_out(State(site): State<Arc<Site>>, visit: Visit, form: Form) -> Response {
    match end(&site, &visit, &form).await {
        Ok(Some(place)) => frame::signed_out(&site, &visit, &place.path()),
        Ok(None) => frame::signed_out(&site, &visit, "/"),
        Err(error) => error::page(&site, &visit, &error),
    }
}

async fn end(site: &Site, visit: &Visit, form: &Form) -> Result<Option<Place>, PageError> {
    let parameters = form.parameters.as_ref().map_err(|_| PageError::Forgery)?;
    let mut tx = session::begin(site, visit).await?;
    let session = session::current(&mut tx, visit).await?;
    if !session::is_ours(visit, session.as_ref(), session::FormKind::Logout, "", parameters.one("csrf"))
        || parameters.repeated(&[]).is_some()
    {
        return Err(PageError::Forgery);
    }
    if let Some(session) = session {
        tx.browser_sessions().delete(&session.row.digest, visit.now).await?;
        tx.commit().await?;
    }
    Ok(parameters.one("request").and_then(|id| id.parse().ok()))
}
