use std::sync::Arc;

use jiff::Timestamp;
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::{AccessToken, ClientSecret};
use serde_json::{Value, json};

use super::{Introspection, IntrospectionError};
use crate::fixtures::{ISSUER, RESOURCE, registration, server};
use crate::http::Scripted;

const LINE: &str = "POST https://issuer.test/introspect";
const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOW + second).unwrap()
}

fn good() -> Value {
    json!({ "active": true, "iss": ISSUER, "sub": "ada-1", "client_id": "agent", "scope": "read", "aud": [RESOURCE],
        "token_type": "Bearer", "exp": NOW + 3600 })
}

fn world(http: Scripted) -> (Arc<Scripted>, Introspection) {
    let http = Arc::new(http);
    let mut registration = registration();
    registration.authentication = ClientAuthentication::ClientSecretBasic;
    registration.secret = Some(ClientSecret::from_outside("hidden"));
    let endpoint = "https://issuer.test/introspect".to_owned();
    let client: Arc<dyn crate::http::HttpClient> = http.clone();
    (http, Introspection::new(client, server(), registration, endpoint, Arc::new(SeededEntropy::default())))
}

async fn asked(introspection: &Introspection, second: i64) -> Result<String, IntrospectionError> {
    let audiences = [RESOURCE.to_owned()];
    let token = AccessToken::from_outside("opaque");
    introspection.ask(&token, &audiences, at(second)).await.map(|token| token.subject.clone())
}

#[tokio::test]
async fn an_active_token_is_asked_about_as_the_client() {
    let (http, introspection) = world(Scripted::default().json(LINE, 200, &good()));
    assert_eq!(asked(&introspection, 0).await.unwrap(), "ada-1");
    let sent = &http.sent()[0];
    assert_eq!(sent.form()["token"], "opaque");
    assert!(sent.header("authorization").starts_with("Basic "));
}

/// ATK-297: a response is used no longer than the token lives, and half a minute at most.
#[tokio::test]
async fn an_answer_is_remembered_no_longer_than_the_token_lives() {
    let (http, introspection) = world(Scripted::default().json(LINE, 200, &good()));
    for (second, requests) in [(0, 1), (29, 1), (30, 2), (59, 2), (60, 3)] {
        asked(&introspection, second).await.unwrap();
        assert_eq!(http.sent().len(), requests, "after {second} seconds");
    }
    let mut short = good();
    short["exp"] = json!(NOW + 5);
    let inactive = json!({ "active": false });
    let (http, introspection) = world(Scripted::default().json(LINE, 200, &short).json(LINE, 200, &inactive));
    assert!(asked(&introspection, 4).await.is_ok());
    assert!(matches!(asked(&introspection, 5).await, Err(IntrospectionError::Inactive)));
    assert_eq!(http.sent().len(), 2);
    // A refusal is remembered for ten seconds.
    assert!(asked(&introspection, 14).await.is_err());
    assert_eq!(http.sent().len(), 2);
    assert!(asked(&introspection, 15).await.is_err());
    assert_eq!(http.sent().len(), 3);
}

/// ATK-297: a response in which a member is missing on which access depends, or is about another server.
#[tokio::test]
async fn an_answer_that_says_too_little_gives_no_access() {
    for (name, value, expected) in [
        ("active", json!(false), "not active"),
        ("active", json!("true"), "`active`"),
        ("active", Value::Null, "`active`"),
        ("iss", json!("https://other.test"), "`iss`"),
        ("sub", Value::Null, "`sub`"),
        ("sub", json!(""), "`sub`"),
        ("sub", json!("é"), "`sub`"),
        ("client_id", Value::Null, "`client_id`"),
        ("aud", Value::Null, "`aud`"),
        ("aud", json!([]), "`aud`"),
        ("aud", json!("https://server.test/mcp/mail"), "not for this server"),
        ("exp", json!(NOW), "not active"),
        ("nbf", json!(NOW + 1), "not active"),
        ("token_type", json!("DPoP"), "`token_type`"),
        ("cnf", json!({ "jkt": "x" }), "`token_type`"),
        ("scope", json!("a\"b"), "`scope`"),
    ] {
        let mut answer = good();
        answer[name] = value.clone();
        if value.is_null() {
            answer.as_object_mut().unwrap().remove(name);
        }
        let (_, introspection) = world(Scripted::default().json(LINE, 200, &answer));
        let error = asked(&introspection, 0).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{name} {value}: {error}");
    }
    for optional in ["iss", "exp", "token_type", "scope"] {
        let mut answer = good();
        answer.as_object_mut().unwrap().remove(optional);
        let (_, introspection) = world(Scripted::default().json(LINE, 200, &answer));
        assert!(asked(&introspection, 0).await.is_ok(), "{optional}");
    }
}

/// If an issuer does not respond, the next caller asks it again; until then there is no access.
#[tokio::test]
async fn an_issuer_that_fails_gives_no_access() {
    let failing =
        Scripted::default().json(LINE, 500, &json!({})).json(LINE, 401, &json!({ "error": "invalid_client" }));
    let (http, introspection) = world(failing.json(LINE, 200, &good()));
    for _ in 0..2 {
        assert!(matches!(asked(&introspection, 0).await, Err(IntrospectionError::Ask(_))));
    }
    assert!(asked(&introspection, 0).await.is_ok());
    assert_eq!(http.sent().len(), 3);
}

#[tokio::test]
async fn many_with_one_token_cause_one_request() {
    let (http, introspection) = world(Scripted::default().json(LINE, 200, &good()));
    let crowd = (0..64).map(|_| asked(&introspection, 0));
    for answer in futures_util::future::join_all(crowd).await {
        answer.unwrap();
    }
    assert_eq!(http.sent().len(), 1);
}
