//! Ways to sign in, where time has to pass.

use std::collections::BTreeMap;

use http::StatusCode;
use sekisho_client::registration::Registration;
use sekisho_e2e::fakes::provider::keys::{Key, Signs};
use sekisho_issuer::login::upstream::{LoginParts, ProviderParts};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::{SignOutThere, SigningAlgorithm};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::ClientSecret;
use serde_json::json;

use crate::harness::{BASE, Site};

const ISSUER: &str = "https://login.example";

/// A provider `corp`.
fn corp() -> LoginParts {
    let redirect_uri = RedirectUri::parse(&format!("{BASE}/login/corp/callback")).unwrap();
    let registration = Registration {
        issuer: ISSUER.to_owned(),
        client: ClientId::parse("sekisho").unwrap(),
        authentication: ClientAuthentication::ClientSecretBasic,
        secret: Some(ClientSecret::from_outside("secret")),
        key: None,
        redirect_uris: vec![redirect_uri.clone()],
    };
    let parts = ProviderParts {
        name: "corp".parse().unwrap(),
        label: "The Company".to_owned(),
        registration,
        redirect_uri,
        scopes: "profile".parse().unwrap(),
        algorithm: SigningAlgorithm::Rs256,
        audiences: Vec::new(),
        named_by: vec!["sub".to_owned()],
        require: BTreeMap::new(),
        rules: Vec::new(),
        groups_cut_at: None,
        overage: None,
        prompt: None,
        max_age_seconds: None,
        acr_values: Vec::new(),
        acr_required: false,
        logout_ends_grants: false,
        sign_out_there: SignOutThere::Never,
        signed_out_uri: format!("{BASE}/login/corp/signed-out"),
    };
    LoginParts { passwords: true, providers: vec![parts], http: None }
}

fn describe(site: &Site) {
    let metadata = json!({
        "issuer": ISSUER, "authorization_endpoint": format!("{ISSUER}/authorize"),
        "token_endpoint": format!("{ISSUER}/token"), "jwks_uri": format!("{ISSUER}/keys"),
    });
    site.web.put(&format!("{ISSUER}/.well-known/openid-configuration"), 200, "application/json", &metadata);
}

/// ATK-360: a browser in which somebody signed in a while ago adds no account.
#[tokio::test]
async fn an_unattended_browser_adds_no_account() {
    let site = Site::with_login(corp()).await;
    describe(&site);
    let mut browser = site.signed_in("owner").await;
    let sent = browser.get("/ways/corp/add").await;
    assert!(sent.header("location").starts_with(&format!("{ISSUER}/authorize?")), "{}", sent.body);
    site.clock.advance_seconds(600);
    assert_eq!(browser.get("/ways/corp/add").await.status, StatusCode::SEE_OTHER);
    site.clock.advance_seconds(1);
    let refused = browser.get("/ways/corp/add").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("more than ten minutes ago"), "{}", refused.body);
    let page = browser.get("/ways").await;
    assert!(!page.body.contains("/ways/corp/add"), "{}", page.body);
    // Who signs in again can.
    let mut browser = site.signed_in("owner").await;
    assert_eq!(browser.get("/ways/corp/add").await.status, StatusCode::SEE_OTHER);
}

/// The last use of a session is noted every few minutes, so that looking at pages does not write each time.
#[tokio::test]
async fn the_last_use_of_a_session_is_noted() {
    let site = Site::with_login(corp()).await;
    let mut browser = site.signed_in("owner").await;
    let began = site.clock.now();
    let seen = async || {
        let mut tx = site.store.read().await.unwrap();
        tx.browser_sessions().of_user(site.owner, site.clock.now()).await.unwrap()[0].seen_at
    };
    site.clock.advance_seconds(299);
    browser.get("/").await;
    assert_eq!(seen().await, began);
    site.clock.advance_seconds(1);
    browser.get("/ways").await;
    assert_eq!(seen().await, site.clock.now());
}

/// What a provider says of itself is kept for minutes; while it is away, nobody is sent there, and asking again is bounded.
#[tokio::test]
async fn metadata_are_kept_for_minutes_and_void_after_a_lie() {
    let site = Site::with_login(corp()).await;
    describe(&site);
    let well_known = format!("{ISSUER}/.well-known/openid-configuration");
    let mut browser = site.browser();
    browser.get("/login").await;
    let asked = || site.web.asked.lock().unwrap().iter().filter(|url| **url == well_known).count();
    for _ in 0..3 {
        assert_eq!(browser.get("/login/corp").await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(asked(), 1, "asked once for all");
    site.clock.advance_seconds(300);
    assert_eq!(browser.get("/login/corp").await.status, StatusCode::SEE_OTHER);
    assert_eq!(asked(), 2);
    site.web.answers.lock().unwrap().clear();
    site.clock.advance_seconds(300);
    for _ in 0..3 {
        assert_eq!(browser.get("/login/corp").await.status, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(asked(), 3, "not asked again within seconds");
    // An answer of the back channel is still judged: the provider is away, and has not said anything wrong.
    let logout = async || site.post_form("/login/corp/backchannel", &[("logout_token", "x.y.z")]).await.status;
    let keys = json!({ "keys": [Key::generate("key-1", Signs::Es256).jwk()] });
    site.web.put(&format!("{ISSUER}/keys"), 200, "application/json", &keys);
    assert_eq!(logout().await, StatusCode::BAD_REQUEST);
    // After a lie nothing is left of what it said.
    site.web.put(
        &well_known,
        200,
        "application/json",
        &json!({ "issuer": "https://other.example",
        "authorization_endpoint": "https://other.example/a", "token_endpoint": "https://other.example/t",
        "jwks_uri": "https://other.example/k" }),
    );
    site.clock.advance_seconds(6);
    assert_eq!(browser.get("/login/corp").await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(logout().await, StatusCode::SERVICE_UNAVAILABLE);
}
