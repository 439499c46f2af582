//! `POST /oauth/token` (RFC 6749 §3.2): a code, a refresh token or another access token becomes an access token.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use sekisho_policy::bounds::BoundsError;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{ClientId, GrantId, TaskId, TokenId};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, RefreshToken};
use sekisho_protocol::task::TaskError;
use sekisho_store::Tx;
use sekisho_token::{AccessClaims, sign};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::{Form, Parameters, ParametersError};

use crate::clients::authenticate::{self, AuthenticatedClient, AuthenticationError};
use crate::{Issuer, error, records};

pub(crate) mod authorization_code;
mod beforehand;
pub(crate) mod exchange;
pub(crate) mod id_jag;
pub(crate) mod refresh;

/// The grant type of an exchange (RFC 8693 §2.1).
pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// How often a request that met another one at the same row is tried again.
const TRIES: usize = 3;

/// What a client gets.
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

/// Why a client gets no token (RFC 6749 §5.2, RFC 8707 §2). What happened on the way to a refusal (a failure
/// counted, a grant revoked) is kept; nothing is kept of an internal error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    #[error("`authorization_details`: {0}")]
    Bounds(#[from] BoundsError),
    #[error("`authorization_details`: {0}")]
    Details(#[from] TaskError),
    /// RFC 8693 §2.2.2: a token that cannot be exchanged, or not for what is asked.
    #[error("{0}")]
    Exchange(&'static str),
    /// There is no room for one more of what the request would make.
    #[error("{0}")]
    Full(&'static str),
    #[error("{0}")]
    Grant(&'static str),
    #[error("`grant_type` must be `authorization_code`, `refresh_token` or `{EXCHANGE}`")]
    GrantType,
    #[error("{0}")]
    Malformed(#[from] ParametersError),
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Another request was there in the same moment; nothing was kept, and the same again will see it.
    #[error("another request used this at the same moment")]
    Raced,
    #[error("`{0}` occurs more than once")]
    Repeated(String),
    #[error("`scope` is malformed, or asks for more than was granted")]
    Scope,
    /// A refresh a moment after a call was refused for want of scope. At the code `server_error` both TypeScript SDKs send
    /// the person to the authorization endpoint. At `invalid_grant` they throw their tokens away first, and at most other
    /// codes they give up (npm `@modelcontextprotocol/sdk` 1.32.2 and `client` 2.4.0, in `authInternal`; docs/clients.md).
    #[error(
        "a call of this client was refused because its grant lacks scope, and a refresh gives no more: send the user to the authorization endpoint with the scope of the challenge"
    )]
    StepUp,
    #[error("`resource` must be the server for which this was granted")]
    Target,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<sekisho_store::StoreError> for TokenError {
    fn from(error: sekisho_store::StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// What a request asks for, read but not judged.
#[derive(Debug)]
pub(crate) enum GrantRequest {
    Code(authorization_code::CodeRequest),
    Exchange(exchange::ExchangeRequest),
    Refresh(refresh::RefreshRequest),
}

/// `POST /oauth/token`.
pub(crate) async fn answer_request(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    match answer(&issuer, &visit, form).await {
        Ok(issued) => error::issued(&issued),
        Err(error) => error::token(&visit, &error),
    }
}

/// `POST /token` at the origin: a FastMCP client that is started again after its token has expired posts its refresh token
/// there, whatever the metadata say (PyPI `fastmcp` 4.2.3 with `mcp` 2.3.0), and would have to sign in each time. What is no
/// refresh token of ours is not answered: nobody shall take this for the token endpoint.
pub(crate) async fn answer_refresh_at_origin(state: State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    let is_ours = form.parameters.as_ref().is_ok_and(|parameters| {
        let token = parameters.one("refresh_token").unwrap_or_default();
        parameters.one("grant_type") == Some("refresh_token") && RefreshToken::parse(token).is_ok()
    });
    if is_ours { answer_request(state, visit, form).await } else { StatusCode::NOT_FOUND.into_response() }
}

async fn answer(issuer: &Issuer, visit: &Visit, form: Form) -> Result<Issued, TokenError> {
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
        Ok(client) if is_assertion(issuer, &parameters) => id_jag::perform(issuer, visit, &client, &parameters).await,
        Ok(client) => match read(&parameters) {
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

fn read(parameters: &Parameters) -> Result<GrantRequest, TokenError> {
    match parameters.one("grant_type") {
        Some("authorization_code") => Ok(GrantRequest::Code(authorization_code::CodeRequest::read(parameters)?)),
        Some(EXCHANGE) => Ok(GrantRequest::Exchange(exchange::ExchangeRequest::read(parameters)?)),
        Some("refresh_token") => Ok(GrantRequest::Refresh(refresh::RefreshRequest::read(parameters)?)),
        Some(_) => Err(TokenError::GrantType),
        None => Err(TokenError::Missing("grant_type")),
    }
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

/// Who a token is made for, by what.
pub(crate) struct Basis<'a> {
    pub(crate) grant: GrantId,
    pub(crate) epoch: i64,
    pub(crate) subject: &'a Subject,
    pub(crate) client: &'a ClientId,
    pub(crate) path: &'a ActorPath,
    pub(crate) resource: &'a str,
    pub(crate) task: Option<TaskId>,
    pub(crate) scopes: &'a ScopeSet,
    /// A moment that the token does not outlive, if there is one.
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
async fn details(tx: &mut Tx, task: Option<TaskId>, resource: &str) -> Result<Option<serde_json::Value>, TokenError> {
    let Some(id) = task else { return Ok(None) };
    let resource = ResourceId::parse(resource).map_err(|_| TokenError::Target)?;
    let task = tx.tasks().find(id).await?;
    Ok(task.map(|task| task.definition.to_details(id, &resource)))
}

/// RFC 8707 §2: the server is still the one that was granted, is still there, and nothing else is asked for.
fn check_target(issuer: &Issuer, asked: &[String], granted: &str) -> Result<(), TokenError> {
    let granted = ResourceId::parse(granted).map_err(|_| TokenError::Target)?;
    let mounted = issuer.site.servers.borrow().of_resource(&granted).is_some();
    // Named once, or in two ways (RFC 8693 §2.1: `resource` and `audience`), or not at all.
    let same = asked.iter().all(|asked| ResourceId::parse(asked).is_ok_and(|asked| asked == granted));
    if mounted && same { Ok(()) } else { Err(TokenError::Target) }
}

/// A disabled user's codes and refresh tokens are good for nothing.
async fn check_subject(tx: &mut Tx, subject: &Subject) -> Result<(), TokenError> {
    let Subject::User(user) = subject else { return Err(TokenError::Grant("this was not granted by a user")) };
    match tx.users().find(*user).await? {
        Some(user) if !user.disabled => Ok(()),
        _ => Err(TokenError::Grant("the user who granted this may do so no longer")),
    }
}

#[cfg(test)]
mod tests;
