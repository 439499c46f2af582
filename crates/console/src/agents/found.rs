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

/// Returns the grant if the person who is signed in gave it, also if it has ended.
pub(super) async fn find(tx: &mut Tx, visit: &Visit, id: GrantId) -> Result<(Grant, Session), PageError> {
    let place = Place::Grant(id);
    let session = own::session(tx, visit, place).await?;
    let subject = own::subject(&session);
    let found = tx.grants().find(id).await?.filter(|grant| grant.subject == subject);
    own::only(found, session, place)
}

/// What the form is about: this grant with its present task, and the definitions of the tools on the page.
pub(super) fn about_begin(grant: &Grant, tools: &[Tool]) -> String {
    let current = grant.task.map(|task| task.to_string()).unwrap_or_default();
    format!("{} {current} {}", grant.id, digest_of(tools))
}
