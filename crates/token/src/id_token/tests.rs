//! ID tokens as data: each differs from a valid one only in the named way.

use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::secret::AccessToken;
use serde_json::{Value, json};

use super::{IdToken, IdTokenError, IdTokenExpectation, verify_id_token};
use crate::foreign::fixture::{CLIENT, ISSUER, NOW, key, keys, now, token, with};
use crate::public_keys::PublicKeys;
use crate::verify::VerifyError;

const NONCE: &str = "the nonce of this sign-in";
const ACCESS: &str = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
/// The pair of access token and hash in OpenID Connect Core 1.0, appendix A.3.
const AT_HASH: &str = "77QmUPtjPfzWtF2AnpK9RQ";

fn good() -> Value {
    json!({ "iss": ISSUER, "sub": "ada-1", "aud": CLIENT, "exp": NOW + 300, "iat": NOW - 5, "nonce": NONCE,
        "at_hash": AT_HASH, "sid": "s-1", "auth_time": NOW - 60, "acr": "mfa", "email": "ada@example.com" })
}

/// Verifies these claims, with a changed expectation.
fn verify(
    claims: &Value,
    change: impl for<'a> Fn(IdTokenExpectation<'a>) -> IdTokenExpectation<'a>,
) -> Result<IdToken, IdTokenError> {
    let key = key(1);
    verify_text(&keys(&key), &token(&key, Some("JWT"), claims), change)
}

/// Verifies this token with these keys, with a changed expectation.
fn verify_text(
    keys: &PublicKeys,
    text: &str,
    change: impl for<'a> Fn(IdTokenExpectation<'a>) -> IdTokenExpectation<'a>,
) -> Result<IdToken, IdTokenError> {
    let (client, access) = (ClientId::parse(CLIENT).unwrap(), AccessToken::from_outside(ACCESS));
    let expect = IdTokenExpectation {
        issuer: ISSUER,
        client: &client,
        other_audiences: &[],
        algorithm: SigningAlgorithm::Es256,
        nonce: NONCE,
        access_token: &access,
        max_age_seconds: None,
        acr_required: &[],
        now: now(),
    };
    verify_id_token(keys, text, &change(expect))
}

/// The result of changing one claim; `null` removes the claim.
fn changed(name: &str, value: Value) -> Result<IdToken, IdTokenError> {
    verify(&with(good(), name, &value), |expect| expect)
}

#[test]
fn a_good_id_token_is_believed() {
    let believed = changed("more", json!({ "any": [1] })).unwrap();
    assert_eq!((believed.subject.as_str(), believed.session.as_deref()), ("ada-1", Some("s-1")));
    assert_eq!(believed.authenticated_at, Some(Timestamp::from_second(NOW - 60).unwrap()));
    assert_eq!(believed.claims["email"], "ada@example.com");
    for optional in ["at_hash", "sid", "auth_time", "acr", "email"] {
        assert!(changed(optional, Value::Null).is_ok(), "{optional}");
    }
    assert!(changed("azp", json!(CLIENT)).is_ok() && changed("aud", json!([CLIENT])).is_ok());
}

/// ATK-293: refuses a token that the provider made for another client, even if it names us as well.
#[test]
fn an_id_token_for_another_client_is_refused() {
    let audience = || Err(IdTokenError::Token(VerifyError::Audience));
    for aud in [json!("other"), json!(["other"]), json!(CLIENT.to_uppercase()), json!("")] {
        assert_eq!(changed("aud", aud.clone()), audience(), "{aud}");
    }
    for aud in [json!([]), json!({ "a": CLIENT }), json!([7]), Value::Null] {
        assert_eq!(changed("aud", aud.clone()), Err(VerifyError::Claims.into()), "{aud}");
    }
    assert_eq!(changed("azp", json!("other")), Err(IdTokenError::AuthorizedParty));
    let both = with(good(), "aud", &json!([CLIENT, "api"]));
    assert_eq!(verify(&both, |expect| expect), Err(IdTokenError::OtherAudience));
    // §3.1.3.7, 4: with several audiences, `azp` names the client that asked.
    let trusted = ["api".to_owned()];
    let trust = |claims: &Value| {
        let (key, client, access) = (key(1), ClientId::parse(CLIENT).unwrap(), AccessToken::from_outside(ACCESS));
        let expect = IdTokenExpectation {
            issuer: ISSUER,
            client: &client,
            other_audiences: &trusted,
            algorithm: SigningAlgorithm::Es256,
            nonce: NONCE,
            access_token: &access,
            max_age_seconds: None,
            acr_required: &[],
            now: now(),
        };
        verify_id_token(&keys(&key), &token(&key, None, claims), &expect)
    };
    assert_eq!(trust(&both), Err(IdTokenError::AuthorizedParty));
    assert!(trust(&with(both.clone(), "azp", &json!(CLIENT))).is_ok());
    assert_eq!(trust(&with(both, "azp", &json!("api"))), Err(IdTokenError::AuthorizedParty));
}

/// ATK-22, ATK-293: refuses a token of another sign-in, or of none.
#[test]
fn an_id_token_of_another_sign_in_is_refused() {
    for nonce in [json!("another"), json!(""), json!(format!("{NONCE} ")), Value::Null] {
        assert_eq!(changed("nonce", nonce.clone()), Err(IdTokenError::Nonce), "{nonce}");
    }
    assert_eq!(changed("nonce", json!(7)), Err(VerifyError::Claims.into()));
    let empty = with(good(), "nonce", &json!(""));
    assert_eq!(verify(&empty, |expect| IdTokenExpectation { nonce: "", ..expect }), Err(IdTokenError::Nonce));
    for hash in ["", "77QmUPtjPfzWtF2AnpK9RR", "77QmUPtjPfzWtF2AnpK9RQ=="] {
        assert_eq!(changed("at_hash", json!(hash)), Err(IdTokenError::AccessTokenHash), "{hash}");
    }
}

#[test]
fn an_id_token_of_another_issuer_is_refused() {
    for iss in ["https://login.example/realm/", "https://login.example", "https://evil.example/realm", ""] {
        assert_eq!(changed("iss", json!(iss)), Err(VerifyError::Issuer.into()), "{iss}");
    }
}

/// The first and last second of each time window, and one second beyond.
#[test]
fn an_id_token_is_believed_in_its_time_and_a_minute_around_it() {
    let expired = Err(IdTokenError::Token(VerifyError::Expired));
    let early = Err(IdTokenError::Token(VerifyError::NotYetValid));
    let leeway = i64::from(IdToken::LEEWAY_SECONDS);
    let aged = with(good(), "iat", &json!(NOW - 300));
    let at_exp = |exp: i64| verify(&with(aged.clone(), "exp", &json!(exp)), |expect| expect).map(|_| ());
    assert_eq!(at_exp(NOW - leeway + 1), Ok(()));
    assert_eq!(at_exp(NOW - leeway), expired);
    let at_iat = |iat: i64| changed("iat", json!(iat)).map(|_| ());
    assert_eq!(at_iat(NOW + leeway), Ok(()));
    assert_eq!(at_iat(NOW + leeway + 1), early);
    assert_eq!(at_iat(NOW - IdToken::AGE_SECONDS_MAX), Ok(()));
    assert_eq!(at_iat(NOW - IdToken::AGE_SECONDS_MAX - 1), Err(IdTokenError::Stale));
    let at_nbf = |nbf: i64| changed("nbf", json!(nbf)).map(|_| ());
    assert_eq!((at_nbf(NOW + leeway), at_nbf(NOW + leeway + 1)), (Ok(()), early));
    for (name, value) in [
        ("exp", Value::Null),
        ("iat", Value::Null),
        ("exp", json!(1.5)),
        ("iat", json!("1")),
        ("exp", json!(i64::MAX)),
        ("exp", json!(NOW + IdToken::LIFETIME_SECONDS_MAX)),
        ("iat", json!(-1)),
    ] {
        assert_eq!(changed(name, value.clone()), Err(VerifyError::Claims.into()), "{name} {value}");
    }
}

/// `max_age` and `acr`: what was asked for has to be in the token.
#[test]
fn the_kind_and_the_time_of_the_authentication_are_held_to() {
    let aged = |claims: &Value, max: u32| {
        verify(claims, |expect| IdTokenExpectation { max_age_seconds: Some(max), ..expect }).map(|_| ())
    };
    assert_eq!(aged(&good(), 60), Ok(()));
    assert_eq!(aged(&with(good(), "auth_time", &json!(NOW - 120)), 60), Ok(()));
    assert_eq!(aged(&with(good(), "auth_time", &json!(NOW - 121)), 60), Err(IdTokenError::AuthenticationTime));
    // RFC 7519 §2: a moment may have a fraction, and some providers write one.
    assert_eq!(aged(&with(good(), "auth_time", &json!(NOW as f64 - 119.25)), 60), Ok(()));
    let late = with(good(), "auth_time", &json!(NOW as f64 - 120.25));
    assert_eq!(aged(&late, 60), Err(IdTokenError::AuthenticationTime));
    assert_eq!(aged(&with(good(), "auth_time", &json!(1e300)), 60), Err(VerifyError::Claims.into()));
    assert_eq!(aged(&with(good(), "auth_time", &Value::Null), 3600), Err(IdTokenError::AuthenticationTime));
    assert_eq!(changed("auth_time", json!(NOW + 61)), Err(IdTokenError::AuthenticationTime));
    let required = ["phr".to_owned(), "mfa".to_owned()];
    let with_acr = |acr: Value| {
        let (key, client, access) = (key(1), ClientId::parse(CLIENT).unwrap(), AccessToken::from_outside(ACCESS));
        let expect = IdTokenExpectation {
            issuer: ISSUER,
            client: &client,
            other_audiences: &[],
            algorithm: SigningAlgorithm::Es256,
            nonce: NONCE,
            access_token: &access,
            max_age_seconds: None,
            acr_required: &required,
            now: now(),
        };
        verify_id_token(&keys(&key), &token(&key, None, &with(good(), "acr", &acr)), &expect).map(|_| ())
    };
    assert_eq!(with_acr(json!("mfa")), Ok(()));
    for acr in [json!("pwd"), json!(""), Value::Null] {
        assert_eq!(with_acr(acr.clone()), Err(IdTokenError::AuthenticationContext), "{acr}");
    }
}

#[test]
fn a_subject_has_1_to_255_ascii_characters() {
    assert!(changed("sub", json!("x".repeat(255))).is_ok());
    assert!(changed("sub", json!("uid=ada, ou=people")).is_ok());
    for sub in [json!(""), json!("x".repeat(256)), json!("é"), json!("a\u{0}"), Value::Null] {
        assert_eq!(changed("sub", sub.clone()), Err(IdTokenError::Subject), "{sub}");
    }
    assert_eq!(changed("sub", json!(7)), Err(VerifyError::Claims.into()));
    for sid in [json!(""), json!("x".repeat(257)), json!("a\n")] {
        assert_eq!(changed("sid", sid.clone()), Err(VerifyError::Claims.into()), "{sid}");
    }
}

/// ATK-43: no other kind of token is accepted as an ID token.
#[test]
fn another_kind_of_token_is_no_id_token() {
    let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    assert_eq!(changed("events", events), Err(VerifyError::Type.into()));
    let key = key(1);
    for typ in ["at+jwt", "logout+jwt", "oauth-id-jag+jwt", "dpop+jwt"] {
        let found = verify_text(&keys(&key), &token(&key, Some(typ), &good()), |expect| expect);
        assert_eq!(found, Err(VerifyError::Type.into()), "{typ}");
    }
    // Only for a missing key is it worth fetching the keys again.
    let other = crate::foreign::fixture::key(2);
    let unknown = verify_text(&keys(&other), &token(&key, None, &good()), |expect| expect).unwrap_err();
    assert!(unknown.lacks_key() && !IdTokenError::Nonce.lacks_key());
}
