use sekisho_protocol::account::{AccountLookup, OAuthVendor, VendorClient, VendorEndpoints};
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::secret::{AccessToken, ClientSecret};
use serde_json::json;

use super::{
    AccountTokens, AskingClient, LookupError, VendorEndpoint, VendorError, VendorRequest, begin, describe, finish,
    refresh, whose,
};
use crate::http::Scripted;

const TOKEN: &str = "https://vendor.example/token";

fn vendor() -> OAuthVendor {
    OAuthVendor {
        endpoints: VendorEndpoints::Given {
            authorization: "https://vendor.example/authorize?prompt=consent".to_owned(),
            token: TOKEN.to_owned(),
            revocation: None,
        },
        client: Some(VendorClient {
            id: ClientId::parse("checkpoint").unwrap(),
            secret: Some(ClientSecret::from_outside("hush")),
        }),
        scopes: Some("repo read:user".to_owned()),
        parameters: vec![("access_type".to_owned(), "offline".to_owned())],
        token_member: None,
    }
}

fn redirect() -> RedirectUri {
    RedirectUri::parse("https://gate.example/links/git/callback").unwrap()
}

async fn endpoint(http: &Scripted) -> VendorEndpoint {
    let (redirect, name) = (redirect(), "Sekisho");
    let asking = AskingClient { name, redirect_uri: &redirect, document: None };
    describe(http, &vendor(), asking, None).await.unwrap()
}

async fn begun(http: &Scripted) -> (String, VendorRequest) {
    begin(&vendor(), endpoint(http).await, &redirect(), &SeededEntropy::default()).unwrap()
}

fn now() -> jiff::Timestamp {
    ManualClock::default().now()
}

/// The answer of the vendor to `url`, at the redirect URI, with these further parameters.
fn answer(url: &str, more: &str) -> String {
    let state = url.split('&').find_map(|part| part.strip_prefix("state=")).unwrap();
    format!("https://gate.example/links/git/callback?state={state}{more}")
}

/// A vendor that is no MCP server gets PKCE, its own parameters and no `resource`.
#[tokio::test]
async fn a_configured_vendor_is_asked_with_pkce_and_its_own_parameters() {
    let (url, request) = begun(&Scripted::default()).await;
    let has = |part: &str| assert!(url.contains(part), "{url}");
    has("https://vendor.example/authorize?prompt=consent&response_type=code&client_id=checkpoint");
    has("&code_challenge_method=S256");
    has("&scope=repo+read%3Auser");
    has("&access_type=offline");
    assert!(!url.contains("resource="), "{url}");
    // What is stored is read again, and shows nothing when it is printed.
    assert_eq!(VendorRequest::from_bytes(&request.to_bytes()), Some(request.clone()));
    assert!(!format!("{request:?}").contains("hush"));
}

/// ATK-402, ATK-83: the code goes to the endpoint of the request, and only for the answer to this request.
#[tokio::test]
async fn only_the_answer_to_the_request_is_exchanged() {
    let http = Scripted::default().json(
        &format!("POST {TOKEN}"),
        200,
        &json!({ "access_token": "at-1", "token_type": "bearer", "expires_in": "60", "refresh_token": "rt-1", "scope": "repo" }),
    );
    let (url, request) = begun(&http).await;
    for wrong in ["&code=c&state=other", "&code=c&iss=https%3A%2F%2Felsewhere.example", "&error=access_denied"] {
        let refused = finish(&http, &vendor(), &request, &answer(&url, wrong), now()).await;
        assert!(matches!(refused, Err(VendorError::Answer(_))), "{wrong} {refused:?}");
    }
    assert!(http.sent().is_empty());
    let tokens = finish(&http, &vendor(), &request, &answer(&url, "&code=c1"), now()).await.unwrap();
    assert_eq!((tokens.access.expose(), tokens.scopes.as_deref()), ("at-1", Some("repo")));
    assert_eq!(tokens.expires.unwrap().as_second(), now().as_second() + 60);
    let sent = String::from_utf8(http.sent()[0].body.to_vec()).unwrap();
    assert!(sent.contains("code=c1") && sent.contains("code_verifier=") && sent.contains("client_secret=hush"));
    assert_eq!(AccountTokens::from_bytes(&tokens.to_bytes()), Some(tokens.clone()));
    assert_eq!(AccountTokens::access_of(&tokens.to_bytes()).unwrap().expose(), "at-1");
    assert!(!format!("{tokens:?}").contains("at-1"));
}

/// A vendor without rotation keeps its refresh token; one that rotates gives the next; a refusal is told apart from a
/// vendor that is down, and so is GitHub's, which has status 200.
#[tokio::test]
async fn a_refresh_is_answered_refused_or_lost() {
    let line = format!("POST {TOKEN}");
    let http = Scripted::default();
    let (endpoint, none) = (endpoint(&http).await, None::<String>);
    let before = AccountTokens {
        access: AccessToken::from_outside("at-0"),
        refresh: Some(sekisho_protocol::secret::RefreshToken::from_outside("rt-0")),
        expires: None,
        scopes: Some("repo".to_owned()),
        endpoint: Some(endpoint),
    };
    for (status, body, access, refreshed) in [
        (200, json!({ "access_token": "at-1", "expires_in": 1.5 }), "at-1", "rt-0"),
        (200, json!({ "access_token": "at-1", "refresh_token": "rt-1", "expires_in": {} }), "at-1", "rt-1"),
    ] {
        let http = Scripted::default().json(&line, status, &body);
        let after = refresh(&http, &before, now()).await.unwrap();
        assert_eq!((after.access.expose(), after.refresh.unwrap().expose()), (access, refreshed));
        assert_eq!((after.scopes.as_deref(), http.sent().len()), (Some("repo"), 1));
    }
    for (status, body, is_refusal) in [
        (400, json!({ "error": "invalid_grant" }), true),
        (401, json!({ "error": "invalid_client" }), true),
        (200, json!({ "error": "bad_refresh_token" }), true),
        (500, json!({ "error": "server_error" }), false),
        (200, json!({ "access_token": "" }), false),
        (200, json!({ "access_token": "two words" }), false),
        (302, json!({}), false),
        (429, json!(none), false),
    ] {
        let http = Scripted::default().json(&line, status, &body);
        let error = refresh(&http, &before, now()).await.unwrap_err();
        assert_eq!(error.is_refusal(), is_refusal, "{status} {body} {error}");
    }
}

/// The name of an account comes from one request, and a key that is not accepted is told apart from a missing name.
#[tokio::test]
async fn a_vendor_tells_whose_account_a_key_is_for() {
    let lookup = AccountLookup {
        url: "https://vendor.example/user".to_owned(),
        header: "X-Key".to_owned(),
        prefix: "token ".to_owned(),
        name: "/user/login".to_owned(),
    };
    let line = "GET https://vendor.example/user";
    let asked = async |status, body| {
        let http = Scripted::default().json(line, status, &body);
        let found = whose(&http, &lookup, &AccessToken::from_outside("hush")).await;
        assert_eq!(http.sent()[0].headers["x-key"], "token hush");
        found
    };
    assert_eq!(asked(200, json!({ "user": { "login": "ada" } })).await.unwrap(), "ada");
    assert_eq!(asked(200, json!({ "user": { "login": 7 } })).await.unwrap(), "7");
    assert!(matches!(asked(200, json!({ "user": {} })).await, Err(LookupError::Nameless)));
    assert!(matches!(asked(401, json!({})).await, Err(LookupError::Refused { status: 401 })));
    assert!(matches!(asked(302, json!({})).await, Err(LookupError::Refused { status: 302 })));
}
