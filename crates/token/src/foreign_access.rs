//! Verifies access tokens of other authorization servers: RFC 9068, and the forms that are older than that.

use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::scope::ScopeSet;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::foreign::{Audiences, Making, believe, claims, is_subject, present, present_second, second};
use crate::public_keys::PublicKeys;
use crate::verify::{Expectation, Times, VerifyError};

/// The types (`typ`) that an issuer's access tokens can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// Only `at+jwt` (RFC 9068 §2.1).
    AtJwt,
    /// Also `JWT` or none, as Entra ID, Keycloak and others write. Its claims tell such a token apart from an ID token.
    Untyped,
}

/// What a token must say to be valid at one server.
#[derive(Debug, Clone, Copy)]
pub struct ForeignAccessExpectation<'a> {
    /// The only issuer that is accepted, compared byte for byte.
    pub issuer: &'a str,
    /// The audiences that stand for this server, by the profile of the issuer (`protocol::openid::AudienceForm`). The
    /// token has to name one of them.
    pub audiences: &'a [String],
    /// The algorithms that the issuer signs with.
    pub algorithms: &'a [SigningAlgorithm],
    /// The types that its access tokens have.
    pub typed: TokenType,
    /// The time of the request.
    pub now: Timestamp,
}

/// An access token of another issuer, after it was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignAccess {
    /// The subject: 1 to 255 bytes of ASCII.
    pub subject: String,
    /// The client that the token was given to, as the issuer names it.
    pub client: ClientId,
    /// The scopes, as the issuer names them. Configuration says what they mean here.
    pub scopes: ScopeSet,
    /// All audiences that the token names.
    pub audiences: Vec<String>,
    /// When the token was issued, if it says so.
    pub iat: Option<Timestamp>,
    /// When the token expires.
    pub exp: Timestamp,
    /// All claims, for the mapping of claims.
    pub claims: Map<String, Value>,
}

impl ForeignAccess {
    /// The longest lifetime that is accepted, in seconds: the longest that Auth0 lets its customers set.
    pub const LIFETIME_SECONDS_MAX: i64 = 30 * 24 * 3600;
}

/// Claims that an ID token or a logout token has, and an access token does not.
const OTHER_KINDS: [&str; 5] = ["at_hash", "c_hash", "events", "nonce", "s_hash"];

/// The claims that are read.
#[derive(Deserialize)]
struct Wire {
    iss: String,
    sub: String,
    aud: Audiences,
    #[serde(deserialize_with = "second")]
    exp: i64,
    #[serde(default, deserialize_with = "present_second")]
    iat: Option<i64>,
    #[serde(default, deserialize_with = "present_second")]
    nbf: Option<i64>,
    /// Keycloak writes the kind of a token here.
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
}

/// Verifies an access token of another issuer for one server.
pub fn verify_foreign_access(
    keys: &PublicKeys,
    token: &str,
    expect: &ForeignAccessExpectation<'_>,
) -> Result<ForeignAccess, VerifyError> {
    let types: &[Option<&str>] = match expect.typed {
        TokenType::AtJwt => &[Some("at+jwt")],
        TokenType::Untyped => &[None, Some("JWT"), Some("at+jwt")],
    };
    let (payload, _) = believe(keys, token, Making { algorithms: expect.algorithms, types })?;
    let claims = claims(&payload)?;
    let wire: Wire = serde_json::from_value(Value::Object(claims.clone())).map_err(|_| VerifyError::Claims)?;
    let of_other_kind = OTHER_KINDS.iter().any(|name| claims.contains_key(*name))
        || wire.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("Bearer"));
    if of_other_kind {
        return Err(VerifyError::Type);
    }
    // A token that is bound to a key is valid only with a proof (RFC 9449 §6, RFC 8705 §3), which is not checked here.
    if claims.contains_key("cnf") {
        return Err(VerifyError::Type);
    }
    if wire.iss != expect.issuer {
        return Err(VerifyError::Issuer);
    }
    if !wire.aud.0.iter().any(|one| expect.audiences.contains(one)) {
        return Err(VerifyError::Audience);
    }
    let times = Times { exp: wire.exp, iat: wire.iat.or(wire.nbf), nbf: wire.nbf };
    times.check(expect.now, Expectation::LEEWAY_SECONDS, ForeignAccess::LIFETIME_SECONDS_MAX)?;
    if !is_subject(&wire.sub) {
        return Err(VerifyError::Claims);
    }
    // RFC 9068 §2.2 requires these of a token that calls itself `at+jwt`.
    let is_complete = wire.iat.is_some() && claims.get("jti").is_some_and(Value::is_string);
    if expect.typed == TokenType::AtJwt && !is_complete {
        return Err(VerifyError::Claims);
    }
    let moment = |second| Timestamp::from_second(second).map_err(|_| VerifyError::Claims);
    Ok(ForeignAccess {
        subject: wire.sub,
        client: client(&claims)?,
        scopes: scopes(&claims)?,
        audiences: wire.aud.0,
        iat: wire.iat.map(moment).transpose()?,
        exp: moment(wire.exp)?,
        claims,
    })
}

/// Returns the client: `client_id` (RFC 9068), `azp` (OpenID), `appid` (Entra ID, version 1) or `cid` (Okta). All that
/// are present must agree.
fn client(claims: &Map<String, Value>) -> Result<ClientId, VerifyError> {
    let mut named = None;
    for name in ["client_id", "azp", "appid", "cid"] {
        let Some(value) = claims.get(name) else { continue };
        let text = value.as_str().ok_or(VerifyError::Claims)?;
        if *named.get_or_insert(text) != text {
            return Err(VerifyError::Claims);
        }
    }
    named.and_then(|text| ClientId::parse(text).ok()).ok_or(VerifyError::Claims)
}

/// Returns the scopes: `scope` as one text (RFC 9068), `scp` as one text (Entra ID) or as a list (Okta). Without these
/// claims there are no scopes.
fn scopes(claims: &Map<String, Value>) -> Result<ScopeSet, VerifyError> {
    let text = match (claims.get("scope"), claims.get("scp")) {
        (None, None) => return Ok(ScopeSet::default()),
        (Some(_), Some(_)) => return Err(VerifyError::Claims),
        (Some(Value::String(text)), None) | (None, Some(Value::String(text))) => text.clone(),
        (None, Some(Value::Array(list))) => {
            let words: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            words.ok_or(VerifyError::Claims)?.join(" ")
        }
        _ => return Err(VerifyError::Claims),
    };
    if text.is_empty() { Ok(ScopeSet::default()) } else { text.parse().map_err(|_| VerifyError::Claims) }
}

#[cfg(test)]
mod tests;
