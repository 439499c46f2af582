//! What is looked at before a request may wait for its turn to write. A code or a token that is good for nothing costs one
//! read, and keeps no other request from writing (ATK-172).
//!
//! INVARIANT: nothing rests on this. Everything is judged again in the transaction that changes something.

use sekisho_protocol::secret::AuthorizationCode;
use sekisho_web::Visit;

use super::authorization_code;
use super::exchange;
use super::failure::TokenError;
use super::request::GrantRequest;
use crate::Issuer;
use crate::clients::authenticate::AuthenticatedClient;
use crate::grant::{CodeStanding, RefreshStanding, code_standing, refresh_standing};

/// Refuses a code or a token that can be good for nothing.
pub(super) async fn check(
    issuer: &Issuer,
    visit: &Visit,
    client: &AuthenticatedClient,
    request: &GrantRequest,
) -> Result<(), TokenError> {
    let client_id = &client.client().id;
    match request {
        GrantRequest::Code(request) => {
            let unknown = TokenError::Grant("the code is not known");
            let Some(digest) = request.code.as_ref().map(AuthorizationCode::digest) else { return Err(unknown) };
            let mut tx = issuer.site.store.read().await?;
            let code = tx.codes().find(&digest).await?.ok_or(unknown)?;
            match code_standing(&code, client_id, visit.now) {
                CodeStanding::Redeemable | CodeStanding::Replayed => Ok(()),
                standing => Err(authorization_code::refusal(standing)),
            }
        }
        GrantRequest::Exchange(request) => exchange::believed(issuer, visit, client, request).map(drop),
        GrantRequest::Refresh(request) => {
            let unknown = || TokenError::Grant("the refresh token is not known");
            let token = request.token.as_ref().ok_or_else(unknown)?;
            let mut tx = issuer.site.store.read().await?;
            let row = tx.refresh_tokens().find(&token.digest()).await?.ok_or_else(unknown)?;
            let grant = tx.grants().find(row.grant).await?.ok_or_else(unknown)?;
            let retry_seconds = issuer.settings.refresh_retry_seconds;
            match refresh_standing(&row, &grant, client_id, true, retry_seconds, visit.now) {
                RefreshStanding::Ended => Err(TokenError::Grant("the refresh token has ended")),
                RefreshStanding::Foreign => Err(TokenError::Grant("the refresh token was issued to another client")),
                RefreshStanding::Replayed | RefreshStanding::Retried | RefreshStanding::Usable => Ok(()),
            }
        }
    }
}
