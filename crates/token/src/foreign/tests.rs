//! What holds for every token of another issuer: form, algorithm, type and key are checked before any claim.

use sekisho_protocol::openid::SigningAlgorithm;
use serde_json::{Value, json};

use super::fixture::{ISSUER, key, keys, token};
use super::{FOREIGN_TOKEN_BYTES_MAX, Making, believe, claimed_issuer, unverified_claims};
use crate::forge;
use crate::verify::VerifyError;

const ES256: &[SigningAlgorithm] = &[SigningAlgorithm::Es256];

fn believed(header: &Value, algorithms: &[SigningAlgorithm]) -> Result<(), VerifyError> {
    let key = key(1);
    let mut header = header.clone();
    if header.get("kid").is_none() {
        header["kid"] = json!(key.id().to_string());
    }
    let token = forge::signed(&key, &header.to_string(), &json!({ "iss": ISSUER }).to_string());
    believe(&keys(&key), &token, Making { algorithms, types: &[None, Some("JWT")] }).map(|_| ())
}

/// ATK-292: the algorithm is the registered one, whatever the token says and whatever the key can be used for.
#[test]
fn a_token_is_believed_in_the_registered_algorithm_only() {
    assert_eq!(believed(&json!({ "alg": "ES256" }), ES256), Ok(()));
    for alg in ["none", "None", "nOnE", "HS256", "RS256", "ES384", "es256", ""] {
        assert_eq!(believed(&json!({ "alg": alg }), ES256), Err(VerifyError::Algorithm), "{alg}");
    }
    assert_eq!(believed(&json!({ "alg": "ES256" }), &[SigningAlgorithm::Rs256]), Err(VerifyError::Algorithm));
    // RS256 is registered, and the token says so, but the key is of another kind.
    assert_eq!(believed(&json!({ "alg": "RS256" }), &[SigningAlgorithm::Rs256]), Err(VerifyError::Algorithm));
    assert_eq!(believed(&json!({ "alg": "ES256" }), &[]), Err(VerifyError::Algorithm));
    for alg in [json!(null), json!(["ES256"]), json!(1)] {
        assert_eq!(believed(&json!({ "alg": alg }), ES256), Err(VerifyError::Malformed), "{alg}");
    }
}

/// ATK-292: refuses `alg: none` with an empty signature, and a signature that is not the issuer's.
#[test]
fn a_token_without_the_issuers_signature_is_refused() {
    let (own, other) = (key(1), key(2));
    let claims = json!({ "iss": ISSUER });
    let making = || Making { algorithms: ES256, types: &[None] };
    let header = json!({ "alg": "none" }).to_string();
    let unsigned = forge::with_signature(&header, &claims.to_string(), b"");
    assert_eq!(believe(&keys(&own), &unsigned, making()).unwrap_err(), VerifyError::Algorithm);
    assert_eq!(believe(&keys(&own), &token(&other, None, &claims), making()).unwrap_err(), VerifyError::UnknownKey);
    let posing = json!({ "alg": "ES256", "kid": own.id().to_string() }).to_string();
    let forged = forge::signed(&other, &posing, &claims.to_string());
    assert_eq!(believe(&keys(&own), &forged, making()).unwrap_err(), VerifyError::Signature);
    for cut in ["", ".", "..", "a.b", "a.b.c.d.e"] {
        assert_eq!(believe(&keys(&own), cut, making()).unwrap_err(), VerifyError::Malformed, "{cut}");
    }
}

/// ATK-54: no header member brings a key or changes how the token is read; members that only inform are allowed.
#[test]
fn a_header_brings_no_key_and_no_extension() {
    for name in ["b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"] {
        assert_eq!(believed(&json!({ "alg": "ES256", name: [] }), ES256), Err(VerifyError::Malformed), "{name}");
    }
    assert_eq!(believed(&json!({ "alg": "ES256", "x5t": "abc", "typ": "JWT", "cty": "x" }), ES256), Ok(()));
    let key = key(1);
    let twice = format!(r#"{{"alg":"ES256","alg":"ES256","kid":"{}"}}"#, key.id());
    let token = forge::signed(&key, &twice, "{}");
    let making = Making { algorithms: ES256, types: &[None] };
    assert_eq!(believe(&keys(&key), &token, making).unwrap_err(), VerifyError::Malformed);
}

/// RFC 8725 §3.11: a token of another type is refused.
#[test]
fn a_type_is_compared_without_its_case_and_its_media_prefix() {
    for (typ, expected) in [
        ("JWT", Ok(())),
        ("jwt", Ok(())),
        ("application/jwt", Ok(())),
        ("at+jwt", Err(VerifyError::Type)),
        ("oauth-id-jag+jwt", Err(VerifyError::Type)),
        ("logout+jwt", Err(VerifyError::Type)),
        ("", Err(VerifyError::Type)),
    ] {
        assert_eq!(believed(&json!({ "alg": "ES256", "typ": typ }), ES256), expected, "{typ}");
    }
}

/// ATK-291: a token with thousands of groups is read, and one beyond the bound is not.
#[test]
fn a_long_token_is_read_up_to_its_bound() {
    let key = key(1);
    let making = || Making { algorithms: ES256, types: &[None] };
    let groups: Vec<String> = (0..5000).map(|n| format!("3f2a{n:032}")).collect();
    let long = token(&key, None, &json!({ "iss": ISSUER, "groups": groups }));
    assert!(long.len() > 200_000 && believe(&keys(&key), &long, making()).is_ok());
    let longer = token(&key, None, &json!({ "iss": ISSUER, "x": "x".repeat(FOREIGN_TOKEN_BYTES_MAX) }));
    assert_eq!(believe(&keys(&key), &longer, making()).unwrap_err(), VerifyError::Malformed);
}

#[test]
fn what_a_token_says_of_itself_can_be_shown_before_it_is_believed() {
    let token = token(&key(1), None, &json!({ "iss": ISSUER, "exp": 1 }));
    assert_eq!(claimed_issuer(&token).as_deref(), Some(ISSUER));
    assert_eq!(unverified_claims(&token).unwrap()["exp"], 1);
    assert_eq!(claimed_issuer("x"), None);
    assert_eq!(claimed_issuer(&self::token(&key(1), None, &json!({ "iss": 7 }))), None);
}
