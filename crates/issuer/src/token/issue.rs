//! Making an access token, and what a client gets with it.

use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{ClientId, GrantId, TaskId, TokenId};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, RefreshToken};
use sekisho_store::Tx;
use sekisho_token::{AccessClaims, sign};
use sekisho_web::Visit;
use sekisho_web::error::Fault;

use super::failure::TokenError;
use crate::Issuer;

/// A token response.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
    pub(crate) scopes: ScopeSet,
    /// What the task needs that it is for (RFC 9396 §7).
    pub(crate) details: Option<serde_json::Value>,
    pub(crate) expires_in_seconds: u32,
    /// What an exchange gives (RFC 8693 §2.2.1).
    pub(crate) kind: Option<&'static str>,
}

/// The subject, client and authority that a token is made for.
pub(crate) struct Basis<'a> {
    pub(crate) grant: GrantId,
    pub(crate) epoch: i64,
    pub(crate) subject: &'a Subject,
    pub(crate) client: &'a ClientId,
    pub(crate) path: &'a ActorPath,
    pub(crate) resource: &'a str,
    pub(crate) task: Option<TaskId>,
    pub(crate) scopes: &'a ScopeSet,
    /// The latest time at which the token expires, if there is one.
    pub(crate) ends: Option<Timestamp>,
}

/// Makes an access token (RFC 9068) for one server.
pub(crate) fn mint(issuer: &Issuer, visit: &Visit, basis: &Basis<'_>) -> Result<AccessToken, TokenError> {
    let usual = after(visit.now, issuer.settings.access_token_ttl_seconds);
    let audience = ResourceId::parse(basis.resource).map_err(|_| TokenError::Target)?;
    let claims = AccessClaims {
        iss: issuer.site.settings.base_url.clone(),
        sub: basis.subject.clone(),
        aud: audience,
        client_id: basis.client.clone(),
        scope: basis.scopes.clone(),
        grant: basis.grant,
        epoch: basis.epoch,
        path: basis.path.clone(),
        task: basis.task,
        iat: visit.now,
        exp: basis.ends.map_or(usual, |end| usual.min(end)),
        jti: TokenId::generate(visit.now, &*issuer.site.entropy),
    };
    let keys = issuer.keys.borrow().clone();
    sign(&keys, &claims).map_err(|error| TokenError::Internal(Fault::internal(error)))
}

/// The task that a token is bound to, as the client is told (RFC 9396 §7).
pub(super) async fn details(
    tx: &mut Tx,
    task: Option<TaskId>,
    resource: &str,
) -> Result<Option<serde_json::Value>, TokenError> {
    let Some(id) = task else { return Ok(None) };
    let resource = ResourceId::parse(resource).map_err(|_| TokenError::Target)?;
    let task = tx.tasks().find(id).await?;
    Ok(task.map(|task| task.definition.to_details(id, &resource)))
}
