//! Access tokens of other issuers as data: each differs from a valid one only in the named way.

use sekisho_protocol::openid::SigningAlgorithm;
use serde_json::{Value, json};

use super::{ForeignAccess, ForeignAccessExpectation, TokenType, verify_foreign_access};
use crate::foreign::fixture::{ISSUER, NOW, key, keys, now, token, with};
use crate::verify::VerifyError;

const SERVER: &str = "https://sekisho.example/mcp/notes";

fn good() -> Value {
    json!({ "iss": ISSUER, "sub": "ada-1", "aud": SERVER, "client_id": "agent", "scope": "read write", "jti": "one",
        "iat": NOW - 10, "exp": NOW + 3600 })
}

fn verify(
    typed: TokenType,
    typ: Option<&str>,
    audiences: &[&str],
    claims: &Value,
) -> Result<ForeignAccess, VerifyError> {
    let key = key(1);
    let audiences: Vec<String> = audiences.iter().map(|&one| one.to_owned()).collect();
    let expect = ForeignAccessExpectation {
        issuer: ISSUER,
        audiences: &audiences,
        algorithms: &[SigningAlgorithm::Es256],
        typed,
        now: now(),
    };
    verify_foreign_access(&keys(&key), &token(&key, typ, claims), &expect)
}

fn changed(name: &str, value: Value) -> Result<ForeignAccess, VerifyError> {
    verify(TokenType::AtJwt, Some("at+jwt"), &[SERVER], &with(good(), name, &value))
}

fn untyped(claims: &Value) -> Result<ForeignAccess, VerifyError> {
    verify(TokenType::Untyped, Some("JWT"), &["api://notes", "f00d"], claims)
}

#[test]
fn the_forms_of_real_issuers_are_believed() {
    let believed = changed("more", json!(1)).unwrap();
    assert_eq!((believed.subject.as_str(), believed.client.as_str()), ("ada-1", "agent"));
    assert_eq!(believed.scopes.to_string(), "read write");
    // Entra ID, version 1 and 2; Okta; Keycloak.
    let base = json!({ "iss": ISSUER, "sub": "ada-1", "iat": NOW, "exp": NOW + 60 });
    let form = |more: Value| {
        let mut claims = base.clone();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        untyped(&claims).map(|token| (token.client.as_str().to_owned(), token.scopes.to_string()))
    };
    let expected = || Ok(("agent".to_owned(), "a b".to_owned()));
    assert_eq!(form(json!({ "aud": "api://notes", "appid": "agent", "scp": "b a", "ver": "1.0" })), expected());
    assert_eq!(form(json!({ "aud": "f00d", "azp": "agent", "scp": "b a", "ver": "2.0" })), expected());
    assert_eq!(form(json!({ "aud": "api://notes", "cid": "agent", "scp": ["b", "a"] })), expected());
    assert_eq!(
        form(json!({ "aud": ["account", "f00d"], "azp": "agent", "scope": "b a", "typ": "Bearer" })),
        expected()
    );
}

/// ATK-43, ATK-296: an ID token is not accepted as an access token, even if its client's identifier is the audience.
#[test]
fn another_kind_of_token_gives_no_access() {
    for typ in [None, Some("JWT"), Some("logout+jwt"), Some("oauth-id-jag+jwt")] {
        assert_eq!(verify(TokenType::AtJwt, typ, &[SERVER], &good()), Err(VerifyError::Type), "{typ:?}");
    }
    let loose = with(with(good(), "aud", &json!("f00d")), "azp", &json!("agent"));
    assert!(untyped(&loose).is_ok());
    for (name, value) in [
        ("nonce", json!("n")),
        ("at_hash", json!("h")),
        ("c_hash", json!("h")),
        ("s_hash", json!("h")),
        ("events", json!({})),
        ("typ", json!("ID")),
        ("typ", json!("Refresh")),
        // The token is bound to a key whose proof is not checked here, so a thief could use it.
        ("cnf", json!({ "jkt": "x" })),
    ] {
        assert_eq!(untyped(&with(loose.clone(), name, &value)), Err(VerifyError::Type), "{name} {value}");
    }
    assert_eq!(verify(TokenType::Untyped, Some("oauth-id-jag+jwt"), &["f00d"], &loose), Err(VerifyError::Type));
}

/// ATK-52, ATK-296: a token for another server or client, or of another issuer, is refused.
#[test]
fn a_token_for_another_server_gives_no_access() {
    for aud in
        [json!("https://sekisho.example/mcp/notes/"), json!("https://sekisho.example"), json!(["other"]), json!("")]
    {
        assert_eq!(changed("aud", aud.clone()), Err(VerifyError::Audience), "{aud}");
    }
    assert_eq!(verify(TokenType::AtJwt, Some("at+jwt"), &[], &good()), Err(VerifyError::Audience));
    assert_eq!(changed("iss", json!("https://login.example/realm2")), Err(VerifyError::Issuer));
    for (name, value) in [
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("exp", Value::Null),
        ("client_id", Value::Null),
        ("client_id", json!("")),
        ("client_id", json!(7)),
        ("azp", json!("another")),
        ("scope", json!(["a"])),
        ("scope", json!("a\"")),
        ("scp", json!("a")),
    ] {
        assert_eq!(changed(name, value.clone()), Err(VerifyError::Claims), "{name} {value}");
    }
    assert_eq!(changed("scope", Value::Null).unwrap().scopes.to_string(), "");
}

#[test]
fn a_foreign_token_gives_access_in_its_time_only() {
    assert_eq!(changed("exp", json!(NOW - 30)), Err(VerifyError::Claims), "it ends before it begins");
    let aged = with(good(), "iat", &json!(NOW - 3600));
    let at = |exp: i64| {
        verify(TokenType::AtJwt, Some("at+jwt"), &[SERVER], &with(aged.clone(), "exp", &json!(exp))).map(|_| ())
    };
    assert_eq!((at(NOW - 29), at(NOW - 30)), (Ok(()), Err(VerifyError::Expired)));
    assert_eq!(changed("nbf", json!(NOW + 31)), Err(VerifyError::NotYetValid));
    assert_eq!(changed("iat", json!(NOW + 31)), Err(VerifyError::NotYetValid));
    let long = NOW + ForeignAccess::LIFETIME_SECONDS_MAX;
    assert_eq!(changed("exp", json!(long)), Err(VerifyError::Claims));
}
