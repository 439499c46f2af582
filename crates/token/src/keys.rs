//! The keys that we sign with, and the set in force.

use std::fmt::{self, Debug};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, EncodingKey};
use sekisho_protocol::ids::KeyId;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// One of our signing keys: ECDSA on P-256 (ES256, RFC 7518 §3.4). Cheap to clone.
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>);

struct Inner {
    id: KeyId,
    pkcs8: Zeroizing<Vec<u8>>,
    encoding: EncodingKey,
    decoding: DecodingKey,
    x: String,
    y: String,
}

/// Why a key could not be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The random generator failed.
    #[error("no signing key could be made: the system gave no randomness")]
    Generate,
    /// The bytes are not a private key of ours.
    #[error(
        "not a signing key: expected a P-256 private key as PKCS#8 (was the database restored with another seal key?)"
    )]
    Read,
}

impl SigningKey {
    /// Makes a key. Its private part comes from the cryptographic library's own random generator, which a test cannot
    /// replace.
    pub fn generate(id: KeyId) -> Result<Self, KeyError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Generate)?;
        Self::from_pkcs8(id, pkcs8.as_ref())
    }

    /// Reads a key that was stored (RFC 5208, as [`SigningKey::to_pkcs8`] wrote it).
    pub fn from_pkcs8(id: KeyId, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| KeyError::Read)?;
        let point = pair.public_key().as_ref();
        // SEC 1 §2.3.3: 4, then both coordinates of 32 bytes.
        let (x, y) = point.split_first().and_then(|(_, both)| both.split_at_checked(32)).ok_or(KeyError::Read)?;
        Ok(Self(Arc::new(Inner {
            id,
            pkcs8: Zeroizing::new(pkcs8.to_vec()),
            encoding: EncodingKey::from_ec_der(pkcs8),
            decoding: DecodingKey::from_ec_der(point),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        })))
    }

    /// Returns the private key as PKCS#8, to be sealed and stored.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.0.pkcs8.clone()
    }

    /// Returns the identifier by which tokens refer to the key (`kid`).
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    /// Returns the public half as a JWK (RFC 7517 §4), with its intended use.
    pub fn public_jwk(&self) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "x": self.0.x, "y": self.0.y,
            "kid": self.0.id.to_string(), "use": "sig", "alg": "ES256",
        })
    }

    pub(crate) fn encoding(&self) -> &EncodingKey {
        &self.0.encoding
    }

    pub(crate) fn decoding(&self) -> &DecodingKey {
        &self.0.decoding
    }
}

impl Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.0.id)
    }
}

/// What a key is used for at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyDuty {
    /// Published and accepted, but does not sign yet: others get time to learn of it before it is used.
    Announce,
    /// Signs. Exactly one key does.
    Sign,
    /// Does not sign any more; its tokens are accepted until then (ATK-60). Set this to the end of the last token it
    /// signed.
    Verify {
        /// The first moment at which nothing signed by the key is accepted.
        until: Timestamp,
    },
}

/// A key and its duty.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// The key.
    pub key: SigningKey,
    /// What it is used for.
    pub duty: KeyDuty,
}

/// The keys in force. Cheap to clone; a change of keys makes a new set.
#[derive(Debug, Clone)]
pub struct Keys(Arc<Set>);

#[derive(Debug)]
struct Set {
    signer: SigningKey,
    entries: Vec<KeyEntry>,
}

/// Why entries cannot form a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Two entries have the same identifier.
    #[error("two signing keys have the identifier `{0}`")]
    Duplicate(KeyId),
    /// No key has the duty to sign.
    #[error("no key signs yet: compare the clock of this machine with the beginning of the keys")]
    NoSigner,
    /// More than one key has the duty to sign.
    #[error("more than one key signs: keep one and retire the others")]
    SeveralSigners,
    /// There are more than [`Keys::LEN_MAX`] keys.
    #[error("more than {} signing keys: remove those whose tokens have ended", Keys::LEN_MAX)]
    TooMany,
}

impl Keys {
    /// The most keys in one set.
    pub const LEN_MAX: usize = 32;

    /// Makes a set of these entries, exactly one of which signs.
    pub fn new(entries: Vec<KeyEntry>) -> Result<Self, KeysError> {
        if entries.len() > Self::LEN_MAX {
            return Err(KeysError::TooMany);
        }
        for (at, entry) in entries.iter().enumerate() {
            if entries.iter().skip(at + 1).any(|later| later.key.id() == entry.key.id()) {
                return Err(KeysError::Duplicate(entry.key.id()));
            }
        }
        let mut signers = entries.iter().filter(|entry| entry.duty == KeyDuty::Sign);
        let signer = signers.next().ok_or(KeysError::NoSigner)?.key.clone();
        if signers.next().is_some() {
            return Err(KeysError::SeveralSigners);
        }
        Ok(Self(Arc::new(Set { signer, entries })))
    }

    /// Returns the key that signs.
    pub fn signer(&self) -> &SigningKey {
        &self.0.signer
    }

    /// Returns the JWK Set to publish (RFC 7517 §5), with public halves only.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.0.entries.iter().map(|entry| entry.key.public_jwk()).collect::<Vec<_>>() })
    }

    /// Returns the key with this identifier, if its tokens are accepted at `now`.
    pub(crate) fn believed(&self, id: KeyId, now: Timestamp) -> Option<&SigningKey> {
        let entry = self.0.entries.iter().find(|entry| entry.key.id() == id)?;
        match entry.duty {
            KeyDuty::Announce | KeyDuty::Sign => Some(&entry.key),
            KeyDuty::Verify { until } => (now < until).then_some(&entry.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use sekisho_protocol::env::SeededEntropy;
    use sekisho_protocol::ids::KeyId;

    use super::{KeyDuty, KeyEntry, KeyError, Keys, KeysError, SigningKey};

    fn key(seed: u64) -> SigningKey {
        SigningKey::generate(KeyId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::from_seed(seed))).unwrap()
    }

    fn entry(key: &SigningKey, duty: KeyDuty) -> KeyEntry {
        KeyEntry { key: key.clone(), duty }
    }

    /// ATK-60: a retired key is accepted until its window ends, and not at the end itself.
    #[test]
    fn a_retired_key_is_believed_until_its_window_ends() {
        let (old, new) = (key(1), key(2));
        let until = Timestamp::from_second(1000).unwrap();
        let keys = Keys::new(vec![entry(&old, KeyDuty::Verify { until }), entry(&new, KeyDuty::Sign)]).unwrap();
        assert!(keys.believed(old.id(), Timestamp::from_second(999).unwrap()).is_some());
        assert!(keys.believed(old.id(), until).is_none());
        assert_eq!(keys.signer().id(), new.id());
    }

    #[test]
    fn exactly_one_key_signs() {
        let (one, two) = (key(1), key(2));
        let is = |entries| Keys::new(entries).map(|_| ()).unwrap_err();
        assert_eq!(is(vec![]), KeysError::NoSigner);
        assert_eq!(is(vec![entry(&one, KeyDuty::Announce)]), KeysError::NoSigner);
        assert_eq!(is(vec![entry(&one, KeyDuty::Sign), entry(&two, KeyDuty::Sign)]), KeysError::SeveralSigners);
        assert_eq!(
            is(vec![entry(&one, KeyDuty::Sign), entry(&one, KeyDuty::Announce)]),
            KeysError::Duplicate(one.id())
        );
        assert_eq!(is(vec![entry(&one, KeyDuty::Sign); Keys::LEN_MAX + 1]), KeysError::TooMany);
    }

    /// RS-38: neither the published set nor the debug form holds the private half.
    #[test]
    fn the_private_half_stays_inside() {
        let key = key(1);
        let keys = Keys::new(vec![entry(&key, KeyDuty::Sign)]).unwrap();
        let published = keys.jwks();
        let members: Vec<&String> = published["keys"][0].as_object().unwrap().keys().collect();
        assert_eq!(members.len(), 7);
        assert!(published["keys"][0].get("d").is_none());
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.id()));
    }

    #[test]
    fn a_key_survives_keeping() {
        let key = key(1);
        let again = SigningKey::from_pkcs8(key.id(), &key.to_pkcs8()).unwrap();
        assert_eq!(again.public_jwk(), key.public_jwk());
        assert_eq!(SigningKey::from_pkcs8(key.id(), b"other").unwrap_err(), KeyError::Read);
    }
}
