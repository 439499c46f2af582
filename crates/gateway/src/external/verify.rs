//! What a token of an external authorization server says: by its signature, or by asking the issuer.

use std::sync::Arc;

use jiff::SignedDuration;
use sekisho_client::introspection::{Introspected, Introspection, IntrospectionError};
use sekisho_client::issuers::TokenIssuer;
use sekisho_client::registration::Registration;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::AccessToken;
use sekisho_token::{
    Expectation, ForeignAccess, ForeignAccessExpectation, PublicKeys, TokenType, VerifyError, claimed_issuer,
    unverified_claims, verify_foreign_access,
};
use serde_json::{Map, Value};

use super::error::{ExternalError, UnavailableError};
use super::parts::{External, ExternalTokens, TokenForm};

/// How long a signed token is accepted without being verified again: a key that its issuer has withdrawn is trusted for
/// this long, and for as long as the key set is cached.
const SIGNED_FOR: SignedDuration = SignedDuration::from_mins(15);
/// How long streams last that were opened with a token whose issuer does not say when it ends, in seconds.
const UNKNOWN_END_SECONDS: u32 = 300;

/// What a verified token says.
#[derive(Debug)]
pub(super) struct Verified {
    /// The client, as the issuer calls it.
    pub(super) client: ClientId,
    /// The scopes, as the issuer calls them.
    pub(super) scopes: ScopeSet,
    /// All claims.
    pub(super) claims: Map<String, Value>,
    /// When the token was issued, if it says so.
    pub(super) issued: Option<Timestamp>,
    /// When it ends.
    pub(super) ends: Timestamp,
    /// Until when it is accepted without being looked at again.
    pub(super) until: Timestamp,
}

/// Verifies a token for one server.
pub(super) async fn verify(
    external: &External,
    tokens: &ExternalTokens,
    token: &str,
    now: Timestamp,
) -> Result<Verified, ExternalError> {
    match &tokens.parts.form {
        TokenForm::Introspected(registration) => introspected(external, tokens, registration, token, now).await,
        TokenForm::Signed { algorithms, typed } => signed(external, tokens, (algorithms, *typed), token, now).await,
    }
}

/// Checks everything that both forms have in common.
fn checked(
    tokens: &ExternalTokens,
    verified: Verified,
    subject: &str,
    audiences: &[String],
) -> Result<Verified, ExternalError> {
    // RFC 9068 §2.2: the subject of a token without a person is its client. It must not be taken for a person who is
    // called the same (RFC 9700 §4.15).
    if subject == verified.client.as_str() {
        return Err(ExternalError::Service);
    }
    // Somebody else who is an audience of the token could use it here (RFC 9068 §5).
    let is_known = |one: &String| tokens.parts.audiences.contains(one) || tokens.parts.other_audiences.contains(one);
    if !audiences.iter().all(is_known) {
        return Err(ExternalError::Audiences);
    }
    Ok(verified)
}

async fn signed(
    external: &External,
    tokens: &ExternalTokens,
    (algorithms, typed): (&[SigningAlgorithm], TokenType),
    token: &str,
    now: Timestamp,
) -> Result<Verified, ExternalError> {
    // No key is fetched for a token that names another issuer.
    let issuer = &tokens.parts.issuer.issuer;
    if claimed_issuer(token).as_ref() != Some(issuer) {
        return Err(ExternalError::Issuer);
    }
    let described = external.issuers.current(issuer, now).await.map_err(UnavailableError::from)?;
    let keys = described.keys.as_ref().ok_or(UnavailableError::NotOffered("jwks_uri"))?;
    let audiences = &tokens.parts.audiences;
    let expect = ForeignAccessExpectation { issuer, audiences, algorithms, typed, now };
    let check = |text: &str| -> Result<ForeignAccess, VerifyError> {
        let keys = PublicKeys::parse(text).map_err(|_| VerifyError::UnknownKey)?;
        verify_foreign_access(&keys, token, &expect)
    };
    let lacks_key = |error: &VerifyError| *error == VerifyError::UnknownKey;
    let checked_by_keys = external.keys.check(keys, now, check, lacks_key).await.map_err(UnavailableError::Keys)?;
    let access = match checked_by_keys {
        Err(VerifyError::UnknownKey) => {
            let fetched = external.keys.fetched_at(keys).await;
            return Err(unknown_key(token, fetched));
        }
        access => access?,
    };
    let ForeignAccess { subject, client, scopes, audiences, iat, exp, claims } = access;
    let ends = after(exp, Expectation::LEEWAY_SECONDS);
    let until = now.checked_add(SIGNED_FOR).unwrap_or(now).min(ends);
    let verified = Verified { client, scopes, claims, issued: iat, ends, until };
    checked(tokens, verified, &subject, &audiences)
}

/// Returns the error for a token whose key is not among those that are known. If the token says that it is newer than
/// they are, its key may have been published since, and only a new fetch would tell.
fn unknown_key(token: &str, fetched: Option<Timestamp>) -> ExternalError {
    let issued = unverified_claims(token).ok().and_then(|claims| claims.get("iat").and_then(Value::as_i64));
    let issued = issued.and_then(|second| Timestamp::from_second(second).ok());
    let is_newer = match (issued, fetched) {
        (Some(issued), Some(fetched)) => after(issued, Expectation::LEEWAY_SECONDS) > fetched,
        _ => false,
    };
    if is_newer { UnavailableError::KeysOld.into() } else { VerifyError::UnknownKey.into() }
}

async fn introspected(
    external: &External,
    tokens: &ExternalTokens,
    registration: &Registration,
    token: &str,
    now: Timestamp,
) -> Result<Verified, ExternalError> {
    let issuer = &tokens.parts.issuer.issuer;
    let described = external.issuers.current(issuer, now).await.map_err(UnavailableError::from)?;
    let endpoint = described.introspection_endpoint.as_deref();
    let endpoint = endpoint.ok_or(UnavailableError::NotOffered("introspection_endpoint"))?;
    let introspection = introspection(external, tokens, registration, (&described, endpoint));
    let token = AccessToken::from_outside(token);
    let said = introspection.ask(&token, &tokens.parts.audiences, now).await.map_err(of_introspection)?;
    let Introspected { subject, client, scopes, audiences, expires, claims } = &*said;
    let fresh = now.checked_add(Introspection::FRESH).unwrap_or(now);
    let ends = expires.unwrap_or_else(|| after(now, UNKNOWN_END_SECONDS));
    let verified = Verified {
        client: client.clone(),
        scopes: scopes.clone(),
        claims: claims.clone(),
        issued: None,
        ends,
        until: fresh.min(ends),
    };
    checked(tokens, verified, subject, audiences)
}

fn of_introspection(error: IntrospectionError) -> ExternalError {
    match error {
        IntrospectionError::Audience | IntrospectionError::Inactive | IntrospectionError::Member { .. } => {
            ExternalError::Introspection(error)
        }
        IntrospectionError::Ask(_) | IntrospectionError::Busy => UnavailableError::Ask(error).into(),
    }
}

/// Returns the cache of answers of an introspection endpoint. Servers with the same settings share one.
fn introspection(
    external: &External,
    tokens: &ExternalTokens,
    registration: &Registration,
    (described, endpoint): (&TokenIssuer, &str),
) -> Arc<Introspection> {
    let key = Digest::of_list(&[tokens.fingerprint.as_bytes(), endpoint.as_bytes()]);
    if let Some(known) = external.introspections.get(&key) {
        return known;
    }
    let sources = &external.sources;
    let made = Arc::new(Introspection::new(
        Arc::clone(&sources.http),
        described.server.clone(),
        registration.clone(),
        endpoint.to_owned(),
        Arc::clone(&sources.entropy),
    ));
    external.introspections.insert(key, Arc::clone(&made));
    made
}
