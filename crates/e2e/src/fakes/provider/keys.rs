//! The signing keys of a provider, and tokens with valid or invalid signatures.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// ECDSA on P-256.
    Es256,
    /// RSA PKCS#1 1.5.
    Rs256,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(Box<RsaKeyPair>),
}

/// A key with its identifier.
pub struct Key {
    id: String,
    pair: Pair,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    /// Generates a key.
    pub fn generate(id: &str, signs: Signs) -> Self {
        let pair = match signs {
            Signs::Es256 => {
                let pkcs8 =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
                Pair::Es256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap())
            }
            Signs::Rs256 => Pair::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        };
        Self { id: id.to_owned(), pair }
    }

    /// Returns the public key as it is published (RFC 7517).
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]),
                    "kid": self.id, "use": "sig", "alg": "ES256" })
            }
            Pair::Rs256(pair) => {
                let (modulus, exponent) = integers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "n": encode(&modulus), "e": encode(&exponent), "kid": self.id, "use": "sig",
                    "alg": "RS256" })
            }
        }
    }

    /// Signs a token of this type with these claims.
    pub fn token(&self, typ: Option<&str>, claims: &Value) -> String {
        self.token_with(&typ.map_or_else(|| json!({}), |typ| json!({ "typ": typ })), claims)
    }

    /// Signs a token with these members in its header, beside `alg` and `kid`.
    pub fn token_with(&self, members: &Value, claims: &Value) -> String {
        let alg = if matches!(self.pair, Pair::Es256(_)) { "ES256" } else { "RS256" };
        let mut header = json!({ "alg": alg, "kid": self.id });
        for (name, value) in members.as_object().into_iter().flatten() {
            header[name.as_str()] = value.clone();
        }
        let signed = format!("{}.{}", part(&header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Returns a token that says `alg: none` and has no signature.
pub fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Returns both integers of an RSA public key (RFC 8017 appendix A.1.1, in DER), without leading zeros.
fn integers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (sequence, _) = element(der);
    let (modulus, rest) = element(sequence);
    let (exponent, _) = element(rest);
    let plain = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    (plain(modulus), plain(exponent))
}

/// Returns the content of the first DER element, and what follows the element.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (head, length) = match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let bytes = usize::from(long & 0x7f);
            let length = der[2..2 + bytes].iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
            (2 + bytes, length)
        }
    };
    (&der[head..head + length], &der[head + length..])
}
