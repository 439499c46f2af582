//! Metadata documents against a scripted network.

use std::sync::Arc;

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::{ClientAuthentication, ClientOrigin};
use serde_json::{Value, json};

use super::{DocumentError, check_url};
use crate::IssuerSettings;
use crate::settings::DocumentPolicy;
use crate::testing::{self, ScriptedHttp, World};

const URL: &str = "https://client.example/oauth/client.json";

fn document() -> Value {
    json!({ "client_id": URL, "client_name": "Documented", "redirect_uris": ["https://client.example/cb"] })
}

fn with(changes: &Value) -> Value {
    let mut document = document();
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

fn id() -> ClientId {
    ClientId::parse(URL).unwrap()
}

async fn find(world: &World) -> Result<Arc<sekisho_protocol::registration::Client>, DocumentError> {
    super::find(&world.issuer, &world.visit(), &id(), false).await
}

/// AS-22, AS-24: a document becomes a client after one request at its URL.
#[tokio::test]
async fn a_document_describes_a_client() {
    let world = World::new().await;
    world.http.answer(
        200,
        "application/json",
        with(&json!({ "grant_types": ["authorization_code", "refresh_token"] })).to_string(),
    );
    let client = find(&world).await.unwrap();
    assert_eq!((client.id.as_str(), client.name.as_str()), (URL, "Documented"));
    assert_eq!(client.origin, ClientOrigin::MetadataDocument);
    assert_eq!(client.authentication, ClientAuthentication::None);
    assert!(client.refresh);
    assert_eq!(world.http.asked(), [URL]);
}

/// AS-26, ATK-29: what is not a plain https URL with a path is refused, and no packet leaves for it.
#[tokio::test]
async fn only_a_plain_url_is_fetched() {
    let bad = [
        "https://client.example",
        "https://client.example/",
        "http://client.example/c",
        "http://localhost/c",
        "https://client.example/a/../c",
        "https://client.example/./c",
        "https://client.example/%2e%2e/c",
        "https://client.example/a/%2E/c",
        "https://client.example/c#f",
        "https://user@client.example/c",
        "https://user:pass@client.example/c",
        "https://client.example:443/c",
        "https://CLIENT.example/c",
        "https://client.example./c",
        "HTTPS://client.example/c",
        "https:/client.example/c",
        "https:client.example/c",
        "https://127.0.0.1/c",
        "https://[::1]/c",
        "https://0x7f.1/c",
        "https://2130706433/c",
        "https://0177.0.0.1/c",
        "https://169.254.169.254/latest/meta-data",
        "https://client.example\\@evil.example/c",
        "https://%63lient.example/c",
        "https://client.example?c",
        "https://client.example/?c",
        "https:///c",
        "https://client.example:99999/c",
        "https://client.example:/c",
        "https://client.example:0443/c",
        "https://xn--/c",
        "https://cl\u{131}ent.example/c",
        "file:///etc/passwd",
        "ftp://client.example/c",
        "https://client.example/{c}",
        "https://client.example/<c>",
    ];
    let world = World::new().await;
    for text in bad {
        let Ok(id) = ClientId::parse(text) else { continue };
        let outcome = super::find(&world.issuer, &world.visit(), &id, false).await;
        assert!(matches!(outcome, Err(DocumentError::Url(_))), "{text}: {outcome:?}");
    }
    assert!(world.http.asked().is_empty());
    for good in [
        "https://client.example/c",
        "https://client.example:8443/c",
        "https://client.example/c?v=2",
        "https://localhost:8443/c",
        "https://xn--fsq.example/c",
    ] {
        assert!(check_url(&ClientId::parse(good).unwrap()).is_ok(), "{good}");
    }
}

/// AS-25, AS-27, AS-28, AS-29, AS-32, AS-33, AS-34, ATK-31, ATK-32: every document that is not exactly right is refused,
/// and none of them is kept: the next one that is right counts.
#[tokio::test]
async fn a_document_that_is_not_right_is_refused_and_not_kept() {
    let world = World::new().await;
    let json = "application/json";
    let long = "x".repeat(6000);
    let many: Vec<String> = (0..11).map(|n| format!("https://client.example/{n}")).collect();
    let private = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c" }] });
    let symmetric = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] });
    let changed = [
        json!({ "client_id": "https://client.example/oauth/client.json/" }),
        json!({ "client_id": "https://client.example:443/oauth/client.json" }),
        json!({ "client_id": "https://CLIENT.example/oauth/client.json" }),
        json!({ "client_id": "https://famous.example/client.json" }),
        json!({ "client_id": null }),
        json!({ "client_name": null }),
        json!({ "client_name": "\u{202e}\u{200b}" }),
        json!({ "redirect_uris": null }),
        json!({ "redirect_uris": [] }),
        json!({ "redirect_uris": many }),
        json!({ "redirect_uris": ["javascript:alert(1)"] }),
        json!({ "redirect_uris": ["https://client.example/cb", "http://client.example/cb"] }),
        json!({ "redirect_uris": "https://client.example/cb" }),
        json!({ "token_endpoint_auth_method": "client_secret_basic" }),
        json!({ "token_endpoint_auth_method": "client_secret_post" }),
        json!({ "token_endpoint_auth_method": "client_secret_jwt" }),
        json!({ "client_secret": "s3cr3t" }),
        json!({ "client_secret_expires_at": 0 }),
        json!({ "jwks": private.clone() }),
        json!({ "token_endpoint_auth_method": "private_key_jwt" }),
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": private }),
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": symmetric }),
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://127.0.0.1/keys" }),
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://client.example/keys" }),
        json!({ "jwks_uri": "https://169.254.169.254/keys" }),
        json!({ "grant_types": ["client_credentials"] }),
        json!({ "response_types": ["token"] }),
        json!({ "padding": long }),
    ];
    for change in &changed {
        world.http.answer(200, json, with(change).to_string());
        assert!(find(&world).await.is_err(), "{change}");
    }
    let raw = [
        (200, json, "[]".to_owned()),
        (200, json, "{".to_owned()),
        (
            200,
            json,
            format!("{{\"client_id\":\"https://other.example/c\",{}", document().to_string().trim_start_matches('{')),
        ),
        (200, "text/html", document().to_string()),
        (200, "text/html", "<meta http-equiv=refresh content='0;url=https://famous.example/client.json'>".to_owned()),
        (201, json, document().to_string()),
        (301, json, document().to_string()),
        (302, json, document().to_string()),
        (307, json, document().to_string()),
        (404, json, document().to_string()),
        (500, json, document().to_string()),
    ];
    // Each counts against the budget of its host, which these would exceed.
    for (status, media, body) in &raw[..] {
        let world = World::new().await;
        world.http.answer(*status, media, body.clone());
        assert!(find(&world).await.is_err(), "{status} {body}");
        world.http.answer(200, json, document().to_string());
        assert!(find(&world).await.is_ok(), "{status} {body}");
        assert_eq!(world.http.asked().len(), 2);
    }
}

/// AS-30: a document is believed as long as its answer says, within bounds; then what it says now counts.
#[tokio::test]
async fn a_document_is_fetched_again_when_its_time_is_over() {
    let json = "application/json";
    for (control, seconds) in [
        ("max-age=120", 120),
        ("public, max-age=7200", 7200),
        ("max-age=5", 60),
        ("no-store", 60),
        ("max-age=31536000", 24 * 3600),
        ("max-age=nonsense", 3600),
        ("", 3600),
    ] {
        let world = World::new().await;
        world.http.answer_with(200, &[("content-type", json), ("cache-control", control)], document().to_string());
        world.http.answer(200, json, with(&json!({ "redirect_uris": ["https://client.example/new"] })).to_string());
        find(&world).await.unwrap();
        world.clock.advance_seconds(seconds - 1);
        assert_eq!(find(&world).await.unwrap().redirect_uris[0].as_str(), "https://client.example/cb", "{control}");
        assert_eq!(world.http.asked().len(), 1);
        world.clock.advance_seconds(1);
        assert_eq!(find(&world).await.unwrap().redirect_uris[0].as_str(), "https://client.example/new", "{control}");
        assert_eq!(world.http.asked().len(), 2);
    }
}

/// ATK-32: many that want one document at the same moment cost its host one request.
#[tokio::test]
async fn many_wait_for_one_fetch() {
    let gate = tokio::sync::Semaphore::new(0);
    let http = ScriptedHttp { gate: Some(gate), ..ScriptedHttp::default() };
    let settings = IssuerSettings { ..IssuerSettings::default() };
    let world = Arc::new(World::with(settings, http).await);
    world.http.answer(200, "application/json", document().to_string());
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let world = world.clone();
        waiting.spawn(async move { find(&world).await.map(|client| client.name.clone()).unwrap() });
    }
    while world.http.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    world.http.gate.as_ref().unwrap().add_permits(50);
    assert_eq!(waiting.join_all().await, vec!["Documented"; 50]);
    assert_eq!(world.http.asked().len(), 1);
}

/// ATK-29, ATK-32: a stranger cannot make us fetch without end.
#[tokio::test]
async fn fetches_have_a_budget_for_each_host() {
    let world = World::new().await;
    let mut asked = 0;
    for n in 0..100 {
        let id = ClientId::parse(&format!("https://client.example/{n}")).unwrap();
        let outcome = super::find(&world.issuer, &world.visit(), &id, false).await;
        asked += usize::from(matches!(outcome, Err(DocumentError::Fetch(_))));
    }
    assert_eq!(asked, 10);
    assert_eq!(world.http.asked().len(), 10);
}

/// A document that was read is believed for a day beyond its time while it cannot be fetched, also when too many others are
/// being fetched; and not at all once its host takes it back.
#[tokio::test]
async fn a_good_document_outlives_an_outage_and_a_flood() {
    let world = World::new().await;
    let json = "application/json";
    world.http.answer_with(200, &[("content-type", json), ("cache-control", "max-age=60")], document().to_string());
    find(&world).await.unwrap();
    world.clock.advance_seconds(60);
    world.http.answer(503, json, String::new());
    assert_eq!(find(&world).await.unwrap().name, "Documented");
    for n in 0..100 {
        let bogus = ClientId::parse(&format!("https://client.example/{n}")).unwrap();
        let visit = world.visit();
        assert!(super::find(&world.issuer, &visit, &bogus, false).await.is_err());
    }
    // Nothing is scripted any more: whatever is asked fails.
    assert_eq!(find(&world).await.unwrap().name, "Documented");
    world.clock.advance_seconds(24 * 3600 - 1);
    assert!(find(&world).await.is_ok());
    world.http.answer(404, json, String::new());
    assert!(matches!(find(&world).await, Err(DocumentError::Status(_))));
    assert!(find(&world).await.is_err(), "what was taken back is not good any more");
}

/// AS-37: whose documents are read is the operator's decision.
#[tokio::test]
async fn only_accepted_hosts_are_asked() {
    for (policy, accepted) in [
        (DocumentPolicy::Any, true),
        (DocumentPolicy::Off, false),
        (DocumentPolicy::Hosts(vec!["client.example".to_owned()]), true),
        (DocumentPolicy::Hosts(vec!["example".to_owned(), "other.example".to_owned()]), false),
        (DocumentPolicy::Hosts(Vec::new()), false),
    ] {
        let settings = IssuerSettings { client_documents: policy, ..IssuerSettings::default() };
        let world = World::with(settings, testing::ScriptedHttp::default()).await;
        world.http.answer(200, "application/json", document().to_string());
        assert_eq!(find(&world).await.is_ok(), accepted);
        assert_eq!(world.http.asked().len(), usize::from(accepted));
    }
}
