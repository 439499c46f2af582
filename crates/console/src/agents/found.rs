//! The grant of a page, and what its form is about.

use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::ids::GrantId;
use sekisho_store::{Grant, Tx};
use sekisho_web::Visit;
use sekisho_web::error::PageError;
use sekisho_web::place::Place;
use sekisho_web::session::Session;

use crate::offer::digest_of;
use crate::own;

/// The grant, if it is of the one who is signed in, whatever became of it.
pub(super) async fn find(tx: &mut Tx, visit: &Visit, id: GrantId) -> Result<(Grant, Session), PageError> {
    let place = Place::Grant(id);
    let session = own::session(tx, visit, place).await?;
    let subject = own::subject(&session);
    let found = tx.grants().find(id).await?.filter(|grant| grant.subject == subject);
    own::only(found, session, place)
}

/// What the form is about: this grant, held to what it is held to now, and these definitions of the tools on it.
pub(super) fn about_begin(grant: &Grant, tools: &[Tool]) -> String {
    let current = grant.task.map(|task| task.to_string()).unwrap_or_default();
    format!("{} {current} {}", grant.id, digest_of(tools))
}
