//! Another issuer with one ES256 key, for the tests of all its tokens. Each test changes one thing of a valid token.

use jiff::Timestamp;
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::ids::KeyId;
use serde_json::{Value, json};

use crate::forge;
use crate::keys::SigningKey;
use crate::public_keys::PublicKeys;

pub(crate) const ISSUER: &str = "https://login.example/realm";
pub(crate) const CLIENT: &str = "sekisho-at-login";
pub(crate) const NOW: i64 = 1_767_225_600;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

pub(crate) fn key(seed: u64) -> SigningKey {
    SigningKey::generate(KeyId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::from_seed(seed))).unwrap()
}

/// The issuer's published keys.
pub(crate) fn keys(key: &SigningKey) -> PublicKeys {
    PublicKeys::parse(&json!({ "keys": [key.public_jwk()] }).to_string()).unwrap()
}

/// A token of this type with these claims and a valid signature.
pub(crate) fn token(key: &SigningKey, typ: Option<&str>, claims: &Value) -> String {
    let mut header = json!({ "alg": "ES256", "kid": key.id().to_string() });
    if let Some(typ) = typ {
        header["typ"] = json!(typ);
    }
    forge::signed(key, &header.to_string(), &claims.to_string())
}

/// The claims with another value for this one; `null` removes it.
pub(crate) fn with(mut claims: Value, name: &str, value: &Value) -> Value {
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value.clone();
    }
    claims
}
