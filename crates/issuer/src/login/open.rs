//! Opening a session for a person who has just shown who they are.

use sekisho_protocol::ids::UserId;
use sekisho_store::{SignInMethod, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::frame::SignedIn;
use sekisho_web::session;

use super::known;
use crate::Issuer;

/// Signs a browser in, and remembers it as one of this account's.
pub(crate) async fn open(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    user: UserId,
    method: SignInMethod,
) -> Result<SignedIn, StoreError> {
    let session = session::open(&issuer.site, tx, visit, user, method).await?;
    Ok(SignedIn { session, known: known::seal(issuer, user, visit.now)? })
}
