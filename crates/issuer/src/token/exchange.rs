//! An access token becomes a narrower one (RFC 8693): the same client, the same server, the same path; fewer scopes, a
//! shorter life, a task of its own. Nothing is ever wider than what is shown.
//!
//! A client can give a part of its token's authority to a part of its own work. This is no delegation: a token of another
//! client, and one for another server, is refused here.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_acts::task::{self, Begin, KnownTools};
use sekisho_acts::{ActError, Invalid, reading};
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::TaskId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::secret::AccessToken;
use sekisho_protocol::task::{DETAILS, TaskDefinition, TaskOrigin};
use sekisho_store::{TaskPlace, Tx};
use sekisho_token::{AccessClaims, Expectation, claimed_audience, verify};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::Parameters;

use super::check::{check_subject, check_target};
use super::failure::TokenError;
use super::issue::{Basis, Issued, details, mint};
use crate::clients::authenticate::AuthenticatedClient;
use crate::{Issuer, records};

/// The one type of token that is exchanged, and for which it is (RFC 8693 §3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The parameters with which a client narrows a token.
#[derive(Debug)]
pub(crate) struct ExchangeRequest {
    pub(crate) token: AccessToken,
    pub(crate) scopes: Option<ScopeSet>,
    pub(crate) resources: Vec<String>,
    /// `authorization_details` as it was sent.
    pub(crate) details: Option<String>,
}

impl ExchangeRequest {
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, TokenError> {
        let token = parameters.one("subject_token").ok_or(TokenError::Missing("subject_token"))?;
        let kind = parameters.one("subject_token_type").ok_or(TokenError::Missing("subject_token_type"))?;
        let wanted = parameters.one("requested_token_type").unwrap_or(ACCESS_TOKEN);
        if kind != ACCESS_TOKEN || wanted != ACCESS_TOKEN {
            return Err(TokenError::Exchange("only an access token is exchanged, and only for an access token"));
        }
        if parameters.one("actor_token").is_some() || parameters.one("actor_token_type").is_some() {
            return Err(TokenError::Exchange("nobody else can act with a token that is narrowed: no `actor_token`"));
        }
        Ok(Self {
            token: AccessToken::from_outside(token),
            scopes: parameters.one("scope").map(str::parse).transpose().map_err(|_| TokenError::Scope)?,
            // RFC 8693 §2.1: both name where the token is to be used, and here both are the server's URL.
            resources: parameters.all("resource").chain(parameters.all("audience")).map(str::to_owned).collect(),
            details: parameters.one(DETAILS).map(str::to_owned),
        })
    }
}

/// Narrows a token, or says why not.
pub(crate) async fn narrow(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    client: &AuthenticatedClient,
    request: &ExchangeRequest,
) -> Result<Issued, TokenError> {
    let claims = believed(issuer, visit, client, request)?;
    let state = tx.grants().alive(claims.grant).await?;
    let ended = TokenError::Exchange("the authority behind `subject_token` has ended");
    let state = state.filter(|state| state.honours(claims.epoch, visit.now)).ok_or(ended)?;
    check_subject(tx, &state.subject).await?;
    let scopes = narrowed(&claims, request)?;
    let definition = match &request.details {
        None => None,
        Some(text) => TaskDefinition::read_details(text, &claims.aud)?,
    };
    let task = match definition {
        None => claims.task,
        Some(definition) => Some(begin(issuer, tx, visit, &claims, definition).await?),
    };
    let basis = Basis {
        grant: claims.grant,
        epoch: claims.epoch,
        subject: &claims.sub,
        client: &claims.client_id,
        path: &claims.path,
        resource: claims.aud.as_str(),
        task,
        scopes: &scopes,
        ends: Some(claims.exp),
    };
    let access = mint(issuer, visit, &basis)?;
    let entry = Act {
        subject: Some(claims.sub.clone()),
        client: Some(claims.client_id.clone()),
        server: Some(state.server.clone()),
        grant: Some(claims.grant),
        scopes: scopes.clone(),
        detail: "exchange".to_owned(),
        ..Act::new(Actor::Client, ActKind::TokenIssued)
    };
    records::append(issuer, tx, visit, entry).await?;
    let details = details(tx, task, claims.aud.as_str()).await?;
    let expires_in_seconds = issuer.settings.access_token_ttl_seconds.min(seconds_left(claims.exp, visit.now));
    Ok(Issued { access, refresh: None, scopes, details, expires_in_seconds, kind: Some(ACCESS_TOKEN) })
}

/// The token, believed as the server that it is for would believe it, and shown by its own client (ATK-41).
pub(super) fn believed(
    issuer: &Issuer,
    visit: &Visit,
    client: &AuthenticatedClient,
    request: &ExchangeRequest,
) -> Result<AccessClaims, TokenError> {
    let bad = || TokenError::Exchange("`subject_token` is not an access token of ours, or has ended");
    let audience = claimed_audience(request.token.expose()).ok_or_else(bad)?;
    let keys = issuer.keys.borrow().clone();
    // Without the leeway that a server gives: nothing new comes of what is over.
    let expect =
        Expectation { leeway_seconds: 0, ..Expectation::new(&issuer.site.settings.base_url, &audience, visit.now) };
    let claims = verify(&keys, request.token.expose(), &expect).map_err(|_| bad())?;
    if claims.client_id != client.client().id {
        return Err(TokenError::Exchange("`subject_token` was issued to another client"));
    }
    check_target(issuer, &request.resources, claims.aud.as_str())?;
    Ok(claims)
}

/// Never more than the token has. Whether it can be refreshed is not about the server, and this one cannot.
fn narrowed(claims: &AccessClaims, request: &ExchangeRequest) -> Result<ScopeSet, TokenError> {
    let wanted = request.scopes.as_ref().unwrap_or(&claims.scope).without(&Scope::offline_access());
    if wanted.is_empty() || !claims.scope.satisfies_all(&wanted) {
        return Err(TokenError::Scope);
    }
    Ok(wanted)
}

/// The task of the new token, inside the one that the shown token is held to. It ends with the token.
async fn begin(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    claims: &AccessClaims,
    definition: TaskDefinition,
) -> Result<TaskId, TokenError> {
    // Against what the tools take, of those that the user has a right to: the schemas of other tools are not told.
    let (rights, servers) = (Arc::clone(&issuer.rights.borrow()), Arc::clone(&issuer.site.servers.borrow()));
    let tools = match tx.grants().find(claims.grant).await? {
        Some(grant) => reading::offered_definitions(tx, &rights, &servers, &grant, visit.now).await?,
        None => BTreeMap::new(),
    };
    let left = seconds_left(claims.exp, visit.now);
    let begin = Begin {
        grant: claims.grant,
        definition: TaskDefinition {
            expires_in: Some(definition.expires_in.map_or(left, |wanted| wanted.min(left))),
            ..definition
        },
        origin: TaskOrigin::Exchange,
        parent: claims.task,
        place: TaskPlace::Aside,
        tools: KnownTools::Only(tools),
    };
    task::begin(tx, &records::performer(issuer, visit, Actor::Client), begin).await.map_err(|error| match error {
        ActError::Absent { .. } => TokenError::Exchange("the task that `subject_token` is held to is over"),
        ActError::Invalid(Invalid::ManyTasks) => TokenError::Full(
            "as many tasks of this client run as there may be: let one end, with the token that it was made for",
        ),
        ActError::Invalid(Invalid::Task(error)) => error.into(),
        ActError::Invalid(Invalid::TaskBounds(error)) => error.into(),
        ActError::Store(error) => error.into(),
        other => TokenError::Internal(Fault::internal(other)),
    })
}

fn seconds_left(end: Timestamp, now: Timestamp) -> u32 {
    u32::try_from(end.as_second().saturating_sub(now.as_second())).unwrap_or(0)
}

#[cfg(test)]
mod tests;
