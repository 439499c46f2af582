//! What a client signs: assertions about itself (`private_key_jwt`, RFC 7523 §3) and proofs for single requests (DPoP,
//! RFC 9449 §4.2).

use std::fmt::{self, Debug};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Entropy, random};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::secret::AccessToken;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Why nothing could be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not a private key that can be used here.
    #[error("not a private key in PEM form: expected PKCS#8, SEC1 or PKCS#1, for ES256, ES384, EdDSA or RS256")]
    Unreadable,
    /// The cryptographic library returned an error.
    #[error("the key could not sign")]
    Signature,
}

/// A key pair of one algorithm.
enum Pair {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl Pair {
    /// Returns the registered name of the algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
    fn algorithm(&self) -> &'static str {
        match self {
            Self::EdDsa(_) => "EdDSA",
            Self::Es256(_) => "ES256",
            Self::Es384(_) => "ES384",
            Self::Rs256(_) => "RS256",
        }
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::EdDsa(pair) => pair.public_key().as_ref(),
            Self::Es256(pair) | Self::Es384(pair) => pair.public_key().as_ref(),
            Self::Rs256(pair) => pair.public_key().as_ref(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match self {
            Self::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Es256(pair) | Self::Es384(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| KeyError::Signature)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| KeyError::Signature)?;
                Ok(signature)
            }
        }
    }

    /// Signs a JWT in its compact form (RFC 7515 §7.1).
    fn compact(&self, header: &Value, claims: &Value) -> Result<String, KeyError> {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }
}

/// The private key of a client whose public key is registered.
pub struct ClientKey {
    id: Option<String>,
    pair: Pair,
}

/// How many seconds an assertion is valid: enough for it to arrive.
const ASSERTION_SECONDS: i64 = 60;

impl ClientKey {
    /// Reads a key. `id` is its `kid`, if the issuer knows several keys of this client.
    pub fn from_pem(pem: &[u8], id: Option<String>) -> Result<Self, KeyError> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::Unreadable)?;
        let der = key.secret_der();
        let elliptic = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der).ok();
        let pair = if let Some(pair) = elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING) {
            Pair::Es256(pair)
        } else if let Some(pair) = elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING) {
            Pair::Es384(pair)
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Pair::EdDsa(pair)
        } else if let Ok(pair) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
            Pair::Rs256(pair)
        } else {
            return Err(KeyError::Unreadable);
        };
        Ok(Self { id, pair })
    }

    /// Signs an assertion for the issuer `audience` that says who the client is (CL-53). It can be used once, within a
    /// minute.
    pub fn assertion(
        &self,
        client: &ClientId,
        audience: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<String, KeyError> {
        let mut header = json!({ "typ": "JWT", "alg": self.pair.algorithm() });
        if let (Some(id), Some(header)) = (&self.id, header.as_object_mut()) {
            header.insert("kid".to_owned(), json!(id));
        }
        let claims = json!({
            "iss": client,
            "sub": client,
            "aud": audience,
            "jti": identifier(entropy),
            "iat": now.as_second(),
            "exp": now.as_second().saturating_add(ASSERTION_SECONDS),
        });
        self.pair.compact(&header, &claims)
    }
}

impl Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("algorithm", &self.pair.algorithm()).finish_non_exhaustive()
    }
}

impl PartialEq for ClientKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.pair.public() == other.pair.public()
    }
}

impl Eq for ClientKey {}

/// The key to which tokens are bound (RFC 9449): such a token cannot be used without the key.
pub struct DpopKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl DpopKey {
    /// The signature algorithm of the key.
    pub const ALGORITHM: &'static str = "ES256";

    /// Generates a new key.
    pub fn generate() -> Result<Self, KeyError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Signature)?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// Reads a stored key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| KeyError::Unreadable)?;
        Ok(Self { pair, pkcs8: Zeroizing::new(pkcs8.to_vec()) })
    }

    /// Returns the private key for storing. It is a secret.
    pub fn expose_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Signs a proof of possession for one request to one URL (RFC 9449 §4.2). `token` is the access token of that
    /// request.
    pub fn proof(
        &self,
        request: ProofOf<'_>,
        token: Option<&AccessToken>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<String, KeyError> {
        let header = json!({ "typ": "dpop+jwt", "alg": Self::ALGORITHM, "jwk": self.public() });
        let mut claims = json!({
            "jti": identifier(entropy),
            "htm": request.method,
            // The URL without query and fragment.
            "htu": request.url.split(['?', '#']).next().unwrap_or_default(),
            "iat": now.as_second(),
        });
        if let Some(claims) = claims.as_object_mut() {
            if let Some(nonce) = request.nonce {
                claims.insert("nonce".to_owned(), json!(nonce));
            }
            if let Some(token) = token {
                let digest = Digest::of(token.expose().as_bytes());
                claims.insert("ath".to_owned(), json!(URL_SAFE_NO_PAD.encode(digest.as_bytes())));
            }
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| KeyError::Signature)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// Returns the public key as a JWK (RFC 7518 §6.2.1).
    fn public(&self) -> Value {
        // The bytes are an uncompressed point: 4, x, y (SEC 1 §2.3.3).
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
    }
}

impl Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DpopKey")
    }
}

impl PartialEq for DpopKey {
    fn eq(&self, other: &Self) -> bool {
        self.pair.public_key().as_ref() == other.pair.public_key().as_ref()
    }
}

impl Eq for DpopKey {}

/// The request that a proof is about.
#[derive(Debug, Clone, Copy)]
pub struct ProofOf<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL.
    pub url: &'a str,
    /// The nonce that the server wants in the proof (RFC 9449 §8, §9).
    pub nonce: Option<&'a str>,
}

/// Returns a random identifier, which is never repeated.
fn identifier(entropy: &dyn Entropy) -> String {
    URL_SAFE_NO_PAD.encode(random::<16>(entropy))
}

#[cfg(test)]
mod tests;
