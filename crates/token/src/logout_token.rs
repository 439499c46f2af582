//! Believing a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6): a provider says that a session, or everything
//! of a person, is over.

use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::foreign::{Audiences, Making, believe, claims, is_identifier, is_subject, present};
use crate::public_keys::PublicKeys;
use crate::verify::{Expectation, Times, VerifyError};

/// What a logout token must say to be acted on.
#[derive(Debug, Clone, Copy)]
pub struct LogoutTokenExpectation<'a> {
    /// The provider, byte for byte.
    pub issuer: &'a str,
    /// The client that we are there.
    pub client: &'a ClientId,
    /// The algorithm that the client is registered with.
    pub algorithm: SigningAlgorithm,
    /// The request's `now`.
    pub now: Timestamp,
}

/// A believed logout token. The caller takes `jti`, once, until `exp`; then it ends what is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// The token's name, unique at its issuer: 1 to 256 bytes.
    pub jti: String,
    /// Whose sessions end. `None`: the one session that `session` names.
    pub subject: Option<String>,
    /// The session that ends. `None`: all of `subject`.
    pub session: Option<String>,
    /// When the token ends.
    pub exp: Timestamp,
}

impl LogoutToken {
    /// The event that it reports (§2.4).
    pub const EVENT: &'static str = "http://schemas.openid.net/event/backchannel-logout";

    /// The longest life that is accepted, in seconds. §2.4 recommends two minutes.
    pub const LIFETIME_SECONDS_MAX: i64 = 3600;

    /// How old it may be when it arrives, in seconds.
    pub const AGE_SECONDS_MAX: i64 = 10 * 60;
}

/// Why a logout token is not acted on: the answer is 400 (§2.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// It does not report a logout.
    #[error("the token does not report a logout (`events`)")]
    Event,
    /// It holds `nonce`, which keeps an ID token from being taken for one (§2.4).
    #[error("the token holds `nonce`, so it is not a logout token")]
    Nonce,
    /// It names neither a person nor a session.
    #[error("the token names neither a person nor a session (`sub`, `sid`)")]
    NobodyNamed,
    /// It was made too long ago.
    #[error("the token was made more than ten minutes ago (`iat`)")]
    Stale,
    /// The token itself is not good.
    #[error(transparent)]
    Token(#[from] VerifyError),
}

impl LogoutTokenError {
    /// Whether newer keys of the provider could make the token good.
    pub fn lacks_key(&self) -> bool {
        *self == Self::Token(VerifyError::UnknownKey)
    }
}

/// The claims that are read.
#[derive(Deserialize)]
struct Wire {
    iss: String,
    aud: Audiences,
    exp: i64,
    iat: i64,
    jti: String,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    events: Option<Map<String, Value>>,
}

/// Believes a logout token.
pub fn verify_logout_token(
    keys: &PublicKeys,
    token: &str,
    expect: &LogoutTokenExpectation<'_>,
) -> Result<LogoutToken, LogoutTokenError> {
    // §2.4 recommends `logout+jwt`; providers from before the final text send `JWT` or nothing.
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
