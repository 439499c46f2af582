//! Verifies a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6): a provider states that one session of a
//! person, or all of them, are over.

use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::foreign::{Audiences, Making, believe, claims, is_identifier, is_subject, present, second};
use crate::public_keys::PublicKeys;
use crate::verify::{Expectation, Times, VerifyError};

/// What a logout token must say to have an effect.
#[derive(Debug, Clone, Copy)]
pub struct LogoutTokenExpectation<'a> {
    /// The provider, compared byte for byte.
    pub issuer: &'a str,
    /// Our client identifier at this provider.
    pub client: &'a ClientId,
    /// The algorithm that the client is registered with.
    pub algorithm: SigningAlgorithm,
    /// The time of the request.
    pub now: Timestamp,
}

/// A logout token after it was verified. The caller has to take `jti`, once, until `exp`, and then end what the token
/// names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// The token's identifier, unique at its issuer: 1 to 256 bytes.
    pub jti: String,
    /// The person whose sessions end. `None`: only the session in `session` ends.
    pub subject: Option<String>,
    /// The session that ends. `None`: all sessions of `subject` end.
    pub session: Option<String>,
    /// When the token expires.
    pub exp: Timestamp,
}

impl LogoutToken {
    /// The event that it reports (§2.4).
    pub const EVENT: &'static str = "http://schemas.openid.net/event/backchannel-logout";

    /// The longest lifetime that is accepted, in seconds. §2.4 recommends two minutes.
    pub const LIFETIME_SECONDS_MAX: i64 = 3600;

    /// How old a token may be when it arrives, in seconds.
    pub const AGE_SECONDS_MAX: i64 = 10 * 60;
}

/// Why a logout token has no effect: the response is 400 (§2.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// The token does not report a logout.
    #[error("the token does not report a logout (`events`)")]
    Event,
    /// The token holds `nonce`, which is forbidden so that no ID token passes as a logout token (§2.4).
    #[error("the token holds `nonce`, so it is not a logout token")]
    Nonce,
    /// The token names neither a person nor a session.
    #[error("the token names neither a person nor a session (`sub`, `sid`)")]
    NobodyNamed,
    /// The token was made too long ago.
    #[error("the token was made more than ten minutes ago (`iat`)")]
    Stale,
    /// The token itself is not valid.
    #[error(transparent)]
    Token(#[from] VerifyError),
}

impl LogoutTokenError {
    /// Whether the token might be valid with newer keys of the provider.
    pub fn lacks_key(&self) -> bool {
        *self == Self::Token(VerifyError::UnknownKey)
    }
}

/// The claims that are read.
#[derive(Deserialize)]
struct Wire {
    iss: String,
    aud: Audiences,
    #[serde(deserialize_with = "second")]
    exp: i64,
    #[serde(deserialize_with = "second")]
    iat: i64,
    jti: String,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    events: Option<Map<String, Value>>,
}

/// Verifies a logout token.
pub fn verify_logout_token(
    keys: &PublicKeys,
    token: &str,
    expect: &LogoutTokenExpectation<'_>,
) -> Result<LogoutToken, LogoutTokenError> {
    // §2.4 recommends `logout+jwt`; providers that are older than the final text send `JWT` or nothing.
    let making = Making { algorithms: &[expect.algorithm], types: &[None, Some("JWT"), Some("logout+jwt")] };
    let (payload, _) = believe(keys, token, making)?;
    let claims = claims(&payload)?;
    if claims.contains_key("nonce") {
        return Err(LogoutTokenError::Nonce);
    }
    let wire: Wire = serde_json::from_value(Value::Object(claims)).map_err(|_| VerifyError::Claims)?;
    if wire.iss != expect.issuer {
        return Err(VerifyError::Issuer.into());
    }
    if !wire.aud.0.iter().any(|one| one == expect.client.as_str()) {
        return Err(VerifyError::Audience.into());
    }
    let event = wire.events.as_ref().and_then(|events| events.get(LogoutToken::EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(LogoutTokenError::Event);
    }
    let times = Times { exp: wire.exp, iat: Some(wire.iat), nbf: None };
    times.check(expect.now, Expectation::LEEWAY_SECONDS_MAX, LogoutToken::LIFETIME_SECONDS_MAX)?;
    if expect.now.as_second() - wire.iat > LogoutToken::AGE_SECONDS_MAX {
        return Err(LogoutTokenError::Stale);
    }
    let sound = is_identifier(&wire.jti)
        && wire.sub.as_ref().is_none_or(|sub| is_subject(sub))
        && wire.sid.as_ref().is_none_or(|sid| is_identifier(sid));
    if !sound {
        return Err(VerifyError::Claims.into());
    }
    if wire.sub.is_none() && wire.sid.is_none() {
        return Err(LogoutTokenError::NobodyNamed);
    }
    let exp = Timestamp::from_second(wire.exp).map_err(|_| VerifyError::Claims)?;
    Ok(LogoutToken { jti: wire.jti, subject: wire.sub, session: wire.sid, exp })
}

#[cfg(test)]
mod tests;
