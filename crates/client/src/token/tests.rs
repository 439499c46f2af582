use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::{AccessToken, AuthorizationCode, ClientSecret, RefreshToken};
use serde_json::{Value, json};

use super::{TokenEndpoint, TokenError, Tokens};
use crate::authorization::{AuthorizationParameters, AuthorizationRequest, begin};
use crate::fixtures::{ISSUER, REDIRECT, RESOURCE, redirect_uri, registration, resource_id, server};
use crate::http::{HttpClient, HttpError, Request, Response, Scripted};

const TOKEN: &str = "POST https://issuer.test/token";
const REVOKE: &str = "POST https://issuer.test/revoke";

fn request() -> AuthorizationRequest {
    let (resource, redirect) = (resource_id(), redirect_uri());
    let wish = AuthorizationParameters { resource: &resource, redirect_uri: &redirect, scopes: None, by_hand: false };
    begin(&server(), &registration(), wish, &SeededEntropy::default()).unwrap()
}

fn granted() -> Value {
    json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 600, "refresh_token": "rt", "scope": "mcp:read" })
}

fn tokens() -> Tokens {
    Tokens {
        issuer: ISSUER.to_owned(),
        client: registration(),
        resource: resource_id(),
        access: AccessToken::from_outside("old"),
        refresh: Some(RefreshToken::from_outside("old-rt")),
        expires: None,
        scopes: Some("mcp:read".parse().unwrap()),
        asked: None,
        dpop: None,
    }
}

async fn exchanged(http: &Scripted) -> Result<Tokens, TokenError> {
    let (server, registration) = (server(), registration());
    let endpoint = TokenEndpoint::new(http, &server, &registration)?;
    endpoint.exchange_code(&request(), &AuthorizationCode::from_outside("c"), Timestamp::UNIX_EPOCH).await
}

/// CL-20, CL-27: the code is sent with its verifier, its redirect URI and the resource, only to the token endpoint.
#[tokio::test]
async fn a_code_becomes_tokens() {
    let http = Scripted::default().json(TOKEN, 200, &granted());
    let tokens = exchanged(&http).await.unwrap();
    assert_eq!((tokens.access.expose(), tokens.refresh.unwrap().expose()), ("at", "rt"));
    assert_eq!(tokens.expires, Some(Timestamp::from_second(600).unwrap()));
    assert_eq!(tokens.resource, resource_id());
    let form = http.sent().remove(0).form();
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "c"),
        ("redirect_uri", REDIRECT),
        ("client_id", "cli_1"),
        ("resource", RESOURCE),
        ("code_verifier", request().verifier().expose()),
    ] {
        assert_eq!(form.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(form.len(), 6);
}

/// CL-20, CL-24, CL-41: a refresh names the resource and no scope; if no new refresh token comes, the old one stays.
#[tokio::test]
async fn a_refresh_widens_nothing() {
    let http = Scripted::default().json(TOKEN, 200, &json!({ "access_token": "new", "token_type": "bearer" }));
    let (server, registration) = (server(), registration());
    let endpoint = TokenEndpoint::new(&http, &server, &registration).unwrap();
    let renewed = endpoint.refresh(&tokens(), Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(renewed, Tokens { access: AccessToken::from_outside("new"), ..tokens() });
    let form = http.sent().remove(0).form();
    assert_eq!(
        (form["grant_type"].as_str(), form["refresh_token"].as_str(), form["resource"].as_str()),
        ("refresh_token", "old-rt", RESOURCE)
    );
    assert_eq!(form.len(), 4);
    let without = Tokens { refresh: None, ..tokens() };
    assert!(matches!(endpoint.refresh(&without, Timestamp::UNIX_EPOCH).await, Err(TokenError::NoRefreshToken { .. })));
}

/// RFC 7009: the refresh token is given back, which ends the grant; if there is none, the access token is.
#[tokio::test]
async fn tokens_are_given_back() {
    let http = Scripted::default().with(REVOKE, 200, &[], "");
    let (server, registration) = (server(), registration());
    let endpoint = TokenEndpoint::new(&http, &server, &registration).unwrap();
    endpoint.revoke(&tokens(), Timestamp::UNIX_EPOCH).await.unwrap();
    endpoint.revoke(&Tokens { refresh: None, ..tokens() }, Timestamp::UNIX_EPOCH).await.unwrap();
    let forms: Vec<_> = http.sent().iter().map(|sent| sent.form()).collect();
    assert_eq!((forms[0]["token"].as_str(), forms[0]["token_type_hint"].as_str()), ("old-rt", "refresh_token"));
    assert_eq!((forms[1]["token"].as_str(), forms[1]["token_type_hint"].as_str()), ("old", "access_token"));
}

/// RFC 6749 §2.3.1: one authentication method per request, encoded as the RFC says.
#[tokio::test]
async fn a_confidential_client_authenticates_once() {
    for method in [ClientAuthentication::ClientSecretBasic, ClientAuthentication::ClientSecretPost] {
        let http = Scripted::default().json(TOKEN, 200, &granted());
        let (server, mut registration) = (server(), registration());
        registration.authentication = method;
        registration.secret = Some(ClientSecret::from_outside("s: +"));
        let endpoint = TokenEndpoint::new(&http, &server, &registration).unwrap();
        endpoint.refresh(&tokens(), Timestamp::UNIX_EPOCH).await.unwrap();
        let sent = http.sent().remove(0);
        if method == ClientAuthentication::ClientSecretBasic {
            // The decoded text: cli_1:s%3A+%2B
            assert_eq!(sent.header("authorization"), "Basic Y2xpXzE6cyUzQSslMkI=");
            assert!(!sent.form().contains_key("client_secret") && !sent.form().contains_key("client_id"));
        } else {
            assert_eq!((sent.form()["client_id"].as_str(), sent.form()["client_secret"].as_str()), ("cli_1", "s: +"));
            assert_eq!(sent.header("authorization"), "");
        }
    }
}

/// CL-06, CL-18, ATK-83, ATK-87: codes, tokens and registrations never go to another issuer.
#[tokio::test]
async fn nothing_goes_to_another_issuer() {
    let http = Scripted::default();
    let (mut server, mut registration) = (server(), registration());
    server.issuer = "https://evil.test".to_owned();
    assert!(matches!(TokenEndpoint::new(&http, &server, &registration), Err(TokenError::OtherIssuer { .. })));
    registration.issuer.clone_from(&server.issuer);
    let endpoint = TokenEndpoint::new(&http, &server, &registration).unwrap();
    let now = Timestamp::UNIX_EPOCH;
    let code = AuthorizationCode::from_outside("c");
    assert!(matches!(endpoint.exchange_code(&request(), &code, now).await, Err(TokenError::OtherIssuer { .. })));
    assert!(matches!(endpoint.refresh(&tokens(), now).await, Err(TokenError::OtherIssuer { .. })));
    assert!(matches!(endpoint.revoke(&tokens(), Timestamp::UNIX_EPOCH).await, Err(TokenError::OtherIssuer { .. })));
    assert!(http.lines().is_empty());
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    for (status, answer) in [
        (200, json!({})),
        (200, json!({ "access_token": "at" })),
        (200, json!({ "access_token": 1, "token_type": "Bearer" })),
        (302, granted()),
        (201, granted()),
        (500, json!({ "error": "server_error" })),
        (400, json!({})),
    ] {
        let error = exchanged(&Scripted::default().json(TOKEN, status, &answer)).await.unwrap_err();
        assert!(matches!(error, TokenError::Malformed { .. }), "{status} {answer}: {error:?}");
    }
    let mut other = granted();
    other["token_type"] = json!("DPoP");
    assert!(matches!(exchanged(&Scripted::default().json(TOKEN, 200, &other)).await, Err(TokenError::Type { .. })));
    let refusal = json!({ "error": "invalid_grant", "error_description": "used" });
    let error = exchanged(&Scripted::default().json(TOKEN, 400, &refusal)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{ISSUER}` gives no token: invalid_grant (used)"));
}

/// RS-38: tokens do not show themselves.
#[test]
fn debug_shows_no_token() {
    let text = format!("{:?} {:?}", tokens(), request());
    assert!(!text.contains("old") && !text.contains("sks_cf_"), "{text}");
}

/// Servers write `expires_in` as text and as a fraction; five client libraries accept that, and so do we (npm
/// `@modelcontextprotocol/sdk` 1.32, `client` 2.4, `oauth4webapi` 3.8; PyPI `mcp` 1.30 and 2.3). A value that is not a
/// number counts as missing.
#[tokio::test]
async fn a_life_is_read_however_it_is_written() {
    for (written, seconds) in [
        (json!(3600), Some(3600)),
        (json!(0), Some(0)),
        (json!("3600"), Some(3600)),
        (json!(" 3600 "), Some(3600)),
        (json!(3599.7), Some(3599)),
        (json!("3599.7"), Some(3599)),
        (json!(3.6e3), Some(3600)),
        (json!("3.6e3"), Some(3600)),
        (json!(-1), Some(0)),
        (json!(1e300), Some(i64::from(u32::MAX))),
        (Value::Null, None),
        (json!(""), None),
        (json!("soon"), None),
        (json!("NaN"), None),
        (json!("inf"), None),
        (json!(true), None),
        (json!([3600]), None),
        (json!({}), None),
    ] {
        let mut answer = granted();
        answer["expires_in"] = written.clone();
        let tokens = exchanged(&Scripted::default().json(TOKEN, 200, &answer)).await.unwrap();
        assert_eq!(tokens.expires.map(Timestamp::as_second), seconds, "{written}");
    }
}

/// An HTTP client that loses the responses to the first requests.
#[derive(Debug)]
struct Losing {
    inner: Scripted,
    left: std::sync::atomic::AtomicUsize,
}

impl HttpClient for Losing {
    fn send(&self, request: Request) -> futures_util::future::BoxFuture<'_, Result<Response, HttpError>> {
        Box::pin(async move {
            let answered = self.inner.send(request).await;
            let left = &self.left;
            if left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err(HttpError::Deadline { seconds: 10 });
            }
            answered
        })
    }
}

/// Decision 0006: some issuers give the same successor if asked again at once; none of seven other clients asks again.
/// Ours repeats the request once with the same token, and not a third time.
#[tokio::test]
async fn a_refresh_whose_answer_was_lost_is_asked_for_once_more() {
    for (lost, reads) in [(0, true), (1, true), (2, false)] {
        let inner = Scripted::default().json(TOKEN, 200, &granted());
        let http = Losing { inner, left: lost.into() };
        let (server, registration) = (server(), registration());
        let endpoint = TokenEndpoint::new(&http, &server, &registration).unwrap();
        let outcome = endpoint.refresh(&tokens(), Timestamp::UNIX_EPOCH).await;
        assert_eq!(outcome.is_ok(), reads, "{lost}: {outcome:?}");
        let sent = http.inner.sent();
        assert_eq!(sent.len(), (lost + 1).min(2), "{lost}");
        assert!(sent.iter().all(|sent| sent.form()["refresh_token"] == "old-rt"), "{lost}");
    }
    // A proxy's page counts as a lost response; a refusal is a response.
    let page =
        Scripted::default().with(TOKEN, 502, &[("content-type", "text/html")], "<p>").json(TOKEN, 200, &granted());
    let refusal = Scripted::default().json(TOKEN, 400, &json!({ "error": "invalid_grant" }));
    let (server, registration) = (server(), registration());
    let of = |http| TokenEndpoint::new(http, &server, &registration).unwrap();
    assert!(of(&page).refresh(&tokens(), Timestamp::UNIX_EPOCH).await.is_ok());
    assert!(of(&refusal).refresh(&tokens(), Timestamp::UNIX_EPOCH).await.is_err());
    assert_eq!(refusal.lines().len(), 1);
}

/// A code is never sent twice, whatever happened to the response.
#[tokio::test]
async fn a_code_whose_answer_was_lost_is_not_sent_again() {
    let http = Losing { inner: Scripted::default().json(TOKEN, 200, &granted()), left: 1.into() };
    let (server, registration) = (server(), registration());
    let endpoint = TokenEndpoint::new(&http, &server, &registration).unwrap();
    let code = AuthorizationCode::from_outside("c");
    assert!(endpoint.exchange_code(&request(), &code, Timestamp::UNIX_EPOCH).await.is_err());
    assert_eq!(http.inner.lines().len(), 1);
}
