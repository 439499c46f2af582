//! The public keys of a client or of another issuer (RFC 7517). Only usable keys are kept.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::json;

/// A JWK Set of somebody else, after it was checked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PublicKeys(Arc<Vec<PublicKey>>);

#[derive(Debug)]
pub(crate) struct PublicKey {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    pub(crate) key: DecodingKey,
}

/// Why a JWK Set cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeysError {
    /// The text is not JSON of that shape, is ambiguous, or is longer than [`PublicKeys::BYTES_MAX`].
    #[error("not a JWK Set: expected a JSON object with the member `keys` (RFC 7517 §5)")]
    Malformed,
    /// No key in it can verify a signature that we accept.
    #[error("no usable key: publish a signing key for ES256, EdDSA, or RS256/PS256 with at least 2048 bits")]
    NoUsableKey,
    /// The set holds a private or symmetric key: whoever published it has given it away (ATK-32).
    #[error("the key set holds a private or symmetric key: replace the key, then publish only its public half")]
    Secret,
    /// There are more than [`PublicKeys::LEN_MAX`] keys.
    #[error("more than {} keys in one set", PublicKeys::LEN_MAX)]
    TooMany,
}

impl PublicKeys {
    /// The longest set that is read, in bytes.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// The most keys in one set.
    pub const LEN_MAX: usize = 32;

    /// Reads a JWK Set. Keys that are for encryption, of unknown kinds, or too weak are left out (ATK-60). A set with a
    /// private or symmetric key is refused as a whole.
    pub fn parse(text: &str) -> Result<Self, PublicKeysError> {
        if text.len() > Self::BYTES_MAX {
            return Err(PublicKeysError::Malformed);
        }
        let set: Value = json::read(text.as_bytes()).map_err(|_| PublicKeysError::Malformed)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(PublicKeysError::Malformed)?;
        if list.len() > Self::LEN_MAX {
            return Err(PublicKeysError::TooMany);
        }
        let mut keys = Vec::new();
        for item in list {
            let jwk = item.as_object().ok_or(PublicKeysError::Malformed)?;
            if is_secret(jwk) {
                return Err(PublicKeysError::Secret);
            }
            keys.extend(usable(jwk));
        }
        if keys.is_empty() { Err(PublicKeysError::NoUsableKey) } else { Ok(Self(Arc::new(keys))) }
    }

    /// Whether the set has a key with this identifier (`kid`).
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Selects the one key that may verify a token which names `id` and `algorithm`. Without an identifier, or with one
    /// that several keys share, a key is selected only if it is the only candidate; keys are never tried one after the
    /// other.
    pub(crate) fn select(&self, id: Option<&str>, algorithm: Algorithm) -> Selected<'_> {
        let named = || self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let mut fitting = named().filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Selected::Key(key),
            (None, _) if named().next().is_some() => Selected::OtherAlgorithm,
            _ => Selected::None,
        }
    }
}

pub(crate) enum Selected<'a> {
    Key(&'a PublicKey),
    None,
    OtherAlgorithm,
}

fn is_secret(jwk: &Map<String, Value>) -> bool {
    let private = ["d", "k", "p", "q", "dp", "dq", "qi", "oth", "priv"];
    private.iter().any(|name| jwk.contains_key(*name)) || text(jwk, "kty") == Some("oct")
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}

/// Returns the key, if it may verify signatures and is strong enough.
fn usable(jwk: &Map<String, Value>) -> Option<PublicKey> {
    if jwk.contains_key("use") && text(jwk, "use") != Some("sig") {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops") {
        operations.as_array()?.iter().find(|operation| operation.as_str() == Some("verify"))?;
    }
    let id = match jwk.get("kid") {
        None => None,
        Some(id) => Some(id.as_str().filter(|id| !id.is_empty() && id.len() <= 256)?.to_owned()),
    };
    let (key, fitting): (DecodingKey, &'static [Algorithm]) = match (text(jwk, "kty")?, text(jwk, "crv")) {
        ("EC", Some("P-256")) => (elliptic(jwk)?, &[Algorithm::ES256]),
        ("OKP", Some("Ed25519")) => (edwards(jwk)?, &[Algorithm::EdDSA]),
        ("RSA", None) => (rsa(jwk)?, &[Algorithm::RS256, Algorithm::PS256]),
        _ => return None,
    };
    let algorithms = match jwk.get("alg") {
        None => fitting,
        Some(named) => {
            let named = algorithm(named.as_str()?)?;
            fitting.iter().position(|fits| *fits == named).and_then(|at| fitting.get(at..=at))?
        }
    };
    Some(PublicKey { id, algorithms, key })
}

/// Returns the algorithm of this name, if we accept it: never `none` or a symmetric one (RFC 8725 §3.1).
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" | "Ed25519" => Some(Algorithm::EdDSA),
        "PS256" => Some(Algorithm::PS256),
        "RS256" => Some(Algorithm::RS256),
        _ => None,
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(jwk, name)?).ok()
}

fn elliptic(jwk: &Map<String, Value>) -> Option<DecodingKey> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != 32 || y.len() != 32 {
        return None;
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    // A point that is not on the curve is not a key.
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).ok()?;
    Some(DecodingKey::from_ec_der(&point))
}

fn edwards(jwk: &Map<String, Value>) -> Option<DecodingKey> {
    let point = bytes(jwk, "x").filter(|point| point.len() == 32)?;
    ParsedPublicKey::new(&ED25519, &point).ok()?;
    Some(DecodingKey::from_ed_der(&point))
}

/// Reads an RSA key: 2048 to 8192 bits (NIST SP 800-131A), an exponent of 65537 or a little more, both without leading
/// zeros.
fn rsa(jwk: &Map<String, Value>) -> Option<DecodingKey> {
    let (modulus, exponent) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    let bits = modulus.len() * 8 - usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    let number = exponent.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)))?;
    let sized = (2048..=8192).contains(&bits)
        && modulus.first() != Some(&0)
        && modulus.last().is_some_and(|last| last % 2 == 1);
    let sound = (65_537..=u64::from(u32::MAX)).contains(&number) && number % 2 == 1 && exponent.first() != Some(&0);
    (sized && sound).then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}
