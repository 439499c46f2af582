//! A code becomes a grant (RFC 6749 §4.1.3, RFC 7636 §4.6): everything is checked, then everything happens at once.

use std::collections::BTreeMap;

use sekisho_acts::task::{self, Begin, KnownTools};
use sekisho_acts::{ActError, grant};
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_protocol::pkce::{CodeChallenge, read_verifier};
use sekisho_protocol::secret::{AuthorizationCode, CodeVerifier, RefreshToken};
use sekisho_store::{Code, NewGrant, SecretKey, TaskPlace, Tx};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::Parameters;

use super::check::{check_subject, check_target};
use super::failure::TokenError;
use super::issue::{Basis, Issued, details, mint};
use crate::clients::authenticate::AuthenticatedClient;
use crate::grant::{CodeStanding, code_standing};
use crate::{Issuer, records};

/// The parameters with which a client redeems a code.
#[derive(Debug)]
pub(crate) struct CodeRequest {
    /// Only a text that we could have issued is looked up (ATK-57).
    pub(crate) code: Option<AuthorizationCode>,
    pub(crate) redirect_uri: Option<String>,
    /// An absent or malformed verifier counts as a wrong one.
    pub(crate) verifier: Option<CodeVerifier>,
    /// Whether there was a verifier at all; only a wrong one counts against the code.
    pub(crate) verifier_shown: bool,
    pub(crate) resources: Vec<String>,
}

impl CodeRequest {
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, TokenError> {
        let code = parameters.one("code").ok_or(TokenError::Missing("code"))?;
        let verifier = parameters.one("code_verifier");
        Ok(Self {
            code: AuthorizationCode::parse(code).ok(),
            redirect_uri: parameters.one("redirect_uri").map(str::to_owned),
            verifier: verifier.and_then(|text| read_verifier(text).ok()),
            verifier_shown: verifier.is_some(),
            resources: parameters.all("resource").map(str::to_owned).collect(),
        })
    }
}

/// Redeems a code, or says why not. On a refusal the transaction holds what must be kept of it.
pub(crate) async fn redeem(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    client: &AuthenticatedClient,
    request: &CodeRequest,
) -> Result<Issued, TokenError> {
    let unknown = TokenError::Grant("the code is not known");
    let Some(digest) = request.code.as_ref().map(AuthorizationCode::digest) else { return Err(unknown) };
    let code = tx.codes().find(&digest).await?.ok_or(unknown)?;
    match code_standing(&code, &client.client().id, visit.now) {
        CodeStanding::Redeemable => {}
        CodeStanding::Replayed => return replayed(issuer, tx, visit, &code).await,
        standing => return Err(refusal(standing)),
    }
    check(issuer, tx, &code, request).await?;
    let (grant, refresh) = begin_grant(issuer, tx, visit, client, &code).await?;
    let task = begin_task(issuer, tx, visit, grant, &code).await?;
    let basis = Basis {
        grant,
        epoch: 0,
        subject: &code.subject,
        client: &code.client,
        path: &code.path,
        resource: &code.resource,
        task,
        scopes: &code.scopes,
        ends: None,
    };
    let access = mint(issuer, visit, &basis)?;
    let entry = Act::new(Actor::Client, ActKind::TokenIssued);
    records::append(issuer, tx, visit, Act { grant: Some(grant), detail: "code".to_owned(), ..of_code(entry, &code) })
        .await?;
    let expires_in_seconds = issuer.settings.access_token_ttl_seconds;
    let details = details(tx, task, &code.resource).await?;
    Ok(Issued { access, refresh, scopes: code.scopes, details, expires_in_seconds, kind: None })
}

/// The description of the error for a code that cannot be redeemed.
pub(super) fn refusal(standing: CodeStanding) -> TokenError {
    TokenError::Grant(match standing {
        CodeStanding::Dead => "the code was tried too often",
        CodeStanding::Expired => "the code has expired",
        CodeStanding::Foreign => "the code was issued to another client",
        CodeStanding::Redeemable => "the code can be redeemed",
        CodeStanding::Replayed => "the code was used before",
    })
}

/// The task that was agreed to begins with its grant: there is no moment in which the grant is wider.
async fn begin_task(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    grant: GrantId,
    code: &Code,
) -> Result<Option<TaskId>, TokenError> {
    let Some(agreed) = &code.conditions.task else { return Ok(None) };
    let begin = Begin {
        grant,
        definition: agreed.definition.clone(),
        origin: agreed.origin,
        parent: None,
        place: TaskPlace::Current,
        // Its bounds were checked before anybody agreed to them.
        tools: KnownTools::Only(BTreeMap::new()),
    };
    let by = records::performer(issuer, visit, Actor::Client);
    let begun = task::begin(tx, &by, begin).await.map_err(|error| match error {
        ActError::Store(error) => TokenError::from(error),
        other => TokenError::Internal(Fault::internal(other)),
    });
    begun.map(Some)
}

/// Everything that the request must say right. Nothing is spent by what fails here (ATK-21), but a verifier that does
/// not fit counts.
async fn check(issuer: &Issuer, tx: &mut Tx, code: &Code, request: &CodeRequest) -> Result<(), TokenError> {
    // AS-10: the very URI that was used, port included.
    if request.redirect_uri.as_deref() != Some(code.redirect_uri.as_str()) {
        return Err(TokenError::Grant("`redirect_uri` is not the one of the authorization request"));
    }
    check_target(issuer, &request.resources, &code.resource)?;
    check_subject(tx, &code.subject).await?;
    let challenge =
        CodeChallenge::parse(&code.challenge).map_err(|_| TokenError::Grant("the code has no challenge"))?;
    if request.verifier.as_ref().is_some_and(|verifier| challenge.is_met_by(verifier)) {
        return Ok(());
    }
    if request.verifier_shown {
        tx.codes().fail(&code.digest).await?;
    }
    Err(TokenError::Grant("`code_verifier` does not fit the challenge"))
}

/// Spends the code and makes what it stands for. Only one of two that meet here gets through (ATK-18).
async fn begin_grant(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    client: &AuthenticatedClient,
    code: &Code,
) -> Result<(GrantId, Option<RefreshToken>), TokenError> {
    let settings = &issuer.settings;
    let refreshes = client.client().refresh && settings.refresh_ttl_seconds > 0;
    let session_ends = match &code.conditions.session {
        Some(session) => {
            let over = TokenError::Grant("the person has signed out since, and the access was to end with that");
            Some(tx.browser_sessions().hold(session, visit.now).await?.ok_or(over)?)
        }
        None => None,
    };
    let id = GrantId::generate(visit.now, &*issuer.site.entropy);
    let new = NewGrant {
        id,
        subject: code.subject.clone(),
        client: code.client.clone(),
        server: code.server.clone(),
        resource: code.resource.clone(),
        scopes: code.scopes.clone(),
        path: code.path.clone(),
        parent: None,
        task: None,
        created_at: visit.now,
        // Without refresh tokens a grant is over with its only access token; sooner, if the person said so.
        expires_at: earlier(
            (!refreshes).then(|| after(visit.now, settings.access_token_ttl_seconds)),
            earlier(code.conditions.ends_at, session_ends),
        ),
    };
    tx.grants().insert(&new).await?;
    if let Some(session) = &code.conditions.session {
        tx.grants().end_with_session(id, session).await?;
    }
    if !tx.codes().consume(&code.digest, id, visit.now).await? {
        return Err(TokenError::Raced);
    }
    tx.clients().touch(&code.client, visit.now).await?;
    let by = records::performer(issuer, visit, Actor::Client);
    grant::replace_older(tx, &by, id).await.map_err(|error| match error {
        ActError::Store(error) => TokenError::from(error),
        other => TokenError::Internal(Fault::internal(other)),
    })?;
    if !refreshes {
        return Ok((id, None));
    }
    let token = RefreshToken::generate(&*issuer.site.entropy);
    let key = SecretKey::generate(&*issuer.site.entropy);
    let usual = after(visit.now, settings.refresh_ttl_seconds);
    let end = new.expires_at.map_or(usual, |end| end.min(usual));
    tx.refresh_tokens().insert_first(id, &token.digest(), &key, visit.now, end).await?;
    Ok((id, Some(token)))
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// RFC 6749 §4.1.2: the grant of the code is revoked, because it is not known which of the two was the client (ATK-19).
async fn replayed(issuer: &Issuer, tx: &mut Tx, visit: &Visit, code: &Code) -> Result<Issued, TokenError> {
    let Some(grant) = code.grant else { return Err(TokenError::Grant("the code has been withdrawn")) };
    // On record once, with what it ended: the same code can be sent any number of times.
    if tx.grants().revoke(grant, "its code was used a second time", visit.now).await? {
        let entry = Act::new(Actor::Client, ActKind::CodeReplayed);
        records::append(issuer, tx, visit, Act { grant: Some(grant), ..of_code(entry, code) }).await?;
    }
    Err(TokenError::Grant("the code was used before: what it was exchanged for is revoked"))
}

fn of_code(entry: Act, code: &Code) -> Act {
    Act {
        subject: Some(code.subject.clone()),
        client: Some(code.client.clone()),
        server: Some(code.server.clone()),
        scopes: code.scopes.clone(),
        ..entry
    }
}
