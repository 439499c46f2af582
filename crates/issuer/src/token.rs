//! `POST /oauth/token` (RFC 6749 §3.2): a code, a refresh token or another access token becomes an access token.

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::ids::ClientId;
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::{Form, Parameters};

use crate::clients::authenticate::{self, AuthenticatedClient, AuthenticationError};
use crate::{Issuer, records};

pub(crate) mod authorization_code;
mod beforehand;
mod check;
pub(crate) mod exchange;
mod failure;
pub(crate) mod id_jag;
mod issue;
pub(crate) mod refresh;
mod request;

pub(crate) use failure::{EXCHANGE, TokenError};
pub(crate) use issue::Issued;
pub(crate) use request::GrantRequest;

/// How often a request that met another one at the same row is tried again.
const TRIES: usize = 3;

/// Authenticates the client, reads what it asks for, and does that.
pub(crate) async fn answer(issuer: &Issuer, visit: &Visit, form: Form) -> Result<Issued, TokenError> {
    let parameters = form.parameters?;
    if let Some(name) = parameters.repeated(&["resource"]) {
        return Err(TokenError::Repeated(name.to_owned()));
    }
    let credentials = authenticate::read(&form.authorization, &parameters);
    let named = parameters.one("client_id").and_then(|text| ClientId::parse(text).ok());
    let client = match credentials {
        Ok(credentials) => authenticate::authenticate(issuer, visit, credentials).await,
        Err(error) => Err(error),
    };
    match client {
        Ok(client) if is_assertion(issuer, &parameters) => {
            match id_jag::perform(issuer, visit, &client, &parameters).await {
                Ok(issued) => Ok(issued),
                Err(error) => Err(refuse(issuer, visit, Some(client.client().id.clone()), error).await),
            }
        }
        Ok(client) => match GrantRequest::read(&parameters) {
            Ok(request) => perform(issuer, visit, &client, &request).await,
            Err(error) => Err(refuse(issuer, visit, named, error).await),
        },
        Err(error) => Err(refuse(issuer, visit, named, error.into()).await),
    }
}

/// Whether an identity assertion is shown, where a provider is trusted for it. Elsewhere the grant type is unknown.
fn is_assertion(issuer: &Issuer, parameters: &Parameters) -> bool {
    !issuer.settings.assertion_issuers.is_empty() && parameters.one("grant_type") == Some(id_jag::GRANT_TYPE)
}

/// Puts a refusal on record, or counts it. A fault of ours is none.
async fn refuse(issuer: &Issuer, visit: &Visit, client: Option<ClientId>, error: TokenError) -> TokenError {
    if matches!(error, TokenError::Internal(_) | TokenError::Authentication(AuthenticationError::Internal(_))) {
        return error;
    }
    let act = ActKind::TokenRefused;
    records::refused(issuer, visit, Act { client, detail: error.to_string(), ..Act::new(Actor::Anonymous, act) }).await;
    error
}

/// Judges a request and does what follows from it, in one transaction.
pub(crate) async fn perform(
    issuer: &Issuer,
    visit: &Visit,
    client: &AuthenticatedClient,
    request: &GrantRequest,
) -> Result<Issued, TokenError> {
    if let Err(refusal) = beforehand::check(issuer, visit, client, request).await {
        return Err(refuse(issuer, visit, Some(client.client().id.clone()), refusal).await);
    }
    for _ in 0..TRIES {
        let mut tx = issuer.site.store.begin().await?;
        let outcome = match request {
            GrantRequest::Code(request) => authorization_code::redeem(issuer, &mut tx, visit, client, request).await,
            GrantRequest::Exchange(request) => exchange::narrow(issuer, &mut tx, visit, client, request).await,
            GrantRequest::Refresh(request) => refresh::refresh(issuer, &mut tx, visit, client, request).await,
        };
        match outcome {
            Ok(issued) => {
                tx.commit().await?;
                return Ok(issued);
            }
            Err(TokenError::Raced) => tx.rollback().await?,
            Err(TokenError::Internal(fault)) => return Err(TokenError::Internal(fault)),
            Err(refusal) => {
                // What happened on the way is kept: a failure that was counted, a grant that was revoked.
                if tx.has_written() {
                    tx.commit().await?;
                } else {
                    drop(tx);
                }
                return Err(refuse(issuer, visit, Some(client.client().id.clone()), refusal).await);
            }
        }
    }
    Err(TokenError::Internal(Fault::Contended))
}

#[cfg(test)]
mod tests;
