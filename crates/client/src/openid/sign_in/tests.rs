use std::collections::HashMap;

use jiff::Timestamp;
use sekisho_protocol::env::{SeededEntropy, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::pkce::CodeChallenge;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::{AccessToken, AuthorizationCode, ClientSecret, CodeVerifier, SubjectToken};
use serde_json::{Value, json};
use url::Url;

use super::{AnswerError, SignIn, SignInError, SignInWish, begin};
use crate::authorization::FinishError;
use crate::http::Scripted;
use crate::openid::logout::{LogoutWish, logout_url};
use crate::openid::provider::{Provider, discover};
use crate::openid::user_info::{UserInfoError, user_info};
use crate::registration::Registration;
use crate::token::{TokenEndpoint, TokenError};

const ISSUER: &str = "https://login.test";
const REDIRECT: &str = "https://sekisho.example/login/corp/callback";

async fn provider() -> Provider {
    let document = json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.test/authorize?fixed=1",
        "token_endpoint": "https://login.test/token",
        "jwks_uri": "https://login.test/keys",
        "userinfo_endpoint": "https://login.test/userinfo",
        "end_session_endpoint": "https://login.test/logout?fixed=1",
        "authorization_response_iss_parameter_supported": true,
    });
    let http = Scripted::default().json("GET https://login.test/.well-known/openid-configuration", 200, &document);
    discover(&http, ISSUER).await.unwrap()
}

fn registration() -> Registration {
    Registration {
        issuer: ISSUER.to_owned(),
        client: ClientId::parse("sekisho").unwrap(),
        authentication: ClientAuthentication::ClientSecretBasic,
        secret: Some(ClientSecret::from_outside("hidden")),
        key: None,
        redirect_uris: vec![RedirectUri::parse(REDIRECT).unwrap()],
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

async fn begun(seed: u64) -> (String, SignIn) {
    let (redirect_uri, scopes) = (RedirectUri::parse(REDIRECT).unwrap(), "profile groups openid".parse().unwrap());
    let wish = SignInWish {
        redirect_uri: &redirect_uri,
        scopes: &scopes,
        prompt: Some("login"),
        max_age_seconds: Some(300),
        acr_values: &["phr".to_owned(), "mfa".to_owned()],
        login_hint: Some("ada@example.com"),
    };
    begin(&provider().await, &registration(), wish, now(), &SeededEntropy::from_seed(seed)).unwrap()
}

fn query(url: &str) -> HashMap<String, String> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_sign_in_asks_for_what_was_wished() {
    let (url, sign_in) = begun(1).await;
    let asked = query(&url);
    for (name, value) in [
        ("fixed", "1"),
        ("response_type", "code"),
        ("client_id", "sekisho"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid groups profile"),
        ("state", sign_in.state().expose()),
        ("nonce", sign_in.nonce()),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("max_age", "300"),
        ("acr_values", "phr mfa"),
        ("login_hint", "ada@example.com"),
    ] {
        assert_eq!(asked.get(name).map(String::as_str), Some(value), "{name}");
    }
    let kept: Value = serde_json::from_slice(&sign_in.to_bytes()).unwrap();
    let verifier = CodeVerifier::from_outside(kept["verifier"].as_str().unwrap());
    assert_eq!(asked["code_challenge"], CodeChallenge::of(&verifier).as_str());
    let (_, other) = begun(2).await;
    assert!(other.state() != sign_in.state() && other.nonce() != sign_in.nonce());
    assert!(!format!("{sign_in:?}").contains(sign_in.nonce()));
}

#[tokio::test]
async fn a_sign_in_needs_its_own_registration() {
    let (redirect_uri, scopes) =
        (RedirectUri::parse("https://sekisho.example/other").unwrap(), "openid".parse().unwrap());
    let wish = SignInWish {
        redirect_uri: &redirect_uri,
        scopes: &scopes,
        prompt: None,
        max_age_seconds: None,
        acr_values: &[],
        login_hint: None,
    };
    let refused = SignInError::Registration { issuer: ISSUER.to_owned() };
    let entropy = SeededEntropy::default();
    assert_eq!(begin(&provider().await, &registration(), wish, now(), &entropy).unwrap_err(), refused);
    let elsewhere = Registration { issuer: "https://other.test".to_owned(), ..registration() };
    assert_eq!(begin(&provider().await, &elsewhere, wish, now(), &entropy).unwrap_err(), refused);
}

/// PX-09: a stored sign-in is read back unchanged, and no other bytes are read as one.
#[tokio::test]
async fn a_sign_in_survives_keeping() {
    let (_, sign_in) = begun(1).await;
    assert_eq!(SignIn::from_bytes(&sign_in.to_bytes()).unwrap(), sign_in);
    for bad in [&b""[..], b"{}", b"[]", b"null"] {
        assert!(SignIn::from_bytes(bad).is_none());
    }
    let mut more: Value = serde_json::from_slice(&sign_in.to_bytes()).unwrap();
    more["more"] = json!(1);
    assert!(SignIn::from_bytes(more.to_string().as_bytes()).is_none());
}

/// ATK-12, ATK-81, ATK-83, PX-09: only the expected answer is accepted, from the provider that was asked, in time.
#[tokio::test]
async fn only_the_awaited_answer_is_taken() {
    let (_, sign_in) = begun(1).await;
    let state = sign_in.state().expose().to_owned();
    let at = |query: &str| format!("{REDIRECT}?{query}");
    let good = at(&format!("code=c1&state={state}&iss=https%3A%2F%2Flogin.test"));
    let answer = |url: &str, seconds: u32| sign_in.answer(url, after(now(), seconds));
    assert_eq!(answer(&good, 0).unwrap().expose(), "c1");
    assert!(answer(&good, 600).is_ok());
    assert_eq!(answer(&good, 601), Err(AnswerError::Expired));
    assert_eq!(sign_in.answer(&good, Timestamp::from_second(999_999).unwrap()), Err(AnswerError::Expired));
    for (url, expected) in [
        (at(&format!("code=c1&state={state}")), AnswerError::Unnamed { issuer: ISSUER.to_owned() }),
        (at(&format!("code=c1&state={state}&iss=https%3A%2F%2Fevil.test")), AnswerError::Answer(FinishError::Issuer)),
        (at("code=c1&state=other&iss=https%3A%2F%2Flogin.test"), AnswerError::Answer(FinishError::State)),
        (at("code=c1&iss=https%3A%2F%2Flogin.test"), AnswerError::Answer(FinishError::State)),
        (format!("{good}&code=c2"), AnswerError::Answer(FinishError::Malformed)),
        (at(&format!("state={state}&iss=https%3A%2F%2Flogin.test")), AnswerError::Answer(FinishError::Malformed)),
        (good.replace("/corp/", "/other/"), AnswerError::Answer(FinishError::Elsewhere)),
    ] {
        assert_eq!(answer(&url, 1), Err(expected), "{url}");
    }
    let refused =
        at(&format!("error=access_denied&error_description=no%1B&state={state}&iss=https%3A%2F%2Flogin.test"));
    let told = answer(&refused, 1).unwrap_err().to_string();
    assert!(told.contains("access_denied (no)"), "{told}");
}

/// ATK-83: the code is sent to the provider that was asked, with the verifier of this sign-in.
#[tokio::test]
async fn a_code_is_traded_where_it_was_asked_for() {
    let (_, sign_in) = begun(1).await;
    let (provider, registration) = (provider().await, registration());
    let line = "POST https://login.test/token";
    let tokens = json!({ "id_token": "a.b.c", "access_token": "at", "token_type": "bearer", "expires_in": 60 });
    let code = AuthorizationCode::from_outside("c1");
    let http = Scripted::default().json(line, 200, &tokens);
    let endpoint = TokenEndpoint::new(&http, &provider.server, &registration).unwrap();
    let given = sign_in.exchange(&endpoint, &code, now()).await.unwrap();
    assert_eq!((given.id_token.expose(), given.access.expose()), ("a.b.c", "at"));
    let form = http.sent()[0].form();
    assert_eq!((form["code"].as_str(), form["redirect_uri"].as_str()), ("c1", REDIRECT));
    assert!(form.contains_key("code_verifier") && !form.contains_key("resource"));
    for (status, body) in [
        (200, json!({ "access_token": "at", "token_type": "Bearer" })),
        (200, json!({ "id_token": "a.b.c", "token_type": "Bearer" })),
        (200, json!({ "id_token": "a.b.c", "access_token": "at", "token_type": "DPoP" })),
        (200, json!({ "id_token": "a b", "access_token": "at", "token_type": "Bearer" })),
        (200, json!({ "id_token": "", "access_token": "at", "token_type": "Bearer" })),
        (200, json!([])),
        (400, json!({ "error": "invalid_grant" })),
        (500, json!({})),
    ] {
        let http = Scripted::default().json(line, status, &body);
        let endpoint = TokenEndpoint::new(&http, &provider.server, &registration).unwrap();
        assert!(sign_in.exchange(&endpoint, &code, now()).await.is_err(), "{status} {body}");
    }
    let mut other = provider.clone();
    other.server.issuer = "https://evil.test".to_owned();
    let registration = Registration { issuer: "https://evil.test".to_owned(), ..registration };
    let http = Scripted::default();
    let endpoint = TokenEndpoint::new(&http, &other.server, &registration).unwrap();
    let error = sign_in.exchange(&endpoint, &code, now()).await.unwrap_err();
    assert!(matches!(error, TokenError::OtherIssuer { .. }) && http.sent().is_empty());
}

/// ATK-299: a UserInfo response about another person gives no claims.
#[tokio::test]
async fn user_info_is_about_the_same_person() {
    let (provider, access) = (provider().await, AccessToken::from_outside("at"));
    let line = "GET https://login.test/userinfo";
    let asked = async |status: u16, body: Value| {
        let http = Scripted::default().json(line, status, &body);
        user_info(&http, &provider, &access, "ada-1").await
    };
    assert_eq!(asked(200, json!({ "sub": "ada-1", "groups": ["a"] })).await.unwrap()["groups"], json!(["a"]));
    for body in [json!({ "sub": "eve-2" }), json!({ "sub": "ADA-1" }), json!({}), json!({ "sub": ["ada-1"] })] {
        assert!(matches!(asked(200, body).await, Err(UserInfoError::OtherSubject { .. })));
    }
    for (status, body) in [(200, json!([])), (401, json!({ "sub": "ada-1" })), (500, json!({}))] {
        assert!(matches!(asked(status, body).await, Err(UserInfoError::Malformed { .. })), "{status}");
    }
    let signed: &[(&'static str, &str)] = &[("content-type", "application/jwt")];
    let http = Scripted::default().with(line, 200, signed, "a.b.c");
    assert!(user_info(&http, &provider, &access, "ada-1").await.unwrap_err().to_string().contains("unsigned"));
    let without = Provider { user_info_endpoint: None, ..provider };
    let error = user_info(&Scripted::default(), &without, &access, "ada-1").await.unwrap_err();
    assert!(matches!(error, UserInfoError::NotOffered { .. }));
}

#[tokio::test]
async fn a_person_is_signed_out_at_the_provider_as_well() {
    let provider = provider().await;
    let (client, id_token) = (ClientId::parse("sekisho").unwrap(), SubjectToken::from_outside("a.b.c"));
    let wish = LogoutWish {
        client: &client,
        id_token: Some(&id_token),
        post_logout_redirect_uri: Some("https://sekisho.example/"),
        state: Some("s"),
    };
    let url = logout_url(&provider, wish).unwrap();
    assert!(url.starts_with("https://login.test/logout?fixed=1&client_id=sekisho&id_token_hint=a.b.c&"), "{url}");
    let asked = query(&url);
    assert_eq!(
        (asked["post_logout_redirect_uri"].as_str(), asked["state"].as_str()),
        ("https://sekisho.example/", "s")
    );
    let short =
        logout_url(&provider, LogoutWish { id_token: None, post_logout_redirect_uri: None, state: None, ..wish });
    assert_eq!(short.unwrap(), "https://login.test/logout?fixed=1&client_id=sekisho");
    assert_eq!(logout_url(&Provider { end_session_endpoint: None, ..provider }, wish), None);
}
