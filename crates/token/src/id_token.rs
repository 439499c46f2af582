//! Verifies an ID token (OpenID Connect Core 1.0 §3.1.3.7): the statement of a provider about who signed in.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::secret::AccessToken;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::foreign::{Audiences, Making, believe, claims, is_identifier, is_subject, present, present_second, second};
use crate::public_keys::PublicKeys;
use crate::verify::{Expectation, Times, VerifyError};

/// What an ID token must say to belong to one sign-in.
#[derive(Debug, Clone, Copy)]
pub struct IdTokenExpectation<'a> {
    /// The provider, byte for byte as its metadata names it.
    pub issuer: &'a str,
    /// Our client identifier at this provider.
    pub client: &'a ClientId,
    /// Further audiences that the operator trusts; usually none.
    pub other_audiences: &'a [String],
    /// The algorithm that the client is registered with (`id_token_signed_response_alg`).
    pub algorithm: SigningAlgorithm,
    /// The nonce that was sent with this sign-in request, and with no other.
    pub nonce: &'a str,
    /// The access token that came in the same response.
    pub access_token: &'a AccessToken,
    /// How long ago the person may have authenticated, in seconds, if that was asked for.
    pub max_age_seconds: Option<u32>,
    /// The accepted classes of authentication (`acr`), one of which is required. Empty: any class is accepted.
    pub acr_required: &'a [String],
    /// The time of the request.
    pub now: Timestamp,
}

/// An ID token after it was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct IdToken {
    /// Who signed in, as this issuer names them: 1 to 255 bytes of ASCII.
    pub subject: String,
    /// The session at the provider, if it names one: 1 to 256 bytes. A logout token refers to it.
    pub session: Option<String>,
    /// When the person authenticated, if the provider says so.
    pub authenticated_at: Option<Timestamp>,
    /// All claims, for the mapping of claims.
    pub claims: Map<String, Value>,
}

impl IdToken {
    /// How old a token may be when it arrives, in seconds. It comes straight from the provider, but Entra ID dates its
    /// tokens back by five minutes.
    pub const AGE_SECONDS_MAX: i64 = 10 * 60;

    /// The longest lifetime that is accepted, in seconds: the longest that Auth0 lets its customers set.
    pub const LIFETIME_SECONDS_MAX: i64 = 30 * 24 * 3600;

    /// How far the clocks of a provider and this machine may differ, in seconds.
    pub const LEEWAY_SECONDS: u32 = Expectation::LEEWAY_SECONDS_MAX;
}

/// Why a sign-in is refused. For the records and for `check --login`; the browser is told less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// `at_hash` belongs to another access token (§3.1.3.6).
    #[error("the ID token belongs to another access token (`at_hash`)")]
    AccessTokenHash,
    /// `acr` is missing or is not one of those required.
    #[error("the provider does not say that the required kind of authentication was used (`acr`)")]
    AuthenticationContext,
    /// `auth_time` is missing although it was asked for, or is too long ago (§3.1.2.1, `max_age`).
    #[error("the provider does not say that the person signed in recently enough (`auth_time`)")]
    AuthenticationTime,
    /// `azp` names another client, or is missing although several audiences are named.
    #[error("the ID token was made for another client (`azp`)")]
    AuthorizedParty,
    /// `nonce` is missing, or belongs to another sign-in.
    #[error("the ID token belongs to another sign-in (`nonce`)")]
    Nonce,
    /// The token names an audience that the operator does not trust.
    #[error("the ID token is also for somebody else (`aud`): name that audience in the configuration if it is meant")]
    OtherAudience,
    /// The token was made too long ago.
    #[error("the ID token was made more than ten minutes ago (`iat`): compare the clocks")]
    Stale,
    /// `sub` is missing, empty, longer than 255 bytes or not ASCII.
    #[error("the ID token names no person in the form that is required (`sub`: 1 to 255 ASCII characters)")]
    Subject,
    /// The token itself is not valid.
    #[error(transparent)]
    Token(#[from] VerifyError),
}

impl IdTokenError {
    /// Whether the token might be valid with newer keys of the provider.
    pub fn lacks_key(&self) -> bool {
        *self == Self::Token(VerifyError::UnknownKey)
    }
}

/// The claims that are read here.
#[derive(Deserialize)]
struct Wire {
    iss: String,
    #[serde(default)]
    sub: String,
    aud: Audiences,
    #[serde(deserialize_with = "second")]
    exp: i64,
    #[serde(deserialize_with = "second")]
    iat: i64,
    #[serde(default, deserialize_with = "present_second")]
    nbf: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    azp: Option<String>,
    #[serde(default, deserialize_with = "present")]
    nonce: Option<String>,
    #[serde(default, deserialize_with = "present")]
    at_hash: Option<String>,
    #[serde(default, deserialize_with = "present_second")]
    auth_time: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    acr: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sid: Option<String>,
    /// A claim that only a logout token has (Back-Channel Logout 1.0 §2.4).
    #[serde(default, deserialize_with = "present")]
    events: Option<Value>,
}

/// Verifies the ID token of one sign-in. If [`IdTokenError::lacks_key`] is true of the error, newer keys may help.
pub fn verify_id_token(
    keys: &PublicKeys,
    token: &str,
    expect: &IdTokenExpectation<'_>,
) -> Result<IdToken, IdTokenError> {
    let making = Making { algorithms: &[expect.algorithm], types: &[None, Some("JWT")] };
    let (payload, algorithm) = believe(keys, token, making)?;
    let claims = claims(&payload)?;
    let wire: Wire = serde_json::from_value(Value::Object(claims.clone())).map_err(|_| VerifyError::Claims)?;
    if wire.events.is_some() {
        return Err(VerifyError::Type.into());
    }
    if wire.iss != expect.issuer {
        return Err(VerifyError::Issuer.into());
    }
    check_audience(&wire, expect)?;
    let times = Times { exp: wire.exp, iat: Some(wire.iat), nbf: wire.nbf };
    times.check(expect.now, IdToken::LEEWAY_SECONDS, IdToken::LIFETIME_SECONDS_MAX)?;
    if expect.now.as_second() - wire.iat > IdToken::AGE_SECONDS_MAX {
        return Err(IdTokenError::Stale);
    }
    if wire.nonce.as_deref() != Some(expect.nonce) || expect.nonce.is_empty() {
        return Err(IdTokenError::Nonce);
    }
    if wire.at_hash.as_ref().is_some_and(|hash| *hash != half_hash(algorithm, expect.access_token)) {
        return Err(IdTokenError::AccessTokenHash);
    }
    check_authentication(&wire, expect)?;
    if !is_subject(&wire.sub) {
        return Err(IdTokenError::Subject);
    }
    if wire.sid.as_ref().is_some_and(|sid| !is_identifier(sid)) {
        return Err(VerifyError::Claims.into());
    }
    let moment = |second| Timestamp::from_second(second).map_err(|_| VerifyError::Claims);
    let authenticated_at = wire.auth_time.map(moment).transpose()?;
    Ok(IdToken { subject: wire.sub, session: wire.sid, authenticated_at, claims })
}

/// Checks §3.1.3.7, 3 to 5: the token is for us, for no audience that we do not trust, and we are the client that
/// asked.
fn check_audience(wire: &Wire, expect: &IdTokenExpectation<'_>) -> Result<(), IdTokenError> {
    let us = expect.client.as_str();
    if !wire.aud.0.iter().any(|one| one == us) {
        return Err(VerifyError::Audience.into());
    }
    if wire.aud.0.iter().any(|one| one != us && !expect.other_audiences.contains(one)) {
        return Err(IdTokenError::OtherAudience);
    }
    match &wire.azp {
        Some(party) if party != us => Err(IdTokenError::AuthorizedParty),
        None if wire.aud.0.len() > 1 => Err(IdTokenError::AuthorizedParty),
        _ => Ok(()),
    }
}

/// Checks how and when the person authenticated, if something was required.
fn check_authentication(wire: &Wire, expect: &IdTokenExpectation<'_>) -> Result<(), IdTokenError> {
    let leeway = i64::from(IdToken::LEEWAY_SECONDS);
    let now = expect.now.as_second();
    if wire.auth_time.is_some_and(|second| second > now + leeway) {
        return Err(IdTokenError::AuthenticationTime);
    }
    if let Some(max_age) = expect.max_age_seconds {
        let recent = |second| now.saturating_sub(second) <= i64::from(max_age) + leeway;
        if !wire.auth_time.is_some_and(recent) {
            return Err(IdTokenError::AuthenticationTime);
        }
    }
    let is_required = |acr: &String| expect.acr_required.contains(acr);
    if expect.acr_required.is_empty() || wire.acr.as_ref().is_some_and(is_required) {
        Ok(())
    } else {
        Err(IdTokenError::AuthenticationContext)
    }
}

/// Returns the left half of the hash of an access token (§3.1.3.6), by the algorithm that signed the ID token.
fn half_hash(algorithm: SigningAlgorithm, token: &AccessToken) -> String {
    let kind = if algorithm == SigningAlgorithm::EdDsa { &SHA512 } else { &SHA256 };
    let whole = digest(kind, token.expose().as_bytes());
    let half = whole.as_ref().get(..whole.as_ref().len() / 2).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(half)
}

#[cfg(test)]
mod tests;
