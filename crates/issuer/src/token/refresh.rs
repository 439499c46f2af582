//! A refresh token becomes an access token and its own successor (RFC 6749 §6, OAuth 2.1 §4.3.1).
//!
//! The successor is an HMAC of the token under its family's key: a client that lost the answer gets the same one
//! again, and nothing has to be kept for that. Any other second use ends the family.

use aws_lc_rs::hmac;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::secret::RefreshToken;
use sekisho_store::{Grant, RefreshRow, SecretKey, Tx};
use sekisho_web::Visit;
use sekisho_web::parameters::Parameters;

use super::check::{check_subject, check_target};
use super::failure::TokenError;
use super::issue::{Basis, Issued, details, mint};
use crate::clients::authenticate::AuthenticatedClient;
use crate::grant::{RefreshStanding, refresh_standing};
use crate::{Issuer, records};

/// The parameters with which a client refreshes.
#[derive(Debug)]
pub(crate) struct RefreshRequest {
    /// Only a text that we could have issued is looked up (ATK-57).
    pub(crate) token: Option<RefreshToken>,
    /// Fewer scopes than were granted, if the client wants fewer.
    pub(crate) scopes: Option<ScopeSet>,
    pub(crate) resources: Vec<String>,
}

impl RefreshRequest {
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, TokenError> {
        let token = parameters.one("refresh_token").ok_or(TokenError::Missing("refresh_token"))?;
        Ok(Self {
            token: RefreshToken::parse(token).ok(),
            scopes: parameters.one("scope").map(str::parse).transpose().map_err(|_| TokenError::Scope)?,
            resources: parameters.all("resource").map(str::to_owned).collect(),
        })
    }
}

/// Refreshes, or says why not. On a refusal the transaction holds what must be kept of it.
pub(crate) async fn refresh(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    client: &AuthenticatedClient,
    request: &RefreshRequest,
) -> Result<Issued, TokenError> {
    let unknown = "the refresh token is not known";
    let Some(token) = &request.token else { return Err(TokenError::Grant(unknown)) };
    let row = tx.refresh_tokens().find(&token.digest()).await?.ok_or(TokenError::Grant(unknown))?;
    let grant = tx.grants().find(row.grant).await?.ok_or(TokenError::Grant(unknown))?;
    let next = successor(&row.family_key, token);
    let unused = match row.successor {
        Some(digest) => digest == next.digest() && tx.refresh_tokens().is_unused(&digest).await?,
        None => false,
    };
    let retry_seconds = issuer.settings.refresh_retry_seconds;
    let standing = refresh_standing(&row, &grant, &client.client().id, unused, retry_seconds, visit.now);
    match standing {
        RefreshStanding::Retried | RefreshStanding::Usable => {}
        RefreshStanding::Ended => return Err(TokenError::Grant("the refresh token has ended")),
        RefreshStanding::Foreign => return Err(TokenError::Grant("the refresh token was issued to another client")),
        RefreshStanding::Replayed => return replayed(issuer, tx, visit, &grant).await,
    }
    let scopes = check(issuer, tx, &grant, request).await?;
    if standing == RefreshStanding::Usable {
        // A client that refreshes because it lacks scope would get the same scopes and give up (decision 0070).
        let lacks = tx.grants().take_step_up(grant.id, visit.now).await?;
        if lacks.is_some_and(|lacks| !grant.scopes.satisfies_all(&lacks)) {
            return Err(TokenError::StepUp);
        }
        let usual = after(visit.now, issuer.settings.refresh_ttl_seconds);
        let end = grant.expires_at.map_or(usual, |end| end.min(usual));
        rotate(tx, &row, &next.digest(), visit.now, end).await?;
    }
    issue(issuer, tx, visit, &grant, next, scopes).await
}

/// Everything that the request must say right, before anything is used up (ATK-39). Never wider than the grant.
async fn check(issuer: &Issuer, tx: &mut Tx, grant: &Grant, request: &RefreshRequest) -> Result<ScopeSet, TokenError> {
    check_target(issuer, &request.resources, &grant.resource)?;
    check_subject(tx, &grant.subject).await?;
    // How long the access lasts was decided when it was given: a client may say `offline_access` again here (2026-07-28
    // Authorization, Refresh Tokens), and it changes nothing.
    let offline = Scope::offline_access();
    match request.scopes.as_ref().map(|asked| asked.without(&offline)) {
        None => Ok(grant.scopes.clone()),
        Some(fewer) if fewer.is_empty() => Err(TokenError::Scope),
        Some(fewer) if grant.scopes.satisfies_all(&fewer) => {
            let stays = grant.scopes.contains(&offline).then_some(offline);
            Ok(fewer.union(&stays.into_iter().collect()))
        }
        Some(_) => Err(TokenError::Scope),
    }
}

async fn rotate(
    tx: &mut Tx,
    row: &RefreshRow,
    next: &Digest,
    now: Timestamp,
    end: Timestamp,
) -> Result<(), TokenError> {
    // One conditional statement: of two that meet here the second sees the first when it tries again (ATK-37).
    if tx.refresh_tokens().rotate(&row.digest, next, now, end).await? { Ok(()) } else { Err(TokenError::Raced) }
}

async fn issue(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    grant: &Grant,
    next: RefreshToken,
    scopes: ScopeSet,
) -> Result<Issued, TokenError> {
    let basis = Basis {
        grant: grant.id,
        epoch: grant.epoch,
        subject: &grant.subject,
        client: &grant.client,
        path: &grant.path,
        resource: &grant.resource,
        task: grant.task,
        scopes: &scopes,
        ends: None,
    };
    let access = mint(issuer, visit, &basis)?;
    tx.clients().touch(&grant.client, visit.now).await?;
    let entry = of_grant(Act::new(Actor::Client, ActKind::TokenIssued), grant);
    records::append(issuer, tx, visit, Act { detail: "refresh".to_owned(), scopes: scopes.clone(), ..entry }).await?;
    let expires_in_seconds = issuer.settings.access_token_ttl_seconds;
    let details = details(tx, grant.task, &grant.resource).await?;
    Ok(Issued { access, refresh: Some(next), scopes, details, expires_in_seconds, kind: None })
}

/// Either the client or a thief has an old token: neither is trusted any longer (ATK-36).
async fn replayed(issuer: &Issuer, tx: &mut Tx, visit: &Visit, grant: &Grant) -> Result<Issued, TokenError> {
    if tx.grants().revoke(grant.id, "a used refresh token came back", visit.now).await? {
        let entry = of_grant(Act::new(Actor::Client, ActKind::RefreshReplayed), grant);
        records::append(issuer, tx, visit, entry).await?;
    }
    Err(TokenError::Grant("the refresh token was used before: the grant is revoked"))
}

/// The token that follows this one.
pub(crate) fn successor(family_key: &SecretKey, token: &RefreshToken) -> RefreshToken {
    let key = hmac::Key::new(hmac::HMAC_SHA256, family_key.expose());
    let tag = hmac::sign(&key, token.expose().as_bytes());
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    RefreshToken::from_key(bytes)
}

fn of_grant(entry: Act, grant: &Grant) -> Act {
    Act {
        subject: Some(grant.subject.clone()),
        client: Some(grant.client.clone()),
        server: Some(grant.server.clone()),
        grant: Some(grant.id),
        ..entry
    }
}
