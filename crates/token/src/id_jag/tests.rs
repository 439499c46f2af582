//! Assertions as data: each differs from a valid one only in the named way.

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::scope::ScopeSet;
use serde_json::{Value, json};

use super::{IdJag, IdJagError, IdJagExpectation, verify_id_jag};
use crate::foreign::fixture::{ISSUER, NOW, key, keys, now, token, with};
use crate::verify::VerifyError;

const US: &str = "https://sekisho.example";
const SERVER: &str = "https://sekisho.example/mcp/notes";
const AGENT: &str = "cli_agent";

fn good() -> Value {
    json!({ "iss": ISSUER, "sub": "ada-1", "aud": US, "client_id": AGENT, "resource": SERVER, "scope": "b c",
        "jti": "one", "iat": NOW, "exp": NOW + 300, "email": "ada@example.com" })
}

fn verify(typ: Option<&str>, claims: &Value) -> Result<IdJag, IdJagError> {
    let (key, client) = (key(1), ClientId::parse(AGENT).unwrap());
    let expect = IdJagExpectation {
        issuer: ISSUER,
        audience: US,
        client: &client,
        algorithms: &[SigningAlgorithm::Es256, SigningAlgorithm::Rs256],
        now: now(),
    };
    verify_id_jag(&keys(&key), &token(&key, typ, claims), &expect)
}

fn changed(name: &str, value: Value) -> Result<IdJag, IdJagError> {
    verify(Some(IdJag::TYPE), &with(good(), name, &value))
}

/// AS-48, AS-50: a valid assertion is accepted, and returns the person and what it is for.
#[test]
fn a_good_assertion_is_believed() {
    let believed = changed("amr", json!(["mfa"])).unwrap();
    assert_eq!((believed.subject.as_str(), believed.jti.as_str()), ("ada-1", "one"));
    assert_eq!(believed.resources.iter().map(|one| one.as_str()).collect::<Vec<_>>(), [SERVER]);
    assert_eq!(believed.claims["amr"], json!(["mfa"]));
    assert!(changed("aud", json!([US])).is_ok());
    assert!(verify(Some("application/oauth-id-jag+jwt"), &good()).is_ok());
    let two = changed("resource", json!([SERVER, "https://sekisho.example/mcp/mail"])).unwrap();
    assert_eq!(two.resources.len(), 2);
}

/// AS-48, ATK-43: no other token of the same provider is accepted as an assertion.
#[test]
fn only_the_type_of_an_assertion_is_taken() {
    for typ in [None, Some("JWT"), Some("at+jwt"), Some("logout+jwt"), Some("id-jag+jwt"), Some("")] {
        assert_eq!(verify(typ, &good()), Err(VerifyError::Type.into()), "{typ:?}");
    }
}

/// AS-50, AS-51, AS-52: one changed claim in each case.
#[test]
fn an_assertion_for_another_party_is_refused() {
    let token = |error: VerifyError| Err(IdJagError::Token(error));
    for iss in ["https://login.example/realm/", "https://other.example"] {
        assert_eq!(changed("iss", json!(iss)), token(VerifyError::Issuer), "{iss}");
    }
    for aud in
        [json!("https://sekisho.example/"), json!("https://sekisho.example/oauth/token"), json!([US, "https://b"])]
    {
        assert_eq!(changed("aud", aud.clone()), token(VerifyError::Audience), "{aud}");
    }
    for client in ["cli_other", "", "CLI_AGENT"] {
        assert_eq!(changed("client_id", json!(client)), Err(IdJagError::Client), "{client}");
    }
    let nine: Vec<String> = (0..9).map(|n| format!("{US}/mcp/s{n}")).collect();
    for resource in [Value::Null, json!("notes"), json!(""), json!(["https://a", "x"]), json!(nine)] {
        assert_eq!(changed("resource", resource.clone()), Err(IdJagError::Resource), "{resource}");
    }
    assert_eq!(changed("resource", json!([])), token(VerifyError::Claims));
    assert_eq!(changed("scope", json!("a\"b")), Err(IdJagError::Scope));
    assert_eq!(changed("cnf", json!({ "jkt": "x" })), Err(IdJagError::Confirmation));
    for name in ["iss", "sub", "aud", "client_id", "jti", "iat", "exp"] {
        assert_eq!(changed(name, Value::Null), token(VerifyError::Claims), "{name}");
    }
    for (name, value) in [("sub", json!("")), ("sub", json!("é")), ("jti", json!("")), ("jti", json!("x".repeat(257)))]
    {
        assert_eq!(changed(name, value.clone()), token(VerifyError::Claims), "{name} {value}");
    }
}

/// AS-50, ATK-295: an assertion lives at most ten minutes, and is refused before and after its time.
#[test]
fn an_assertion_is_taken_in_its_time_only() {
    let life = |iat: i64, exp: i64| {
        let claims = with(with(good(), "iat", &json!(iat)), "exp", &json!(exp));
        verify(Some(IdJag::TYPE), &claims).map(|_| ())
    };
    assert_eq!(life(NOW, NOW + IdJag::LIFETIME_SECONDS_MAX), Ok(()));
    assert_eq!(life(NOW, NOW + IdJag::LIFETIME_SECONDS_MAX + 1), Err(VerifyError::Claims.into()));
    assert_eq!(life(NOW - 300, NOW - 29), Ok(()));
    assert_eq!(life(NOW - 300, NOW - 30), Err(VerifyError::Expired.into()));
    assert_eq!(life(NOW + 30, NOW + 300), Ok(()));
    assert_eq!(life(NOW + 31, NOW + 300), Err(VerifyError::NotYetValid.into()));
    assert_eq!(changed("nbf", json!(NOW + 31)), Err(VerifyError::NotYetValid.into()));
}

/// AS-55: if `a b` is asked for and `b c` is asserted, `b` is granted.
#[test]
fn no_scope_is_granted_that_the_assertion_does_not_allow() {
    let asserted = changed("more", json!(1)).unwrap();
    let granted = |jag: &IdJag, asked: &str| {
        let asked: ScopeSet = asked.parse().unwrap();
        jag.granted(Some(&asked)).to_string()
    };
    assert_eq!(granted(&asserted, "a b"), "b");
    assert_eq!(granted(&asserted, "a"), "");
    assert_eq!(asserted.granted(None).to_string(), "b c");
    // Scopes that include others: the smaller of the two is granted.
    let narrow = changed("scope", json!("mcp:read")).unwrap();
    assert_eq!(granted(&narrow, "mcp:write"), "mcp:read");
    let wide = changed("scope", json!("mcp:destructive")).unwrap();
    assert_eq!(granted(&wide, "mcp:read tool:x"), "mcp:read");
    let silent = changed("scope", Value::Null).unwrap();
    assert!(silent.granted(None).is_empty() && granted(&silent, "b").is_empty());
}
