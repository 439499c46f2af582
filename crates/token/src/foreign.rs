//! What the tokens of all other issuers have in common: how they are read, with which keys they are verified, and the
//! form of their claims before any of them is checked.

use jiff::SignedDuration;
use jsonwebtoken::Algorithm;
use sekisho_protocol::openid::SigningAlgorithm;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::json;
use crate::jws::Compact;
use crate::public_keys::{PublicKeys, Selected, algorithm};
use crate::verify::VerifyError;

/// The longest token of another issuer that is read, in bytes. An ID token with 5,000 groups has about 300,000.
pub const FOREIGN_TOKEN_BYTES_MAX: usize = 512 * 1024;

/// The longest identifier (`jti`, `sid`, `acr`) that is accepted, in bytes.
pub(crate) const IDENTIFIER_BYTES_MAX: usize = 256;

/// Header members that would change how a token is read, or that bring a key. All others are ignored: Entra ID sends
/// `x5t`, and RFC 7515 §4 has unknown ones ignored.
const REFUSED_MEMBERS: [&str; 8] = ["b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"];

/// The header members that are read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
}

/// The form that a token of another issuer must have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making<'a> {
    /// The algorithms that its issuer is known to sign with (RFC 8725 §3.1).
    pub(crate) algorithms: &'a [SigningAlgorithm],
    /// The types that it may have (`typ`); `None` is a token without one.
    pub(crate) types: &'a [Option<&'a str>],
}

/// Returns the payload of a token that one of `keys` signed, and the algorithm. No claim has been checked yet.
pub(crate) fn believe(
    keys: &PublicKeys,
    token: &str,
    making: Making<'_>,
) -> Result<(Vec<u8>, SigningAlgorithm), VerifyError> {
    let compact = Compact::read_up_to(token, FOREIGN_TOKEN_BYTES_MAX)?;
    let members: Map<String, Value> = json::read(&compact.header).map_err(|_| VerifyError::Malformed)?;
    if REFUSED_MEMBERS.iter().any(|name| members.contains_key(*name)) {
        return Err(VerifyError::Malformed);
    }
    let header: Header = serde_json::from_value(Value::Object(members)).map_err(|_| VerifyError::Malformed)?;
    let named = making.algorithms.iter().find(|one| one.as_str() == header.alg).ok_or(VerifyError::Algorithm)?;
    let algorithm: Algorithm = algorithm(named.as_str()).ok_or(VerifyError::Algorithm)?;
    // RFC 7515 §4.1.9: `application/` may be left out, and upper and lower case are the same.
    let typed = header.typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    let fits = |allowed: &Option<&str>| match (allowed, typed) {
        (None, None) => true,
        (Some(allowed), Some(typed)) => allowed.eq_ignore_ascii_case(typed),
        _ => false,
    };
    if !making.types.iter().any(fits) {
        return Err(VerifyError::Type);
    }
    let key = match keys.select(header.kid.as_deref(), algorithm) {
        Selected::Key(key) => key,
        Selected::None => return Err(VerifyError::UnknownKey),
        Selected::OtherAlgorithm => return Err(VerifyError::Algorithm),
    };
    compact.verify(&key.key, algorithm)?;
    Ok((compact.payload, *named))
}

/// Reads the claims of a payload, each of which occurs once.
pub(crate) fn claims(payload: &[u8]) -> Result<Map<String, Value>, VerifyError> {
    json::read(payload).map_err(|_| VerifyError::Claims)
}

/// Returns the issuer that a token names. This proves nothing: it only tells whose keys to use.
pub fn claimed_issuer(token: &str) -> Option<String> {
    let claims = unverified_claims(token).ok()?;
    claims.get("iss").and_then(Value::as_str).map(str::to_owned)
}

/// Returns the claims of a token whose signature and times were not checked. Only for showing what a provider sent.
pub fn unverified_claims(token: &str) -> Result<Map<String, Value>, VerifyError> {
    claims(&Compact::read_up_to(token, FOREIGN_TOKEN_BYTES_MAX)?.payload)
}

/// `aud`: one string, or several (RFC 7519 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audiences(pub(crate) Vec<String>);

impl Audiences {
    /// The most audiences that one token names.
    const LEN_MAX: usize = 64;
}

impl<'de> Deserialize<'de> for Audiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Many(Vec<String>),
            One(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Many(all) if all.is_empty() || all.len() > Self::LEN_MAX => {
                Err(serde::de::Error::custom("an audience is one text or a short list"))
            }
            Form::Many(all) => Ok(Self(all)),
            Form::One(one) => Ok(Self(vec![one])),
        }
    }
}

/// Reads a claim that is absent or has a value: `null` is neither.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a moment in whole seconds since 1970. It may have a fraction (RFC 7519 §2, `NumericDate`), which is left out: some
/// providers write `auth_time` as their clock has it.
pub(crate) fn second<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let whole = |fraction: f64| SignedDuration::try_from_secs_f64(fraction.floor()).ok().map(|since| since.as_secs());
    let second = number.as_i64().or_else(|| number.as_f64().and_then(whole));
    second.ok_or_else(|| D::Error::custom("this is no moment"))
}

/// Reads such a moment that is absent or has a value.
pub(crate) fn present_second<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    second(deserializer).map(Some)
}

/// Whether a text can be `sub` (OpenID Connect Core 1.0 §2: at most 255 ASCII characters). Control characters are
/// refused.
pub(crate) fn is_subject(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// Whether a text can be `jti`, `sid` or `acr`.
pub(crate) fn is_identifier(text: &str) -> bool {
    (1..=IDENTIFIER_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
