//! The whole way: registration, authorization, login, consent, code, token, refresh, revocation.

use http::StatusCode;
use sekisho_protocol::audit::ActKind;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::resource::ResourceId;
use sekisho_token::{Expectation, verify};

use crate::harness::{Ask, BASE, FILES, NOTES, PASSWORD, Site};

const LOOPBACK: &str = "http://127.0.0.1/callback";
const USED: &str = "http://127.0.0.1:51763/callback";

/// AS-01, AS-10, AS-15, AS-16, AS-18, AS-20, AS-21, ATK-12, ATK-40, PX-01: the first contact of an honest client and
/// an honest person, from nothing to a token, and the records of it.
#[tokio::test]
async fn a_person_lets_a_client_in() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let ask = Ask::new(&site, &client, USED);
    let mut browser = site.browser();
    // Nobody is signed in: the client page comes first.
    let (path, page) = browser.open(&ask).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Test Client") && page.body.contains("127.0.0.1"), "{}", page.body);
    assert!(page.body.contains("value=\"continue\""), "{}", page.body);
    let on = browser.post(&path, &[("csrf", &page.csrf()), ("decision", "continue")]).await;
    let login = browser.get(&on.location()).await;
    assert!(login.body.contains("Test Client"), "{}", login.body);
    let request = login.values("request").pop().unwrap();
    let fields = [
        ("csrf", login.csrf()),
        ("request", request),
        ("username", "owner".to_owned()),
        ("password", PASSWORD.to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let on = browser.post("/login", &fields).await;
    assert_eq!(on.location(), path);
    // Signed in: the grant page.
    let page = browser.get(&path).await;
    assert!(page.body.contains("value=\"approve\""), "{}", page.body);
    assert_eq!(page.values("scope"), ["mcp:read", "mcp:write"]);
    let answer = browser.approve(&path, &page).await;
    assert!(answer.location().starts_with(USED), "{}", answer.location());
    let answer = answer.redirected();
    assert_eq!(answer["state"], "the state");
    assert_eq!(answer["iss"], BASE);
    // The client redeems its code.
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &client),
        ("code", &answer["code"]),
        ("redirect_uri", USED),
        ("code_verifier", ask.verifier.expose()),
        ("resource", NOTES),
    ];
    let reply = site.post_form("/oauth/token", &fields).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.header("cache-control"), "no-store");
    let token = reply.json();
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["expires_in"], 600);
    assert_eq!(token["scope"], "mcp:read mcp:write");
    let audience = ResourceId::parse(NOTES).unwrap();
    let expect = Expectation::new(BASE, &audience, site.clock.now());
    let claims = verify(&site.keys, token["access_token"].as_str().unwrap(), &expect).unwrap();
    assert_eq!(claims.client_id.as_str(), client);
    assert_eq!(claims.sub.to_string(), site.owner.to_string());
    assert_eq!(claims.path.hops().len(), 1);
    let other = ResourceId::parse(FILES).unwrap();
    let elsewhere = Expectation::new(BASE, &other, site.clock.now());
    assert!(verify(&site.keys, token["access_token"].as_str().unwrap(), &elsewhere).is_err());
    let acts = site.acts().await;
    let expected = [ActKind::ClientRegistered, ActKind::LoginSucceeded, ActKind::ConsentGiven, ActKind::TokenIssued];
    assert_eq!(acts, expected);
}

/// What a client holds after an honest flow.
struct Held {
    client: String,
    access: String,
    refresh: String,
}

async fn held(site: &Site) -> Held {
    let client = site.registered(LOOPBACK).await;
    let ask = Ask::new(site, &client, USED);
    let mut browser = site.signed_in("owner").await;
    let (path, page) = browser.open(&ask).await;
    let answer = browser.approve(&path, &page).await.redirected();
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &client),
        ("code", &answer["code"]),
        ("redirect_uri", USED),
        ("code_verifier", ask.verifier.expose()),
    ];
    let token = site.post_form("/oauth/token", &fields).await.json();
    let text = |name: &str| token[name].as_str().unwrap().to_owned();
    Held { access: text("access_token"), refresh: text("refresh_token"), client }
}

async fn refresh(site: &Site, client: &str, token: &str) -> crate::harness::Reply {
    let fields =
        [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token), ("resource", NOTES)];
    site.post_form("/oauth/token", &fields).await
}

/// AS-13, ATK-36: rotation over HTTP; the retry of a lost answer gets the same successor; a replay ends everything.
#[tokio::test]
async fn a_refresh_token_rotates_and_a_replay_ends_the_family() {
    let site = Site::new().await;
    let held = held(&site).await;
    let first = refresh(&site, &held.client, &held.refresh).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let retried = refresh(&site, &held.client, &held.refresh).await;
    assert_eq!(retried.json()["refresh_token"], first.json()["refresh_token"]);
    site.clock.advance_seconds(31);
    let replayed = refresh(&site, &held.client, &held.refresh).await;
    assert_eq!((replayed.status, replayed.json()["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
    let next = first.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(refresh(&site, &held.client, &next).await.json()["error"], "invalid_grant");
    assert!(site.acts().await.contains(&ActKind::RefreshReplayed));
}

/// PyPI `fastmcp` 4.2.3 with `mcp` 2.3.0, started again after its token has expired, posts its refresh token to `/token` of
/// the server's origin, whatever the metadata say. That place answers for refresh tokens of ours and for nothing else.
#[tokio::test]
async fn a_refresh_at_the_origin_is_answered_and_nothing_else_is() {
    let site = Site::new().await;
    let held = held(&site).await;
    let at_origin = async |fields: &[(&str, &str)]| site.post_form("/token", fields).await;
    let (id, ours) = (("client_id", held.client.as_str()), ("refresh_token", held.refresh.as_str()));
    let kind = ("grant_type", "refresh_token");
    for fields in [
        &[id, kind, ("refresh_token", "opaque")][..],
        &[id, kind],
        &[id, ours],
        &[id, ours, ("grant_type", "authorization_code")],
        &[id, ("grant_type", "authorization_code"), ("code", "x")],
        &[id, ("grant_type", "client_credentials")],
        &[],
    ] {
        let reply = at_origin(fields).await;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::NOT_FOUND, ""), "{fields:?}");
    }
    let got = site.send(http::Request::get("/token").body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    // It is the token endpoint for the rest: another client's is refused there as here.
    let other = site.registered(LOOPBACK).await;
    assert_eq!(at_origin(&[("client_id", &other), kind, ours]).await.json()["error"], "invalid_grant");
    let reply = at_origin(&[id, kind, ours, ("resource", NOTES)]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.json()["scope"], "mcp:read mcp:write");
    assert!(reply.json()["expires_in"].is_u64(), "we write it as RFC 6749 §5.1 has it");
}

/// ATK-49: a client ends its own tokens, of either kind, and nobody else's; every answer looks the same.
#[tokio::test]
async fn a_client_revokes_its_own_tokens_and_nobody_elses() {
    let site = Site::new().await;
    let first = held(&site).await;
    let second = held(&site).await;
    let revoke = async |client: &str, token: &str| {
        let reply = site.post_form("/oauth/revoke", &[("client_id", client), ("token", token)]).await;
        (reply.status, reply.body)
    };
    let yes = (StatusCode::OK, String::new());
    assert_eq!(revoke(&second.client, &first.refresh).await, yes);
    assert_eq!(revoke(&second.client, &first.access).await, yes);
    assert_eq!(revoke(&first.client, "sks_rt_nonsense").await, yes);
    assert_eq!(revoke(&first.client, "a.b.c").await, yes);
    let alive = refresh(&site, &first.client, &first.refresh).await;
    assert_eq!(alive.status, StatusCode::OK, "{}", alive.body);
    assert_eq!(revoke(&first.client, &first.refresh).await, yes);
    let next = alive.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(refresh(&site, &first.client, &next).await.json()["error"], "invalid_grant");
    // An access token ends its grant as well.
    assert_eq!(revoke(&second.client, &second.access).await, yes);
    assert_eq!(refresh(&site, &second.client, &second.refresh).await.json()["error"], "invalid_grant");
    let revoked = site.acts().await.iter().filter(|act| **act == ActKind::GrantRevoked).count();
    assert_eq!(revoked, 2);
}

/// ATK-99: a clock that is set back revives neither session, nor code, nor refresh token.
#[tokio::test]
async fn a_clock_that_is_set_back_revives_nothing() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let ask = Ask::new(&site, &client, USED);
    let mut browser = site.signed_in("owner").await;
    let (path, page) = browser.open(&ask).await;
    let answer = browser.approve(&path, &page).await.redirected();
    let start = site.clock.now();
    let hour_before = start.checked_sub(jiff::SignedDuration::from_hours(1)).unwrap();
    site.clock.set(hour_before);
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &client),
        ("code", &answer["code"]),
        ("redirect_uri", USED),
        ("code_verifier", ask.verifier.expose()),
    ];
    assert_eq!(site.post_form("/oauth/token", &fields).await.json()["error"], "invalid_grant");
    let closed = browser.get("/").await;
    assert_eq!((closed.status, closed.location().as_str()), (StatusCode::SEE_OTHER, "/"));
    assert!(browser.get("/").await.body.contains("href=\"/login\""));
    // After the correction everything goes on.
    site.clock.set(start);
    assert_eq!(site.post_form("/oauth/token", &fields).await.status, StatusCode::OK);
}

/// ATK-58, RS-37: no secret that was issued stands in the database in clear.
#[tokio::test]
async fn no_secret_is_kept_in_clear() {
    let site = Site::new().await;
    let held = held(&site).await;
    let browser = site.signed_in("owner").await;
    let folder = site.folder();
    site.store.close().await;
    let secrets: Vec<&str> = browser
        .jar
        .values()
        .map(String::as_str)
        .chain([held.access.as_str(), held.refresh.as_str(), PASSWORD])
        .collect();
    // The session, the form's token and the known browser.
    assert_eq!(secrets.len(), 6);
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret of {} characters", secret.len());
        }
    }
}
