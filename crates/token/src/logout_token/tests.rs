//! Logout tokens as data: each differs from a valid one only in the named way.

use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use serde_json::{Value, json};

use super::{LogoutToken, LogoutTokenError, LogoutTokenExpectation, verify_logout_token};
use crate::foreign::fixture::{CLIENT, ISSUER, NOW, key, keys, now, token, with};
use crate::verify::VerifyError;

fn good() -> Value {
    json!({ "iss": ISSUER, "sub": "ada-1", "sid": "s-1", "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "one",
        "events": { LogoutToken::EVENT: {} } })
}

fn verify(typ: Option<&str>, claims: &Value) -> Result<LogoutToken, LogoutTokenError> {
    let (key, client) = (key(1), ClientId::parse(CLIENT).unwrap());
    let expect =
        LogoutTokenExpectation { issuer: ISSUER, client: &client, algorithm: SigningAlgorithm::Es256, now: now() };
    verify_logout_token(&keys(&key), &token(&key, typ, claims), &expect)
}

fn changed(name: &str, value: Value) -> Result<LogoutToken, LogoutTokenError> {
    verify(Some("logout+jwt"), &with(good(), name, &value))
}

#[test]
fn a_good_logout_token_names_what_ends() {
    let expected = LogoutToken {
        jti: "one".to_owned(),
        subject: Some("ada-1".to_owned()),
        session: Some("s-1".to_owned()),
        exp: Timestamp::from_second(NOW + 120).unwrap(),
    };
    for typ in [None, Some("JWT"), Some("logout+jwt")] {
        assert_eq!(verify(typ, &good()), Ok(expected.clone()), "{typ:?}");
    }
    assert_eq!(changed("sid", Value::Null).unwrap().session, None);
    assert_eq!(changed("sub", Value::Null).unwrap().subject, None);
    let neither = with(with(good(), "sub", &Value::Null), "sid", &Value::Null);
    assert_eq!(verify(None, &neither), Err(LogoutTokenError::NobodyNamed));
}

/// ATK-294: a stolen ID token cannot be used to end a session.
#[test]
fn an_id_token_is_no_logout_token() {
    let id_token = json!({ "iss": ISSUER, "sub": "ada-1", "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "one",
        "nonce": "n", "sid": "s-1" });
    assert_eq!(verify(Some("JWT"), &id_token), Err(LogoutTokenError::Nonce));
    assert_eq!(verify(None, &with(id_token, "nonce", &Value::Null)), Err(LogoutTokenError::Event));
    assert_eq!(changed("nonce", json!("n")), Err(LogoutTokenError::Nonce));
    for typ in ["at+jwt", "oauth-id-jag+jwt"] {
        assert_eq!(verify(Some(typ), &good()), Err(VerifyError::Type.into()), "{typ}");
    }
    for events in [json!({}), json!({ "other": {} }), json!({ LogoutToken::EVENT: true }), Value::Null] {
        assert_eq!(changed("events", events.clone()), Err(LogoutTokenError::Event), "{events}");
    }
    assert_eq!(changed("events", json!([LogoutToken::EVENT])), Err(VerifyError::Claims.into()));
}

#[test]
fn a_logout_token_for_others_or_of_another_time_is_refused() {
    assert_eq!(changed("aud", json!("other")), Err(VerifyError::Audience.into()));
    assert_eq!(changed("iss", json!("https://evil.example")), Err(VerifyError::Issuer.into()));
    let aged = with(good(), "iat", &json!(NOW - 300));
    assert_eq!(verify(None, &with(aged, "exp", &json!(NOW - 60))), Err(VerifyError::Expired.into()));
    assert_eq!(changed("iat", json!(NOW + 61)), Err(VerifyError::NotYetValid.into()));
    assert_eq!(changed("iat", json!(NOW - LogoutToken::AGE_SECONDS_MAX - 1)), Err(LogoutTokenError::Stale));
    for (name, value) in [
        ("exp", json!(NOW + LogoutToken::LIFETIME_SECONDS_MAX + 1)),
        ("exp", Value::Null),
        ("iat", Value::Null),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
        ("sub", json!("")),
        ("sid", json!("")),
        ("sid", json!(7)),
    ] {
        assert_eq!(changed(name, value.clone()), Err(VerifyError::Claims.into()), "{name} {value}");
    }
}
