//! Assertions as data: each differs from a valid one only in the named way.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::ids::{ClientId, KeyId};
use serde_json::{Value, json};

use super::{AssertionClaims, verify_assertion};
use crate::forge;
use crate::keys::SigningKey;
use crate::public_keys::{PublicKeys, PublicKeysError};
use crate::verify::VerifyError;

const ISSUER: &str = "https://sekisho.example";
const CLIENT: &str = "https://client.example/metadata.json";
const NOW: i64 = 1_767_225_600;

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(KeyId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::from_seed(seed))).unwrap()
}

fn set(keys: &[Value]) -> Result<PublicKeys, PublicKeysError> {
    PublicKeys::parse(&json!({ "keys": keys }).to_string())
}

fn good() -> Value {
    json!({ "iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "one" })
}

fn verify(keys: &PublicKeys, assertion: &str) -> Result<AssertionClaims, VerifyError> {
    let client = ClientId::parse(CLIENT).unwrap();
    verify_assertion(keys, assertion, &client, ISSUER, Timestamp::from_second(NOW).unwrap())
}

/// The result of changing one claim of an assertion with a valid signature; `null` removes the claim.
fn changed(name: &str, value: Value) -> Result<AssertionClaims, VerifyError> {
    let key = key(1);
    let mut claims = good();
    claims[name] = value;
    if claims[name].is_null() {
        claims.as_object_mut().unwrap().remove(name);
    }
    let header = json!({ "alg": "ES256", "kid": key.id().to_string() }).to_string();
    verify(&set(&[key.public_jwk()]).unwrap(), &forge::signed(&key, &header, &claims.to_string()))
}

/// AS-34: an assertion signed with the client's published key is accepted, and returns what must be taken once.
#[test]
fn a_good_assertion_is_believed() {
    let exp = Timestamp::from_second(NOW + 60).unwrap();
    assert_eq!(changed("more", json!({ "any": [1] })), Ok(AssertionClaims { jti: "one".to_owned(), exp }));
    assert!(changed("iat", Value::Null).is_ok());
}

/// ATK-34: the audience must be a single string, exactly the issuer.
#[test]
fn an_assertion_for_anything_but_the_issuer_is_refused() {
    for aud in [
        "https://sekisho.example/token",
        "https://sekisho.example/par",
        "https://sekisho.example/",
        "https://other.example",
        "",
    ] {
        assert_eq!(changed("aud", json!(aud)), Err(VerifyError::Audience), "{aud}");
    }
    for aud in [json!([ISSUER]), json!([ISSUER, "https://other.example"]), json!({ "a": ISSUER }), Value::Null] {
        assert_eq!(changed("aud", aud.clone()), Err(VerifyError::Claims), "{aud}");
    }
}

/// AS-34, ATK-33: an assertion authenticates only the client that made it.
#[test]
fn an_assertion_of_another_client_is_refused() {
    for name in ["iss", "sub"] {
        assert_eq!(changed(name, json!("https://client.example/metadata.json/")), Err(VerifyError::Issuer));
        assert_eq!(changed(name, Value::Null), Err(VerifyError::Claims));
        assert_eq!(changed(name, json!([CLIENT])), Err(VerifyError::Claims));
    }
}

/// ATK-35: `jti` is required and bounded, and the lifetime is at most five minutes.
#[test]
fn an_assertion_is_short_lived_and_named() {
    for (name, value, answer) in [
        ("jti", Value::Null, VerifyError::Claims),
        ("jti", json!(""), VerifyError::Claims),
        ("jti", json!(7), VerifyError::Claims),
        ("jti", json!("x".repeat(257)), VerifyError::Claims),
        ("exp", Value::Null, VerifyError::Claims),
        ("exp", json!("1767225660"), VerifyError::Claims),
        ("exp", json!(1_767_225_660.5), VerifyError::Claims),
        ("exp", json!(NOW + 301), VerifyError::Claims),
        ("exp", json!(NOW), VerifyError::Claims),
        ("iat", json!(NOW + 31), VerifyError::NotYetValid),
        ("nbf", json!(NOW + 31), VerifyError::NotYetValid),
        ("iat", json!("0"), VerifyError::Claims),
        ("nbf", json!(-1), VerifyError::Claims),
    ] {
        assert_eq!(changed(name, value.clone()), Err(answer), "{name} {value}");
    }
    assert!(changed("exp", json!(NOW + 300)).is_ok());
    let key = key(1);
    let header = json!({ "alg": "ES256" }).to_string();
    for (exp, good_at_all) in [(NOW + 330, true), (NOW + 331, false), (NOW - 29, true), (NOW - 30, false)] {
        let claims = json!({ "iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": exp, "jti": "one" }).to_string();
        let answer = verify(&set(&[key.public_jwk()]).unwrap(), &forge::signed(&key, &header, &claims));
        assert_eq!(answer.is_ok(), good_at_all, "{}", exp - NOW);
    }
}

/// ATK-43, ATK-54: no other kind of token is accepted, no unknown header member, and no algorithm but that of the key.
#[test]
fn a_crafted_assertion_header_is_refused() {
    let key = key(1);
    let kid = key.id().to_string();
    let keys = set(&[key.public_jwk()]).unwrap();
    let ask = |header: Value| verify(&keys, &forge::signed(&key, &header.to_string(), &good().to_string())).map(|_| ());
    for typ in ["JWT", "jwt", "client-authentication+jwt"] {
        assert_eq!(ask(json!({ "alg": "ES256", "typ": typ })), Ok(()), "{typ}");
    }
    for typ in ["at+jwt", "oauth-id-jag+jwt", "dpop+jwt", "logout+jwt", ""] {
        assert_eq!(ask(json!({ "alg": "ES256", "typ": typ })), Err(VerifyError::Type), "{typ}");
    }
    for alg in ["none", "None", "HS256", "ES384", "RS1", ""] {
        assert_eq!(ask(json!({ "alg": alg, "kid": kid })), Err(VerifyError::Algorithm), "{alg}");
    }
    for alg in ["RS256", "PS256", "EdDSA"] {
        assert_eq!(ask(json!({ "alg": alg, "kid": kid })), Err(VerifyError::Algorithm), "{alg}");
    }
    for member in ["jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc", "cty"] {
        let mut header = json!({ "alg": "ES256", "kid": kid });
        header[member] = json!([]);
        assert_eq!(ask(header), Err(VerifyError::Malformed), "{member}");
    }
    assert_eq!(ask(json!({ "alg": "ES256", "kid": "other" })), Err(VerifyError::UnknownKey));
    let stranger =
        forge::signed(&self::key(2), &json!({ "alg": "ES256", "kid": kid }).to_string(), &good().to_string());
    assert_eq!(verify(&keys, &stranger), Err(VerifyError::Signature));
}

/// ATK-60: without a key name, or with a shared one, a key is used only if it is the only candidate.
#[test]
fn an_ambiguous_key_is_not_guessed() {
    let (one, two) = (key(1), key(2));
    let bare = |key: &SigningKey| {
        let mut jwk = key.public_jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let token = forge::signed(&one, &json!({ "alg": "ES256" }).to_string(), &good().to_string());
    assert!(verify(&set(&[bare(&one)]).unwrap(), &token).is_ok());
    assert!(verify(&set(&[bare(&one), bare(&two)]).unwrap(), &token).is_err());
}

struct Foreign {
    jwk: Value,
    signer: EncodingKey,
}

fn rsa(size: KeySize) -> Foreign {
    let pair = RsaKeyPair::generate(size).unwrap();
    let public = pair.public_key();
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({
        "kty": "RSA", "n": number(public.modulus().big_endian_without_leading_zero()),
        "e": number(public.exponent().big_endian_without_leading_zero()), "kid": "r",
    });
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    // The library takes PKCS#1. For keys of this size, PKCS#8 puts 26 bytes before it.
    Foreign { jwk, signer: EncodingKey::from_rsa_der(&der.as_ref()[26..]) }
}

fn edwards() -> Foreign {
    let pair = Ed25519KeyPair::generate().unwrap();
    let der = pair.to_pkcs8().unwrap();
    let jwk =
        json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()), "kid": "e" });
    Foreign { jwk, signer: EncodingKey::from_ed_der(der.as_ref()) }
}

fn assertion(signer: &EncodingKey, algorithm: Algorithm) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": format!("{algorithm:?}") }).to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(good().to_string()));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), signer, algorithm).unwrap();
    format!("{signed}.{signature}")
}

/// AS-34: each algorithm that a client may choose works only with its own kind of key; a declared `alg` binds the key.
#[test]
fn every_accepted_algorithm_works_with_its_key_only() {
    let (rsa, edwards) = (rsa(KeySize::Rsa2048), edwards());
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        assert!(
            verify(&set(std::slice::from_ref(&rsa.jwk)).unwrap(), &assertion(&rsa.signer, algorithm)).is_ok(),
            "{algorithm:?}"
        );
    }
    assert!(
        verify(&set(std::slice::from_ref(&edwards.jwk)).unwrap(), &assertion(&edwards.signer, Algorithm::EdDSA))
            .is_ok()
    );
    let mut bound = rsa.jwk.clone();
    bound["alg"] = json!("PS256");
    let bound = set(&[bound]).unwrap();
    assert!(verify(&bound, &assertion(&rsa.signer, Algorithm::PS256)).is_ok());
    assert_eq!(verify(&bound, &assertion(&rsa.signer, Algorithm::RS256)), Err(VerifyError::Algorithm));
}

/// ATK-32, ATK-60: which keys make a key set invalid, and which are left out of it.
#[test]
fn a_weak_or_foreign_key_is_not_used() {
    let good = key(1).public_jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk
    };
    let short = json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB" });
    let three = json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 256]), "e": "Aw" });
    for jwk in [
        with("use", json!("enc")),
        with("use", json!(1)),
        with("key_ops", json!(["encrypt"])),
        with("key_ops", json!("verify")),
        with("alg", json!("ES384")),
        with("alg", json!("HS256")),
        with("alg", json!("RS256")),
        with("crv", json!("P-384")),
        with("x", json!(URL_SAFE_NO_PAD.encode([1; 32]))),
        with("x", json!("AA")),
        with("x", json!("A===")),
        with("kty", json!("EC2")),
        with("kid", json!(1)),
        with("kid", json!("")),
        short,
        three,
    ] {
        assert_eq!(set(std::slice::from_ref(&jwk)).unwrap_err(), PublicKeysError::NoUsableKey, "{jwk}");
        assert!(set(&[jwk, good.clone()]).is_ok());
    }
    for secret in [with("d", json!("AA")), json!({ "kty": "oct", "k": "AA" }), json!({ "kty": "oct" })] {
        assert_eq!(set(&[good.clone(), secret]).unwrap_err(), PublicKeysError::Secret);
    }
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[1]}"#,
        r#"{"keys":[],"keys":[]}"#,
        &" ".repeat(PublicKeys::BYTES_MAX + 1),
    ] {
        assert_eq!(PublicKeys::parse(text).unwrap_err(), PublicKeysError::Malformed);
    }
    assert_eq!(set(&vec![good.clone(); PublicKeys::LEN_MAX + 1]).unwrap_err(), PublicKeysError::TooMany);
    assert!(set(&[good]).unwrap().knows(&key(1).id().to_string()));
}
