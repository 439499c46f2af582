//! Checks that every grant has to pass before a token is made of it.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::resource::ResourceId;
use sekisho_store::Tx;

use super::failure::TokenError;
use crate::Issuer;

/// RFC 8707 §2: the server is still the one that was granted, is still there, and nothing else is asked for.
pub(super) fn check_target(issuer: &Issuer, asked: &[String], granted: &str) -> Result<(), TokenError> {
    let granted = ResourceId::parse(granted).map_err(|_| TokenError::Target)?;
    let mounted = issuer.site.servers.borrow().of_resource(&granted).is_some();
    // Named once, or in two ways (RFC 8693 §2.1: `resource` and `audience`), or not at all.
    let same = asked.iter().all(|asked| ResourceId::parse(asked).is_ok_and(|asked| asked == granted));
    if mounted && same { Ok(()) } else { Err(TokenError::Target) }
}

/// Refuses the codes and refresh tokens of a disabled user.
pub(super) async fn check_subject(tx: &mut Tx, subject: &Subject) -> Result<(), TokenError> {
    let Subject::User(user) = subject else { return Err(TokenError::Grant("this was not granted by a user")) };
    match tx.users().find(*user).await? {
        Some(user) if !user.disabled => Ok(()),
        _ => Err(TokenError::Grant("the user who granted this may do so no longer")),
    }
}
