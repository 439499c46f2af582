//! `POST /oauth/revoke` (RFC 7009): says yes to everything it understands, so that tokens cannot be probed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_acts::{ActError, grant};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::RefreshToken;
use sekisho_store::{StoreError, Tx};
use sekisho_token::{Expectation, verify};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::Form;

use crate::clients::authenticate::{self, AuthenticatedClient};
use crate::token::TokenError;
use crate::{Issuer, records};

/// Authenticates the client and ends the grant behind the token that it shows, if that is its own.
pub(crate) async fn revoke(issuer: &Issuer, visit: &Visit, form: Form) -> Result<(), TokenError> {
    let parameters = form.parameters?;
    if let Some(name) = parameters.repeated(&[]) {
        return Err(TokenError::Repeated(name.to_owned()));
    }
    let credentials = authenticate::read(&form.authorization, &parameters)?;
    let client = authenticate::authenticate(issuer, visit, credentials).await?;
    let token = parameters.one("token").ok_or(TokenError::Missing("token"))?;
    // Looked at first: most who ask have nothing to end, and do not keep others from writing.
    let mut tx = issuer.site.store.read().await?;
    let found = own_grant(issuer, &mut tx, visit, &client, token).await?;
    drop(tx);
    if found.is_none() {
        return Ok(());
    }
    let mut tx = issuer.site.store.begin().await?;
    end(issuer, &mut tx, visit, &client, token).await?;
    tx.commit().await?;
    Ok(())
}

/// Ends the grant behind a token, if it is the client's own (ATK-49). `token_type_hint` is not needed: our tokens
/// say what they are.
pub(crate) async fn end(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    client: &AuthenticatedClient,
    token: &str,
) -> Result<(), TokenError> {
    let Some(own) = own_grant(issuer, tx, visit, client, token).await? else { return Ok(()) };
    match grant::revoke(tx, &records::performer(issuer, visit, Actor::Client), own).await {
        Ok(()) | Err(ActError::Absent { .. }) => Ok(()),
        Err(ActError::Store(error)) => Err(error.into()),
        Err(error @ (ActError::Exists { .. } | ActError::Invalid(_) | ActError::NotAllowed(_))) => {
            Err(Fault::internal(error).into())
        }
    }
}

/// The grant behind a token, if it is the client's and has not ended.
async fn own_grant(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    client: &AuthenticatedClient,
    token: &str,
) -> Result<Option<GrantId>, StoreError> {
    let grant = match RefreshToken::parse(token) {
        Ok(token) => tx.refresh_tokens().find(&token.digest()).await?.map(|row| row.grant),
        Err(_) => grant_of_access_token(issuer, visit, token),
    };
    let Some(grant) = grant else { return Ok(None) };
    let found = tx.grants().find(grant).await?;
    let own = found.filter(|grant| grant.client == client.client().id && grant.revoked_at.is_none());
    Ok(own.map(|grant| grant.id))
}

/// The grant of an access token that we made, whichever server it is for. An expired one has nothing left to end.
fn grant_of_access_token(issuer: &Issuer, visit: &Visit, token: &str) -> Option<GrantId> {
    #[derive(serde::Deserialize)]
    struct Audience {
        aud: ResourceId,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    // Unverified: it only says which audience to hold the token to.
    let audience: Audience = serde_json::from_slice(&payload).ok()?;
    let keys = issuer.keys.borrow().clone();
    let expect = Expectation::new(&issuer.site.settings.base_url, &audience.aud, visit.now);
    verify(&keys, token, &expect).ok().map(|claims| claims.grant)
}
