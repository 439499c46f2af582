//! Verifies the signed assertion with which a client proves its identity (RFC 7523 §2.2 and §3, `private_key_jwt`).

use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use serde::{Deserialize, Deserializer};

use crate::json;
use crate::jws::Compact;
use crate::public_keys::{PublicKeys, Selected, algorithm};
use crate::verify::{Expectation, Times, VerifyError};

/// What has to be done after an assertion was verified: its `jti` must be taken, once, until `exp` (ATK-35).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertionClaims {
    /// The assertion's identifier, unique for its client: 1 to 256 bytes.
    pub jti: String,
    /// When the assertion expires.
    pub exp: Timestamp,
}

impl AssertionClaims {
    /// The longest lifetime that is accepted, in seconds (ATK-35).
    pub const LIFETIME_SECONDS_MAX: i64 = 5 * 60;
}

/// The header members that are read; any other is refused (ATK-54).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
}

/// The claims that are read. A client may add others, which are ignored.
#[derive(Deserialize)]
struct Wire {
    iss: String,
    sub: String,
    /// A single string: a list could hold another server's name, and the assertion could be replayed there (ATK-34).
    aud: String,
    exp: i64,
    #[serde(default, deserialize_with = "present")]
    iat: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<i64>,
    jti: String,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    i64::deserialize(deserializer).map(Some)
}

/// Verifies an assertion by `client`, made for `issuer` alone, with a lifetime of at most five minutes. The caller has
/// to take the `jti`; until then the client is not authenticated.
pub fn verify_assertion(
    keys: &PublicKeys,
    assertion: &str,
    client: &ClientId,
    issuer: &str,
    now: Timestamp,
) -> Result<AssertionClaims, VerifyError> {
    let compact = Compact::read(assertion)?;
    let header: Header = json::read(&compact.header).map_err(|_| VerifyError::Malformed)?;
    let algorithm = algorithm(&header.alg).ok_or(VerifyError::Algorithm)?;
    // draft-ietf-oauth-rfc7523bis defines a type of its own. Until that is common, `JWT` and a missing type are
    // accepted, and every other kind of token is refused (ATK-43).
    let typed = header.typ.as_deref().unwrap_or("JWT");
    if !["JWT", "client-authentication+jwt"].iter().any(|good| typed.eq_ignore_ascii_case(good)) {
        return Err(VerifyError::Type);
    }
    let key = match keys.select(header.kid.as_deref(), algorithm) {
        Selected::Key(key) => key,
        Selected::None => return Err(VerifyError::UnknownKey),
        Selected::OtherAlgorithm => return Err(VerifyError::Algorithm),
    };
    compact.verify(&key.key, algorithm)?;
    let wire: Wire = json::read(&compact.payload).map_err(|_| VerifyError::Claims)?;
    if wire.iss != client.as_str() || wire.sub != client.as_str() {
        return Err(VerifyError::Issuer);
    }
    if wire.aud != issuer {
        return Err(VerifyError::Audience);
    }
    if wire.jti.is_empty() || wire.jti.len() > 256 {
        return Err(VerifyError::Claims);
    }
    let times = Times { exp: wire.exp, iat: wire.iat, nbf: wire.nbf };
    times.check(now, Expectation::LEEWAY_SECONDS, AssertionClaims::LIFETIME_SECONDS_MAX)?;
    let exp = Timestamp::from_second(wire.exp).map_err(|_| VerifyError::Claims)?;
    Ok(AssertionClaims { jti: wire.jti, exp })
}

#[cfg(test)]
mod tests;
